"""A model of ours as one torch module, with what prepares its samples inside.

N samples, C channels or classes, D features, H and W pixels.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Protocol, final, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn import functional

from bequest.core import Model, Trains
from bequest.errors import NotApplicable
from bequest.frameworks.encoders.encoder import Encoder, Scaler
from bequest.frameworks.encoders.pixels import LEVELS, NEAR, Pixels
from bequest.frameworks.torch.device import as_read

if TYPE_CHECKING:
    from bequest.frameworks.torch.model import Network

__all__ = [
    "AverageLayers", "HasLayers", "OwnHead", "PrepareImages", "Trunk", "TrunkOutput",
    "WholeModel", "WholeNetwork", "layers_of", "place_of", "whole_model", "whole_network",
]  # fmt: skip

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


TrunkOutput = tuple[Tensor, Tensor]  # input of the head (N, D), and the network's own output


@runtime_checkable
class HasLayers(Protocol):
    """What a model that torch can compute from the outputs of networks can do."""

    def layers(self, trunks: list[Network]) -> nn.Module:
        """A module from a sequence of `TrunkOutput` to logits (N, C) or values (N,).

        `trunks` are the networks that are run, in the order of that sequence; those that are
        lacking are added to it. `NotApplicable` where torch cannot compute it.
        """


def layers_of(model: Model, trunks: list[Network]) -> nn.Module:
    """The layers of any model; see `HasLayers`."""
    if not isinstance(model, HasLayers):
        raise NotApplicable(f"{model.no_network()}.")
    return model.layers(trunks)


def place_of(network: Model, trunks: list[Network]) -> int:
    """Place of a network among those that are run, which it joins; a shared one is run once."""
    if not isinstance(network, Trains):
        raise NotApplicable(f"{network.no_network()}.")
    for place, other in enumerate(trunks):
        if other.module is network.module and other.encoder == network.encoder:
            return place
    trunks.append(network)  # type: ignore[arg-type]  # no other class of ours trains
    return len(trunks) - 1


@final
class Trunk(nn.Module):
    """A network after the preparation of its samples; gives the input of its head, too."""

    def __init__(self, model: Network) -> None:
        super().__init__()
        self.prepare, self.network = _preparation(model.encoder), copy.deepcopy(model.module)
        self.head = model.head

    def forward(self, samples: Tensor) -> TrunkOutput:
        """Input of the head (N, D), empty where there is no head, and the output."""
        kept: list[Tensor] = []
        hook = self.network.get_submodule(self.head).register_forward_pre_hook(
            lambda _, given: kept.append(given[0])
        )
        try:
            raw = self.network(as_read(self.network, self.prepare(samples)))
        finally:
            hook.remove()
        return kept[-1].float(), raw.float()


@final
class OwnHead(nn.Module):
    """What a network's own head says, as logits of all classes, or values in the task's unit."""

    def __init__(self, place: int, classes: int, target_scale: tuple[float, float]) -> None:
        super().__init__()
        self.place, self.classes, self.target_scale = place, classes, target_scale

    def forward(self, given: Sequence[TrunkOutput]) -> Tensor:
        """Logits (N, C) or values (N,)."""
        raw = given[self.place][1]
        if not self.classes:
            mean, scale = self.target_scale
            single = raw.ndim == 1 or raw.shape[1] == 1
            return raw.reshape(-1) * scale + mean if single else raw
        if raw.ndim == 1 or raw.shape[1] == 1:
            second = raw.reshape(-1, 1)
            return torch.cat([torch.zeros_like(second), second], dim=1)
        return raw


@final
class AverageLayers(nn.Module):
    """The mean of members' probabilities, as logits at a temperature, or of their values."""

    def __init__(self, members: Sequence[nn.Module], classes: int, temperature: float) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.classes, self.temperature = classes, temperature

    def forward(self, given: Sequence[TrunkOutput]) -> Tensor:
        """Logits (N, C) or values (N,)."""
        said = torch.stack([member(given) for member in self.members])
        if not self.classes:
            return said.mean(dim=0)
        return said.log_softmax(dim=2).logsumexp(dim=0) / self.temperature


@final
class WholeModel(nn.Module):
    """Networks that are run once each, and what computes the model's answer from theirs."""

    def __init__(self, model: HasLayers) -> None:
        super().__init__()
        trunks: list[Network] = []
        self.layers = model.layers(trunks)
        self.trunks = nn.ModuleList(map(Trunk, trunks))

    def forward(self, samples: Tensor) -> Tensor:
        """Logits (N, C) or values (N,) of samples."""
        return self.with_features(samples)[0]

    def networks(self) -> Iterator[Trunk]:
        """The networks, in their order."""
        return (trunk for trunk in self.trunks if isinstance(trunk, Trunk))

    def with_features(self, samples: Tensor) -> tuple[Tensor, Tensor]:
        """The answer, and the features (N, D) of the first network."""
        given = [trunk(samples) for trunk in self.trunks]
        answer: Tensor = self.layers(given)
        return answer, given[0][0]


def whole_model(model: HasLayers) -> WholeModel:
    """A copy of the model as one module in evaluation mode."""
    return WholeModel(model).eval()


def _preparation(encoder: Encoder | None) -> nn.Module:
    if isinstance(encoder, Scaler):
        return _Standardise(encoder)
    if isinstance(encoder, Pixels):
        return PrepareImages(encoder)
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
class PrepareImages(nn.Module):
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
        """Encoded images (N, C, H, W)."""
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
