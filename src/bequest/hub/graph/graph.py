"""The graph of a hub, embedded or on a server: asked, exported, rebuilt."""

from __future__ import annotations

import logging
import math
import os
import shutil
import tempfile
import weakref
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any, TypeVar, final

from pyoxigraph import RdfFormat, parse, serialize

from bequest.core.validation import validate_path
from bequest.errors import Damaged, HubError
from bequest.frameworks.files.temporary import sibling
from bequest.hub.graph.asking import Asker
from bequest.hub.graph.index import Index
from bequest.hub.graph.server import Server
from bequest.hub.graph.terms import checked_query
from bequest.hub.graph.vocabulary import PREFIXES
from bequest.hub.graph.writing import dump
from bequest.hub.storage.files.faults import told
from bequest.hub.storage.files.fork_safety import Turn
from bequest.hub.storage.store import Store

__all__ = ["FORMATS", "Graph"]

logger = logging.getLogger(__name__)

T = TypeVar("T")
FORMATS = {"ttl": RdfFormat.TURTLE, "jsonld": RdfFormat.JSON_LD, "nt": RdfFormat.N_TRIPLES}
_COUNT = "SELECT (COUNT(*) AS ?n) { ?s ?p ?o }"
_LONGEST = 3600.0  # seconds


@final
class Graph:
    """The knowledge in a registry as RDF; every question first takes in what is new there.

    `address` is that of a SPARQL 1.1 server (``/query`` and ``/update``) that takes the place of
    the embedded store.
    """

    def __init__(self, folder: Path, store: Store, address: str | None = None) -> None:
        self.folder = folder
        self._store = store
        self._server = None if address is None else Server(address)
        self._index = Index(folder / "graph", store.wait)
        self._asker = Asker()
        self._turn = Turn()

    def query(
        self, sparql: str, bindings: Mapping[str, Any] | None = None, timeout: float = 5.0
    ) -> list[dict[str, Any]]:
        """As `bequest.hub.Hub.query`."""
        checked_query(sparql)
        seconds = _seconds(timeout)
        if self._server is not None:
            self._follow(self._server)
            return self._server.query(sparql, bindings or {}, seconds)
        return self._whole(lambda: self._asked(sparql, bindings or {}, seconds))

    def export(self, form: str, path: str | Path | None = None) -> str:
        """As `bequest.hub.Hub.export`."""
        if form not in FORMATS:
            raise HubError(f"{str(form)[:60]!a} is no format of the graph: {', '.join(FORMATS)}.")
        place = None if path is None else validate_path(path, "the file to write", HubError)
        # Made here first: whatever the other place lacks is no fault of the graph's.
        with tempfile.TemporaryDirectory(prefix="bequest-") as work, told(self.folder, Path(work)):
            made = Path(work, "graph")
            self._write(form, made)
            text = made.read_text(encoding="utf-8")
        if place is not None:
            with told(self.folder, place):
                _replace(place, text)
        return text

    def rebuild(self) -> int:
        """Build it anew from the registry; gives the number of its triples."""
        with self._told(), self._store.snapshot() as state:
            if self._server is not None:
                return self._server.rebuild(state, self._beside())
            view = self._place().rebuild(state)
        return int(self._asker.ask(view, _COUNT, {}, _LONGEST)[0]["n"])

    def published(self) -> None:
        """Tell a server what is new; a fault is logged, since the registry has it anyway.

        The embedded graph takes it in when it is asked next.
        """
        if self._server is None:
            return
        try:
            self._follow(self._server)
        except HubError as error:
            logger.warning("the graph's server was not told: %s", error)

    def _follow(self, server: Server) -> None:
        with self._told(), self._store.snapshot() as state:
            server.follow(state, self._beside())

    def _view(self) -> Path:
        with self._told(), self._store.snapshot() as state:
            return self._index.current(state) or self._place().view(state)

    def _told(self) -> AbstractContextManager[None]:
        return told(self.folder, lost="its graph cannot be brought up to date")

    def _beside(self) -> Path:
        root = self._place().root
        root.mkdir(exist_ok=True)
        return root

    def _place(self) -> Index:
        """Where the graph can be written: the hub, or a folder of our own where that is barred."""
        with self._turn.taken():
            root = self._index.root
            barred = not os.access(root if root.exists() else self.folder, os.W_OK)
            if barred and root.parent == self.folder:
                place = Path(tempfile.mkdtemp(prefix="bequest-graph-"))
                weakref.finalize(self, shutil.rmtree, place, ignore_errors=True)
                self._index = Index(place / "graph", self._store.wait)
            return self._index

    def _asked(
        self, sparql: str, bindings: Mapping[str, Any], seconds: float
    ) -> list[dict[str, Any]]:
        view = self._view()
        with self._told():
            return self._asker.ask(view, sparql, bindings, seconds)

    def _whole(self, read: Callable[[], T]) -> T:
        """What is read, from a graph that is built anew where it is damaged."""
        try:
            return read()
        except Damaged as error:
            self.rebuild()  # says it again where it is the registry that is damaged
            logger.warning("%s It was rebuilt from the registry.", error)
            return read()

    def _write(self, form: str, place: Path) -> None:
        if self._server is not None:
            self._follow(self._server)
            triples = parse(input=self._server.everything(), format=RdfFormat.N_TRIPLES)
            prefixes = None if form == "nt" else PREFIXES
            place.write_bytes(serialize(triples, format=FORMATS[form], prefixes=prefixes) or b"")
            return
        self._whole(lambda: dump(self._view(), form, place))


def _replace(place: Path, text: str) -> None:
    made = sibling(place)
    try:
        made.write_text(text, encoding="utf-8")
        os.replace(made, place)
    finally:
        with suppress(OSError):  # the first fault is the one to tell
            made.unlink(missing_ok=True)


def _seconds(timeout: float) -> float:
    fits = isinstance(timeout, int | float) and not isinstance(timeout, bool)
    if not (fits and math.isfinite(timeout) and 0 < timeout <= _LONGEST):
        raise HubError(f"a timeout is in seconds, above 0 and up to {_LONGEST:g}; not {timeout!r}.")
    return float(timeout)
