"""What a hub holds: entries, models, outcomes."""

from __future__ import annotations

import builtins
import logging
import os
import shutil
import tempfile
from abc import ABC
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

from bequest.core import Model, Outcome, Source
from bequest.core.given import checked_path
from bequest.errors import BequestError, Damaged, HubError, NotApplicable
from bequest.frameworks.folder import load
from bequest.frameworks.leftovers import beside, sweep
from bequest.hub import rows
from bequest.hub.bases import find_base
from bequest.hub.entry import Entry
from bequest.hub.faults import told
from bequest.hub.names import checked_name, checked_version
from bequest.hub.remote import RemoteStore
from bequest.hub.store import Store
from bequest.hub.streams import sync_folder

__all__ = ["Reading"]

logger = logging.getLogger(__name__)


class Reading(ABC):
    """The part of a hub that reads what was given to it."""

    folder: Path
    _store: Store | RemoteStore

    def check(self) -> None:
        """Raise `HubError` where there is no hub that can be read; reads no entry."""
        with self._store.reading():
            pass

    def list(self, prefix: str = "", *, every: bool = False) -> tuple[Entry, ...]:
        """Entries whose name begins with `prefix`, by name: the latest version of each.

        Entries whose row in the registry was altered are named in the log and left out; `show`
        and `pull` of them raise `Damaged`.

        Parameters
        ----------
        prefix : str
        every : bool
            All versions, not the latest only.

        Returns
        -------
        tuple of Entry
        """
        if not isinstance(prefix, str):
            raise HubError(f"a prefix is text, not a {type(prefix).__name__}.")
        with self._store.reading() as db:
            found = tuple(rows.entries(db, prefix, every=every))
        for error in found:
            if isinstance(error, Damaged):
                logger.warning("%s It is left out.", error)
        return tuple(entry for entry in found if isinstance(entry, Entry))

    def names(self) -> tuple[str, ...]:
        """Every name that something was published under, sorted; also where its row is damaged.

        Returns
        -------
        tuple of str
        """
        with self._store.reading() as db:
            return tuple(name for name, _ in rows.references(db))

    def show(self, name: str, version: int | None = None) -> Entry:
        """An entry with its card and its files.

        Parameters
        ----------
        name : str
        version : int, optional
            The latest where left out.

        Returns
        -------
        Entry

        Raises
        ------
        EntryNotFound
            No such name or version.
        Damaged
            Its row was altered.
        """
        return self._store.find(checked_name(name), checked_version(version))

    def parents(self, entries: Iterable[Entry]) -> builtins.list[dict[str, Entry | None]]:
        """What entries of this hub were made from, as their cards say it.

        Parameters
        ----------
        entries : iterable of Entry

        Returns
        -------
        list of dict
            One for each entry: by what the card calls a parent the entry that it means, or None
            where it is not in this hub or cannot be read. ``name@version`` and a digest mean that
            entry; on a card from before, a name alone means the latest version that was published
            before the child (of its own name: the version before).
        """
        return self._store.parents(entries)

    def sources(self, *, modules: Sequence[type] = ()) -> tuple[Source, ...]:
        """The latest version of every model as a source, opened when it is first asked for.

        Parameters
        ----------
        modules : sequence of classes
            As in `pull`.

        Returns
        -------
        tuple of Source
            Named ``name@version``. Opening one that cannot be read raises `NotApplicable`.
        """
        cards = {(entry.name, entry.version): entry.card for entry in self.list()}
        with self._store.reading() as db:
            references = rows.references(db)
        return tuple(
            Source(
                partial(self._readable, name, version, modules),
                card=cards.get((name, version)),
                name=f"{name}@{version}",
            )
            for name, version in references
        )

    def _readable(self, name: str, version: int, modules: Sequence[type]) -> Model:
        try:
            return self.pull(name, version, modules=modules)
        except BequestError as error:
            raise NotApplicable(f"it cannot be read: {error}") from error

    def pull(
        self,
        name: str,
        version: int | None = None,
        *,
        modules: Sequence[type] = (),
        base: Model | None = None,
    ) -> Model:
        """Load a published model.

        Parameters
        ----------
        name : str
        version : int, optional
            A whole number; the latest where left out.
        modules : sequence of classes
            As in `bequest.load`: your own network classes that the model may name.
        base : Model, optional
            For an adapter: the model that it was made on. Where left out, the hub's own entry with
            that content address.

        Returns
        -------
        Model

        Raises
        ------
        EntryNotFound
            No such name or version.
        Damaged
            Stored bytes no longer match their content address.
        ModelError
            It is an adapter whose base is not given and not in the hub.
        """
        entry = self.show(name, version)
        with tempfile.TemporaryDirectory(prefix="bequest-") as work:
            place = Path(work, str(entry).replace("/", "-"))
            self._store.copy(entry, place)
            found = self._base_of(place, modules) if base is None else base
            return load(place, modules=modules, base=found)

    def fetch(self, name: str, folder: str | Path, version: int | None = None) -> Entry:
        """Copy a published model to a new folder, byte for byte, every file checked.

        Parameters
        ----------
        name, version
            As in `pull`.
        folder : path
            Must not exist, or be empty; it appears whole or not at all.

        Returns
        -------
        Entry

        Raises
        ------
        EntryNotFound
            No such name or version.
        Damaged
            Stored bytes no longer match their content address.
        HubError
            `folder` holds something, or cannot be written.
        """
        entry = self.show(name, version)
        place = checked_path(folder, "the folder to write", HubError)
        if place.exists() and not (place.is_dir() and not any(place.iterdir())):
            raise HubError(f"{place} exists: it is left as it is.")
        with told(self.folder, place):
            place.parent.mkdir(parents=True, exist_ok=True)
            work = beside(place)
            try:
                self._store.copy(entry, work)
                if place.exists():
                    place.rmdir()
                os.replace(work, place)
            finally:
                shutil.rmtree(work, ignore_errors=True)
            sync_folder(place.parent)
            sweep(place)
        return entry

    def outcomes(self, about: str = "") -> tuple[Outcome, ...]:
        """Everything recorded, the oldest first.

        Parameters
        ----------
        about : str
            Only outcomes in whose record this text stands anywhere, such as the name of a model
            or the fingerprint of a task: of many outcomes, only these are read.

        Returns
        -------
        tuple of Outcome

        Raises
        ------
        Damaged
            A row was altered.
        """
        with self._store.reading() as db:
            return tuple(rows.all_outcomes(db, about))

    def _base_of(self, folder: Path, modules: Sequence[type]) -> Model | None:
        return find_base(
            folder,
            lambda: self.list(every=True) if self._store.exists else (),
            self._store.objects,
            lambda entry: self.pull(entry.name, entry.version, modules=modules),
        )
