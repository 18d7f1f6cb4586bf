"""Numbers under which a layer that the source does not have changes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

from torch import Tensor

from bequest.mapping.rules.rule import Rule

__all__ = ["IdentityInit", "OnesInit"]


@final
@dataclass(frozen=True)
class IdentityInit(Rule):
    """A product that passes on what it reads; with a kernel, what is in its middle.

    Examples
    --------
    >>> import torch
    >>> IdentityInit().apply(torch.zeros(0), torch.zeros(2, 2))
    tensor([[1., 0.],
            [0., 1.]])
    """

    name: ClassVar[str] = "identity, absent in the source"
    citation: ClassVar[str] = "Chen, Goodfellow and Shlens, Net2Net, ICLR 2016"
    axis: int = 0

    def apply(self, values: Tensor, current: Tensor) -> Tensor:
        """The identity in the shape of `current`: (n, n) or (n, n, *kernel)."""
        result = current.new_zeros(current.shape)
        place = result
        for size in current.shape[2:]:
            place = place.select(2, size // 2)
        place.fill_diagonal_(1)
        return result


@final
@dataclass(frozen=True)
class OnesInit(Rule):
    """The factors, and the variances, of a normalisation that the source does not have."""

    name: ClassVar[str] = "one, absent in the source"
    citation: ClassVar[str] = "Chen, Goodfellow and Shlens, Net2Net, ICLR 2016"
    axis: int = 0

    def apply(self, values: Tensor, current: Tensor) -> Tensor:
        """Ones."""
        return current.new_ones(current.shape)
