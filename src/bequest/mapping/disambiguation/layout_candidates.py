"""Layouts inside a tensor that no shape shows: tried where both networks run and still differ."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import permutations, product
from typing import Any

from bequest.mapping.matching.correspondence import Correspondence
from bequest.mapping.rules import Rule
from bequest.mapping.rules.interleaved import GroupInterleaved
from bequest.mapping.rules.layout import Blocks, ChannelOrder, QKVInterleaved, Rotary, Transposed
from bequest.mapping.rules.shift import ConstantOffset
from bequest.mapping.rules.width import Repeat, RepeatParts
from bequest.mapping.tracing.ops import WEIGHTS, TensorSlice, Trace

__all__ = ["layout_candidates", "with_layout"]

Layouts = dict[str, tuple[Rule, ...]]  # by the key of a correspondence
HEADS = (2, 4, 8, 12, 16)  # where no module names theirs
BEFORE = 3  # levels before the first difference that may be its cause


def layout_candidates(
    links: Sequence[Correspondence], source_trace: Trace, target_trace: Trace, depth: float
) -> Iterator[Layouts]:
    """Rules for correspondences at or shortly before `depth`, the nearest level first."""
    depths = sorted(
        {link.ops[0].depth for link in links if link.ops[0].depth <= depth}, reverse=True
    )
    heads = sorted({*source_trace.heads, *target_trace.heads}) or list(HEADS)
    for level in depths[:BEFORE]:
        here = [
            link for link in links if link.ops[0].depth == level and link.ops[0].kind in WEIGHTS
        ]
        weights = [link for link in here if link.role == "weight"]
        yield from _fused_parts(here, links)
        yield from _shifted(links, level)
        yield from _pixels(weights)
        yield from _woven(here, heads, links)
        yield from _interleaved(here, heads, links, source_trace, target_trace)
        yield from _rotary(here, heads, links)
        yield from _gates(here)
        yield from _turned(weights)


def _everywhere(
    chosen: Sequence[Correspondence], links: Sequence[Correspondence]
) -> list[Correspondence]:
    """Those of other blocks that look like the chosen ones and have the same neighbours."""
    by_depth: dict[int, list[Correspondence]] = {}
    for link in links:
        by_depth.setdefault(link.ops[0].depth, []).append(link)

    def look(link: Correspondence) -> Any:
        level = by_depth[link.ops[0].depth]
        shapes = tuple((other.role, other.target.shape, other.target.start) for other in level)
        return shapes, level.index(link)

    looks = {look(link) for link in chosen}
    return [link for link in links if look(link) in looks]


def _pixels(weights: Sequence[Correspondence]) -> Iterator[Layouts]:
    for link in weights:
        target, source = link.target.shape, link.source.shape
        if not (link.ops[0].fed or link.ops[1].fed):
            continue
        if len(source) == 4 and len(target) == 2 and source[1] > 1:
            yield {link.key: (ChannelOrder(1, source[1], back=True),)}
        elif len(target) == 4 and len(source) == 2 and target[1] > 1:
            yield {link.key: (ChannelOrder(1, target[1], back=False),)}
        elif len(target) == len(source) == 2 and target == source:
            for channels in (3, 1, 2, 4):
                if target[1] % channels == 0 and target[1] > channels > 1:
                    yield {link.key: (ChannelOrder(1, channels, back=True),)}
                    yield {link.key: (ChannelOrder(1, channels, back=False),)}


def _fused_parts(
    here: Sequence[Correspondence], links: Sequence[Correspondence]
) -> Iterator[Layouts]:
    """A wider layer may be several in one tensor, or one in spite of its name."""
    wider = [link for link in here if link.target.shape[0] != link.source.shape[0]]
    for parts in (3, 2, 1):
        fit = [
            link
            for link in wider
            if link.target.shape[0] % parts == link.source.shape[0] % parts == 0
        ]
        for chosen in (_everywhere(fit, links), fit) if fit else ():
            yield {link.key: (_in_parts(link, parts),) for link in chosen}


def _in_parts(link: Correspondence, parts: int) -> Rule:
    rows = link.source.shape[0] // parts, link.target.shape[0] // parts
    if parts == 1 and rows[1] > rows[0]:
        return Repeat(0, rows[1])
    return RepeatParts(0, (rows[0],) * parts, (rows[1],) * parts)


def _shifted(links: Sequence[Correspondence], level: int) -> Iterator[Layouts]:
    """All factors of norms, kept less one on one side."""
    norms = [link for link in links if link.ops[0].kind == "norm" and link.role == "weight"]
    if any(link.ops[0].depth == level for link in norms):
        for by in (1, -1):
            yield {link.key: (ConstantOffset(0, by),) for link in norms}


def _woven(
    here: Sequence[Correspondence], heads: Sequence[int], links: Sequence[Correspondence]
) -> Iterator[Layouts]:
    fused = [link for link in here if link.target.shape == link.source.shape]
    for parts in (3, 2):
        for count in heads:
            fit = [link for link in fused if link.target.shape[0] % (parts * count) == 0]
            for back in (False, True) if fit else ():
                for chosen in (_everywhere(fit, links), fit):
                    yield {link.key: (QKVInterleaved(0, count, parts, back),) for link in chosen}


def with_layout(
    link: Correspondence, rules: tuple[Rule, ...], source_trace: Trace, target_trace: Trace
) -> Correspondence:
    """A correspondence with its layout; one that is interleaved takes from, or goes into, the whole
    tensor."""
    if not rules:
        return link
    woven = rules[0]
    if not isinstance(woven, GroupInterleaved):
        return replace(link, rules=rules)
    part = link.target if woven.back else link.source
    whole = _whole(part, target_trace if woven.back else source_trace)
    found = replace(
        woven,
        first=part.start // woven.groups,
        rows=part.shape[0] // woven.groups,
        of=whole.shape[0] // woven.groups,
    )
    if woven.back:
        return replace(link, target=whole, rules=(found,))
    return replace(link, source=whole, rules=(found,))


def _whole(piece: TensorSlice, trace: Trace) -> TensorSlice:
    shape = trace.shapes[piece.tensor]
    rows = shape[1] if piece.transposed else shape[0]
    return replace(piece, shape=(rows, *piece.shape[1:]), start=0)


def _interleaved(
    here: Sequence[Correspondence],
    heads: Sequence[int],
    links: Sequence[Correspondence],
    source_trace: Trace,
    target_trace: Trace,
) -> Iterator[Layouts]:
    """One fused product against several: its rows may be interleaved head by head."""
    for back in (False, True):
        fused = [link for link in here if _is_part(link, source_trace, target_trace, back=back)]
        for groups in heads:
            pieces = [link.target if back else link.source for link in fused]
            if not pieces or any(p.start % groups or p.shape[0] % groups for p in pieces):
                continue
            for chosen in (_everywhere(fused, links), fused):
                woven = GroupInterleaved(0, groups, 0, 0, 0, back)
                yield {
                    link.key: (woven,)
                    for link in chosen
                    if _is_part(link, source_trace, target_trace, back=back)
                }


def _is_part(link: Correspondence, source_trace: Trace, target_trace: Trace, *, back: bool) -> bool:
    """Rows of a fused tensor on one side, a whole tensor on the other."""
    part, other = (link.target, link.source) if back else (link.source, link.target)
    first, second = (target_trace, source_trace) if back else (source_trace, target_trace)
    if not part.shape or len(part.shape) > 2 or not first.shapes[part.tensor]:
        return False
    return part.shape != _whole(part, first).shape and other.shape == _whole(other, second).shape


def _rotary(
    here: Sequence[Correspondence], heads: Sequence[int], links: Sequence[Correspondence]
) -> Iterator[Layouts]:
    """q and k together, for each of the numbers of heads that they may have."""
    parallel_ops: dict[tuple[int, int], list[Correspondence]] = {}
    for link in here:
        place = (link.ops[0].order, link.target.start)
        parallel_ops.setdefault(place, []).append(link)
    pairs = permutations(parallel_ops.values(), 2)
    for back, (left, right), some, few in product((False, True), pairs, heads, heads):
        both = ((left, some), (right, few))
        even = all(x.target.shape[0] % (2 * n) == 0 for group, n in both for x in group)
        if few <= some and even:
            yield {
                link.key: (Rotary(0, count, back),)
                for group, count in both
                for link in _everywhere(group, links)
            }


def _gates(here: Sequence[Correspondence]) -> Iterator[Layouts]:
    """A recurrent layer's gates in another order, in both products and their biases."""
    recurrent = any(link.ops[0].recurrent for link in here)
    for count in (4, 3, 2):
        same = [
            link
            for link in here
            if link.target.shape == link.source.shape and link.target.shape[0] % count == 0
        ]
        if not same or (count != 2 and not recurrent):
            continue
        for order in permutations(range(count)):
            if order != tuple(range(count)):
                yield {link.key: (Blocks(0, order),) for link in same}


def _turned(weights: Sequence[Correspondence]) -> Iterator[Layouts]:
    for link in weights:
        shape = link.target.shape
        if len(shape) == 2 and shape[0] == shape[1] and shape == link.source.shape:
            yield {link.key: (Transposed(),)}
