"""What the matching gives: rows of the source's tensors beside rows of the target's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

from bequest.mapping.rules import Rule
from bequest.mapping.sites import Piece, Site

__all__ = ["Choice", "Link", "Matching", "chosen"]


@final
@dataclass(frozen=True)
class Link:
    """Rows of a source's tensor that go into rows of a target's.

    Parameters
    ----------
    target, source : Piece
        As many rows each where `whole` is false.
    role : str
        weight, bias, mean, variance.
    sites : (Site, Site)
        The target's and the source's.
    confidence : float
        From 0 to 1.
    added : bool
        Is added to what another link brings: two biases that become one.
    rules : tuple of Rule
        Layouts that were found out by running both networks.
    extra : bool
        In a block that the source does not have: there, other sites see what these have seen.
    still : Rule, optional
        In place of the source's numbers: under it that block changes nothing.
    """

    target: Piece
    source: Piece
    role: str
    sites: tuple[Site, Site]
    confidence: float = 1.0
    added: bool = False
    rules: tuple[Rule, ...] = ()
    extra: bool = False
    still: Rule | None = None


@final
@dataclass(frozen=True)
class Choice:
    """Several ways to link the same rows; the first is the likeliest."""

    ways: tuple[tuple[Link, ...], ...]
    depth: int


@final
@dataclass(frozen=True)
class Matching:
    """All links, and the choices that shapes and names leave open.

    Parameters
    ----------
    links : tuple of Link
        Where there is no choice.
    choices : tuple of Choice
    """

    links: tuple[Link, ...]
    choices: tuple[Choice, ...]


def chosen(links: Sequence[Link], choices: Sequence[Choice], ways: Mapping[int, int]) -> list[Link]:
    """The links where there is no choice, and those of the way that each choice takes."""
    taken = [
        choice.ways[min(ways.get(n, 0), len(choice.ways) - 1)] for n, choice in enumerate(choices)
    ]
    return [*links, *(link for way in taken for link in way)]
