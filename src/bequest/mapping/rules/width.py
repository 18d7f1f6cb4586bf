"""More or fewer units of a layer: repeated or selected.

Unit j of the target is unit ``j mod n`` of the source's n. As the rule depends on the two sizes
alone, whatever reads the units, in any layer and through any residual sum, finds them in one order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from bequest.mapping.rules.rule import Rule

__all__ = ["Repeat", "RepeatParts", "Select", "SplitWeight"]


@final
@dataclass(frozen=True)
class Repeat(Rule):
    """More units: those of the source, then again from the first.

    Examples
    --------
    >>> Repeat(0, 5).apply(torch.tensor([1.0, 2.0]), torch.zeros(5))
    tensor([1., 2., 1., 2., 1.])
    """

    name: ClassVar[str] = "repeat"
    citation: ClassVar[str] = "Chen, Goodfellow and Shlens, Net2Net, ICLR 2016"
    exact: ClassVar[bool] = True
    axis: int
    size: int  # units of the target

    def apply(self, values: Tensor, current: Tensor) -> Tensor:
        """Take unit ``j mod n`` for each j."""
        places = torch.arange(self.size, device=values.device) % values.shape[self.axis]
        return values.index_select(self.axis, places)


@final
@dataclass(frozen=True)
class RepeatParts(Rule):
    """Several layers in one tensor (q, k and v; gate and up): each repeated, or cut, by itself.

    Examples
    --------
    >>> rule = RepeatParts(0, (2, 1), (4, 2))
    >>> rule.apply(torch.tensor([1.0, 2.0, 9.0]), torch.zeros(6))
    tensor([1., 2., 1., 2., 9., 9.])
    """

    name: ClassVar[str] = "repeat, by part"
    citation: ClassVar[str] = "Wang et al., LEMON: Lossless model expansion, ICLR 2024"
    exact: ClassVar[bool] = True
    axis: int
    sizes: tuple[int, ...]  # of the source's parts
    wanted: tuple[int, ...]  # of the target's

    def apply(self, values: Tensor, current: Tensor) -> Tensor:
        """Unit ``j mod n`` of each part."""
        starts = [sum(self.sizes[:part]) for part in range(len(self.sizes))]
        places = [
            start + torch.arange(many, device=values.device) % few
            for start, few, many in zip(starts, self.sizes, self.wanted, strict=True)
        ]
        return values.index_select(self.axis, torch.cat(places))


@final
@dataclass(frozen=True)
class SplitWeight(Rule):
    """More inputs, repeated: the copies of one input share its weight, so that the sum stays.

    The copies get 1, 2, 3 ... parts of it: with equal parts their gradients would be equal, and
    the repeated units would stay copies for ever.

    Examples
    --------
    >>> SplitWeight(0, 4).apply(torch.tensor([3.0, 6.0]), torch.zeros(4))
    tensor([1., 2., 2., 4.])
    """

    name: ClassVar[str] = "repeat, shared"
    citation: ClassVar[str] = (
        "Chen, Goodfellow and Shlens, Net2Net, ICLR 2016; unequal parts: Wang et al., LEMON, "
        "ICLR 2024"
    )
    axis: int
    size: int  # inputs of the target

    def apply(self, values: Tensor, current: Tensor) -> Tensor:
        """Repeat, each copy weighted by its part."""
        there = values.shape[self.axis]
        places = torch.arange(self.size, device=values.device)
        turn, origin = places // there, places % there
        copies = torch.bincount(origin, minlength=there)[origin]
        parts = (turn + 1) / (copies * (copies + 1) / 2)
        shape = [1] * values.ndim
        shape[self.axis] = self.size
        return values.index_select(self.axis, origin) * parts.to(values.dtype).reshape(shape)


@final
@dataclass(frozen=True)
class Select(Rule):
    """Fewer units: the first ones of the source.

    Examples
    --------
    >>> Select(0, 2).apply(torch.tensor([1.0, 2.0, 3.0]), torch.zeros(2))
    tensor([1., 2.])
    """

    name: ClassVar[str] = "select"
    citation: ClassVar[str] = "Xu et al., Initializing models with larger ones, ICLR 2024"
    exact: ClassVar[bool] = True
    axis: int
    size: int  # units of the target

    def apply(self, values: Tensor, current: Tensor) -> Tensor:
        """Take the first units."""
        return values.narrow(self.axis, 0, self.size)
