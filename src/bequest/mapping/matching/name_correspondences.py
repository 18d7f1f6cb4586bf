"""Correspondences between tensors of one name, and the target's parts that the source lacks."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from bequest.mapping.matching.by_name import NamePairs
from bequest.mapping.matching.correspondence import Correspondence, Links, marked
from bequest.mapping.matching.levels import levels
from bequest.mapping.matching.neutral_blocks import neutral_blocks
from bequest.mapping.plans.entry import Entry
from bequest.mapping.tracing.ops import Op, Shape, TensorSlice, Trace

__all__ = ["Use", "named_links", "new_parts", "uses_of"]

Use = tuple[Op, str, TensorSlice]  # an operation, and a piece of a tensor with its role there
COPIED = 0.99  # sure of names and shapes that agree; what is run on an input becomes 1
RESIZED = 0.95  # of names that agree where a shape does not


def uses_of(trace: Trace) -> dict[str, list[Use]]:
    """The uses of every tensor, in order."""
    found: dict[str, list[Use]] = {}
    for op in trace.ops:
        for role, piece in op.pieces.items():
            found.setdefault(piece.tensor, []).append((op, role, piece))
    return found


def named_links(
    named: NamePairs, source_trace: Trace, target_trace: Trace, shapes: Mapping[str, Shape]
) -> Links:
    """The rows of each tensor from its namesake's; `shapes` are those of the source's tensors."""
    target_uses, source_uses = uses_of(target_trace), uses_of(source_trace)
    links = [
        link
        for name, origin in named.pairs.items()
        for link in _links(
            name, origin, target_trace, shapes[origin], target_uses.get(name, []),
            source_uses.get(source_trace.same.get(origin, origin), []), turned=name in named.turned,
        )
    ]  # fmt: skip
    return marked(
        links,
        neutral_blocks(target_trace, levels(target_trace), _level_pairs(named, target_trace)),
    )


def _links(
    name: str, origin: str, trace: Trace, there: Shape, uses: Sequence[Use],
    source_uses: Sequence[Use], *, turned: bool,
) -> Iterator[Correspondence]:  # fmt: skip
    """Whole tensors where the shapes agree, else the pieces that operations use."""
    shape = trace.shapes[name]
    constant = name in trace.constants
    if constant or not uses:
        if shape == there:  # what no operation uses is copied whole
            yield _unused(name, origin, shape, "constant" if constant else "parameter")
        return
    op, role, piece = uses[0]
    partner = source_uses[0][0] if source_uses else replace(op, order=-1)
    if shape == there or turned:
        whole = _in_order(shape, piece)
        taken = TensorSlice(origin, whole, 0, piece.transposed != turned)
        put = TensorSlice(name, whole, 0, piece.transposed)
        yield Correspondence(put, taken, role, (op, partner), COPIED)
    elif _comparable(shape, there):
        pairs = list(_piece_pairs(uses, source_uses))
        if pairs:
            for (one, own, part), (other, _, source_part) in pairs:
                yield Correspondence(part, source_part, own, (one, other), RESIZED)
        elif len(shape) == len(there):
            taken = TensorSlice(origin, _in_order(there, piece), 0, piece.transposed)
            yield Correspondence(piece, taken, role, (op, partner), RESIZED)


def _unused(name: str, origin: str, shape: Shape, role: str) -> Correspondence:
    op = Op("other", name.rpartition(".")[0], {}, 0, frozenset(), -1)
    pieces = TensorSlice(name, shape), TensorSlice(origin, shape)
    return Correspondence(*pieces, role, (op, op), COPIED)


def _in_order(shape: Shape, piece: TensorSlice) -> Shape:
    """A stored shape in the canonical layout of a piece of the tensor."""
    return (shape[1], shape[0], *shape[2:]) if piece.transposed else shape


def _piece_pairs(uses: Sequence[Use], source_uses: Sequence[Use]) -> Iterator[tuple[Use, Use]]:
    """The pieces of two tensors in order, each by its first use, where they are as many."""
    first = [
        {(use[2].start, use[2].shape): use for use in reversed(each)}
        for each in (uses, source_uses)
    ]
    if len(first[0]) == len(first[1]):
        yield from zip(*(reversed(pieces.values()) for pieces in first), strict=True)


def _comparable(one: Shape, other: Shape) -> bool:
    """Whether a rule may bring the one to the other: as many axes, or a matrix and a kernel."""
    axes = [[size for size in shape if size > 1] for shape in (one, other)]
    kernel = min(map(len, (one, other))) == 2 and one[:1] == other[:1]
    return len(axes[0]) == len(axes[1]) or (kernel and math.prod(one) == math.prod(other))


def _level_pairs(named: NamePairs, target_trace: Trace) -> list[tuple[int, int]]:
    """Each level of the target, and the first one with the same source."""
    level = {
        piece.tensor: place
        for place, ops in enumerate(levels(target_trace))
        for op in ops
        for piece in op.pieces.values()
    }
    return sorted(
        {
            (level[name], level[named.repeats.get(name, name)])
            for name in named.pairs
            if name in level and named.repeats.get(name, name) in level
        }
    )


def new_parts(named: NamePairs, target_trace: Trace, entries: Sequence[Entry]) -> frozenset[str]:
    """The target's tensors after all that have namesakes: a new head, a new pooler.

    Of a network that was seen running, those that nothing with a namesake reads; else those that
    were registered after the last namesake, or in a part (`classifier.`) without any. Nothing is a
    head that is larger than what the source fills.
    """
    rest = [
        e for e in entries if e.target not in named.pairs and e.target not in target_trace.constants
    ]
    known = {name.partition(".")[0] for name in named.pairs}
    last = max((n for n, e in enumerate(entries) if e.target in named.pairs), default=-1)
    place = {entry.target: n for n, entry in enumerate(entries)}
    feeding = _feeding(named, target_trace) if target_trace.ran else {}
    new = [
        entry
        for entry in rest
        if not feeding.get(
            entry.target,
            place[entry.target] < last and entry.target.partition(".")[0] in known,
        )
    ]
    small = sum(e.size for e in new) < sum(e.size for e in entries if e.moves)
    return frozenset(entry.target for entry in new) if small else frozenset()


def _feeding(named: NamePairs, target_trace: Trace) -> dict[str, bool]:
    """Whether an operation with a namesake reads, over whatever is between, what a tensor gives."""
    by_order = {op.order: op for op in target_trace.ops}
    open_ = [s for s in target_trace.ops if any(p.tensor in named.pairs for p in s.pieces.values())]
    reached: set[int] = set()
    while open_:
        op = open_.pop()
        fresh = op.reads - reached
        reached |= fresh
        open_ += [by_order[n] for n in fresh if n in by_order]
    return {
        piece.tensor: op.order in reached for op in target_trace.ops for piece in op.pieces.values()
    }
