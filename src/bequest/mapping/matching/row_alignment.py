"""How the rows of two bundles are laid over each other: cut, ordered, split."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby, permutations
from math import factorial

from bequest.mapping.matching.levels import Bundle
from bequest.mapping.tracing.names import letter
from bequest.mapping.tracing.ops import Piece, Site

__all__ = ["chunks", "cut", "lettered", "orders", "split_evenly"]

LETTERS = ("query", "key", "value", "gate", "up")
MOST_ORDERS = 24  # orders of one bundle that are told apart: those of four equal products


def chunks(target: Bundle, source: Bundle) -> list[tuple[Bundle, Bundle]]:
    """The smallest parts of two bundles with as many rows on both sides, in order.

    Equal products of one bundle stay together: which of them is which is a choice. Empty where the
    one cannot be laid over the other.
    """
    if len(target) == len(source):
        ours, theirs = _by_shape(target), _by_shape(source)
        if ours.keys() == theirs.keys() and all(len(ours[k]) == len(theirs[k]) for k in ours):
            return [part for k in ours for part in _runs_of_order(ours[k], theirs[k])]
    total = sum(s.shape[0] for s in target), sum(s.shape[0] for s in source)
    if total[0] == total[1]:
        return _walk(target, source)
    if len(target) == len(source):
        pairs = zip(lettered(target) or target, lettered(source) or source, strict=True)
        return [((one,), (other,)) for one, other in pairs]
    return [(target, source)] if 1 in (len(target), len(source)) else []


def _by_shape(bundle: Bundle) -> dict[tuple[int, ...], list[Site]]:
    found: dict[tuple[int, ...], list[Site]] = {}
    for site in bundle:
        found.setdefault(site.shape, []).append(site)
    return found


def _runs_of_order(target: Sequence[Site], source: Sequence[Site]) -> list[tuple[Bundle, Bundle]]:
    """Four and fewer stay together; more (a decoder's products with the encoder's result, all of
    one shape) are cut where another site runs in between."""
    if factorial(len(target)) <= MOST_ORDERS:
        return [(tuple(target), tuple(source))]
    cuts_t, cuts_s = _adjacent(target), _adjacent(source)
    if [len(c) for c in cuts_t] == [len(c) for c in cuts_s]:
        return list(zip(cuts_t, cuts_s, strict=True))
    return [((a,), (b,)) for a, b in zip(target, source, strict=True)]


def _adjacent(sites: Sequence[Site]) -> list[Bundle]:
    runs = groupby(enumerate(sites), key=lambda placed: placed[1].order - placed[0])
    return [tuple(site for _, site in run) for _, run in runs]


def _walk(target: Bundle, source: Bundle) -> list[tuple[Bundle, Bundle]]:
    """Cut both wherever as many rows have gone by."""
    parts = []
    ours: list[Site] = []
    theirs: list[Site] = []
    rest = list(source)
    difference = 0
    for site in target:
        ours.append(site)
        difference += site.shape[0]
        while difference > 0 and rest:
            theirs.append(rest.pop(0))
            difference -= theirs[-1].shape[0]
        if difference == 0:
            parts.append((tuple(ours), tuple(theirs)))
            ours, theirs = [], []
    if ours or theirs:
        parts.append((tuple(ours), tuple(theirs)))
    few = factorial(max(len(target), len(source))) <= MOST_ORDERS
    return [(target, source)] if few else parts


def lettered(bundle: Bundle) -> Bundle | None:
    """In the order q, k, v, or gate, up, where the names say so of all."""
    said = [letter(site.name) for site in bundle]
    if len(bundle) > 1 and all(said) and len(set(said)) == len(said):
        return tuple(sorted(bundle, key=lambda site: LETTERS.index(letter(site.name))))
    return None


def orders(bundle: Bundle, *, keep_shapes: bool) -> list[Bundle]:
    """Orders of a bundle, as it is first; with `keep_shapes` equal ones change places only."""
    if factorial(len(bundle)) > MOST_ORDERS:
        return [bundle]
    orders = [tuple(order) for order in permutations(bundle)]
    if keep_shapes:
        shapes = [site.shape for site in bundle]
        orders = [order for order in orders if [site.shape for site in order] == shapes]
    return orders


def split_evenly(pieces: Sequence[tuple[Site, Piece]], parts: int) -> list[tuple[Site, Piece]]:
    """One fused piece as so many equal ones; several stay as they are."""
    if len(pieces) != 1 or parts < 2:
        return list(pieces)
    site, piece = pieces[0]
    rows = piece.shape[0] // parts
    return [
        (site, replace(piece, shape=(rows, *piece.shape[1:]), start=piece.start + n * rows))
        for n in range(parts)
    ]


def cut(
    ours: Sequence[tuple[Site, Piece]], theirs: Sequence[tuple[Site, Piece]]
) -> Iterator[tuple[tuple[Site, Piece], tuple[Site, Piece]]]:
    """Both sides cut at the union of their boundaries."""
    right = list(theirs)
    used = 0
    for site, piece in ours:
        done = 0
        while done < piece.shape[0]:
            other, whole = right[0]
            rows = min(piece.shape[0] - done, whole.shape[0] - used)
            yield (site, _rows(piece, done, rows)), (other, _rows(whole, used, rows))
            done, used = done + rows, used + rows
            if used == whole.shape[0]:
                right.pop(0)
                used = 0


def _rows(piece: Piece, first: int, rows: int) -> Piece:
    if first == 0 and rows == piece.shape[0]:
        return piece
    return replace(piece, shape=(rows, *piece.shape[1:]), start=piece.start + first)
