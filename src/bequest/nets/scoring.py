"""How much a graph's embedding believes in a triple: the form that all scorings share.

B triples, K candidates, D numbers a vector.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

from torch import Tensor

__all__ = ["Scoring", "inner"]

Two = Callable[[Tensor, Tensor], Tensor]


@final
@dataclass(frozen=True)
class Scoring:
    """A scoring function of triples, taken apart so that one query meets many candidates.

    ``compare(query(h, r), t)`` is the score of a triple; higher is more believed.

    Parameters
    ----------
    name : str
    citation : str
        BibTeX of where it comes from.
    query : callable
        Vectors of heads and of relations, each (B, D), to queries (B, D).
    compare : callable
        Queries (..., B, D) and candidates (..., K, D) to scores (..., B, K).
    pairs : bool
        The first half of a vector is the real part of complex numbers, the second the imaginary
        one: D is even.
    distance : bool
        Scores are distances below zero: vectors are not pulled to zero.
    """

    name: str
    citation: str
    query: Two
    compare: Two
    pairs: bool = False
    distance: bool = False

    def score(self, heads: Tensor, relations: Tensor, tails: Tensor) -> Tensor:
        """The scores of B triples, each of the three (B, D); shape (B,)."""
        return self.compare(self.query(heads, relations)[:, None], tails[:, None]).flatten()

    def sizes(self, vectors: Tensor) -> Tensor:
        """The sizes of a vector's numbers, (B, D), or (B, D / 2) of complex ones."""
        if not self.pairs:
            return vectors.abs()
        real, imaginary = vectors.chunk(2, dim=-1)
        # the gradient of a root at zero is not a number
        return (real**2 + imaginary**2 + 1e-12).sqrt()


def inner(queries: Tensor, candidates: Tensor) -> Tensor:
    """Inner products of queries (..., B, D) with candidates (..., K, D), shape (..., B, K)."""
    return queries @ candidates.transpose(-1, -2)
