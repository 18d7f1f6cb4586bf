"""What the matching gives: which rows of the source's tensors go into which of the target's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import final

from bequest.mapping.rules import Rule
from bequest.mapping.tracing.ops import Op, TensorSlice

__all__ = ["Choice", "Correspondence", "Links", "Matching", "chosen", "marked"]


@final
@dataclass(frozen=True)
class Correspondence:
    """Rows of a source's tensor that go into rows of a target's."""

    target: TensorSlice
    source: TensorSlice
    role: str  # weight, bias, mean, variance
    ops: tuple[Op, Op]  # the target's and the source's
    confidence: float = 1.0  # from 0 to 1
    added: bool = False  # to what another link brings: two biases that become one
    rules: tuple[Rule, ...] = ()  # layouts that were found out by running both networks
    extra: bool = False  # in a block that the source does not have: its results have no counterpart
    neutral: Rule | None = None  # in place of the source's values: that block changes nothing

    @property
    def key(self) -> str:
        """Which rows of the target it fills."""
        return f"{self.target.tensor}:{self.target.start}:{self.target.shape}"


Links = tuple[Correspondence, ...]


@final
@dataclass(frozen=True)
class Choice:
    """Several correspondences of the same rows; the first is the likeliest."""

    ways: tuple[Links, ...]
    depth: int


@final
@dataclass(frozen=True)
class Matching:
    """All correspondences, and the choices that shapes and names leave open."""

    links: Links  # where there is no choice
    choices: tuple[Choice, ...]


def chosen(
    links: Iterable[Correspondence], choices: Sequence[Choice], ways: Mapping[int, int]
) -> Links:
    """Those where there is no choice, and those of the way that each choice takes."""
    taken = [
        choice.ways[min(ways.get(n, 0), len(choice.ways) - 1)] for n, choice in enumerate(choices)
    ]
    return (*links, *(link for way in taken for link in way))


def marked(links: Iterable[Correspondence], extra: Mapping[int, Mapping[str, Rule]]) -> Links:
    """All of them, those into blocks that the source does not have marked as such."""
    return tuple(
        replace(link, extra=True, neutral=extra[link.ops[0].order].get(link.role))
        if link.ops[0].order in extra
        else link
        for link in links
    )
