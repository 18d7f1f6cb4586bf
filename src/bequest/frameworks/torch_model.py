"""A torch network as a model.

N samples, C classes, D features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bequest.core import Card, InputSpec, Label, Model, as_inputs
from bequest.errors import ModelError, NotApplicable
from bequest.frameworks.address import network_address
from bequest.frameworks.encoders import Encoder, encoder_from_config, plain_rows
from bequest.frameworks.filled import filled
from bequest.frameworks.folder import spec_from_config, spec_to_config, write_folder
from bequest.frameworks.foreign_network import ForeignNetwork
from bequest.frameworks.graph import build_graph, export_graph
from bequest.frameworks.networks import build
from bequest.frameworks.weights import read_weights, write_weights

if TYPE_CHECKING:
    from bequest.frameworks.adapter import Adapter

__all__ = ["TorchModel", "find_head", "load_torch"]

Array = NDArray[Any]
CHUNK = 1024  # rows per forward pass


@final
class TorchModel(Model):
    """A torch module with what turns samples into its input and its output into predictions.

    Parameters
    ----------
    module : torch.nn.Module
        Takes the encoded samples; gives logits (N, C), one logit (N,) or (N, 1) for two classes,
        or values (N,) or (N, 1).
    spec : InputSpec
        What it takes.
    classes : tuple
        Labels in the order of the logits; empty for regression.
    card : Card
    encoder : Encoder or None
        None: arrays are passed as float32.
    structure : mapping
        ``{"net": name, "config": {...}}`` for a network of ours, ``{"import": "module:Class",
        "config": {...}}`` for another class, or empty: saved as a portable graph.
    head : str
        Name of the last linear layer, whose input the features are; empty where there is none.
    target_scale : (mean, scale)
        Regression: the output is multiplied by `scale` and `mean` is added.
    adapter : Adapter or None
        Where LoRA made the module of a frozen base: that change alone. `save` writes the whole
        network, ``model.adapter.save`` the adapter.
    """

    def __init__(
        self,
        module: nn.Module,
        *,
        spec: InputSpec,
        classes: tuple[Label, ...],
        card: Card,
        encoder: Encoder | None = None,
        structure: Mapping[str, Any] | None = None,
        head: str = "head",
        target_scale: tuple[float, float] = (0.0, 1.0),
        adapter: Adapter | None = None,
    ) -> None:
        self.module = module
        self.spec = spec
        self.classes = classes
        self.card = card
        self.encoder = encoder
        self.head = head
        self.target_scale = target_scale
        self._structure = dict(structure or {})
        self._adapter = adapter

    @property
    def adapter(self) -> Adapter | None:
        """The adapter that is folded into the network, under this model's card."""
        return None if self._adapter is None else self._adapter.with_card(self.card)

    @property
    def structure(self) -> Mapping[str, Any]:
        """How the network is built again: by name, by import path, or as a graph."""
        if isinstance(self.module, ForeignNetwork):
            return self.module.structure
        return self._structure or {"graph": type(self.module).__name__}

    @property
    def predicts(self) -> bool:
        """Whether it has a head with outputs, not features alone."""
        if not isinstance(self.module, ForeignNetwork):
            return True
        return len(self.module.get_parameter(f"{self.head}.weight")) > 0

    def encode(self, X: Any) -> Array:
        """The samples as the module takes them, float32, shape (N, ...)."""
        inputs = as_inputs(X)
        if self.encoder is not None:
            return np.asarray(self.encoder.encode(inputs))
        return plain_rows(inputs)

    def output(self, X: Any) -> Array:
        """Probabilities (N, C) or values (N,), float64."""
        if not self.predicts:
            raise NotApplicable(
                f"{self.name or 'the network'} has no head: it gives features only."
            )
        raw = np.concatenate([part.numpy() for part in self._run(X, None)]).astype(np.float64)
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

    def features(self, X: Any, layer: str | None = None) -> Array:
        """Input of the head, or the output of `layer`, shape (N, D), float32."""
        if layer is None and not self.head:
            raise NotApplicable(f"{self.name or 'this network'} has no last linear layer.")
        parts = self._run(X, layer or self.head)
        if not parts:
            raise NotApplicable(f"{self.name or 'this network'} does not run its layer {layer!r}.")
        if len({part.shape[1:] for part in parts}) > 1:
            raise NotApplicable(f"the layer {layer!r} gives rows of different lengths.")
        return np.concatenate([part.numpy() for part in parts])

    def _run(self, X: Any, layer: str | None) -> list[Tensor]:
        """Forward passes by chunks; of `layer`, the head's input or another layer's output."""
        inputs = as_inputs(X)
        if len(inputs) == 0:
            raise ModelError("there are no rows to predict.")
        kept: list[Tensor] = []
        results: list[Tensor] = []
        hook = self._hook(layer, kept) if layer else None
        training = self.module.training
        chunk = self.module.rows_at_once if isinstance(self.module, ForeignNetwork) else CHUNK
        self.module.eval()
        try:
            with torch.no_grad():
                for start in range(0, len(inputs), chunk):
                    rows = np.arange(start, min(start + chunk, len(inputs)))
                    before = len(kept)
                    results.append(self._forward(self.encode(inputs[rows])))
                    del kept[before:-1]  # a layer that runs twice: its last call counts
        finally:
            self.module.train(training)
            if hook is not None:
                hook.remove()
        return kept if layer else results

    def _forward(self, encoded: Array) -> Tensor:
        device = next((p.device for p in self.module.parameters()), torch.device("cpu"))
        try:
            result: Tensor = self.module(torch.from_numpy(encoded).to(device))
        except (RuntimeError, IndexError, TypeError, ValueError) as error:
            first = str(error).partition("\n")[0]
            raise NotApplicable(
                f"{self.name or 'the network'} cannot read inputs of shape {encoded.shape[1:]}: "
                f"{first}"
            ) from error
        return result.cpu()

    def _hook(self, layer: str, kept: list[Tensor]) -> Any:
        modules = dict(self.module.named_modules())
        if layer not in modules:
            raise NotApplicable(f"{self.name or 'the network'} has no layer {layer!r}.")
        if layer == self.head:
            return modules[layer].register_forward_pre_hook(
                lambda _, args: kept.append(_rows(args[0], layer))
            )
        return modules[layer].register_forward_hook(
            lambda _, args, result: kept.append(_rows(result, layer))
        )

    def parameters(self) -> Mapping[str, Array]:
        """Parameters and buffers by name."""
        return {name: t.detach().cpu().numpy() for name, t in self.module.state_dict().items()}

    def with_card(self, card: Card) -> TorchModel:
        """The same module under another card."""
        return TorchModel(
            self.module,
            spec=self.spec,
            classes=self.classes,
            card=card,
            encoder=self.encoder,
            structure=self._structure,
            head=self.head,
            target_scale=self.target_scale,
            adapter=self._adapter,
        )

    def save(self, folder: str | Path) -> None:
        """Write weights as safetensors beside a config; a foreign class as a portable graph."""
        if isinstance(self.module, ForeignNetwork):
            self.module.write(self, folder)
            return
        structure, tensors = self._portable()
        config = {
            "structure": structure,
            "address": network_address(self.module, self.structure, self.encoder),
            "spec": spec_to_config(self.spec),
            "classes": list(self.classes),
            "encoder": None if self.encoder is None else self.encoder.to_config(),
            "head": self.head,
            "target_scale": list(self.target_scale),
        }
        write_folder(
            folder,
            kind="torch",
            config=config,
            card=self.card,
            write=lambda place: write_weights(place / "model.safetensors", tensors),
        )

    def _portable(self) -> tuple[Mapping[str, Any], Mapping[str, Tensor]]:
        if self._structure and "graph" not in self._structure:
            return self._structure, self.module.state_dict()
        if self.spec.shape is None:
            raise ModelError(
                "to save this network as a graph its input shape must be known: "
                "bequest.wrap(module, example=one_batch)."
            )
        graph, tensors = export_graph(self.module, torch.zeros(2, *self.spec.shape))
        return {"graph": graph}, tensors


def _rows(output: Any, layer: str) -> Tensor:
    """What a layer gave, a row a sample."""
    if not isinstance(output, Tensor) or output.ndim == 0:
        raise NotApplicable(
            f"layer {layer!r} gives a {type(output).__name__}, not one array with a row a "
            "sample: name another layer, such as the one that reads it."
        )
    return output.detach().cpu().reshape(len(output), -1)


def find_head(module: nn.Module, example: Tensor) -> str:
    """Name of the last linear layer to run on `example`; empty where there is none."""
    ran: list[str] = []
    hooks = [
        part.register_forward_hook(lambda *_, name=name: ran.append(name))
        for name, part in module.named_modules()
        if isinstance(part, nn.Linear)
    ]
    training = module.training
    module.eval()
    try:
        with torch.no_grad():
            module(example)
    finally:
        module.train(training)
        for hook in hooks:
            hook.remove()
    return ran[-1] if ran else ""


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
    )


def _built(
    structure: Mapping[str, Any], weights: Mapping[str, Tensor], modules: Sequence[type]
) -> nn.Module:
    if "graph" in structure:
        graph: nn.Module = build_graph(structure["graph"], dict(weights))
        return graph
    if "net" in structure:
        return filled(lambda: build(structure["net"], structure["config"]), weights)
    kind = _own_class(structure["import"], modules)
    return filled(lambda: kind(**structure["config"]), weights, own=True)


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
        second = 1.0 / (1.0 + np.exp(-np.clip(raw.reshape(len(raw)), -500, 500)))
        return np.stack([1.0 - second, second], axis=1)
    if raw.shape[1] != classes:
        raise ModelError(
            f"the network gives {raw.shape[1]} numbers a row, the model names {classes} classes."
        )
    shifted = np.exp(raw - raw.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))
