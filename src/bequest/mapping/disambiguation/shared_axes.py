"""Which axes of a network's tensors count the same units, as its trace shows.

The rows of a layer, its bias, the normalisation after it and the columns of the layer that reads
them count the same features; so do the rows of queries and keys, and all that a residual stream
joins.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

from bequest.mapping.tracing.ops import WEIGHTS, Op, TensorSlice, Trace

__all__ = ["Axis", "shared_axes"]

PARTS = 2, 3  # of the rows of one matrix that is read part by part: gate and up, or q, k and v


@final
@dataclass(frozen=True)
class Axis:
    """Neighbouring positions on one axis of a stored tensor."""

    tensor: str
    axis: int
    start: int
    size: int


def shared_axes(trace: Trace) -> list[list[Axis]]:
    """Groups of axes that count the same units; each has at least two tensors.

    Examples
    --------
    >>> from torch import nn
    >>> from bequest.mapping.tracing.trace import trace
    >>> groups = shared_axes(trace(nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 4))))
    >>> [[(axis.tensor, axis.axis) for axis in group] for group in groups]
    [[('0.weight', 0), ('0.bias', 0), ('2.weight', 1)], [('2.weight', 0), ('2.bias', 0)]]
    """
    joined = _Joined()
    for op in trace.ops:
        made = list(_made(op, trace))
        joined.add(made)
        for place in op.reads if trace.ran else [op.order - 1] * (op.order > 0):
            for given, taken in _met(trace.ops[place], op, trace):
                joined.add([given, taken])
    groups = joined.groups()
    return [group for group in groups if len({axis.tensor for axis in group}) > 1]


class _Joined:
    """Sets that grow together (union-find)."""

    def __init__(self) -> None:
        self._parent: dict[Axis, Axis] = {}

    def add(self, axes: list[Axis]) -> None:
        """Put these into one set, where they are as long as the first."""
        for axis in axes:
            self._parent.setdefault(axis, axis)
            if axis.size == axes[0].size:
                self._parent[self._root(axis)] = self._root(axes[0])

    def groups(self) -> list[list[Axis]]:
        found: dict[Axis, list[Axis]] = {}
        for axis in self._parent:
            found.setdefault(self._root(axis), []).append(axis)
        return list(found.values())

    def _root(self, axis: Axis) -> Axis:
        while self._parent[axis] != axis:
            self._parent[axis] = self._parent[self._parent[axis]]
            axis = self._parent[axis]
        return axis


def _made(op: Op, trace: Trace) -> Iterator[Axis]:
    """The axes that count what an operation gives."""
    for role, piece in op.pieces.items():
        last = len(piece.shape) - 1 if op.kind in ("embedding", "table") else 0
        axis = _stored(piece, last if role == "weight" else 0, trace)
        if axis is not None:
            yield axis


def _met(before: Op, op: Op, trace: Trace) -> Iterator[tuple[Axis, Axis]]:
    """Pairs of axes, of what an operation gives and of what the next reads of it."""
    read = list(_read(op, trace))
    for given in _made(before, trace):
        for taken in read:
            parts = (
                [1]
                if given.size == taken.size
                else [n for n in PARTS if given.size == n * taken.size]
            )
            for n in parts:
                for place in range(n):
                    start = given.start + place * taken.size
                    yield Axis(given.tensor, given.axis, start, taken.size), taken


def _read(op: Op, trace: Trace) -> Iterator[Axis]:
    """The axes that count what an operation takes."""
    weight = op.pieces.get("weight")
    each = op.kind not in WEIGHTS or (weight is not None and weight.shape[1:2] == (1,))
    if each:  # a normalisation, or a convolution of each channel by itself
        yield from _made(op, trace)
    elif weight is not None:
        axis = _stored(weight, 1, trace)
        if axis is not None:
            yield axis


def _stored(piece: TensorSlice, axis: int, trace: Trace) -> Axis | None:
    """An axis of a piece in the tensor as it is stored; None where that is another shape."""
    shape = trace.shapes[piece.tensor]
    if piece.index is not None or not 0 <= axis < len(piece.shape):
        return None
    if len(piece.shape) == 1 and math.prod(shape) == piece.shape[0] > 0:
        return Axis(piece.tensor, shape.index(max(shape)), 0, piece.shape[0]) if shape else None
    place = 1 - axis if piece.transposed and axis < 2 else axis
    if len(piece.shape) != len(shape) or piece.shape[axis] > shape[place]:
        return None
    return Axis(piece.tensor, place, piece.start if axis == 0 else 0, piece.shape[axis])
