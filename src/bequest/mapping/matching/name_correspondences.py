"""Links between tensors of one name, and the parts of the target that the source has not."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from bequest.mapping.matching.by_name import Named
from bequest.mapping.matching.correspondence import Link, marked
from bequest.mapping.matching.identity_init import stilled
from bequest.mapping.matching.levels import levels
from bequest.mapping.plans.entry import Entry
from bequest.mapping.tracing.ops import Piece, Shape, Site, Trace

__all__ = ["Use", "named_links", "new_parts", "uses_of"]

Use = tuple[Site, str, Piece]  # a site, and a piece of a tensor with its role there
COPIED = 0.99  # sure of names and shapes that agree; what is run on an input becomes 1
RESIZED = 0.95  # of names that agree where a shape does not


def uses_of(trace: Trace) -> dict[str, list[Use]]:
    """The uses of every tensor, in order."""
    found: dict[str, list[Use]] = {}
    for site in trace.sites:
        for role, piece in site.pieces.items():
            found.setdefault(piece.tensor, []).append((site, role, piece))
    return found


def named_links(
    named: Named, theirs: Trace, ours: Trace, shapes: Mapping[str, Shape]
) -> tuple[Link, ...]:
    """The rows of each tensor from its namesake's; `shapes` are those of the source's tensors."""
    mine, other = uses_of(ours), uses_of(theirs)
    links = [
        link
        for name, origin in named.pairs.items()
        for link in _links(
            name, origin, ours, shapes[origin], mine.get(name, []),
            other.get(theirs.same.get(origin, origin), []), turned=name in named.turned,
        )
    ]  # fmt: skip
    return marked(links, stilled(ours, levels(ours), _level_pairs(named, ours)))


def _links(
    name: str, origin: str, ours: Trace, there: Shape, mine: Sequence[Use], other: Sequence[Use],
    *, turned: bool,
) -> Iterator[Link]:  # fmt: skip
    shape = ours.shapes[name]
    constant = name in ours.constants
    if constant or not mine:
        if shape == there:  # what no site uses is read as it stands
            site = Site("other", name.rpartition(".")[0], {}, 0, frozenset(), -1)
            role = "constant" if constant else "parameter"
            yield Link(Piece(name, shape), Piece(origin, there), role, (site, site), COPIED)
        return
    site, role, piece = mine[0]
    partner = other[0][0] if other else replace(site, order=-1)
    if shape == there or turned:
        whole = (shape[1], shape[0], *shape[2:]) if piece.transposed else shape
        taken = Piece(origin, whole, 0, piece.transposed != turned)
        put = Piece(name, whole, 0, piece.transposed)
        yield Link(put, taken, role, (site, partner), COPIED)
        return
    if not _comparable(shape, there):
        return
    pieces = {(part.start, part.shape): (one, own, part) for one, own, part in reversed(mine)}
    taken_from = {(part.start, part.shape): (one, part) for one, _, part in reversed(other)}
    if len(pieces) == len(taken_from):
        found = zip(reversed(pieces.values()), reversed(taken_from.values()), strict=True)
        for (one, own, part), (its, whole_part) in found:
            yield Link(part, whole_part, own, (one, its), RESIZED)
    elif len(shape) == len(there):
        whole = (there[1], there[0], *there[2:]) if piece.transposed else there
        taken = Piece(origin, whole, 0, piece.transposed)
        yield Link(piece, taken, role, (site, partner), RESIZED)


def _comparable(one: Shape, other: Shape) -> bool:
    """Whether a rule may bring the one to the other: as many axes, or a matrix and a kernel."""
    axes = [[size for size in shape if size > 1] for shape in (one, other)]
    kernel = min(map(len, (one, other))) == 2 and one[:1] == other[:1]
    return len(axes[0]) == len(axes[1]) or (kernel and math.prod(one) == math.prod(other))


def _level_pairs(named: Named, ours: Trace) -> list[tuple[int, int]]:
    """Each level of the target, and the first one with the same source."""
    level = {
        piece.tensor: place
        for place, sites in enumerate(levels(ours))
        for site in sites
        for piece in site.pieces.values()
    }
    return sorted(
        {
            (level[name], level[named.repeats.get(name, name)])
            for name in named.pairs
            if name in level and named.repeats.get(name, name) in level
        }
    )


def new_parts(named: Named, ours: Trace, entries: Sequence[Entry]) -> frozenset[str]:
    """The target's tensors that stand behind all that have namesakes: a new head, a new pooler.

    Of a network that was seen running, those that nothing with a namesake reads; else those that
    were registered after the last namesake, or in a part (`classifier.`) without any. Nothing is a
    head that is larger than what the source fills.
    """
    rest = [e for e in entries if e.target not in named.pairs and e.target not in ours.constants]
    known = {name.partition(".")[0] for name in named.pairs}
    last = max((n for n, e in enumerate(entries) if e.target in named.pairs), default=-1)
    place = {entry.target: n for n, entry in enumerate(entries)}
    feeding = _feeding(named, ours) if ours.ran else {}
    new = [
        entry
        for entry in rest
        if not feeding.get(
            entry.target,
            place[entry.target] < last and entry.target.partition(".")[0] in known,
        )
    ]
    small = sum(e.numbers for e in new) < sum(e.numbers for e in entries if e.moves)
    return frozenset(entry.target for entry in new) if small else frozenset()


def _feeding(named: Named, ours: Trace) -> dict[str, bool]:
    """Whether a site with a namesake reads, over whatever is between, what a tensor gives."""
    by_order = {site.order: site for site in ours.sites}
    open_ = [s for s in ours.sites if any(p.tensor in named.pairs for p in s.pieces.values())]
    reached: set[int] = set()
    while open_:
        site = open_.pop()
        fresh = site.reads - reached
        reached |= fresh
        open_ += [by_order[n] for n in fresh if n in by_order]
    return {
        piece.tensor: site.order in reached for site in ours.sites for piece in site.pieces.values()
    }
