"""Second stage: which site of the source each site of the target corresponds to.

Levels are aligned in order; inside a pair of levels bundles are assigned by shape, by what they
read, by name and by order; rows are laid over rows, so that a fused product meets its parts. What
stands in no order (tables, tokens, embeddings) is assigned by shape, name and place.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby, permutations, takewhile
from typing import Any, final

import numpy as np

from bequest.mapping.matching import row_alignment
from bequest.mapping.matching.correspondence import Choice, Link, Matching, chosen, marked
from bequest.mapping.matching.identity_init import stilled
from bequest.mapping.matching.levels import (
    Bundle,
    Level,
    align,
    assigned,
    bundles,
    fit,
    fused_shape,
    levels,
    tasted,
)
from bequest.mapping.matching.repeated_blocks import Depth, by_blocks
from bequest.mapping.rules import Rule
from bequest.mapping.tracing.names import likeness
from bequest.mapping.tracing.ops import MAIN, Piece, Site, Trace

__all__ = ["match"]

IN_TURN = 0.6  # of as many layers of one shape side by side, that each takes the other's in turn


def match(
    source: Trace, target: Trace, depth: Depth = "even", ways: Mapping[int, int] | None = None
) -> Matching:
    """Find the corresponding sites.

    `depth` says which of the source's blocks each of the target's gets, where these are more or
    fewer; `ways` which way each choice takes: what reads the sites of a choice follows it.

    Examples
    --------
    >>> from torch import nn
    >>> from bequest.mapping.tracing.trace import trace
    >>> one, other = nn.Sequential(nn.Linear(2, 3)), nn.Sequential(nn.Flatten(), nn.Linear(2, 3))
    >>> [link.target.tensor for link in match(trace(one), trace(other)).links]
    ['1.weight', '1.bias']
    """
    found = _Found(source, target, ways or {})
    found.link_loose()
    ours, theirs = levels(target), levels(source)
    pairs = align(ours, theirs)
    if len(pairs) < max(len(ours), len(theirs)):
        pairs = by_blocks(ours, theirs, depth) or pairs
    for i, j in pairs:
        found.link_levels(ours[i], theirs[j])
    found.link_summed_biases()
    found.link_shifts()
    found.mark(stilled(target, ours, pairs))
    return Matching(tuple(found.links), tuple(found.choices))


@final
class _Found:
    """Links as they are made, with what was linked already."""

    def __init__(self, source: Trace, target: Trace, ways: Mapping[int, int]) -> None:
        self.source, self.target = source, target
        self.ways = ways
        self.links: list[Link] = []
        self.choices: list[Choice] = []
        self.partners: dict[int, set[int]] = {}  # source's sites by the target's

    def link_levels(self, ours: Level, theirs: Level) -> None:
        """Assign the bundles of two levels to each other."""
        first, second = bundles(ours), bundles(theirs)
        scores = np.array([[self._bundle_fit(a, b) for b in second] for a in first])
        for i, j in assigned(scores):
            for group in row_alignment.chunks(first[i], second[j]):
                self._link_chunk(*group)

    def _bundle_fit(self, target: Bundle, source: Bundle) -> float:
        """How alike two bundles are, and whether what they read corresponds."""
        alike = fit(target, source)
        if alike == 0:
            return 0.0
        expected = {n for site in target[0].reads for n in self.partners.get(site, ())}
        actual = set(source[0].reads) & {n for found in self.partners.values() for n in found}
        union = expected | actual
        read = len(expected & actual) / len(union) if union else 1.0
        return alike + 0.5 * read + 0.6 * (fused_shape(target) == fused_shape(source))

    def _link_chunk(self, target: Bundle, source: Bundle) -> None:
        ways = list(self._ways(target, source))
        taken = ways[min(self.ways.get(len(self.choices), 0), len(ways) - 1)]
        for link in taken:
            ours, theirs = link.sites
            self.partners.setdefault(ours.order, set()).add(theirs.order)
        if len(ways) == 1:
            self.links += ways[0]
        else:
            self.choices.append(Choice(tuple(ways), target[0].depth))

    def _ways(self, target: Bundle, source: Bundle) -> Iterator[tuple[Link, ...]]:
        """The orders in which the rows may be laid over each other, the likeliest first."""
        named = row_alignment.lettered(target), row_alignment.lettered(source)
        ours = named[0] or target
        orders = row_alignment.orders(named[1] or source, keep_shapes=len(target) == len(source))
        if len(target) == len(source) and all(site.recurrent for site in (*target, *source)):
            orders.sort(key=lambda order: not self._together(ours, order))
        told = bool(named[0] and named[1])
        sure = 0.95 if told or len(orders) == 1 else 1 / len(orders)
        if len(target) == len(source):
            sure = max(sure, IN_TURN)
        if len(target) > len(source):
            turned = row_alignment.orders(ours, keep_shapes=False)
            sure = 0.9 if named[0] else 1 / len(turned)
            for order in turned:
                yield tuple(self._laid(order, named[1] or source, sure))
            return
        for order in orders:
            yield tuple(self._laid(ours, order, sure))

    def _together(self, target: Bundle, source: Bundle) -> bool:
        """Products with the state, each beside the partner of the product beside it."""
        pairs = zip(target, source, strict=True)
        return all(
            _beside(other, self.source) in self.partners.get(_beside(site, self.target), ())
            for site, other in pairs
        )

    def _laid(self, target: Bundle, source: Bundle, sure: float) -> Iterator[Link]:
        """Rows over rows, each role by itself."""
        roles = dict.fromkeys(role for site in target for role in site.pieces)
        for role in roles:
            ours = [(site, site.pieces[role]) for site in target if role in site.pieces]
            theirs = [(site, site.pieces[role]) for site in source if role in site.pieces]
            if not theirs:
                continue
            pairs, part = _overlaid(ours, theirs)
            if part < 1 and not (self.source.ran and self.target.ran):
                continue  # which rows are which only a run tells
            for (site, piece), (other, whole) in pairs:
                yield Link(piece, whole, role, (site, other), part * _sure(site, other, sure))

    def link_summed_biases(self) -> None:
        """A recurrent layer adds the biases of its two products: one of both may hold the sum."""
        linked = chosen(self.links, self.choices, self.ways)
        pairs = {
            (link.sites[0].order, link.sites[1].order): link.sites
            for link in linked
            if link.role == "weight" and link.sites[0].recurrent
        }
        used = {link.source.tensor for link in linked if link.role == "bias"}
        inner = [link for link in linked if link.role == "bias" and not link.sites[0].recurrent]
        for ours, theirs in pairs.values():
            bias = theirs.pieces.get("bias")
            if bias is None or "bias" in ours.pieces or bias.tensor in used:
                continue
            beside = min(
                (link for link in inner if link.source.shape == bias.shape),
                key=lambda link: abs(link.sites[1].order - theirs.order),
                default=None,
            )
            if beside is not None:
                self.links.append(replace(beside, source=bias, added=True))

    def link_shifts(self) -> None:
        """A vector that is added to a sum is the bias of one of its terms."""
        linked = chosen(self.links, self.choices, self.ways)
        ours = _free_biases(self.target, {link.target for link in linked})
        theirs = _free_biases(self.source, {link.source for link in linked})
        for size in dict.fromkeys(piece.shape for _, piece in ours):
            mine = [(site, piece) for site, piece in ours if piece.shape == size]
            others = [(site, piece) for site, piece in theirs if piece.shape == size]
            if len(mine) != len(others):
                continue
            for (site, piece), (other, whole) in zip(mine, others, strict=True):
                if "table" in (site.kind, other.kind):
                    self.links.append(Link(piece, whole, "bias", (site, other), 0.6))

    def mark(self, extra: Mapping[int, Mapping[str, Rule]]) -> None:
        """Mark the links into blocks that the source does not have."""
        self.links = list(marked(self.links, extra))
        self.choices = [
            replace(choice, ways=tuple(marked(way, extra) for way in choice.ways))
            for choice in self.choices
        ]

    def link_loose(self) -> None:
        """Assign tables, tokens and embeddings by shape, name and place."""
        ours = _loose(self.target)
        theirs = _loose(self.source)
        if not ours or not theirs:
            return
        last_t = max((s.depth for s in self.target.sites), default=1) or 1
        last_s = max((s.depth for s in self.source.sites), default=1) or 1
        scores = np.zeros((len(ours), len(theirs)))
        for i, (site, _, piece) in enumerate(ours):
            for j, (other, _, whole) in enumerate(theirs):
                shape = _loose_shape(site, piece, other, whole)
                if shape == 0:
                    continue
                near = 1 - abs(site.depth / last_t - other.depth / last_s)
                order = 1 - abs(i / len(ours) - j / len(theirs))
                name = likeness(piece.tensor, whole.tensor)
                kind = site.kind == other.kind
                scores[i, j] = shape + 0.4 * name + 0.4 * near + 0.1 * order + 0.1 * kind
                scores[i, j] = max(0.01, scores[i, j] + tasted(site, other))
        self._take_loose(ours, theirs, scores)

    def _take_loose(self, ours: Any, theirs: Any, scores: Any) -> None:
        pairs = assigned(scores)
        for i, j in pairs:
            site, role, piece = ours[i]
            other, _, whole = theirs[j]
            rival = [n for n in range(len(ours)) if n != i and scores[n, j] >= scores[i, j] - 0.02]
            sure = 1 / (1 + len(rival)) if rival else 0.9
            if likeness(piece.tensor, whole.tensor) > 0.6:
                sure = max(sure, 0.95)
            exact = piece.bare == whole.bare
            link = Link(piece, whole, role, (site, other), sure if exact else 0.8 * sure)
            self.links.append(link)
        self._swappable(ours, theirs, pairs)
        for link in chosen(self.links, self.choices, self.ways):
            mine, other = link.sites
            self.partners.setdefault(mine.order, set()).add(other.order)

    def _swappable(self, ours: Any, theirs: Any, pairs: Any) -> None:
        """Tables of one shape at one depth could stand for each other: a choice."""

        def key(pair: tuple[int, int]) -> Any:
            site, _, piece = ours[pair[0]]
            other, _, whole = theirs[pair[1]]
            return (site.depth, piece.bare, other.depth, whole.bare, site.eats)

        for _, group in groupby(sorted(pairs, key=key), key=key):
            members = list(group)
            if not 1 < len(members) <= 3:
                continue
            mine = [ours[i] for i, _ in members]
            ways = tuple(
                tuple(
                    Link(piece, whole, role, (site, other), 0.5)
                    for (site, role, piece), (other, _, whole) in zip(mine, order, strict=True)
                )
                for order in permutations([theirs[j] for _, j in members])
            )
            taken = {piece for _, _, piece in mine}
            self.links = [link for link in self.links if link.target not in taken]
            self.choices.append(Choice(ways, mine[0][0].depth))


Used = tuple[Site, Piece]


def _overlaid(
    ours: Sequence[Used], theirs: Sequence[Used]
) -> tuple[Iterable[tuple[Used, Used]], float]:
    """The rows of both sides beside each other, and what is left of the confidence."""
    if len(ours) == len(theirs) == 1:
        return [(ours[0], theirs[0])], 1.0
    if sum(p.shape[0] for _, p in ours) == sum(p.shape[0] for _, p in theirs):
        return row_alignment.cut(ours, theirs), 1.0
    if len(ours) == len(theirs):
        return zip(ours, theirs, strict=True), 1.0
    split = (
        row_alignment.split_evenly(ours, len(theirs)),
        row_alignment.split_evenly(theirs, len(ours)),
    )
    return zip(*split, strict=False), 0.8


def _beside(site: Site, trace: Trace) -> int:
    """The product with the input that stands beside one with the state, and is named like it."""
    near = [n for n in (site.order - 1, site.order + 1) if 0 <= n < len(trace.sites)]
    fit = [n for n in near if not trace.sites[n].recurrent and trace.sites[n].kind == site.kind]
    return max(fit, key=lambda n: _same_letters(trace.sites[n].name, site.name), default=-1)


def _same_letters(one: str, other: str) -> int:
    forward = sum(1 for _ in takewhile(lambda p: p[0] == p[1], zip(one, other, strict=False)))
    backward = takewhile(lambda p: p[0] == p[1], zip(one[::-1], other[::-1], strict=False))
    return forward + sum(1 for _ in backward)


def _free_biases(trace: Trace, linked: set[Piece]) -> list[tuple[Site, Piece]]:
    sites = sorted(trace.sites, key=lambda site: (site.depth, site.order))
    found = [(site, site.pieces["bias"]) for site in sites if "bias" in site.pieces]
    tensors = {piece.tensor for piece in linked}
    return [(site, p) for site, p in found if len(p.shape) == 1 and p.tensor not in tensors]


def _loose(trace: Trace) -> list[tuple[Site, str, Piece]]:
    return [
        (site, role, piece)
        for site in trace.sites
        if site.kind not in MAIN
        for role, piece in site.pieces.items()
    ]


def _loose_shape(site: Site, piece: Piece, other: Site, whole: Piece) -> float:
    """1 where equal, less where a table is longer or wider; 0 where the ranks differ."""
    one, two = piece.bare, whole.bare
    if one == two:
        return 1.0
    if len(one) != len(two) or not one:
        return 0.0
    ratios = [min(a, b) / max(a, b, 1) for a, b in zip(one, two, strict=True)]
    return 0.6 * float(np.prod(ratios) ** 0.25)


def _sure(site: Site, other: Site, sure: float) -> float:
    """Confidence of a link between two sites: less where the shapes differ."""
    if site.shape == other.shape and site.name == other.name:
        return max(sure, 0.99)
    return sure if site.main.bare == other.main.bare else 0.9 * sure
