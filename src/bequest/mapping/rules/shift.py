"""Numbers that one network keeps less a constant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

from torch import Tensor

from bequest.mapping.rules.rule import Rule

__all__ = ["ConstantOffset"]


@final
@dataclass(frozen=True)
class ConstantOffset(Rule):
    """A constant is added: Gemma keeps the factor of a norm less one.

    Examples
    --------
    >>> import torch
    >>> ConstantOffset(0, 1).apply(torch.tensor([-0.5, 0.0]), torch.zeros(2))
    tensor([0.5000, 1.0000])
    """

    name: ClassVar[str] = "constant added"
    citation: ClassVar[str] = "Gemma Team, Gemma, 2024 (its norms)"
    axis: int
    by: int

    def apply(self, values: Tensor, current: Tensor) -> Tensor:
        """Add it."""
        return values + self.by
