"""A hub: models under names and versions, and what came of every transfer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, final

from bequest.core import Card, Model, Outcome, Task
from bequest.core.given import checked_path
from bequest.errors import HubError
from bequest.hub import rows
from bequest.hub.bundles import read_bundle, write_bundle
from bequest.hub.entry import Entry
from bequest.hub.faults import written
from bequest.hub.foreign import ForeignFolder
from bequest.hub.forks import Turn
from bequest.hub.graph import Graph
from bequest.hub.knowing import Knowing
from bequest.hub.licences import checked_licence
from bequest.hub.names import checked_name, checked_version
from bequest.hub.parents import ParentCame, with_parents
from bequest.hub.publishing import (
    checked_expect,
    given_model,
    given_parents,
    published_card,
)
from bequest.hub.remote import opened
from bequest.hub.store import next_version
from bequest.hub.suggest import Memory

__all__ = ["Hub"]


@final
class Hub(Knowing):
    """Published models, in a folder or on object storage, that many may use at once.

    Parameters
    ----------
    folder : path or str
        ``~`` is expanded. It is made by the first publication; until then nothing is written. Or
        ``s3://bucket/prefix``, in a bucket that is there, with credentials from the environment
        (``AWS_ACCESS_KEY_ID`` and so on).
    wait : float
        Seconds to wait for another process that is writing.
    graph : str, optional
        Address of a SPARQL 1.1 server that keeps the knowledge graph, such as
        ``http://127.0.0.1:7878``; where left out, the hub keeps it in its own folder.
    cache : path, optional
        For a hub on object storage: the folder here that follows it, which may be deleted at any
        time; one below ``~/.cache/bequest`` where left out.
    storage : mapping, optional
        For a hub on object storage: settings of obstore beside those in the environment, such as
        ``{"endpoint": "https://minio.example.org"}``.

    Raises
    ------
    HubError
        It is an address that is not served, or a file.

    Notes
    -----
    Files stand under their sha256 in ``objects/`` and are checked on every read. Names, versions,
    cards and outcomes stand in ``registry.sqlite`` (write-ahead log, full synchronisation), whose
    transaction is the one moment in which an entry begins to exist: a process that is killed
    leaves a whole entry or none. On object storage that moment is the creation of the next record
    of the hub's log (`bequest.hub.log`), which exactly one of many can do.

    Threads may share one object. A fork waits until no other thread has the registry open.

    Examples
    --------
    >>> hub = Hub("no-such-folder/hub")
    >>> hub.list()
    Traceback (most recent call last):
        ...
    bequest.errors.HubError: there is no hub at ...: the first publish makes one.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        wait: float = 30.0,
        graph: str | None = None,
        cache: str | Path | None = None,
        storage: Mapping[str, Any] | None = None,
    ) -> None:
        self._store = opened(folder, wait, cache, storage)
        self._place = str(folder)
        self.folder = self._store.folder
        self._memory = Memory()
        self._remembering = Turn()
        self._index = None
        self._graph = Graph(self.folder, self._store.records, graph)

    def __repr__(self) -> str:
        return f"Hub({self._place!r})"

    def publish(
        self,
        model: Model | str | Path,
        name: str,
        *,
        licence: str,
        task: Task | None = None,
        epsilon: float | None = None,
        parents: Iterable[str | Entry] = (),
        expect: int | None = None,
        modules: Sequence[type] = (),
    ) -> Entry:
        """Keep a model under a name, as its next version.

        Parameters
        ----------
        model : Model or path
            A model, or a model folder, whose weights are copied byte for byte; a Hugging Face
            folder is loaded and written as one of ours.
        name : str
            See `bequest.hub.checked_name`.
        licence : str
            SPDX identifier, or ``LicenseRef-NAME``; it goes into the card.
        task : Task, optional
            What it was trained on, where its card does not say so or says something else.
        epsilon : float, optional
            Also publish a sketch of `task`, by which `suggest` finds the model for tasks like it:
            without rows, and differentially private with this epsilon (`bequest.hub.sketch`). The
            card then says nothing exact of the rows: no fingerprint of the task or of rows, and
            noisy counts. Its noise is drawn anew every time: each publication of one task costs
            epsilon once more. Weights and metrics are published as they are.
        parents : iterable of str or Entry
            What it was made from, beside what its card says: names, ``name@version``, digests or
            entries. The card that is published calls each that is here ``name@version``, the
            latest version of a name; what is not here stays as it is written.
        expect : int, optional
            The version that must be the latest now; 0 where the name must be new. Without it, the
            next free version is taken.
        modules : sequence of classes
            As in `bequest.load`, for a folder that names a network class of yours.

        Returns
        -------
        Entry

        Raises
        ------
        Conflict
            The latest version is not the expected one.
        HubError
            Name, licence or expected version are refused, a parent in this hub does not allow the
            licence or excludes another parent (`bequest.hub.compatibility`), the card says another
            licence, the folder holds more than a model, epsilon is given without a task, parents
            is no list of names and entries, the disk is full, or another process holds the hub.
        ModelError
            The folder is no sound model folder.
        """
        checked_name(name)
        licence, named = checked_licence(licence), given_parents(parents)
        expect = checked_expect(expect)
        if expect and not self._store.exists:
            next_version(0, name, expect)  # refused before a hub is made for it
        given = given_model(model, modules, lambda place: self._base_of(place, modules))
        card = published_card(given.card, name, licence, named, task, epsilon)
        entry = self._published(given, name, card, expect)
        self._graph.published()
        return entry

    def record(self, outcome: Outcome) -> str:
        """Keep what came of a transfer; one that is kept already is not kept twice.

        Returns
        -------
        str
            sha256 of its JSON, 64 hex digits.

        Raises
        ------
        DataError
            A value in it is of another kind than `Outcome` says.
        """
        if not isinstance(outcome, Outcome):
            raise HubError(f"only an Outcome is recorded, not a {type(outcome).__name__}.")
        digest = self._store.record(outcome.checked())
        self._graph.published()
        return digest

    def bundle(self, name: str, path: str | Path, version: int | None = None) -> tuple[Entry, ...]:
        """Write an entry, and all that it was made from here, to one file for another hub.

        Parameters
        ----------
        name, version
            As in `pull`.
        path : path
            A new file; the same entries give the same bytes.

        Returns
        -------
        tuple of Entry
            What is in it, parents first.

        Raises
        ------
        HubError
            `path` exists or cannot be written, or a stored file was altered.
        """
        checked_name(name)
        wanted = checked_version(version)
        place = checked_path(path, "the bundle to write", HubError)
        if place.exists():
            raise HubError(f"{place} exists: it is left as it is.")
        with self._store.reading() as db:
            entries = with_parents(db, rows.find(db, name, wanted))
        with written(place):
            write_bundle(place, entries, self._store.objects)
        return entries

    def unbundle(self, path: str | Path) -> tuple[Entry, ...]:
        """Take in the entries of a bundle, under their names and versions: all of them or none.

        Every hash is computed again. An entry that is here already is left as it is.

        Parameters
        ----------
        path : path
            What `bundle` wrote, perhaps on another machine.

        Returns
        -------
        tuple of Entry
            Those that are new here, parents first.

        Raises
        ------
        Conflict
            A name and version of it is another model here.
        HubError
            It is no sound bundle, or a parent's licence does not allow its child's.
        """
        place = checked_path(path, "a bundle", HubError)
        with self._store.staging() as work:
            new = self._store.take_in(work, read_bundle(place, work))
        self._graph.published()
        return new

    def _published(
        self, given: ForeignFolder | Model, name: str, card: Card, expect: int | None
    ) -> Entry:
        """Write and enter it; anew where a parent came meanwhile, whose licence counts, too."""
        while True:  # each time another parent has come, which stays: it ends
            with self._store.staging() as staged:
                final = self._store.settled(name, card)
                if isinstance(given, Model):
                    given.with_card(final).save(staged)
                else:
                    given.copy(staged, final)
                with suppress(ParentCame):
                    return self._store.enter(staged, name, final, expect)
