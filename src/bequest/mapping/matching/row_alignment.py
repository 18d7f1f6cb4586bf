"""How the rows of two sets of parallel operations are aligned: cut, ordered, split."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby, permutations
from math import factorial

from bequest.mapping.matching.levels import ParallelOps
from bequest.mapping.tracing.names import projection
from bequest.mapping.tracing.ops import Op, TensorSlice

__all__ = ["by_projection", "chunks", "cut", "orders", "split_evenly"]

LETTERS = ("query", "key", "value", "gate", "up")
MOST_ORDERS = 24  # orders of parallel operations that are tried: those of four equal products


def chunks(target: ParallelOps, source: ParallelOps) -> list[tuple[ParallelOps, ParallelOps]]:
    """The smallest parts of both with as many rows on both sides, in order.

    Equal products stay together: which of them is which is a choice. Empty where the
    two cannot be aligned.
    """
    if len(target) == len(source):
        wanted, given = _by_shape(target), _by_shape(source)
        if wanted.keys() == given.keys() and all(len(wanted[k]) == len(given[k]) for k in wanted):
            return [part for k in wanted for part in _runs_of_order(wanted[k], given[k])]
    total = sum(s.shape[0] for s in target), sum(s.shape[0] for s in source)
    if total[0] == total[1]:
        return _walk(target, source)
    if len(target) == len(source):
        pairs = zip(by_projection(target) or target, by_projection(source) or source, strict=True)
        return [((one,), (other,)) for one, other in pairs]
    return [(target, source)] if 1 in (len(target), len(source)) else []


def _by_shape(parallel: ParallelOps) -> dict[tuple[int, ...], list[Op]]:
    found: dict[tuple[int, ...], list[Op]] = {}
    for op in parallel:
        found.setdefault(op.shape, []).append(op)
    return found


def _runs_of_order(
    target: Sequence[Op], source: Sequence[Op]
) -> list[tuple[ParallelOps, ParallelOps]]:
    """Four and fewer stay together; more (a decoder's products with the encoder's result, all of
    one shape) are cut where another operation runs in between."""
    if factorial(len(target)) <= MOST_ORDERS:
        return [(tuple(target), tuple(source))]
    cuts_t, cuts_s = _adjacent(target), _adjacent(source)
    if [len(c) for c in cuts_t] == [len(c) for c in cuts_s]:
        return list(zip(cuts_t, cuts_s, strict=True))
    return [((a,), (b,)) for a, b in zip(target, source, strict=True)]


def _adjacent(ops: Sequence[Op]) -> list[ParallelOps]:
    runs = groupby(enumerate(ops), key=lambda placed: placed[1].order - placed[0])
    return [tuple(op for _, op in run) for _, run in runs]


def _walk(target: ParallelOps, source: ParallelOps) -> list[tuple[ParallelOps, ParallelOps]]:
    """Cut both wherever as many rows have gone by."""
    parts = []
    wanted: list[Op] = []
    given: list[Op] = []
    rest = list(source)
    difference = 0
    for op in target:
        wanted.append(op)
        difference += op.shape[0]
        while difference > 0 and rest:
            given.append(rest.pop(0))
            difference -= given[-1].shape[0]
        if difference == 0:
            parts.append((tuple(wanted), tuple(given)))
            wanted, given = [], []
    if wanted or given:
        parts.append((tuple(wanted), tuple(given)))
    few = factorial(max(len(target), len(source))) <= MOST_ORDERS
    return [(target, source)] if few else parts


def by_projection(parallel: ParallelOps) -> ParallelOps | None:
    """In the order q, k, v, or gate, up, where the names say so of all."""
    said = [projection(op.name) for op in parallel]
    if len(parallel) > 1 and all(said) and len(set(said)) == len(said):
        return tuple(sorted(parallel, key=lambda op: LETTERS.index(projection(op.name))))
    return None


def orders(parallel: ParallelOps, *, keep_shapes: bool) -> list[ParallelOps]:
    """All orders, the given one first; with `keep_shapes` only equal ones change places."""
    if factorial(len(parallel)) > MOST_ORDERS:
        return [parallel]
    orders = [tuple(order) for order in permutations(parallel)]
    if keep_shapes:
        shapes = [op.shape for op in parallel]
        orders = [order for order in orders if [op.shape for op in order] == shapes]
    return orders


def split_evenly(
    pieces: Sequence[tuple[Op, TensorSlice]], parts: int
) -> list[tuple[Op, TensorSlice]]:
    """One fused piece as so many equal ones; several stay as they are."""
    if len(pieces) != 1 or parts < 2:
        return list(pieces)
    op, piece = pieces[0]
    rows = piece.shape[0] // parts
    return [
        (op, replace(piece, shape=(rows, *piece.shape[1:]), start=piece.start + n * rows))
        for n in range(parts)
    ]


def cut(
    target: Sequence[tuple[Op, TensorSlice]], source: Sequence[tuple[Op, TensorSlice]]
) -> Iterator[tuple[tuple[Op, TensorSlice], tuple[Op, TensorSlice]]]:
    """Both sides cut at the union of their boundaries."""
    right = list(source)
    used = 0
    for op, piece in target:
        done = 0
        while done < piece.shape[0]:
            other, whole = right[0]
            rows = min(piece.shape[0] - done, whole.shape[0] - used)
            yield (op, _rows(piece, done, rows)), (other, _rows(whole, used, rows))
            done, used = done + rows, used + rows
            if used == whole.shape[0]:
                right.pop(0)
                used = 0


def _rows(piece: TensorSlice, first: int, rows: int) -> TensorSlice:
    if first == 0 and rows == piece.shape[0]:
        return piece
    return replace(piece, shape=(rows, *piece.shape[1:]), start=piece.start + first)
