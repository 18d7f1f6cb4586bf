"""What a hub knows of what it holds: who taught whom, what was made from what, what may help."""

from __future__ import annotations

import builtins
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bequest.core import Task
from bequest.core.given import checked_task
from bequest.errors import HubError
from bequest.hub import rows
from bequest.hub.entry import Entry
from bequest.hub.faults import told
from bequest.hub.forks import Turn
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
from bequest.hub.names import checked_name
from bequest.hub.reading import Reading
from bequest.hub.suggest import Memory, Suggestion

__all__ = ["Knowing"]

logger = logging.getLogger(__name__)


class Knowing(Reading):
    """The part of a hub that answers from its registry, its graph and the weights."""

    _graph: Graph
    _memory: Memory
    _remembering: Turn
    _index: SketchIndex | None

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
        checked_task(task)
        with self._remembering.taken() as whole:
            if not whole:
                self._memory = Memory()
            with self._store.reading() as db:
                self._memory.catch_up(db)
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
        with self._store.reading() as db:
            of_it = rows.entries(db, "", every=True) if name is None else rows.versions(db, name)
            found = (*self._store.damages(name), *of_it)
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
            self._store.remember(compared)
        except HubError as error:  # whoever may only read is told all the same
            logger.debug("what the weights say was not kept: %s", error)
            return
        self._graph.published()
