"""A call that may never return, such as anybody's network: it is waited for, and then abandoned.

A thread cannot be killed. So the call runs in one of its own, and where it does not return in time
it is told to end, which Python code does at its next instruction outside of an import; what hangs
outside of Python, in a sleep or in a library, ends when it comes back, or with the process. What
such a call has changed for its own time, the hooks and the mode of a network, is put back at once
and by whoever waited: the network belongs to a person, who goes on with it.
"""

from __future__ import annotations

import ctypes
import math
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from threading import Event, Lock, Thread
from typing import Any, TypeVar, final

from bequest.errors import OutOfTime

__all__ = ["SHORTEST", "abandoned", "undone", "with_timeout", "without_timeouts"]

T = TypeVar("T")
SHORTEST = 1.0  # seconds that every call gets: less is no time for a machine that is busy
GRACE = 0.5  # seconds for a call that was told to end
STEP = 0.01  # seconds between two looks at a call that imports something
NAME = "bequest: a call with a limit"  # of threads
IMPORTS = "<frozen importlib._bootstrap>"  # the file of the code that imports


def abandoned() -> bool:
    """Whether a call that was abandoned still runs, as one in the code of a library may."""
    return any(thread.name == NAME for thread in threading.enumerate())


def with_timeout(call: Callable[[], T], seconds: float, what: str) -> T:
    """What a call gives, or raises; it is abandoned after some seconds on the machine's own clock.

    Parameters
    ----------
    call : callable ``() -> value``
        Runs in a thread of its own, with this one's context; without a limit in this one.
    seconds : float
        One at least is waited; ``inf`` for no limit.
    what : str
        Begins the message: ``"opening it"``.

    Raises
    ------
    OutOfTime
        It did not return in time.

    Examples
    --------
    >>> import time
    >>> with_timeout(lambda: 3, 60.0, "adding")
    3
    >>> with_timeout(lambda: time.sleep(30), 1.0, "sleeping")
    Traceback (most recent call last):
        ...
    bequest.errors.OutOfTime: sleeping did not end within 1 s.
    """
    if seconds == math.inf or not _LIMITED.get():
        return call()
    running = _Call(call)
    wait = max(seconds, SHORTEST)
    try:
        in_time = running.ended.wait(wait)
    except BaseException:  # Ctrl-C, which reaches the thread that waits
        running.abandon()
        raise
    if not in_time:
        running.abandon()
        raise OutOfTime(what, waited=wait)
    if running.error is not None:
        raise running.error
    return running.value  # type: ignore[no-any-return]


@contextmanager
def without_timeouts() -> Iterator[None]:
    """No call is abandoned in this block: its budget counts on another clock than the machine's.

    Examples
    --------
    >>> with without_timeouts():
    ...     with_timeout(lambda: 3, 0.0, "adding")
    3
    """
    before = _LIMITED.set(False)
    try:
        yield
    finally:
        _LIMITED.reset(before)


@contextmanager
def undone(undo: Callable[[], object]) -> Iterator[None]:
    """Undo what a block changes at its end, or before, once, where its call is abandoned.

    Parameters
    ----------
    undo : callable
        Runs once, in this thread or in the one that waited for it.
    """
    once = _Once(undo)
    around = _AROUND.get()
    if around is not None:
        around.undo.append(once)
    try:
        yield
    finally:
        once()
        if around is not None:
            around.undo.remove(once)


class _Abandoned(SystemExit):
    """Ends a thread: no `except Exception` keeps it, and nothing is printed of it."""


@final
class _Call:
    """A call in a thread of its own."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self.ended = Event()
        self.undo: list[_Once] = []  # the innermost last
        self.value: Any = None
        self.error: BaseException | None = None
        self._call = call
        # A daemon: a process that ends does not wait for a call that hangs.
        run = copy_context().run
        self._thread = Thread(target=run, args=(self._run,), name=NAME, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        _AROUND.set(self)
        try:
            self.value = self._call()
        except BaseException as error:
            self.error = error
        finally:
            self.ended.set()

    def abandon(self) -> None:
        """Tell it to end, and undo what it has changed for its own time."""
        if self._imports():
            Thread(target=self._tell, daemon=True).start()
        else:
            self._tell()
        if not self.ended.wait(GRACE):
            for once in reversed(self.undo[:]):
                once()

    def _tell(self) -> None:
        """Tell it to end, once it is out of any import.

        An import that is cut off leaves the inner modules of a package behind and not the package,
        which no later import in this process can mend.
        """
        while self._imports():
            time.sleep(STEP)
        if not self.ended.is_set():
            thread = ctypes.c_ulong(self._thread.ident or 0)
            ctypes.pythonapi.PyThreadState_SetAsyncExc(thread, ctypes.py_object(_Abandoned))

    def _imports(self) -> bool:
        """Whether it is inside of an import now."""
        if self.ended.is_set():
            return False
        frame = sys._current_frames().get(self._thread.ident or 0)
        while frame is not None:
            if frame.f_code.co_filename == IMPORTS:
                return True
            frame = frame.f_back
        return False


@final
class _Once:
    """Runs a call once, whichever thread asks first."""

    def __init__(self, call: Callable[[], object]) -> None:
        self._call, self._first = call, Lock()

    def __call__(self) -> None:
        if self._first.acquire(blocking=False):
            self._call()


_AROUND: ContextVar[_Call | None] = ContextVar("call with a timeout", default=None)
_LIMITED: ContextVar[bool] = ContextVar("calls have timeouts", default=True)
