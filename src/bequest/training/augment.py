"""Augmentations of image batches; N samples, C channels, H and W pixels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["AUGMENTATIONS", "flip", "shift"]


def shift(images: Tensor, generator: torch.Generator) -> Tensor:
    """Move each image by up to an eighth of its side in each direction; the edge is repeated."""
    n, _, height, width = images.shape
    reach = max(1, min(height, width) // 8)
    padded = functional.pad(images, (reach,) * 4, mode="replicate")
    down = torch.randint(0, 2 * reach + 1, (n, 1, 1, 1), generator=generator)
    right = torch.randint(0, 2 * reach + 1, (n, 1, 1, 1), generator=generator)
    rows = (torch.arange(height).view(1, 1, -1, 1) + down).expand(n, padded.shape[1], -1, 1)
    columns = (torch.arange(width).view(1, 1, 1, -1) + right).expand(n, padded.shape[1], 1, -1)
    samples = torch.arange(n).view(-1, 1, 1, 1)
    channels = torch.arange(padded.shape[1]).view(1, -1, 1, 1)
    return padded[samples, channels, rows, columns]


def flip(images: Tensor, generator: torch.Generator) -> Tensor:
    """`shift`, and half of the images mirrored left to right.

    Not for digits and letters: their mirror images are other things.
    """
    mirrored = torch.rand(len(images), 1, 1, 1, generator=generator) < 0.5
    return shift(torch.where(mirrored, images.flip(3), images), generator)


AUGMENTATIONS: Mapping[str, Callable[[Tensor, torch.Generator], Tensor] | None] = MappingProxyType(
    {"none": None, "shift": shift, "flip": flip}
)
