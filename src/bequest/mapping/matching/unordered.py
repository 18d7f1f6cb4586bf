"""What has no order in a network, tables, tokens and embeddings: by shape, name and depth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby, permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bequest.mapping.matching.correspondence import Choice, Correspondence, Matching
from bequest.mapping.matching.levels import assigned, inputs_match
from bequest.mapping.tracing.names import likeness
from bequest.mapping.tracing.ops import MAIN, Op, TensorSlice, Trace

__all__ = ["match_unordered"]

Use = tuple[Op, str, TensorSlice]  # an operation, and a piece of a tensor with its role there
AS_GOOD = 0.02  # a difference of two scores that decides nothing
MOST = 3  # tables that could be exchanged among each other


def match_unordered(source: Trace, target: Trace) -> Matching:
    """Assign the tensors of all operations that are not `MAIN`."""
    wanted, given = _unordered(target), _unordered(source)
    if not wanted or not given:
        return Matching((), ())
    scores = _scores(wanted, given, _depth(target), _depth(source))
    pairs = assigned(scores)
    choices = tuple(_exchangeable([(wanted[i], given[j]) for i, j in pairs]))
    open_ = {link.target for choice in choices for link in choice.ways[0]}
    links = (_link(wanted[i], given[j], _confidence(scores[:, j], i)) for i, j in pairs)
    return Matching(tuple(link for link in links if link.target not in open_), choices)


def _unordered(trace: Trace) -> list[Use]:
    return [
        (op, role, piece)
        for op in trace.ops
        if op.kind not in MAIN
        for role, piece in op.pieces.items()
    ]


def _depth(trace: Trace) -> int:
    return max((op.depth for op in trace.ops), default=1) or 1


def _scores(
    wanted: Sequence[Use], given: Sequence[Use], deepest: int, source_deepest: int
) -> NDArray[Any]:
    """How well each pair fits; 0 where it cannot."""
    scores = np.zeros((len(wanted), len(given)))
    for i, (op, _, piece) in enumerate(wanted):
        for j, (other, _, whole) in enumerate(given):
            shape = _shape_fit(piece, whole)
            if shape == 0:
                continue
            near = 1 - abs(op.depth / deepest - other.depth / source_deepest)
            order = 1 - abs(i / len(wanted) - j / len(given))
            name = likeness(piece.tensor, whole.tensor)
            kind = op.kind == other.kind
            score = shape + 0.4 * name + 0.4 * near + 0.1 * order + 0.1 * kind
            scores[i, j] = max(0.01, score + inputs_match(op, other))
    return scores


def _shape_fit(piece: TensorSlice, whole: TensorSlice) -> float:
    """1 where equal, less where a table is longer or wider; 0 where the ranks differ."""
    one, two = piece.bare, whole.bare
    if one == two:
        return 1.0
    if len(one) != len(two) or not one:
        return 0.0
    ratios = [min(a, b) / max(a, b, 1) for a, b in zip(one, two, strict=True)]
    return 0.6 * float(np.prod(ratios) ** 0.25)


def _confidence(scores: NDArray[Any], place: int) -> float:
    """Confidence of a pair, by how many others would fit one tensor of the source as well."""
    as_good = int((scores >= scores[place] - AS_GOOD).sum()) - 1
    return 1 / (1 + as_good) if as_good else 0.9


def _link(use: Use, other: Use, confidence: float) -> Correspondence:
    (op, role, piece), (source_op, _, whole) = use, other
    if likeness(piece.tensor, whole.tensor) > 0.6:
        confidence = max(confidence, 0.95)
    exact = piece.bare == whole.bare
    return Correspondence(
        piece, whole, role, (op, source_op), confidence if exact else 0.8 * confidence
    )


def _exchangeable(pairs: Sequence[tuple[Use, Use]]) -> Iterator[Choice]:
    """Tables of one shape at one depth could be exchanged."""

    def key(pair: tuple[Use, Use]) -> Any:
        (op, _, piece), (other, _, whole) = pair
        return (op.depth, piece.bare, other.depth, whole.bare, op.input_statistics)

    for _, group in groupby(sorted(pairs, key=key), key=key):
        members = list(group)
        if not 1 < len(members) <= MOST:
            continue
        targets, sources = zip(*members, strict=True)
        yield Choice(
            tuple(
                tuple(
                    Correspondence(piece, whole, role, (op, other), 0.5)
                    for (op, role, piece), (other, _, whole) in zip(targets, order, strict=True)
                )
                for order in permutations(sources)
            ),
            targets[0][0].depth,
        )
