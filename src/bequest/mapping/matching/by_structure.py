"""Which operation of the source each operation of the target corresponds to.

Levels, operations of one depth, are aligned in order; inside a pair of levels parallel operations
are assigned by shape, by what they read, by name and by order; rows are aligned with rows, so that
a fused product meets its parts. What has no order (tables, tokens, embeddings) is assigned by
shape, name and depth.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import takewhile
from typing import final

import numpy as np

from bequest.mapping.matching import row_alignment
from bequest.mapping.matching.correspondence import Choice, Correspondence, Matching, chosen, marked
from bequest.mapping.matching.levels import (
    Level,
    ParallelOps,
    align,
    assigned,
    fit,
    fused_shape,
    levels,
    parallel_ops,
)
from bequest.mapping.matching.neutral_blocks import neutral_blocks
from bequest.mapping.matching.repeated_blocks import Depth, by_blocks
from bequest.mapping.matching.unordered import match_unordered
from bequest.mapping.rules import Rule
from bequest.mapping.tracing.ops import Op, TensorSlice, Trace

__all__ = ["match"]

IN_TURN = 0.6  # of as many layers of one shape side by side, that each takes the other's in turn


def match(
    source: Trace, target: Trace, depth: Depth = "even", ways: Mapping[int, int] | None = None
) -> Matching:
    """Find the corresponding operations.

    `depth` says which of the source's blocks each of the target's gets, where these are more or
    fewer; `ways` which way each choice takes: what reads the operations of a choice follows it.

    Examples
    --------
    >>> from torch import nn
    >>> from bequest.mapping.tracing.trace import trace
    >>> one, other = nn.Sequential(nn.Linear(2, 3)), nn.Sequential(nn.Flatten(), nn.Linear(2, 3))
    >>> [link.target.tensor for link in match(trace(one), trace(other)).links]
    ['1.weight', '1.bias']
    """
    found = _Found(source, target, ways or {})
    target_levels, source_levels = levels(target), levels(source)
    pairs = align(target_levels, source_levels)
    if len(pairs) < max(len(target_levels), len(source_levels)):
        pairs = by_blocks(target_levels, source_levels, depth) or pairs
    for i, j in pairs:
        found.link_levels(target_levels[i], source_levels[j])
    found.link_summed_biases()
    found.link_shifts()
    found.mark(neutral_blocks(target, target_levels, pairs))
    return Matching(tuple(found.links), tuple(found.choices))


@final
class _Found:
    """Correspondences as they are made, with what was paired already."""

    def __init__(self, source: Trace, target: Trace, ways: Mapping[int, int]) -> None:
        self.source, self.target = source, target
        self.ways = ways
        unordered = match_unordered(source, target)
        self.links, self.choices = list(unordered.links), list(unordered.choices)
        self.partners: dict[int, set[int]] = {}  # source's operations by the target's
        self._note(chosen(self.links, self.choices, ways))

    def _note(self, links: Iterable[Correspondence]) -> None:
        for op, other in (link.ops for link in links):
            self.partners.setdefault(op.order, set()).add(other.order)

    def link_levels(self, target: Level, source: Level) -> None:
        """Assign the parallel operations of two levels to each other."""
        first, second = parallel_ops(target), parallel_ops(source)
        scores = np.array([[self._parallel_fit(a, b) for b in second] for a in first])
        for i, j in assigned(scores):
            for group in row_alignment.chunks(first[i], second[j]):
                self._link_chunk(*group)

    def _parallel_fit(self, target: ParallelOps, source: ParallelOps) -> float:
        """How alike two sets of parallel operations are, and whether what they read corresponds."""
        alike = fit(target, source)
        if alike == 0:
            return 0.0
        expected = {n for op in target[0].reads for n in self.partners.get(op, ())}
        actual = set(source[0].reads) & {n for found in self.partners.values() for n in found}
        union = expected | actual
        read = len(expected & actual) / len(union) if union else 1.0
        return alike + 0.5 * read + 0.6 * (fused_shape(target) == fused_shape(source))

    def _link_chunk(self, target: ParallelOps, source: ParallelOps) -> None:
        ways = list(self._ways(target, source))
        taken = ways[min(self.ways.get(len(self.choices), 0), len(ways) - 1)]
        self._note(taken)
        if len(ways) == 1:
            self.links += ways[0]
        else:
            self.choices.append(Choice(tuple(ways), target[0].depth))

    def _ways(
        self, target: ParallelOps, source: ParallelOps
    ) -> Iterator[tuple[Correspondence, ...]]:
        """The orders in which the rows may be aligned, the likeliest first."""
        named = row_alignment.by_projection(target), row_alignment.by_projection(source)
        ordered = named[0] or target
        orders = row_alignment.orders(named[1] or source, keep_shapes=len(target) == len(source))
        if len(target) == len(source) and all(op.recurrent for op in (*target, *source)):
            orders.sort(key=lambda order: not self._together(ordered, order))
        named_alike = bool(named[0] and named[1])
        confidence = 0.95 if named_alike or len(orders) == 1 else 1 / len(orders)
        if len(target) == len(source):
            confidence = max(confidence, IN_TURN)
        if len(target) > len(source):
            turned = row_alignment.orders(ordered, keep_shapes=False)
            confidence = 0.9 if named[0] else 1 / len(turned)
            for order in turned:
                yield tuple(self._aligned(order, named[1] or source, confidence))
            return
        for order in orders:
            yield tuple(self._aligned(ordered, order, confidence))

    def _together(self, target: ParallelOps, source: ParallelOps) -> bool:
        """Whether products with the state are paired as those with the input next to them."""
        pairs = zip(target, source, strict=True)
        return all(
            _next_to(other, self.source) in self.partners.get(_next_to(op, self.target), ())
            for op, other in pairs
        )

    def _aligned(
        self, target: ParallelOps, source: ParallelOps, confidence: float
    ) -> Iterator[Correspondence]:
        """Rows over rows, each role by itself."""
        roles = dict.fromkeys(role for op in target for role in op.pieces)
        for role in roles:
            wanted = [(op, op.pieces[role]) for op in target if role in op.pieces]
            given = [(op, op.pieces[role]) for op in source if role in op.pieces]
            if not given:
                continue
            pairs, part = _row_pairs(wanted, given)
            if part < 1 and not (self.source.ran and self.target.ran):
                continue  # which rows are which only a run shows
            for (op, piece), (other, whole) in pairs:
                yield Correspondence(
                    piece, whole, role, (op, other), part * _confidence(op, other, confidence)
                )

    def link_summed_biases(self) -> None:
        """A recurrent layer adds the biases of its two products: one of both may hold the sum."""
        linked = chosen(self.links, self.choices, self.ways)
        pairs = {
            (link.ops[0].order, link.ops[1].order): link.ops
            for link in linked
            if link.role == "weight" and link.ops[0].recurrent
        }
        used = {link.source.tensor for link in linked if link.role == "bias"}
        inner = [link for link in linked if link.role == "bias" and not link.ops[0].recurrent]
        for op, other in pairs.values():
            bias = other.pieces.get("bias")
            if bias is None or "bias" in op.pieces or bias.tensor in used:
                continue
            near = min(
                (link for link in inner if link.source.shape == bias.shape),
                key=lambda link: abs(link.ops[1].order - other.order),
                default=None,
            )
            if near is not None:
                self.links.append(replace(near, source=bias, added=True))

    def link_shifts(self) -> None:
        """A vector that is added to a sum is the bias of one of its terms."""
        linked = chosen(self.links, self.choices, self.ways)
        wanted = _free_biases(self.target, {link.target for link in linked})
        given = _free_biases(self.source, {link.source for link in linked})
        for size in dict.fromkeys(piece.shape for _, piece in wanted):
            alike = [(op, piece) for op, piece in wanted if piece.shape == size]
            others = [(op, piece) for op, piece in given if piece.shape == size]
            if len(alike) != len(others):
                continue
            for (op, piece), (other, whole) in zip(alike, others, strict=True):
                if "table" in (op.kind, other.kind):
                    self.links.append(Correspondence(piece, whole, "bias", (op, other), 0.6))

    def mark(self, extra: Mapping[int, Mapping[str, Rule]]) -> None:
        """Mark the links into blocks that the source does not have."""
        self.links = list(marked(self.links, extra))
        self.choices = [
            replace(choice, ways=tuple(marked(way, extra) for way in choice.ways))
            for choice in self.choices
        ]


Used = tuple[Op, TensorSlice]


def _row_pairs(
    target: Sequence[Used], source: Sequence[Used]
) -> tuple[Iterable[tuple[Used, Used]], float]:
    """Pairs of rows of both sides, and a factor of the confidence."""
    if len(target) == len(source) == 1:
        return [(target[0], source[0])], 1.0
    if sum(p.shape[0] for _, p in target) == sum(p.shape[0] for _, p in source):
        return row_alignment.cut(target, source), 1.0
    if len(target) == len(source):
        return zip(target, source, strict=True), 1.0
    split = (
        row_alignment.split_evenly(target, len(source)),
        row_alignment.split_evenly(source, len(target)),
    )
    return zip(*split, strict=False), 0.8


def _next_to(op: Op, trace: Trace) -> int:
    """The product with the input next to one with the state, and named like it."""
    near = [n for n in (op.order - 1, op.order + 1) if 0 <= n < len(trace.ops)]
    fit = [n for n in near if not trace.ops[n].recurrent and trace.ops[n].kind == op.kind]
    return max(fit, key=lambda n: _same_letters(trace.ops[n].name, op.name), default=-1)


def _same_letters(one: str, other: str) -> int:
    forward = sum(1 for _ in takewhile(lambda p: p[0] == p[1], zip(one, other, strict=False)))
    backward = takewhile(lambda p: p[0] == p[1], zip(one[::-1], other[::-1], strict=False))
    return forward + sum(1 for _ in backward)


def _free_biases(trace: Trace, linked: set[TensorSlice]) -> list[tuple[Op, TensorSlice]]:
    ops = sorted(trace.ops, key=lambda op: (op.depth, op.order))
    found = [(op, op.pieces["bias"]) for op in ops if "bias" in op.pieces]
    tensors = {piece.tensor for piece in linked}
    return [(op, p) for op, p in found if len(p.shape) == 1 and p.tensor not in tensors]


def _confidence(op: Op, other: Op, confidence: float) -> float:
    """Confidence of a link between two operations: less where the shapes differ."""
    if op.shape == other.shape and op.name == other.name:
        return max(confidence, 0.99)
    return confidence if op.main.bare == other.main.bare else 0.9 * confidence
