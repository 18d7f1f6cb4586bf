"""Inputs derived from a network's layers, to see it run where no example is given."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

__all__ = ["dummy_inputs"]

SIDES = (32, 64, 224, 28, 16, 96, 128, 8)  # pixels, the likeliest first
STEPS = 8  # tokens, or points in time
SPECIAL = 6  # the first tokens of a vocabulary mean padding, start, end
MOST = 40  # inputs tried for one network


def dummy_inputs(module: nn.Module) -> Iterator[Any]:
    """Inputs that a network of this kind may take, the likeliest first.

    Examples
    --------
    >>> next(dummy_inputs(nn.Sequential(nn.Flatten(), nn.Linear(5, 2)))).shape
    torch.Size([2, 5])
    """
    for count, guess in enumerate(_guesses(module)):
        if count == MOST:
            return
        yield guess


def _guesses(module: nn.Module) -> Iterator[Any]:
    parts = list(module.modules())
    convolutions = sorted({p.in_channels for p in parts if isinstance(p, nn.Conv2d)})
    tables = [p for p in parts if isinstance(p, nn.Embedding)]
    if tables and not convolutions:
        yield from _ids(max(p.num_embeddings for p in tables))
    for channels in [c for c in (3, 1) if c in convolutions] or convolutions[:2]:
        for side in dict.fromkeys((*_sides(module), *SIDES)):
            yield _random(2, channels, side, side)
    for channels in sorted({p.in_channels for p in parts if isinstance(p, nn.Conv1d)})[:3]:
        yield _random(2, channels, 64)
    for size in dict.fromkeys(p.input_size for p in parts if isinstance(p, nn.RNNBase)):
        yield _random(2, STEPS, size)
    widths = list(dict.fromkeys(p.in_features for p in parts if isinstance(p, nn.Linear)))
    for width in widths[:4]:
        yield _random(2, width)
    for width in widths[:4]:
        yield _random(2, STEPS, width)
        yield from _images(module, width)
    if not tables:
        rows = [p.shape[0] for p in module.parameters() if p.ndim == 2]
        if rows and not convolutions:
            yield from _ids(max(rows))


def _ids(rows: int) -> Iterator[Any]:
    first = SPECIAL if rows > 2 * SPECIAL else 0
    ids = first + torch.arange(2 * STEPS).reshape(2, STEPS) % max(1, rows - first)
    yield ids
    yield ids, ids.flip(1)  # two inputs that differ, so that none can stand for the other


def _sides(module: nn.Module) -> Iterator[int]:
    """Sides that a configuration names, or that fit a position table's length."""
    named = getattr(getattr(module, "config", None), "image_size", None)
    if isinstance(named, int):
        yield named
    patches = [p.kernel_size[0] for p in module.modules() if isinstance(p, nn.Conv2d)]
    yield from (side * int(patches[0]) for side in (_grids(module) if patches else ()))


def _grids(module: nn.Module) -> Iterator[int]:
    """Sides of the square grids whose places a table may hold, with or without one more."""
    for tensor in module.parameters():
        if tensor.ndim in (2, 3):
            for length in (tensor.shape[-2], tensor.shape[-2] - 1):
                side = math.isqrt(max(0, length))
                if side > 1 and side * side == length:
                    yield side


def _images(module: nn.Module, features: int) -> Iterator[Any]:
    """Images that a first linear layer sees whole, or cut into patches."""
    for channels in (3, 1):
        patch = math.isqrt(features // channels)
        if patch < 2 or channels * patch * patch != features:
            continue
        yield _random(2, channels, patch, patch)
        for count in sorted({side for side in _grids(module) if side <= 32}):
            yield _random(2, channels, patch * count, patch * count)


def _random(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))
