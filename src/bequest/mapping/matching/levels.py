"""The order of a network as levels of parallel operations, and the alignment of two such orders."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from bequest.mapping.tracing.names import likeness, words
from bequest.mapping.tracing.ops import MAIN, WEIGHTS, Op, Shape, Trace

__all__ = [
    "Level",
    "ParallelOps",
    "align",
    "assigned",
    "best_path",
    "fit",
    "levels",
    "likenesses",
    "parallel_ops",
]

ParallelOps = tuple[Op, ...]  # parallel operations that read the same: an attention's q, k and v
Level = tuple[Op, ...]
LEAST = 0.3  # a pair of levels less alike than this is no pair


def levels(trace: Trace) -> list[Level]:
    """Main operations by depth, in order of execution inside a level."""
    ops = sorted((op for op in trace.ops if op.kind in MAIN), key=lambda s: (s.depth, s.order))
    return [tuple(group) for _, group in groupby(ops, key=lambda op: op.depth)]


def parallel_ops(level: Level) -> list[ParallelOps]:
    """The operations of a level that read the same and take inputs of one shape."""
    found: dict[tuple[Any, ...], list[Op]] = {}
    for op in level:
        key = (op.kind, op.reads, op.recurrent, op.shape[1:])
        found.setdefault(key, []).append(op)
    return [tuple(ops) for ops in found.values()]


def fit(target: ParallelOps, source: ParallelOps) -> float:
    """From 0 (cannot correspond) to 1 (same kind, same shape, same words)."""
    one, other = target[0], source[0]
    same = one.kind == other.kind or {one.kind, other.kind} <= WEIGHTS
    if not same or one.recurrent != other.recurrent:
        return 0.0
    roles = set(one.pieces) ^ set(other.pieces)
    alike = 0.75 * _shapes(fused_shape(target), fused_shape(source)) - 0.1 * ("mean" in roles)
    name = max(likeness(a.name, b.name) for a in target for b in source)
    taste = (
        inputs_match(one, other)
        if len({op.input_statistics for op in (*target, *source)}) < 3
        else 0
    )
    return max(0.0, alike - 0.02 * len(roles)) + 0.25 * name + 0.3 * taste


def inputs_match(one: Op, other: Op) -> int:
    """1 where both got the same values of the input, -1 where others, 0 where it is not known."""
    if not one.input_statistics or not other.input_statistics:
        return 0
    scale = max(1e-6, *map(abs, one.input_statistics))
    near = all(
        abs(a - b) <= 1e-3 * scale
        for a, b in zip(one.input_statistics, other.input_statistics, strict=True)
    )
    return 1 if near else -1


def fused_shape(parallel: ParallelOps) -> Shape:
    """The shape that parallel operations would have, fused."""
    return (sum(op.shape[0] for op in parallel), *parallel[0].shape[1:])


def _shapes(one: Shape, other: Shape) -> float:
    """1 where equal, less the further the sizes are apart; 0 where the ranks cannot be brought
    together."""
    if one == other:
        return 1.0
    if len(one) != len(other):
        longer, shorter = (one, other) if len(one) > len(other) else (other, one)
        if len(shorter) != 2:  # a one-dimensional kernel against k × 1: the same values
            kernels = [[n for n in shape[2:] if n > 1] for shape in (one, other)]
            return 0.95 if one[:2] == other[:2] and kernels[0] == kernels[1] else 0.0
        inner = int(np.prod(longer[1:]))
        return 0.95 if (longer[0], inner) == shorter else 0.2 * (longer[0] == shorter[0])
    ratios = [min(a, b) / max(a, b, 1) for a, b in zip(one, other, strict=True)]
    return 0.9 * float(np.prod(ratios) ** (1 / (2 * len(ratios))))


def assigned(scores: NDArray[Any]) -> list[tuple[int, int]]:
    """The pairs of rows and columns whose scores above zero add up highest."""
    if not scores.size:
        return []
    rows, columns = linear_sum_assignment(scores, maximize=True)
    return [(int(i), int(j)) for i, j in zip(rows, columns, strict=True) if scores[i, j] > 0]


def align(target: Sequence[Level], source: Sequence[Level]) -> list[tuple[int, int]]:
    """Pairs of levels, in order on both sides, whose likeness adds up highest.

    Inside a pair of levels, parallel operations are assigned.
    """
    return best_path(likenesses(target, source)) if target and source else []


def best_path(scores: NDArray[Any]) -> list[tuple[int, int]]:
    """Pairs of rows and columns, in order, whose scores add up highest: dynamic programming.

    Examples
    --------
    >>> best_path(np.array([[1.0, 5.0], [2.0, 3.0]])), best_path(np.array([[1.0, 5.0], [2.0, 6.0]]))
    ([(0, 1)], [(0, 0), (1, 1)])
    """
    best = np.zeros((scores.shape[0] + 1, scores.shape[1] + 1))
    for i, row in enumerate(scores):  # skipping along the source is a running maximum
        taken = best[i, :-1] + row
        best[i + 1, 1:] = np.maximum.accumulate(np.maximum(best[i, 1:], taken))
    pairs = []
    i, j = scores.shape
    while i and j:
        if best[i, j] == best[i - 1, j]:
            i -= 1
        elif best[i, j] == best[i, j - 1]:
            j -= 1
        else:
            i, j = i - 1, j - 1
            pairs.append((i, j))
    return pairs[::-1]


def likenesses(target: Sequence[Level], source: Sequence[Level]) -> NDArray[Any]:
    """What each pair of levels adds; below zero where the two are no pair."""
    keys_t, first_t = _kinds(target)
    keys_s, first_s = _kinds(source)
    table = np.array(
        [[_level_fit(one, other) for other in first_s] for one in first_t], dtype=float
    ).reshape(len(first_t), len(first_s))
    scores = table[np.ix_(keys_t, keys_s)]
    place_t = np.linspace(0, 1, max(1, len(target)))[:, None]
    place_s = np.linspace(0, 1, max(1, len(source)))[None, :]
    near = 0.05 * (1 - np.abs(place_t - place_s))
    return np.where(scores > LEAST, scores + near, -1.0)


def _kinds(order: Sequence[Level]) -> tuple[list[int], list[Level]]:
    """Levels that look the same are scored once."""
    seen: dict[Any, int] = {}
    first: list[Level] = []
    keys = []
    for level in order:
        key: Any = tuple(
            (s.kind, s.shape, s.recurrent, len(s.pieces), words(s.name), s.input_statistics)
            for s in level
        )
        key = (*key, tuple(len(parallel) for parallel in parallel_ops(level)))
        if key not in seen:
            seen[key] = len(first)
            first.append(level)
        keys.append(seen[key])
    return keys, first


def _level_fit(target: Level, source: Level) -> float:
    wanted, given = parallel_ops(target), parallel_ops(source)
    scores = np.array([[fit(one, other) for other in given] for one in wanted])
    total = sum(scores[i, j] for i, j in assigned(scores))
    return float(total / max(len(wanted), len(given)))
