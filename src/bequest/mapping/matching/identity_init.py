"""A block that the target has more than the source starts as one that changes nothing.

A deeper target whose blocks are repeated is another function than the source, and starts worse the
fewer labels there are. Where a branch is added to what goes past it, its last layer starts at zero;
where there is one square layer, it starts as the identity. All else of the block is the source's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import prod

from bequest.mapping.matching.levels import Level
from bequest.mapping.rules import Rule
from bequest.mapping.rules.layout import Zero
from bequest.mapping.rules.still import Eye, One
from bequest.mapping.tracing.ops import WEIGHTS, Site, Trace

__all__ = ["repeated", "still"]

Role = tuple[int, str]  # place of a site, and the tensor's role in it
NORM: Mapping[str, Rule] = {"weight": One(), "bias": Zero(), "mean": Zero(), "variance": One()}


def stilled(
    target: Trace, order: Sequence[Level], pairs: Sequence[tuple[int, int]]
) -> dict[int, dict[str, Rule]]:
    """By place, the sites in blocks that can change nothing, with such numbers by their role.

    `order` are the target's levels, `pairs` places among them and among the source's.
    """
    found: dict[int, dict[str, Rule]] = {}
    for numbers in repeated(pairs):
        block = [order[n] for n in numbers]
        rules = still(target, block)
        if rules:
            found |= {site.order: {} for level in block for site in level}
        for (place, role), rule in rules.items():
            found[place][role] = rule
    return found


def repeated(pairs: Sequence[tuple[int, int]]) -> list[list[int]]:
    """The target's levels whose source's level stands in an earlier pair too, block by block.

    Examples
    --------
    >>> repeated([(0, 0), (1, 1), (2, 2), (3, 1), (4, 2), (5, 1), (6, 2), (7, 3)])
    [[3, 4], [5, 6]]
    """
    blocks: list[list[int]] = []
    seen: set[int] = set()
    before = -1, -1
    for ours, theirs in sorted(pairs):
        if theirs in seen:
            if blocks and blocks[-1][-1] == before[0] == ours - 1 and theirs > before[1]:
                blocks[-1].append(ours)
            else:
                blocks.append([ours])
        seen.add(theirs)
        before = ours, theirs
    return blocks


def still(trace: Trace, block: Sequence[Level]) -> dict[Role, Rule]:
    """What some tensors of a block hold while it changes nothing; empty where that cannot be.

    What reads what decides: of a trace without a run nothing is known.

    References
    ----------
    Chen, Goodfellow and Shlens, Net2Net, ICLR 2016 (identity); Wu et al., LLaMA Pro: Progressive
    LLaMA with block expansion, ACL 2024 (zero).
    """
    inside = {site.order: site for level in block for site in level}
    readers = [site for site in trace.sites if site.order not in inside]
    reads = [site.reads for site in readers if site.reads & inside.keys()]
    reads += [trace.last] if trace.last & inside.keys() else []
    left = {frozenset(read & inside.keys()) for read in reads}
    alone = not any(
        _tensors(site) & _tensors(other) for site in readers for other in inside.values()
    )
    if not trace.ran or len(left) != 1 or not alone or any(s.recurrent for s in inside.values()):
        return {}
    ends = [inside[place] for place in sorted(next(iter(left)))]
    past = [read - inside.keys() for read in reads]
    if not any(past):
        return dict(_identity(list(inside.values()), ends) or _after_norm(inside, ends))
    widths = {site.shape[0] for site in ends} | {
        _width(site) for site in readers if site.reads & inside.keys()
    }
    return dict(_silent(ends)) if all(past) and len(widths) == 1 else {}


def _tensors(site: Site) -> set[str]:
    return {piece.tensor for piece in site.pieces.values()}


def _width(site: Site) -> int:
    """Channels that a site reads."""
    return site.shape[1] if site.kind in WEIGHTS and len(site.shape) > 1 else site.shape[0]


def _silent(ends: Sequence[Site]) -> Iterator[tuple[Role, Rule]]:
    """Zeros in the layers whose results are added to what goes past.

    Two that read the same may be multiplied: both at zero, neither would ever learn.
    """
    reads = [(site.depth, site.reads) for site in ends]
    if len(set(reads)) < len(reads) or not all("weight" in site.pieces for site in ends):
        return
    for site in ends:
        for role in ("weight", "bias"):
            if role in site.pieces:
                yield (site.order, role), Zero()


def _after_norm(inside: Mapping[int, Site], ends: Sequence[Site]) -> dict[Role, Rule]:
    """What goes past is what the block's first normalisation gives."""
    first, rest = ends[0], ends[1:]
    outer = first.kind == "norm" and not first.reads & inside.keys()
    same = all(site.shape[0] == first.shape[0] and site.kind in WEIGHTS for site in rest)
    return dict(_silent(rest)) if outer and rest and same else {}


def _identity(sites: Sequence[Site], ends: Sequence[Site]) -> dict[Role, Rule]:
    """One square layer, with normalisations after it or without."""
    first, rest = sites[0], sites[1:]
    square = first.kind in WEIGHTS and first.shape[:1] == first.shape[1:2]
    odd = all(size % 2 for size in first.shape[2:]) and prod(first.stride) == 1
    if not square or not odd or len(ends) > 1 or any(site.kind != "norm" for site in rest):
        return {}
    rules: dict[Role, Rule] = {(first.order, "weight"): Eye(), (first.order, "bias"): Zero()}
    return rules | {
        (site.order, role): NORM[role] for site in rest for role in site.pieces if role in NORM
    }
