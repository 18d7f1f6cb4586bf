"""What must not be going on in the moment in which this process forks.

A forked process has one thread. What another thread held in that moment nobody in it lets go of: a
lock, a place in a pool, and what SQLite remembers of the locks of a connection that is open.
"""

from __future__ import annotations

import concurrent.futures.thread  # noqa: F401  its hook must be there before ours, to run after it
import os
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import final

__all__ = ["Turn", "on_fork", "unforked"]

_PATIENCE = 60.0  # seconds that a fork waits for other threads
_TURNS: weakref.WeakValueDictionary[int, Turn] = weakref.WeakValueDictionary()
_LET_GO: list[Callable[[], object]] = []
_FORGET: list[Callable[[], object]] = []


@final
class _Gate:
    """Threads that are at work in a database; none begins while another thread forks."""

    def __init__(self) -> None:
        self._change = threading.Condition()
        self._inside: Counter[int] = Counter()
        self._forking = 0

    @contextmanager
    def inside(self) -> Iterator[None]:
        me = threading.get_ident()
        with self._change:
            self._change.wait_for(lambda: self._inside[me] or not self._forking)
            self._inside[me] += 1
        try:
            yield
        finally:
            with self._change:
                self._inside[me] -= 1
                if not self._inside[me]:
                    del self._inside[me]
                    self._change.notify_all()

    def close(self) -> None:
        me = threading.get_ident()
        with self._change:
            self._forking += 1
            self._change.wait_for(lambda: not self._inside.keys() - {me}, _PATIENCE)

    def open(self) -> None:
        with self._change:
            self._forking -= 1
            self._change.notify_all()


_GATE = [_Gate()]


@contextmanager
def unforked() -> Iterator[None]:
    """Meanwhile no other thread forks: for as long as a connection to a database is in use."""
    with _GATE[0].inside():
        yield


def on_fork(let_go: Callable[[], object], forget: Callable[[], object] | None = None) -> None:
    """Call `let_go` before every fork, when no other thread is in `unforked` any more.

    `forget` is called in the forked process: another thread may have begun anew since `let_go`.
    """
    _LET_GO.append(let_go)
    if forget is not None:
        _FORGET.append(forget)


@final
class Turn:
    """A lock that is free in a forked process, whoever held it in the one that forked.

    Examples
    --------
    >>> turn = Turn()
    >>> with turn.taken() as whole:
    ...     whole
    True
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._whole = True
        _TURNS[id(self)] = self

    @contextmanager
    def taken(self) -> Iterator[bool]:
        """Hold it; gives False once after a fork in whose moment another thread held it: what it
        guards may be half done."""
        with self._lock:
            whole, self._whole = self._whole, True
            yield whole

    def __reduce__(self) -> tuple[type[Turn], tuple[()]]:
        return Turn, ()  # the copy is another lock

    def _free(self) -> None:
        self._whole = self._whole and not self._lock.locked()
        self._lock = threading.Lock()


def _before() -> None:
    _GATE[0].close()
    for let_go in _LET_GO:
        let_go()


def _in_child() -> None:
    _GATE[0] = _Gate()
    for found in _TURNS.valuerefs():
        if (turn := found()) is not None:
            turn._free()
    for forget in _FORGET:
        forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before, after_in_child=_in_child, after_in_parent=lambda: _GATE[0].open()
    )
