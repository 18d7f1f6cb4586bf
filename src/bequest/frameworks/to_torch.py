"""A model of ours as one torch module, with what prepares its samples inside.

N samples, C channels, H and W pixels.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, final

import torch
from torch import Tensor, nn
from torch.nn import functional

from bequest.errors import NotApplicable
from bequest.frameworks.device import as_read
from bequest.frameworks.encoders import Encoder, Scaler
from bequest.frameworks.huggingface_images import LEVELS, NEAR, Pixels

if TYPE_CHECKING:
    from bequest.frameworks.torch_model import Network

__all__ = ["WholeNetwork", "whole_network"]

FILTERS = ("bilinear", "bicubic")  # of Pillow's six, those that torch has


@final
class WholeNetwork(nn.Module):
    """A network between the preparation of its samples and the unit of its values.

    Parameters
    ----------
    prepare : torch.nn.Module
        Samples to the network's inputs.
    network : torch.nn.Module
    target_scale : (mean, scale) or None
        Of a regression's values; None leaves what the network gives.
    """

    def __init__(
        self, prepare: nn.Module, network: nn.Module, target_scale: tuple[float, float] | None
    ) -> None:
        super().__init__()
        self.prepare, self.network, self.target_scale = prepare, network, target_scale

    def forward(self, samples: Tensor) -> Tensor:
        """Logits, values or features of samples, a row for each."""
        output: Tensor = self.network(as_read(self.network, self.prepare(samples)))
        if self.target_scale is None or (output.ndim == 2 and output.shape[1] > 1):
            return output  # no regression: features, or outputs that have no names
        mean, scale = self.target_scale
        return output.float().reshape(-1) * scale + mean


def whole_network(model: Network) -> WholeNetwork:
    """A copy of the model's network with its preparation; without outputs it gives features."""
    network = copy.deepcopy(model.module)
    regression = not model.classes
    if regression and not len(network.get_parameter(f"{model.head}.weight")):
        parent, _, name = model.head.rpartition(".")
        setattr(network.get_submodule(parent), name, nn.Identity())
        regression = False
    scale = model.target_scale if regression else None
    return WholeNetwork(_preparation(model.encoder), network, scale).eval()


def _preparation(encoder: Encoder | None) -> nn.Module:
    if isinstance(encoder, Scaler):
        return _Standardise(encoder)
    if isinstance(encoder, Pixels):
        return _PrepareImages(encoder)
    return nn.Identity()  # the module takes what the encoder gives


@final
class _Standardise(nn.Module):
    """What `Scaler` does."""

    mean: Tensor
    scale: Tensor
    limit: Tensor

    def __init__(self, scaler: Scaler) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(scaler.mean))
        self.register_buffer("scale", torch.tensor(scaler.scale))
        self.register_buffer("limit", torch.tensor(scaler.limit or [torch.inf] * len(scaler.mean)))

    def forward(self, samples: Tensor) -> Tensor:
        shape = (1, -1) + (1,) * (samples.ndim - 2)
        mean, scale, limit = (part.reshape(shape) for part in (self.mean, self.scale, self.limit))
        return ((samples - mean) / scale).clamp(-limit, limit)


@final
class _PrepareImages(nn.Module):
    """What `Pixels` does, resized by torch."""

    mean: Tensor
    scale: Tensor

    def __init__(self, pixels: Pixels) -> None:
        super().__init__()
        if pixels.resize is not None and pixels.resampling not in FILTERS:
            raise NotApplicable(
                f"images are resized by Pillow's filter {pixels.resampling}, which torch lacks."
            )
        self.pixels = pixels
        self.register_buffer("mean", torch.tensor(pixels.mean).reshape(-1, 1, 1))
        self.register_buffer("scale", torch.tensor(pixels.scale).reshape(-1, 1, 1))

    def forward(self, samples: Tensor) -> Tensor:
        sized = self._cut(self._resized(samples))
        sized = sized.flip(1) if self.pixels.backwards else sized
        encoded = (sized - self.mean) / self.scale
        return encoded.expand(-1, self.pixels.channels, -1, -1)

    def _resized(self, samples: Tensor) -> Tensor:
        size = self.pixels.sizes(samples.shape[2], samples.shape[3])
        if size == tuple(samples.shape[2:]):
            return samples
        resize = partial(
            functional.interpolate, size=size, mode=self.pixels.resampling, antialias=True
        )
        return torch.stack([_as_levels(image, resize) for image in samples])

    def _cut(self, samples: Tensor) -> Tensor:
        for axis, kept in zip((2, 3), self.pixels.crop or (), strict=False):
            before, after, start = self.pixels.margins(samples.shape[axis], kept)
            sides = (before, after) if axis == 3 else (0, 0, before, after)
            samples = functional.pad(samples, sides).narrow(axis, start, kept)
        return samples


def _as_levels(image: Tensor, resize: Callable[[Tensor], Tensor]) -> Tensor:
    """One image (C, H, W) resized; a photo of 256 levels is rounded to such levels."""
    scaled = image * LEVELS
    whole = bool((scaled - scaled.round()).abs().max() < NEAR)
    photo = whole and bool(image.min() >= 0) and bool(image.max() <= 1)
    low, high = min(0.0, float(image.min())), max(1.0, float(image.max()))
    sized = resize(image[None])[0].clamp(low, high)
    return (sized * LEVELS).round() / LEVELS if photo else sized
