"""What is expected in a place of a trained network, predicted from the tensors around it.

Tensors that share an axis are trained together, and what each does to a unit shows in the others:
under gradient flow the squared norms of what comes into a unit and of what leaves it keep their
difference (Du, Hu and Lee, NeurIPS 2018), a gain and the columns that it scales likewise. So along
a shared axis the norms of rows and columns, biases and gains are correlated, much the same in all
blocks of a network. How much is learned from the network itself: from its other blocks, for each
pair of roles and their distance in depth. From that and from the tensors near a place the best
linear prediction of what should be there is made.

Shapes in the comments: R rows (each a property of one tensor along an axis), D units on the axis;
h rows at one depth, m rows near it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, final

import numpy as np

from bequest.mapping.disambiguation.shared_axes import Axis
from bequest.mapping.disambiguation.unit_statistics import Array, Measured, of_the_others

__all__ = ["Expected", "Place", "clipped", "expectations"]

NEAR = 6  # the longest way between two operations, in depth, whose tensors are compared
RIDGE = 1.0  # of the prediction: its predictors are correlated among themselves
STEPS = 12  # of conjugate gradients
ENOUGH = 3  # pairs of rows from which a finer kind is learned from


@final
@dataclass(frozen=True)
class Place:
    """Where a tensor is in the network."""

    depth: int
    role: str  # what all blocks call it


@final
@dataclass(frozen=True)
class Expected:
    """What one property of a tensor along one axis should be."""

    window: Window
    place: int  # among the rows of the window
    weight: float  # how well rows of this role are predicted elsewhere in the network, 0 to 1

    @property
    def axis(self) -> Axis:
        """The axis along which."""
        return self.window.rows.axes[int(self.window.here[self.place])]

    @property
    def kind(self) -> int:
        """Which of the two properties."""
        return int(self.window.here[self.place]) % 2

    @cached_property
    def parts(self) -> Array:
        """What each row near it adds to the prediction: (m, D)."""
        window = self.window
        found: Array = window.share[self.place][:, None] * window.rows.values[window.near]
        return found


def expectations(
    groups: Sequence[Sequence[Axis]], places: Mapping[str, Place], measured: Measured,
    held: Mapping[str, str],
) -> dict[str, list[Expected]]:  # fmt: skip
    """What is expected in each tensor's place, by its name.

    `groups` are axes that count the same units; `held` is what each place holds.
    """
    number: dict[Any, int] = {}
    rows = [Rows(axes, places, number, measured, held) for axes in groups]
    windows = [window for each in rows for window in _windows(each)]
    found: dict[str, list[Expected]] = defaultdict(list)
    if not windows:
        return found
    _learn(windows, len(number))
    for window in windows:
        window.share = _solved(window)
    each = ((window, place) for window in windows for place in range(len(window.here)))
    for (window, place), weight in zip(each, _weights(windows), strict=True):
        expected = Expected(window, place, float(weight))
        found[expected.axis.tensor].append(expected)
    return found


class Rows:
    """The properties of all tensors along one axis that they share: (R, D)."""

    def __init__(
        self, axes: Sequence[Axis], places: Mapping[str, Place], number: dict[Any, int],
        measured: Measured, held: Mapping[str, str],
    ) -> None:  # fmt: skip
        self.axes: list[Axis] = [axis for axis in axes for _ in (0, 1)]
        met = [places[axis.tensor] for axis in self.axes]
        kinds = [
            (place.role, axis.axis, axis.start // axis.size, row % 2)
            for row, (place, axis) in enumerate(zip(met, self.axes, strict=True))
        ]
        pairs = zip(self.axes[::2], met[::2], strict=True)
        self.values = np.concatenate([measured.along(held[a.tensor], a) for a, _ in pairs])
        self.depths = np.array([place.depth for place in met])
        self.tensors = np.array([number.setdefault(axis.tensor, len(number)) for axis in self.axes])
        self.roles = np.array([number.setdefault(kind, len(number)) for kind in kinds])
        first: dict[Any, int] = {}
        for kind, place in zip(kinds, met, strict=True):
            first[kind] = min(place.depth, first.get(kind, place.depth))
        depths = zip(kinds, met, strict=True)
        self.first = np.array([first[kind] == place.depth for kind, place in depths])


@dataclass
class Window:
    """The rows at one depth, and those near it that they are predicted from."""

    rows: Rows
    here: Array  # (h,) places among the rows
    near: Array  # (m,)
    known: Array = field(init=False)  # (h, m) which of those say something of which
    wanted: Array = field(init=False)  # (h, m) how much they should be correlated
    share: Array = field(init=False)  # (h, m) their coefficients in the prediction

    @cached_property
    def of(self) -> dict[str, list[int]]:
        """The places of each tensor among those near."""
        found: dict[str, list[int]] = defaultdict(list)
        for place, row in enumerate(self.near):
            found[self.rows.axes[row].tensor].append(place)
        return dict(found)

    @property
    def correlation(self) -> Array:
        """Of the rows with those near them: (h, m)."""
        return clipped(self.rows.values[self.here] @ self.rows.values[self.near].T)

    @property
    def predicted(self) -> Array:
        """What is expected in the rows: (h, D)."""
        found: Array = self.share @ self.rows.values[self.near]
        return found


def _windows(rows: Rows) -> Iterator[Window]:
    for depth in np.unique(rows.depths):
        here = np.flatnonzero(rows.depths == depth)
        near = np.flatnonzero(np.abs(rows.depths - depth) <= NEAR)
        yield Window(rows, here, near)


def _learn(windows: Sequence[Window], numbers: int) -> None:
    """How much rows of two roles should be correlated: as much as elsewhere in the network."""
    pairs = [_pairs(window, numbers) for window in windows]
    values, kinds, finer = (
        np.concatenate(each) for each in zip(*(p[1:] for p in pairs), strict=True)
    )
    middle, spread, count = of_the_others(values, kinds)
    closer = of_the_others(values, finer)  # the first of a residual stream are like each other
    for all_, those in zip((middle, spread, count), closer, strict=True):
        np.copyto(all_, those, where=closer[2] >= ENOUGH)
    expected = middle * count / (count + 1)
    ends = np.cumsum([len(pair[1]) for pair in pairs])[:-1]
    for window, (known, *_), found, seen in zip(
        windows, pairs, np.split(expected, ends), np.split(count, ends), strict=True
    ):
        window.known, window.wanted = known, np.zeros(known.shape)
        window.wanted[known] = found
        window.known[known] = seen > 0


def _pairs(window: Window, numbers: int) -> tuple[Array, Array, Array, Array]:
    """Which pairs of rows count, their correlations, and of which kind each is."""
    rows, here, near = window.rows, window.here[:, None], window.near[None]
    apart = rows.depths[here] - rows.depths[near]
    roles = rows.roles[here], rows.roles[near]
    # Parallel tensors of one role would be learned from themselves, the other way round.
    known = (rows.tensors[here] != rows.tensors[near]) & ((roles[0] != roles[1]) | (apart != 0))
    kinds = (roles[0] * numbers + roles[1]) * (2 * NEAR + 1) + apart + NEAR
    finer = kinds * 4 + rows.first[here] * 2 + rows.first[near]
    return known, np.arctanh(window.correlation[known]), kinds[known], finer[known]


def _solved(window: Window) -> Array:
    """The shares of the best linear prediction, by conjugate gradients for all rows at once."""
    near = window.rows.values[window.near]
    among = near @ near.T
    share, rest = np.zeros(window.known.shape), np.where(window.known, window.wanted, 0)
    step, size = rest, (rest**2).sum(axis=1, keepdims=True)
    for _ in range(STEPS):
        moved = window.known * (step @ among) + RIDGE * step
        length = size / np.maximum((step * moved).sum(axis=1, keepdims=True), 1e-12)
        share, rest = share + length * step, rest - length * moved
        before, size = size, (rest**2).sum(axis=1, keepdims=True)
        step = rest + size / np.maximum(before, 1e-12) * step
    return share


def _weights(windows: Sequence[Window]) -> Array:
    """How well rows of this role are predicted elsewhere in the network, from 0 to 1."""
    fits, roles, units = [], [], []
    for window in windows:
        predicted = window.predicted
        length = np.linalg.norm(predicted, axis=1).clip(1e-6)
        own = (predicted * window.rows.values[window.here]).sum(axis=1)
        fits.append(np.arctanh(clipped(own / length)))
        roles.append(window.rows.roles[window.here])
        units.append(np.full(len(own), predicted.shape[1]))
    middle, spread, count = of_the_others(np.concatenate(fits), np.concatenate(roles))
    usual = middle.clip(0) * count / (count + 1)
    weights: Array = usual**2 / (usual**2 + spread**2 + 1 / np.concatenate(units))
    return weights


def clipped(correlations: Array) -> Array:
    """So that Fisher's z is finite."""
    return np.clip(correlations, -0.999, 0.999)
