"""Work in many parts is given up as soon as its rest is seen not to fit before the deadline."""

from __future__ import annotations

import math
from typing import final

from bequest.core.deadline import check_time, time_left

__all__ = ["Pace"]


@final
class Pace:
    """Measures parts of a work by the deadline's own clock, and says how long its rest takes.

    The first part is not counted: it builds kernels, fills caches, or is measured itself.

    Parameters
    ----------
    what : str
        Begins the message: ``"training"``.
    total : int
        Amount of work in all, in any unit: steps, rows.
    timed : int
        Parts after the first one, at least 1, that must be done before the rest is predicted.

    Examples
    --------
    >>> from bequest.core.deadline import due_in
    >>> now = [0.0]
    >>> with due_in(60.0, clock=lambda: now[0]):
    ...     pace = Pace("training", total=40)
    ...     for done, now[0] in ((1, 9.0), (2, 11.0)):  # 9 s for the first step, then 2 s
    ...         pace.check(done)
    Traceback (most recent call last):
        ...
    bequest.errors.OutOfTime: training takes about 87 s: more than there is time.
    """

    def __init__(self, what: str, total: int, timed: int = 1) -> None:
        self._what, self._total, self._timed = what, total, timed
        self._begun = time_left()
        self._first = (0, math.nan)  # amount done, and time left, after the first part
        self._parts = 0

    @property
    def limited(self) -> bool:
        """Whether there is a deadline: without one no clock is read."""
        return math.isfinite(self._begun)

    def check(self, done: int) -> None:
        """Raise `OutOfTime` where the rest of the work does not fit, `done` of it being done."""
        if not self.limited or done >= self._total:
            return
        if done == 0:
            check_time(self._what)
            return
        left = time_left()
        self._parts += 1
        if self._parts == 1:
            self._first = done, left
        if self._parts <= self._timed:
            check_time(self._what)
            return
        each = (self._first[1] - left) / (done - self._first[0])
        check_time(self._what, rest=(self._total - done) * each, spent=self._begun - left)
