"""The graph on disk: an index of the registry that may be deleted at any time.

``store/`` is pyoxigraph's, opened by one process at a time and for as long as a change takes.
Readers open a *view*: a snapshot of hard links that nobody writes to (a store that is opened for
reading while somebody writes to it is not safe). ``current.json`` names the newest view and how
far it has seen the registry; a view that has not seen everything is not read.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import final

from pyoxigraph import NamedNode, RdfFormat, Store

from bequest.errors import HubError
from bequest.hub.graph import vocabulary as v
from bequest.hub.graph.lock import only_writer
from bequest.hub.graph.source import Position, chunks, holds, newest

__all__ = ["Index", "opened"]

logger = logging.getLogger(__name__)

_PROCESSES: set[int] = set()  # that have opened a store: this one, or one it was forked from
_STATE = NamedNode(v.STATE)
_GRACE = 600.0  # seconds for which a view that is no longer the newest may still be read


def opened(path: Path, *, to_read: bool = False) -> Store:
    """The store in this folder.

    Raises
    ------
    HubError
        This process was forked from one that had opened a store: the engine's own threads stayed
        there, and it would wait for them for ever.
    """
    if _PROCESSES and os.getpid() not in _PROCESSES:
        raise HubError(
            "the graph was opened before this process was forked, and cannot be brought up to date "
            "here. Start processes by spawn, or ask the hub in the first one."
        )
    _PROCESSES.add(os.getpid())
    return Store.read_only(str(path)) if to_read else Store(path)


@final
class Index:
    """The graph of one registry in one folder.

    Parameters
    ----------
    root : Path
        Made when it is needed; its parent must exist.
    wait : float
        Seconds to wait for another process that is writing.
    """

    def __init__(self, root: Path, wait: float) -> None:
        self.root = root
        self.wait = wait

    def current(self, db: sqlite3.Connection) -> Path | None:
        """The newest view, if it has seen all that is in the registry; writes nothing."""
        try:
            said = json.loads((self.root / "current.json").read_bytes())
            position, view = Position.from_json(said["position"]), self.root / str(said["view"])
        except (OSError, KeyError, TypeError, ValueError, RecursionError):
            return None
        inside = view.parent == self.root / "views" and view.is_dir()
        return view if inside and position == newest(db) else None

    def view(self, db: sqlite3.Connection) -> Path:
        """A view that has seen all that is in the registry, made where there is none.

        Raises
        ------
        OSError, sqlite3.Error
            The folder may not be written, is full, or is held by another process.
        """
        if view := self.current(db):
            return view
        self.root.mkdir(exist_ok=True)
        with only_writer(self.root / "lock", self.wait):
            return self.current(db) or self._followed(db) or self._built(db)

    def rebuild(self, db: sqlite3.Connection) -> Path:
        """Build the graph anew, whatever is there."""
        self.root.mkdir(exist_ok=True)
        with only_writer(self.root / "lock", self.wait):
            return self._built(db)

    def _followed(self, db: sqlite3.Connection) -> Path | None:
        """A view of the store with what is new; None where the store cannot be used."""
        if not (self.root / "store").is_dir():
            return None
        try:
            store = opened(self.root / "store")
            start = _seen(store)
            if start is None or not holds(db, start):
                logger.info("the graph in %s is of another registry or format.", self.root)
                return None
            return self._shown(store, _load(store.load, db, start, store))
        except (OSError, RuntimeError, ValueError) as error:  # the store's corruption is of both
            if isinstance(error, OSError) and error.errno is not None:
                raise  # the disk's fault: building it anew would not help
            logger.warning("the graph in %s is damaged: it is rebuilt (%s).", self.root, error)
            return None

    def _built(self, db: sqlite3.Connection) -> Path:
        self._clear()
        # Not whole until it has its name: a process that is killed leaves no store.
        work = self.root / "store.new"
        store = opened(work)
        end = _load(store.bulk_load, db, Position(), store)
        view = self._shown(store, end)
        del store
        os.replace(work, self.root / "store")
        return view

    def _clear(self) -> None:
        (self.root / "current.json").unlink(missing_ok=True)
        for path in (self.root / "store", self.root / "store.new"):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    def _shown(self, store: Store, position: Position) -> Path:
        """A new view of the store, named as the newest."""
        views = self.root / "views"
        views.mkdir(exist_ok=True)
        view = views / f"{time.time_ns()}-{secrets.token_hex(4)}"
        store.backup(view)
        said = {"position": position.to_json(), "view": f"views/{view.name}"}
        spare = self.root / "current.json.new"
        spare.write_text(json.dumps(said))
        os.replace(spare, self.root / "current.json")
        self._sweep(view)
        return view

    def _sweep(self, newest_view: Path) -> None:
        for view in newest_view.parent.iterdir():
            with suppress(OSError):  # on Windows, one that is being read stays until next time
                if view != newest_view and time.time() - view.stat().st_mtime > _GRACE:
                    shutil.rmtree(view)


def _load(
    load: Callable[..., None], db: sqlite3.Connection, start: Position, store: Store
) -> Position:
    """Load what is new; each step moves the position in the same transaction as the rows."""
    end = start
    for lines, position in chunks(db, start):
        marked = lines + f"{position.line()}\n".encode()
        load(input=marked, format=RdfFormat.N_QUADS, lenient=True)
        end = position
    if end == start:  # an empty registry has a position, too
        load(input=f"{end.line()}\n".encode(), format=RdfFormat.N_QUADS)
    for old in list(store.quads_for_pattern(None, None, None, _STATE)):
        if getattr(old.object, "value", "") != end.to_json():
            store.remove(old)
    return end


def _seen(store: Store) -> Position | None:
    """Where the store stands: the furthest position, where an older one was not removed yet."""
    said = [
        Position.from_json(getattr(q.object, "value", ""))
        for q in store.quads_for_pattern(None, None, None, _STATE)
    ]
    found = [position for position in said if position is not None]
    return max(found, key=lambda p: (p.entries, p.outcomes), default=None)
