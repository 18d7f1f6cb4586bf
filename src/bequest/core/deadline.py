"""A deadline for all work inside a block, which loops ask for between their steps.

Nothing is interrupted: a loop that can stop asks `check_time`, and says how long its rest takes.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from bequest.errors import OutOfTime

__all__ = ["STARTED", "check_time", "counted_from", "due_in", "since_start", "time_left"]

Clock = Callable[[], float]


@contextmanager
def due_in(seconds: float, clock: Clock = time.perf_counter) -> Iterator[None]:
    """Work inside has this many seconds, or fewer where a block around it ends sooner.

    Examples
    --------
    >>> with due_in(5.0):
    ...     with due_in(60.0):
    ...         time_left() <= 5.0
    True
    """
    until = clock() + seconds
    before = _DUE.get()
    sooner = before is not None and before[0] - before[1]() <= seconds
    active = _DUE.set(before if sooner else (until, clock))
    try:
        yield
    finally:
        _DUE.reset(active)


def time_left() -> float:
    """Seconds to the deadline, below zero after it; infinite where there is none."""
    due = _DUE.get()
    return math.inf if due is None else due[0] - due[1]()


def check_time(what: str, rest: float = 0.0, spent: float = math.nan) -> None:
    """Raise `OutOfTime` where the deadline has passed, or will before the work is done.

    Parameters
    ----------
    what : str
        Begins the message: ``"training"``.
    rest : float
        Seconds that the work still needs.
    spent : float
        Seconds that it took so far.

    Examples
    --------
    >>> with due_in(1.0):
    ...     check_time("training", rest=59.0, spent=2.0)
    Traceback (most recent call last):
        ...
    bequest.errors.OutOfTime: training takes about 61 s: more than there is time.
    """
    if time_left() >= rest:
        return
    raise OutOfTime(what, spent + rest)


# when the command of this process started, by `time.perf_counter`; None where none did
STARTED: ContextVar[float | None] = ContextVar("started", default=None)


@contextmanager
def since_start() -> Iterator[None]:
    """Budgets inside count from the start of this process's command, its imports included."""
    counted = _COUNTED.set(STARTED.get())
    try:
        yield
    finally:
        _COUNTED.reset(counted)


def counted_from(clock: Clock) -> float:
    """The moment from which a budget on this clock counts: now, or the start of the command.

    Examples
    --------
    >>> counted_from(lambda: 7.0)
    7.0
    """
    moment = _COUNTED.get()
    return clock() if moment is None or clock is not time.perf_counter else moment


_COUNTED: ContextVar[float | None] = ContextVar("counted", default=None)
_DUE: ContextVar[tuple[float, Clock] | None] = ContextVar("deadline", default=None)
