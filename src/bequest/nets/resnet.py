"""A small residual convolutional network.

N samples, C channels, H and W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor, nn

__all__ = ["ResNet"]


@final
class ResNet(nn.Module):
    """A stem, one residual stage per width, means over a grid of the pixels, and a head.

    Group normalisation in place of batch normalisation: the few labels of a target make batches
    whose statistics are noise, and there are none to carry over from the source.

    Parameters
    ----------
    channels : int
        C.
    outputs : int
        Width of the head.
    widths : sequence of int
        Channels of each stage, multiples of 8; each stage after the first halves H and W.
    blocks : int
        Residual blocks per stage.
    grid : int
        The last maps are averaged to this many rows and columns: with 1 the features know what is
        in the image, with more also where.
    stem : int
        Stride of the first convolution; 2 makes images of 24 pixels and more affordable.

    References
    ----------
    He et al., Deep Residual Learning for Image Recognition, CVPR 2016; Wu and He, Group
    Normalization, ECCV 2018.

    Examples
    --------
    >>> ResNet(channels=1, outputs=5)(torch.zeros(2, 1, 8, 8)).shape
    torch.Size([2, 5])
    """

    def __init__(
        self,
        channels: int,
        outputs: int,
        widths: Sequence[int] = (16, 32),
        blocks: int = 1,
        grid: int = 4,
        stem: int = 1,
    ) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, widths[0], 3, stride=stem, padding=1, bias=False)
        stages: list[nn.Module] = []
        before = widths[0]
        for place, width in enumerate(widths):
            for block in range(blocks):
                stride = 2 if place and not block else 1
                stages.append(_Block(before, width, stride))
                before = width
        self.stages = nn.Sequential(*stages)
        self.norm = nn.GroupNorm(before // 8, before)
        self.pool = nn.AdaptiveAvgPool2d(grid)
        self.head = nn.Linear(before * grid**2, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Logits or values, shape (N, outputs), of images (N, C, H, W)."""
        maps = torch.relu(self.norm(self.stages(self.stem(x))))
        result: Tensor = self.head(self.pool(maps).flatten(1))
        return result


class _Block(nn.Module):
    """Two convolutions, each after its normalisation, around which the input is carried."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(before // 8, before)
        self.conv1 = nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False)
        self.norm2 = nn.GroupNorm(after // 8, after)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1, bias=False)
        same = stride == 1 and before == after
        self.carry = nn.Identity() if same else nn.Conv2d(before, after, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        ready = torch.relu(self.norm1(x))
        inner = self.conv2(torch.relu(self.norm2(self.conv1(ready))))
        result: Tensor = inner + self.carry(ready)
        return result
