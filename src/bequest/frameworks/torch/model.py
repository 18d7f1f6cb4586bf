"""A torch network as a model.

N samples, C classes, D features.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit, softmax
from torch import Tensor, nn

from bequest.core import Card, InputSpec, Label, Model, as_inputs, fingerprint
from bequest.core.feature_cache import cached
from bequest.errors import ModelError, NotApplicable
from bequest.frameworks.encoders.columns import Columns
from bequest.frameworks.encoders.encoder import Encoder, encoder_from_config, plain_rows
from bequest.frameworks.encoders.pixels import Pixels
from bequest.frameworks.files.folder import spec_from_config, write_folder
from bequest.frameworks.files.original_folder import OriginalFiles, save_original
from bequest.frameworks.files.weights import read_weights, write_weights
from bequest.frameworks.portable.graph import build_graph, export_graph
from bequest.frameworks.portable.to_onnx import export_onnx
from bequest.frameworks.portable.to_torch import OwnHead, place_of, whole_network
from bequest.frameworks.torch.content_hash import network_hash
from bequest.frameworks.torch.device import (
    AUTO,
    as_read,
    check_precision,
    known_device,
    running_from_config,
    running_to_config,
)
from bequest.frameworks.torch.forward import forward
from bequest.frameworks.torch.load_checked import load_checked
from bequest.frameworks.torch.networks import build

if TYPE_CHECKING:
    from bequest.frameworks.torch.adapter import Adapter

__all__ = ["ForeignNetwork", "Network", "TorchFeatures", "TorchModel", "load_torch"]

Array = NDArray[Any]


class ForeignNetwork(nn.Module, ABC):
    """A network of another library, built and written in its own way; its model asks it how."""

    @property
    @abstractmethod
    def structure(self) -> Mapping[str, Any]:
        """The architecture as plain values, ready for JSON."""

    @abstractmethod
    def write(self, model: Network, folder: str | Path) -> None:
        """Write the model folder of `model`, whose module this is."""


def _check(self: Network) -> None:
    """Check the batch size, and settle how the network is built again."""
    size = self.batch_size
    if size is not None and (type(size) is not int or size < 1):
        raise ModelError(f"batch_size is a whole number from 1 on, or None, not {size!r}.")
    check_precision(self.dtype)
    if self.device != AUTO:
        known_device(self.device)
    own = self.module.structure if isinstance(self.module, ForeignNetwork) else self.structure
    structure = dict(own or {"graph": type(self.module).__name__})
    object.__setattr__(self, "structure", structure)


def _encode(self: Network, X: Any) -> Array:
    """The samples as the module takes them, float32, shape (N, ...); tokens of texts int64."""
    inputs = as_inputs(X)
    if self.encoder is None:
        return plain_rows(inputs)
    encoded = np.asarray(self.encoder.encode(inputs))
    return encoded.astype(np.float32) if encoded.dtype == np.float64 else encoded


def _raw(self: Network, X: Any, layer: str = "") -> Array:
    """What the module, or one of its layers, gives for each sample.

    One pass gives the output and the input of the head, where that has a row a sample: whoever
    asks for one asks for the other too.
    """
    title = self.name or "the network"
    run = partial(forward, self.module, self.encode, head=self.head, title=title)
    run = partial(run, batch_size=self.batch_size, device=self.device, dtype=self.dtype)
    how = f"{self.preprocessing} {self.device} {self.dtype}"
    inputs = as_inputs(X)
    if self.head and layer in ("", self.head):
        try:
            both = cached(self.module, f"both:{how}", inputs, partial(run, both=True))
        except NotApplicable:
            pass  # asked for alone, it may do
        else:
            width = self.module.get_parameter(f"{self.head}.weight").shape[1]
            return both[:, :width] if layer else both[:, width:]
    return cached(self.module, f"{layer}:{how}", inputs, partial(run, layer=layer))


def _features(self: Network, X: Any, layer: str | None = None) -> Array:
    """Input of the head, or the output of `layer`, shape (N, D), float32."""
    if not (layer or self.head):
        raise NotApplicable(f"{self.name or 'this network'} has no last linear layer.")
    return _raw(self, X, layer or self.head)


def _parameters(self: Network) -> Mapping[str, Array]:
    """Parameters and buffers by name."""
    tensors = {name: t.detach().cpu() for name, t in self.module.state_dict().items()}
    # numpy has no bfloat16
    plain = {n: t.float() if t.dtype is torch.bfloat16 else t for n, t in tensors.items()}
    return {name: tensor.numpy() for name, tensor in plain.items()}


def _preprocessing(self: Network) -> str:
    """What tells one encoder from another."""
    return fingerprint("" if self.encoder is None else json.dumps(self.encoder.to_config()))


def _to_torch(self: Network) -> nn.Module:
    """The network as one module with what prepares its samples; see `bequest.core.Model`."""
    return whole_network(self)


def _layers(self: Network, trunks: list[Network]) -> nn.Module:
    """Its own head's answer; see `bequest.frameworks.portable.to_torch.HasLayers`."""
    return OwnHead(place_of(self, trunks), len(self.classes), self.target_scale)


def _to_onnx(self: Network, path: str | Path) -> None:
    """The network as one ONNX file; see `bequest.core.Model`."""
    export_onnx(self, path)


def _parts(self: Network) -> tuple[object, ...]:
    """The module."""
    return (self.module,)


def _retrained(
    self: Network,
    module: nn.Module,
    *,
    classes: tuple[Label, ...],
    target_scale: tuple[float, float],
    structure: Mapping[str, Any] | None = None,
    head: str | None = None,
) -> TorchModel:
    """The model of a trained copy of the module; see `bequest.core.Trains`."""
    head = self.head if head is None else head
    if structure is None:
        before = len(self.module.get_parameter(f"{self.head}.weight"))
        after = len(module.get_parameter(f"{head}.weight"))
        structure = dict(self.structure)
        if "net" in structure:
            structure["config"] = {**structure["config"], "outputs": after}
        elif before != after:
            structure = {}
    return TorchModel(
        module,
        spec=self.spec,
        classes=classes,
        card=self.card,
        encoder=self.encoder,
        structure=structure,
        head=head,
        target_scale=target_scale,
        batch_size=self.batch_size,
        device=self.device,
        dtype=self.dtype,
    )


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class TorchModel(Model):
    """A torch module with what turns samples into its input and its output into predictions.

    Parameters
    ----------
    module : torch.nn.Module
        Takes the encoded samples; gives logits (N, C), one logit (N,) or (N, 1) for two classes,
        or values (N,) or (N, 1). Is left as it is.
    spec : InputSpec
        What it takes.
    classes : tuple
        Labels in the order of the logits; empty for regression.
    card : Card
    encoder : Encoder or None
        None: arrays are passed as float32.
    structure : mapping
        ``{"net": name, "config": {...}}`` for a network of ours, ``{"import": "module:Class",
        "config": {...}}`` for another class. Default: saved as a portable graph.
    head : str
        Name of the last linear layer, whose input the features are; empty where there is none.
    target_scale : (mean, scale)
        Regression: the output is multiplied by `scale` and `mean` is added.
    adapter : Adapter or None
        Where LoRA made the module of a frozen base: that change alone, under this model's card.
        `save` writes the whole network, ``model.adapter.save`` the adapter.
    batch_size : int or None
        The most rows in one forward pass; None: as many as keep the activations below 16 MB
        on a CPU and 256 MB on an accelerator, 1,024 at most, measured on the first rows.
    device : str
        "auto", or the name of a torch device that it runs and trains on.
    dtype : {"float32", "bfloat16", "float16"} or None
        What matrix products of a prediction are computed in; None: in the half precision of the
        module's parameters where they have one, else in bfloat16 on a CUDA device that has it and
        float32 elsewhere.
    origin : OriginalFiles or None
        The files that it was loaded from, where another library wrote them; `save` keeps them.
    """

    module: nn.Module = field(kw_only=False)
    spec: InputSpec
    classes: tuple[Label, ...]
    card: Card
    encoder: Encoder | None = None
    structure: Mapping[str, Any] = None  # type: ignore[assignment]  # set below
    head: str = "head"
    target_scale: tuple[float, float] = (0.0, 1.0)
    adapter: Adapter | None = None
    batch_size: int | None = None
    device: str = AUTO
    dtype: str | None = None
    origin: OriginalFiles | None = None

    def __post_init__(self) -> None:
        _check(self)
        if self.adapter is not None and self.adapter.card is not self.card:
            object.__setattr__(self, "adapter", self.adapter.with_card(self.card))

    def output(self, X: Any) -> Array:
        """Probabilities (N, C) or values (N,), float64."""
        raw = _raw(self, X).astype(np.float64)
        if not np.isfinite(raw).all():
            raise ModelError(f"{self.name or 'the model'} gives numbers that are not finite.")
        if not self.classes:
            if raw.size != len(raw):
                raise ModelError(
                    f"{self.name or 'the network'} gives {raw.size // len(raw)} numbers a row and "
                    "no classes are named: bequest.wrap(module, classes=[...])."
                )
            mean, scale = self.target_scale
            return np.asarray(raw.reshape(len(raw)) * scale + mean)
        return _probabilities(raw, len(self.classes))

    encode, features, parameters, parts = _encode, _features, _parameters, _parts
    retrained, preprocessing = _retrained, cached_property(_preprocessing)
    layers, to_torch, to_onnx = _layers, _to_torch, _to_onnx

    def save(self, folder: str | Path) -> None:
        """Write weights as safetensors beside a config; a foreign class as a portable graph.

        Of a folder that came from elsewhere, every file is written as it was, ours beside them.
        """
        if self.origin is not None and save_original(self, folder):
            return
        if isinstance(self.module, ForeignNetwork):
            self.module.write(self, folder)
            return
        structure, tensors = self._portable()
        config = {
            "structure": structure,
            "address": network_hash(self.module, self.structure, self.encoder),
            "spec": asdict(self.spec),
            "classes": list(self.classes),
            "encoder": None if self.encoder is None else self.encoder.to_config(),
            "head": self.head,
            "target_scale": list(self.target_scale),
            **running_to_config(self),
        }
        write_folder(
            folder,
            kind="torch",
            config=config,
            card=self.card,
            write=lambda place: write_weights(place / "model.safetensors", tensors),
        )

    def _portable(self) -> tuple[Mapping[str, Any], Mapping[str, Tensor]]:
        if "graph" not in self.structure:
            return self.structure, self.module.state_dict()
        example = self._example()
        if example is None:
            raise ModelError(
                "to save this network as a graph its input shape must be known: "
                "bequest.wrap(module, example=one_batch)."
            )
        graph, tensors = export_graph(self.module, as_read(self.module, example))
        return {"graph": graph}, tensors

    def _example(self) -> Tensor | None:
        """Two samples as the module reads them; None where their shape is not known."""
        shape = self.spec.shape
        if shape is None and isinstance(self.encoder, Pixels):
            shape = self.encoder.read_shape
        if shape is None and isinstance(self.encoder, Columns):
            shape = (len(self.encoder.names),)
        if shape is None:
            return None
        zeros = np.zeros((2, *shape), dtype=np.float32)
        pixels = isinstance(self.encoder, Pixels)
        return torch.from_numpy(self.encode(zeros) if pixels else zeros)


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class TorchFeatures(Model):
    """A network whose head has no outputs yet: it gives features, and predicts once it is tuned.

    Parameters
    ----------
    module : ForeignNetwork
        Its head has a weight (0, D). Is left as it is.
    spec, card, encoder, head, batch_size, device, dtype, origin
        As in `TorchModel`.
    """

    module: ForeignNetwork = field(kw_only=False)
    spec: InputSpec
    card: Card
    encoder: Encoder | None = None
    head: str = "head"
    batch_size: int | None = None
    device: str = AUTO
    dtype: str | None = None
    origin: OriginalFiles | None = None
    structure: Mapping[str, Any] = field(init=False, default=None)  # type: ignore[arg-type]
    classes: tuple[Label, ...] = field(init=False, default=())
    target_scale: tuple[float, float] = field(init=False, default=(0.0, 1.0))

    def __post_init__(self) -> None:
        _check(self)

    encode, features, parameters, parts = _encode, _features, _parameters, _parts
    retrained, preprocessing = _retrained, cached_property(_preprocessing)
    layers, to_torch, to_onnx = _layers, _to_torch, _to_onnx

    def save(self, folder: str | Path) -> None:
        """Write the folder that it was loaded from, else one in the network's own way."""
        if self.origin is None or not save_original(self, folder):
            self.module.write(self, folder)


Network = TorchModel | TorchFeatures


def load_torch(
    folder: Path, config: Mapping[str, Any], card: Card, modules: Sequence[type] = ()
) -> TorchModel:
    """Build the network that `config` describes and fill it with the folder's weights."""
    weights = read_weights(folder / "model.safetensors")
    structure = config["structure"]
    module = _built(structure, weights, modules)
    return TorchModel(
        module.eval(),
        spec=spec_from_config(config["spec"]),
        classes=tuple(config["classes"]),
        card=card,
        encoder=encoder_from_config(config["encoder"]),
        structure=structure,
        head=config["head"],
        target_scale=tuple(config["target_scale"]),
        **running_from_config(config, card.name),
    )


def _built(
    structure: Mapping[str, Any], weights: Mapping[str, Tensor], modules: Sequence[type]
) -> nn.Module:
    if "graph" in structure:
        graph: nn.Module = build_graph(structure["graph"], dict(weights))
        return graph
    if "net" in structure:
        return load_checked(lambda: build(structure["net"], structure["config"]), weights)
    kind = _own_class(structure["import"], modules)
    return load_checked(lambda: kind(**structure["config"]), weights, own=True)


def _own_class(path: str, modules: Sequence[type]) -> type[nn.Module]:
    for candidate in modules:
        if f"{candidate.__module__}:{candidate.__qualname__}" == path:
            return candidate
    name = path.rpartition(":")[2]
    raise ModelError(
        f"this model's network is of your own class {path}, which bequest does not import for you: "
        f"bequest.load(folder, modules=[{name}])."
    )


def _probabilities(raw: Array, classes: int) -> Array:
    if raw.ndim == 1 or raw.shape[1] == 1:
        if classes != 2:
            raise ModelError(
                f"the network gives one number a row, which fits no {classes} classes."
            )
        second = expit(raw.reshape(len(raw)))
        return np.stack([1.0 - second, second], axis=1)
    if raw.shape[1] != classes:
        raise ModelError(
            f"the network gives {raw.shape[1]} numbers a row, the model names {classes} classes."
        )
    return np.asarray(softmax(raw, axis=1))
