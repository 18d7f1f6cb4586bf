"""Axes: from a number to a place in per cent, so that a chart fits every width."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import final

__all__ = ["Axis", "Tick", "linear", "logarithmic"]

MOST_TICKS = 6  # more do not fit on a phone
CLOSEST = 11.0  # per cent between two labels, about 33 pixels on a phone


@final
@dataclass(frozen=True)
class Tick:
    """A labelled place on an axis; `at` is in per cent."""

    at: float
    text: str


@final
@dataclass(frozen=True)
class Axis:
    """A scale from `low` to `high`, linear or logarithmic.

    Examples
    --------
    >>> axis = linear([-2.0, 6.0], text=str)
    >>> [tick.text for tick in axis.ticks], axis.at(axis.low), axis.at(float("inf"))
    (['-2.0', '0.0', '2.0', '4.0', '6.0'], 0.0, 100.0)
    """

    low: float
    high: float
    ticks: tuple[Tick, ...] = ()
    log: bool = False

    def at(self, value: float) -> float:
        """Place of `value` in per cent of the axis, 0 to 100; beyond the ends is at the end."""
        low, high = self._scaled(self.low), self._scaled(self.high)
        if value in (math.inf, -math.inf):
            return 100.0 if value > 0 else 0.0
        place = 100.0 * (self._scaled(value) - low) / (high - low)
        return round(min(100.0, max(0.0, place)), 2)

    def _scaled(self, value: float) -> float:
        return math.log(max(value, 1e-300)) if self.log else value


def linear(values: Iterable[float], *, text: Callable[[float], str], pad: float = 0.06) -> Axis:
    """An axis over all finite values, with ticks at round numbers.

    `text` gives a tick's label; `pad` is the room at both ends, as a share of the range.
    """
    finite = [value for value in values if math.isfinite(value)] or [0.0, 1.0]
    low, high = min(finite), max(finite)
    if high - low <= 1e-9 * max(abs(low), abs(high)):
        room = 0.1 * abs(high) or 1.0
        low, high = low - room, high + room
    room = pad * (high - low)
    low, high = low - room, high + room
    step = _step(high - low)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    bare = Axis(low, high)
    # one extra rounding: 3 * 0.1 is 0.30000000000000004
    places = [float(f"{index * step:.12g}") for index in range(first, last + 1)]
    return Axis(low, high, tuple(Tick(bare.at(place), text(place)) for place in places))


def logarithmic(
    values: Iterable[float], *, marks: Iterable[float], text: Callable[[float], str]
) -> Axis:
    """An axis over all finite values above zero, in powers.

    Of the `marks`, where ticks are wanted, those that would run into their neighbour are left out.
    """
    inside = [value for value in values if math.isfinite(value) and value > 0] or [1.0, 10.0]
    bare = Axis(min(inside) / 1.15, max(inside) * 1.15, log=True)
    ticks: list[Tick] = []
    for mark in sorted(set(marks)):
        tick = Tick(bare.at(mark), text(mark))
        if not ticks or tick.at - ticks[-1].at >= CLOSEST:
            ticks.append(tick)
    return Axis(bare.low, bare.high, tuple(ticks), log=True)


def _step(span: float) -> float:
    power = 10.0 ** math.floor(math.log10(span / (MOST_TICKS - 1)))
    return next(m * power for m in (1, 2, 5, 10, 20) if span / (m * power) <= MOST_TICKS - 1)
