"""The graph on disk: an index of the registry that may be deleted at any time.

``store/`` is pyoxigraph's, opened by one process at a time and for as long as a change takes.
Readers open a *view*: a snapshot of hard links that nobody writes to (a store that is opened for
reading while somebody writes to it is not safe). ``current.json`` names the newest view and how
far it has seen the registry; a view that has not seen everything is not read. ``tasks.sqlite`` has
the sketches of the tasks, to tell which are alike.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import final

from bequest.errors import Damaged
from bequest.hub.graph.alike import Alike
from bequest.hub.graph.lock import only_writer
from bequest.hub.graph.source import Position, chunks, furthest, holds, newest
from bequest.hub.graph.writing import Writer
from bequest.hub.storage.store import Snapshot

__all__ = ["Index"]

logger = logging.getLogger(__name__)

_GRACE = 600.0  # seconds for which a view that is no longer the newest may still be read
_BULK = 32 * 2**20  # bytes that are loaded at once in bulk: 300 MB of the process's memory


@final
class Index:
    """The graph of one registry in one folder, made when it is needed; its parent must exist.

    `wait` is in seconds, for another process that is writing.
    """

    def __init__(self, root: Path, wait: float) -> None:
        self.root = root
        self.wait = wait

    def current(self, state: Snapshot) -> Path | None:
        """The newest view, if it has seen all that is in the registry; writes nothing."""
        try:
            said = json.loads((self.root / "current.json").read_bytes())
            position, view = Position.from_json(said["position"]), self.root / str(said["view"])
        except (OSError, KeyError, TypeError, ValueError, RecursionError):
            return None
        inside = view.parent == self.root / "views" and view.is_dir()
        there = position is not None and position.reaches(newest(state))
        return view if inside and there else None

    def view(self, state: Snapshot) -> Path:
        """A view that has seen all that is in the registry, made where there is none.

        `OSError` or `sqlite3.Error` where the folder may not be written, is full, or is held by
        another process; `Damaged` where the graph cannot be built.
        """
        if view := self.current(state):
            return view
        self.root.mkdir(exist_ok=True)
        with only_writer(self.root / "lock", self.wait):
            return self.current(state) or self._followed(state) or self._built(state)

    def rebuild(self, state: Snapshot) -> Path:
        """Build the graph anew, whatever is there."""
        self.root.mkdir(exist_ok=True)
        with only_writer(self.root / "lock", self.wait):
            return self._built(state)

    def _followed(self, state: Snapshot) -> Path | None:
        """A view of the store with what is new; None where the store cannot be used."""
        if not (self.root / "store").is_dir():
            return None
        try:
            with Writer(self.root / "store", self.wait) as writer:
                start = furthest(writer.said)
                with self._alike() as alike:
                    if start is None or not holds(state, start) or alike.count() < start.tasks:
                        logger.info("the graph in %s is of another registry or format.", self.root)
                        return None
                    end = _load(writer, state, start, alike)
                return self._shown(writer, end)
        except Damaged as error:
            logger.warning("the graph in %s is damaged: it is rebuilt (%s).", self.root, error)
            return None

    def _built(self, state: Snapshot) -> Path:
        self._clear()
        # A name that no other has: the process of somebody who was killed may still be writing.
        work = self.root / f"store.{secrets.token_hex(4)}"
        try:
            with Writer(work, self.wait) as writer:
                with self._alike() as alike:
                    alike.clear()
                    end = _load(writer, state, Position(), alike, bulk=True)
                view = self._shown(writer, end, tidy=True)
            os.replace(work, self.root / "store")
        finally:
            shutil.rmtree(work, ignore_errors=True)
        return view

    def _alike(self) -> Alike:
        return Alike(self.root / "tasks.sqlite")

    def _clear(self) -> None:
        (self.root / "current.json").unlink(missing_ok=True)
        for path in self.root.glob("store*"):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=path.name != "store")
            else:
                path.unlink(missing_ok=True)

    def _shown(self, writer: Writer, position: Position, *, tidy: bool = False) -> Path:
        """A new view of the store, named as the newest."""
        views = self.root / "views"
        views.mkdir(exist_ok=True)
        view = views / f"{time.time_ns()}-{secrets.token_hex(4)}"
        writer.show(view, position.to_json(), tidy=tidy)
        said = {"position": position.to_json(), "view": f"views/{view.name}"}
        spare = self.root / "current.json.new"
        spare.write_text(json.dumps(said))
        os.replace(spare, self.root / "current.json")
        self._sweep(view)
        return view

    def _sweep(self, newest_view: Path) -> None:
        for log in self.root.glob("store/LOG.old.*"):  # the engine's diary, one a change
            log.unlink(missing_ok=True)
        for view in newest_view.parent.iterdir():
            with suppress(OSError):  # on Windows, one that is being read stays until next time
                if view != newest_view and time.time() - view.stat().st_mtime > _GRACE:
                    shutil.rmtree(view)


def _load(
    writer: Writer,
    state: Snapshot,
    start: Position,
    alike: Alike,
    *,
    bulk: bool = False,
) -> Position:
    """Load what is new; each step moves the position in the same transaction as the rows."""
    end = start
    for lines, position in chunks(state, start, alike, *([_BULK] if bulk else [])):
        writer.load([*lines, f"{position.line()}\n".encode()], bulk=bulk)
        end = position
    if end == start:  # an empty registry has a position, too
        writer.load([f"{end.line()}\n".encode()], bulk=False)
    return end
