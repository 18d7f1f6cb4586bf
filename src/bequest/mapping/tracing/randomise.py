"""Parameters under which every layer of a network matters, to tell its layers apart by running it.

A fresh network hides most of what it does: branches that end in zeros, scales of a millionth, norms
that are all alike, attention so flat that keys and queries could be swapped. Two implementations of
one function are one function under any parameters, so they are compared under these.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from bequest.mapping.tracing.torch_calls import each_tensor

__all__ = ["randomise_constants", "randomise_parameters"]

GAIN = 1.5  # variance of what a layer gives, for inputs of variance 1


def randomise_parameters(
    tensors: Mapping[str, Tensor], learned: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """The same tensors, learned ones rescaled so that each matters; nothing is written into.

    Of the learned ones (parameters and running statistics) constant tensors are drawn, the others
    scaled.

    Examples
    --------
    >>> ones = {"n.weight": torch.ones(3)}
    >>> found = randomise_parameters(ones, ones)["n.weight"]
    >>> bool(((found >= 0.5) & (found <= 1.5)).all()), len(set(found.tolist()))
    (True, 3)
    """
    generator = torch.Generator().manual_seed(0)
    return {
        name: _rescaled(name, tensor.detach(), generator) if name in learned else tensor
        for name, tensor in tensors.items()
    }


def _rescaled(name: str, tensor: Tensor, generator: torch.Generator) -> Tensor:
    real = tensor.dtype in (torch.float32, torch.float64) and tensor.device.type == "cpu"
    if not real or not tensor.numel():
        return tensor
    low, high = (float(value) for value in torch.aminmax(tensor))
    if not (math.isfinite(low) and math.isfinite(high)):
        return tensor
    if low == high:
        return _drawn(tensor, low, generator) if tensor.numel() > 1 or low == 0 else tensor
    if tensor.ndim < 2 or tensor.numel() == max(tensor.shape):
        return tensor
    size = float(torch.linalg.vector_norm(tensor)) / math.sqrt(tensor.numel())
    wanted = math.sqrt(GAIN / tensor[0].numel())
    return tensor * (wanted / size) if size > 0 else tensor


def _drawn(tensor: Tensor, value: float, generator: torch.Generator) -> Tensor:
    """A constant other than zero is a factor, or a variance; zeros are shifts, or whole layers."""
    if value != 0:
        return (torch.rand(tensor.shape, generator=generator) + 0.5).to(tensor.dtype)
    matrix = tensor.ndim > 1 and tensor.numel() > max(tensor.shape)
    size = math.sqrt(GAIN / tensor[0].numel()) if matrix else 0.3
    return (torch.randn(tensor.shape, generator=generator) * size).to(tensor.dtype)


def randomise_constants(values: object) -> object:
    """An example whose real tensors are not all one number: zeros hide the first layers.

    Examples
    --------
    >>> len(set(randomise_constants(torch.zeros(1, 3))[0].tolist()))
    3
    """
    return each_tensor(values, _varied)


def _varied(values: Tensor) -> Tensor:
    plain = values.is_floating_point() and values.numel() > 1 and values.device.type == "cpu"
    if not plain or not bool((values.detach() == values.detach().flatten()[0]).all()):
        return values
    generator = torch.Generator().manual_seed(0)
    return torch.randn(values.shape, generator=generator).to(values.dtype)
