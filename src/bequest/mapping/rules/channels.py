"""Another number of input channels: grey into colour, colour into grey, any k into any m."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from bequest.mapping.rules.rule import Rule

__all__ = ["Channels"]


@final
@dataclass(frozen=True)
class Channels(Rule):
    """The sum over the input channels stays: an input that is equal in all of them gives the same.

    Channel j of m gets that of ``j mod k``, divided by how often it is used; fewer channels get the
    sums of those that fall together.

    Examples
    --------
    >>> Channels(1, 1).apply(torch.tensor([[1.0, 2.0, 3.0]]), torch.zeros(1, 1))
    tensor([[6.]])
    """

    name: ClassVar[str] = "input channels"
    citation: ClassVar[str] = "Wightman, PyTorch image models, 2019 (repeated or summed, rescaled)"
    axis: int
    size: int  # channels of the target

    def apply(self, values: Tensor, current: Tensor) -> Tensor:
        """Spread or gather the channels."""
        there = values.shape[self.axis]
        mix = torch.zeros(self.size, there, dtype=values.dtype, device=values.device)
        if self.size >= there:
            places = torch.arange(self.size) % there
            mix[torch.arange(self.size), places] = 1.0
            mix = mix / mix.sum(dim=0)
        else:
            mix[torch.arange(there) % self.size, torch.arange(there)] = 1.0
        mixed: Tensor = torch.tensordot(mix, values, dims=([1], [self.axis]))
        return mixed.movedim(0, self.axis)
