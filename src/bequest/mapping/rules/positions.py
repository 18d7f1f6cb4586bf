"""Another number of positions: a line or a grid, interpolated."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor
from torch.nn import functional

from bequest.mapping.rules.rule import Rule

__all__ = ["Interpolate1D", "Interpolate2D", "resized_positions"]


@final
@dataclass(frozen=True)
class Interpolate1D(Rule):
    """Positions in a row (text, sound), interpolated linearly between the first and the last.

    Examples
    --------
    >>> Interpolate1D(0, 3).apply(torch.tensor([[0.0], [4.0]]), torch.zeros(3, 1)).tolist()
    [[0.0], [2.0], [4.0]]
    """

    name: ClassVar[str] = "positions, a line"
    citation: ClassVar[str] = "Chen et al., Extending context window, 2023 (interpolation)"
    axis: int
    size: int  # positions of the target

    def apply(self, values: Tensor, current: Tensor) -> Tensor:
        """Interpolate along the axis."""
        moved = values.movedim(self.axis, -1)
        flat = moved.reshape(1, -1, moved.shape[-1])
        longer = functional.interpolate(flat, size=self.size, mode="linear", align_corners=True)
        return longer.reshape(*moved.shape[:-1], self.size).movedim(-1, self.axis)


@final
@dataclass(frozen=True)
class Interpolate2D(Rule):
    """Positions of an image's patches, after `prefix` tokens that have no place in the image.

    Examples
    --------
    >>> table = torch.arange(5.0)[:, None]
    >>> Interpolate2D(0, 10, 1).apply(table, torch.zeros(10, 1)).shape
    torch.Size([10, 1])
    """

    name: ClassVar[str] = "positions, a grid"
    citation: ClassVar[str] = "Dosovitskiy et al., An image is worth 16x16 words, ICLR 2021"
    axis: int
    size: int  # positions of the target, the prefix among them
    prefix: int

    def apply(self, values: Tensor, current: Tensor) -> Tensor:
        """Interpolate the grid, bicubically; copy the prefix."""
        moved = values.movedim(self.axis, 0)
        rest = moved.shape[1:]
        kept, table = moved[: self.prefix], moved[self.prefix :]
        old, new = math.isqrt(len(table)), math.isqrt(self.size - self.prefix)
        grid = table.reshape(old, old, -1).permute(2, 0, 1)[None]
        finer = functional.interpolate(grid, size=(new, new), mode="bicubic", align_corners=False)
        places = finer[0].permute(1, 2, 0).reshape(new * new, *rest)
        return torch.cat([kept, places]).movedim(0, self.axis)


def resized_positions(axis: int, there: int, wanted: int, *, image: bool) -> Rule:
    """A grid where the network sees images and both numbers are squares, with or without one more.

    Examples
    --------
    >>> resized_positions(0, 17, 65, image=True), resized_positions(0, 512, 128, image=False)
    (Interpolate2D(axis=0, size=65, prefix=1), Interpolate1D(axis=0, size=128))
    """
    for prefix in (0, 1, 2) if image else ():
        sides = math.isqrt(max(0, there - prefix)), math.isqrt(max(0, wanted - prefix))
        if sides[0] ** 2 == there - prefix and sides[1] ** 2 == wanted - prefix:
            return Interpolate2D(axis, wanted, prefix)
    return Interpolate1D(axis, wanted)
