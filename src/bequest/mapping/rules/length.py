"""How long the slices of a weight are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

from torch import Tensor

from bequest.mapping.rules.rule import Rule

__all__ = ["Length"]


@final
@dataclass(frozen=True)
class Length(Rule):
    """The Euclidean length of each slice along one axis, as weight_norm keeps it.

    Examples
    --------
    >>> import torch
    >>> Length(0).apply(torch.tensor([[3.0, 4.0], [0.0, 2.0]]), torch.zeros(2, 1))
    tensor([[5.],
            [2.]])
    """

    name: ClassVar[str] = "length"
    citation: ClassVar[str] = "Salimans and Kingma, Weight Normalization, NeurIPS 2016"
    axis: int

    def apply(self, values: Tensor, current: Tensor) -> Tensor:
        """One number a slice."""
        others = [place for place in range(values.ndim) if place != self.axis]
        return values.square().sum(others, keepdim=True).sqrt()
