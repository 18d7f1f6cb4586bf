"""A hub: models under names and versions, what came of every transfer, and what both tell."""

from __future__ import annotations

import builtins
import logging
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, final

from bequest.core import Card, Model, Outcome, Source, Task
from bequest.core.validation import validate_path, validate_task
from bequest.errors import (
    BequestError,
    Damaged,
    DataError,
    EntryNotFound,
    HubError,
    NotApplicable,
)
from bequest.frameworks.files.folder import OWN, load
from bequest.frameworks.files.original_folder import ArchivedFile, stored_at
from bequest.frameworks.files.temporary import clean_up, sibling
from bequest.hub.graph import Graph
from bequest.hub.lineage import (
    Edge,
    Finding,
    Lineage,
    SketchIndex,
    findings,
    index_in,
    refresh,
    trace,
)
from bequest.hub.publishing.adapter_base import find_base
from bequest.hub.publishing.bundles import read_bundle, write_bundle
from bequest.hub.publishing.cards import (
    checked_expect,
    given_model,
    given_parents,
    published_card,
)
from bequest.hub.publishing.folder_import import ForeignFolder
from bequest.hub.records.entry import Entry
from bequest.hub.records.licences import checked_licence
from bequest.hub.records.names import checked_name, checked_version
from bequest.hub.storage.files.faults import told, written
from bequest.hub.storage.files.fork_safety import Turn
from bequest.hub.storage.files.streams import sync_folder
from bequest.hub.storage.folder.entering import next_version
from bequest.hub.storage.parents import parents_of, settled, with_parents
from bequest.hub.storage.schemes import open_store
from bequest.hub.storage.store import ParentCame
from bequest.hub.suggestions.suggest import Memory, Suggestion

__all__ = ["Hub"]

logger = logging.getLogger(__name__)


@final
class Hub:
    """Published models, in a folder or on object storage, that many may use at once.

    Parameters
    ----------
    folder : path or str
        ``~`` is expanded. It is made by the first publication; until then nothing is written. Or
        an address, whose scheme is one of `bequest.hub.storage.STORES`: ``s3://bucket/prefix``, in
        a bucket that is there, with credentials from the environment (``AWS_ACCESS_KEY_ID`` and so
        on), ``gs://``, ``az://``, or one of a plug-in.
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
        It is an address of no known scheme, or a file.

    Notes
    -----
    Files stand under their sha256 in ``objects/`` and are checked on every read. Names, versions,
    cards and outcomes stand in ``registry.sqlite`` (write-ahead log, full synchronisation), whose
    transaction is the one moment in which an entry begins to exist: a process that is killed
    leaves a whole entry or none. On object storage that moment is the creation of the next record
    of the hub's log (`bequest.hub.storage.object_storage.log`), which exactly one of many can do.

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
        self._store = open_store(folder, wait, cache, storage)
        self._place = str(folder)
        self.folder = self._store.folder
        self._memory = Memory()
        self._remembering = Turn()
        self._index: SketchIndex | None = None
        self._graph = Graph(self.folder, self._store, graph)

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
            A model, or a model folder, whose weights are copied byte for byte; of one that came
            from elsewhere (Hugging Face, sentence-transformers) every file is.
        name : str
            See `bequest.hub.checked_name`.
        licence : str
            SPDX identifier, or ``LicenseRef-NAME``; it goes into the card.
        task : Task, optional
            What it was trained on, where its card does not say so or says something else.
        epsilon : float, optional
            Also publish a sketch of `task`, by which `suggest` finds the model for tasks like it:
            without rows, and differentially private with this epsilon (`bequest.hub.sketches`). The
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
            licence or excludes another parent (`bequest.hub.records.compatibility`), the card says
            another licence, the folder holds more than a model, epsilon is given without a task,
            parents is no list of names and entries, the disk is full, or another process holds the
            hub.
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
        place = validate_path(path, "the bundle to write", HubError)
        if place.exists():
            raise HubError(f"{place} exists: it is left as it is.")
        with self._store.snapshot() as state:
            entries = with_parents(state, state.find(name, wanted))
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
        place = validate_path(path, "a bundle", HubError)
        with self._store.staging() as work:
            new = self._store.take_in(work, read_bundle(place, work))
        self._graph.published()
        return new

    def check(self) -> None:
        """Raise `HubError` where there is no hub that can be read; reads no entry."""
        with self._store.snapshot():
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
        with self._store.snapshot() as state:
            found = tuple(state.entries(prefix, every=every))
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
        with self._store.snapshot() as state:
            return tuple(name for name, _ in state.references())

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
        checked_name(name)
        wanted = checked_version(version)
        if wanted is not None:  # versions are never changed: one that was read before is as it was
            with suppress(EntryNotFound), self._store.snapshot(fresh=False) as state:
                return state.find(name, wanted)
        with self._store.snapshot() as state:
            return state.find(name, wanted)

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
            entry; a name alone is that of a model that was not here.
        """
        # What was read here came after its parents.
        with self._store.snapshot(fresh=False) as state:
            return [parents_of(state, entry) for entry in entries]

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
        with self._store.snapshot() as state:
            references = state.references()
        return tuple(
            Source(
                partial(self._readable, name, version, modules),
                card=cards.get((name, version)),
                name=f"{name}@{version}",
            )
            for name, version in references
        )

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
            with stored_at(self._places_of(entry, place)):
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
        place = validate_path(folder, "the folder to write", HubError)
        if place.exists() and not (place.is_dir() and not any(place.iterdir())):
            raise HubError(f"{place} exists: it is left as it is.")
        with told(self.folder, place):
            place.parent.mkdir(parents=True, exist_ok=True)
            work = sibling(place)
            try:
                self._store.copy(entry, work)
                if place.exists():
                    place.rmdir()
                os.replace(work, place)
            finally:
                shutil.rmtree(work, ignore_errors=True)
            sync_folder(place.parent)
            clean_up(place)
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
        with self._store.snapshot() as state:
            return tuple(_readable(state.outcomes(about)))

    def suggest(
        self,
        task: Task,
        k: int = 10,
        *,
        scores: Mapping[str, Mapping[str, float]] | None = None,
        licence: str | None = None,
    ) -> builtins.list[Suggestion]:
        """Name the models that are likely to help a task, before any of them is opened.

        Parameters
        ----------
        task : Task
            It stays here: nothing of it is written.
        k : int
            How many, at least 1.
        scores : mapping of str to mapping of str to float, optional
            Transferability scores of models by name, where they are at hand.
        licence : str, optional
            Only models of which something under this licence may be made, each as the only parent.

        Returns
        -------
        list of Suggestion
            The highest predicted gain first; those of which nothing is known stand last and say so.

        Raises
        ------
        HubError
            There is no hub, k is no whole number from 1, or the licence is none.
        """
        validate_task(task)
        with self._remembering.taken() as whole:
            if not whole:
                self._memory = Memory()
            with self._store.snapshot() as state:
                self._memory.catch_up(state, self.folder)
            return self._memory.suggest(task, k, scores=scores, licence=licence)

    def lineage(
        self,
        name: str,
        version: int | None = None,
        *,
        search: bool = False,
        modules: Sequence[type] = (),
    ) -> Lineage:
        """What a model was made from, as its card says and as its weights say.

        Parameters
        ----------
        name, version, modules
            As in `pull`.
        search : bool
            Also look among all entries for parents that the card does not name, by sketches of
            their weights; the first search loads each entry once. Where the hub may not be
            written, the sketches are kept for as long as this object.

        Returns
        -------
        Lineage
            It prints as a tree; a claim that the weights speak against is shown as such. Where the
            hub may be written to, the graph knows it from then on.
        """
        entry = self.show(name, version)
        index, named = self._sketches(modules) if search else (None, None)
        with told(self.folder):
            found = trace(self, entry, modules=modules, index=index, named=named)
        self._remember(found.edges)
        return found

    def verify(
        self, name: str | None = None, *, modules: Sequence[type] = ()
    ) -> tuple[Finding, ...]:
        """Check every file's hash, every row's seal and every claimed parent.

        Parameters
        ----------
        name : str, optional
            All versions of this name only; the rest of the registry is not read.
        modules : sequence of classes
            As in `pull`.

        Returns
        -------
        tuple of Finding
            What is wrong, and what cannot be told; empty where all holds.

        Raises
        ------
        EntryNotFound
            There is nothing under this name.
        """
        if name is not None:
            checked_name(name)
        with self._store.snapshot() as state:
            of_it = state.entries("", every=True) if name is None else state.versions(name)
            found = (*self._store.problems(name), *of_it)
        return tuple(findings(self, self._store.objects, found, self._remember, modules))

    def query(
        self, sparql: str, *, bindings: Mapping[str, Any] | None = None, timeout: float = 5.0
    ) -> builtins.list[dict[str, Any]]:
        """Ask the knowledge graph, in a process that is ended when it takes too long.

        Parameters
        ----------
        sparql : str
            SELECT, ASK, CONSTRUCT or DESCRIBE; the prefixes of
            `bequest.hub.graph.vocabulary.PREFIXES` are known. It can neither change the graph nor
            call another server.
        bindings : mapping, optional
            Values of variables: texts, numbers, or `bequest.hub.Iri` for a node. They are bound as
            terms, so that no text of anybody becomes a part of the query.
        timeout : float
            Seconds for the query, up to 3600.

        Returns
        -------
        list of dict
            One per solution, by variable: nodes as `Iri`, literals as plain values, None where a
            variable has none. ``[{"answer": True}]`` for ASK.

        Raises
        ------
        HubError
            It is no SPARQL, calls another server, or takes too much time or memory.
        """
        return self._graph.query(sparql, bindings, timeout)

    def export(self, format: str, path: str | Path | None = None) -> str:
        """The knowledge graph as text, also written to `path` where one is given.

        Parameters
        ----------
        format : {"ttl", "jsonld", "nt"}
            Turtle, JSON-LD or N-Triples.
        path : path, optional
            A file; it appears whole, in the place of what was there.

        Returns
        -------
        str

        Raises
        ------
        HubError
            There is no such format, or `path` cannot be written.
        """
        return self._graph.export(format, path)

    def rebuild_graph(self) -> int:
        """Build the knowledge graph anew from the registry.

        Returns
        -------
        int
            The number of its triples.

        Raises
        ------
        Damaged
            The registry is.
        """
        return self._graph.rebuild()

    def _published(
        self, given: ForeignFolder | Model, name: str, card: Card, expect: int | None
    ) -> Entry:
        """Write and enter it; anew where a parent came meanwhile, whose licence counts, too."""
        while True:  # each time another parent has come, which stays: it ends
            with self._store.staging() as staged:
                with self._store.snapshot(fresh=False) as state:
                    final = settled(state, name, card)
                if isinstance(given, Model):
                    given.with_card(final).save(staged)
                else:
                    given.copy(staged, final)
                with suppress(ParentCame):
                    return self._store.enter(staged, name, final, expect)

    def _readable(self, name: str, version: int, modules: Sequence[type]) -> Model:
        try:
            return self.pull(name, version, modules=modules)
        except BequestError as error:
            raise NotApplicable(f"it cannot be read: {error}") from error
        except Exception as error:  # somebody else's model, whatever it is, keeps none from others
            raise NotApplicable(f"it cannot be read: {error!r}.") from error

    def _places_of(self, entry: Entry, copied: Path) -> dict[Path, Path | ArchivedFile]:
        """Where the files of a folder that was kept stay, by where they were copied to."""
        if not any(f"/{path}".endswith(f"/{OWN}/config.json") for path in entry.files):
            return {}
        objects = self._store.objects
        return {copied / path: objects.located(file) for path, file in entry.files.items()}

    def _base_of(self, folder: Path, modules: Sequence[type]) -> Model | None:
        return find_base(
            folder,
            lambda: self.list(every=True) if self._store.exists else (),
            self._store.objects,
            lambda entry: self.pull(entry.name, entry.version, modules=modules),
        )

    def _sketches(self, modules: Sequence[type]) -> tuple[SketchIndex, dict[str, Entry]]:
        """An index of all entries' weights, and the entries in it by digest."""
        every = self.list(every=True)
        with told(self.folder):
            self._index = index = self._index or index_in(self.folder)
            refresh(self, index, every, modules)
        return index, {entry.digest: entry for entry in every}

    def _remember(self, edges: Sequence[Edge]) -> None:
        """What the weights say becomes a part of the graph."""
        compared = [edge for edge in edges if edge.relation != "not told"]
        try:
            self._store.save_findings(compared)
        except HubError as error:  # whoever may only read is told all the same
            logger.debug("what the weights say was not kept: %s", error)
            return
        self._graph.published()


def _readable(outcomes: Iterable[Outcome | Damaged]) -> Iterator[Outcome]:
    """The outcomes of a store; raises what stands in the place of one that was altered.

    One that cannot be read, but was recorded as it is, is somebody else's: the log names it, and it
    keeps nobody from the others.
    """
    for found in outcomes:
        if isinstance(found, Outcome):
            yield found
        elif isinstance(found.__cause__, DataError):
            logger.warning("%s It is left out.", found)
        else:
            raise found
