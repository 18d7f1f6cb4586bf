"""The same values in another order inside one tensor: parts, heads, gates, pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from bequest.mapping.rules.rule import Rule

__all__ = ["Blocks", "ChannelOrder", "QKVInterleaved", "Rotary", "Transposed", "ZerosInit", "split"]


@final
@dataclass(frozen=True)
class Blocks(Rule):
    """Equal blocks of rows in another order: the gates of an LSTM, q, k and v.

    Examples
    --------
    >>> Blocks(0, (1, 0)).apply(torch.tensor([1, 2, 3, 4]), torch.zeros(4))
    tensor([3, 4, 1, 2])
    """

    name: ClassVar[str] = "blocks reordered"
    exact: ClassVar[bool] = True
    axis: int
    order: tuple[int, ...]  # block j of the target is block order[j] of the source

    def apply(self, values: Tensor, current: Tensor) -> Tensor:
        """Move the blocks."""
        blocks = split(values, self.axis, (len(self.order), -1))
        taken = [blocks.select(self.axis, place) for place in self.order]
        return torch.cat(taken, dim=self.axis)


@final
@dataclass(frozen=True)
class QKVInterleaved(Rule):
    """Rows ordered head by head, each with its q, k and v, into all q, all k, all v; or back.

    Examples
    --------
    >>> QKVInterleaved(0, 2, 3, back=False).apply(torch.arange(6), torch.zeros(6))
    tensor([0, 3, 1, 4, 2, 5])
    """

    name: ClassVar[str] = "heads interleaved"
    citation: ClassVar[str] = "Black et al., GPT-NeoX-20B, 2022 (its layout)"
    exact: ClassVar[bool] = True
    axis: int
    heads: int
    parts: int  # 3 for q, k, v
    back: bool  # from all q, all k, all v into head by head

    def apply(self, values: Tensor, current: Tensor) -> Tensor:
        """Swap the two orders."""
        first = (self.parts, self.heads) if self.back else (self.heads, self.parts)
        return _swapped(values, self.axis, (*first, -1), 0)


@final
@dataclass(frozen=True)
class Rotary(Rule):
    """The rows of each head, from neighbouring pairs to halves or back, as rotations pair them.

    Examples
    --------
    >>> Rotary(0, 1, back=False).apply(torch.arange(4), torch.zeros(4))
    tensor([0, 2, 1, 3])
    """

    name: ClassVar[str] = "rotary pairs"
    citation: ClassVar[str] = "Su et al., RoFormer, 2021; halves: the LLaMA conversion, 2023"
    exact: ClassVar[bool] = True
    axis: int
    heads: int
    back: bool  # from halves into neighbouring pairs

    def apply(self, values: Tensor, current: Tensor) -> Tensor:
        """Swap the two orders inside each head."""
        width = values.shape[self.axis] // self.heads
        inner = (2, width // 2) if self.back else (width // 2, 2)
        return _swapped(values, self.axis, (self.heads, *inner), 1)


@final
@dataclass(frozen=True)
class ChannelOrder(Rule):
    """Inputs ordered pixel by pixel, each with its channels, into channel by channel; or back."""

    name: ClassVar[str] = "pixels reordered"
    exact: ClassVar[bool] = True
    axis: int
    channels: int
    back: bool  # from channel by channel into pixel by pixel

    def apply(self, values: Tensor, current: Tensor) -> Tensor:
        """Swap channels and pixels."""
        shape = (self.channels, -1) if self.back else (-1, self.channels)
        return _swapped(values, self.axis, shape, 0)


@final
@dataclass(frozen=True)
class Transposed(Rule):
    """A square matrix that is used the other way round, which shapes do not show."""

    name: ClassVar[str] = "transpose"
    exact: ClassVar[bool] = True
    axis: int = 0

    def apply(self, values: Tensor, current: Tensor) -> Tensor:
        """Swap the first two axes."""
        return values.transpose(0, 1)


@final
@dataclass(frozen=True)
class ZerosInit(Rule):
    """The source has no such term: adding zero is what it does."""

    name: ClassVar[str] = "zero, absent in the source"
    axis: int = 0

    def apply(self, values: Tensor, current: Tensor) -> Tensor:
        """Zeros."""
        return current.new_zeros(current.shape)


def split(values: Tensor, axis: int, sizes: tuple[int, ...]) -> Tensor:
    """One axis as several; one of the sizes may be -1."""
    return values.reshape(*values.shape[:axis], *sizes, *values.shape[axis + 1 :])


def _swapped(values: Tensor, axis: int, sizes: tuple[int, ...], place: int) -> Tensor:
    """One axis as several, of which the one at `place` and the next change places, then as one."""
    turned = split(values, axis, sizes).transpose(axis + place, axis + place + 1)
    return turned.flatten(axis, axis + len(sizes) - 1)
