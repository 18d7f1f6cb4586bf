"""An adapter: the low-rank change and the new head that make another model of a frozen base.

r is the rank; a weight has `out` rows and `in` columns, those of a convolution with their kernel.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, cast, final

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bequest.core import Card, InputSpec, Label, Model, Trains
from bequest.errors import ModelError
from bequest.frameworks.files.folder import write_folder
from bequest.frameworks.files.weights import read_weights, write_weights
from bequest.frameworks.torch.content_hash import answers, network_hash, question, same_answers
from bequest.frameworks.torch.model import TorchModel

__all__ = ["AdaptedWeight", "Adapter", "load_adapter"]

Array = NDArray[Any]
FILE = "adapter.safetensors"


@final
@dataclass(frozen=True)
class AdaptedWeight:
    """One weight of the base that an adapter changes.

    Parameters
    ----------
    name : str
        The parameter's path: ``"body.0.weight"``.
    shape : tuple of int
        ``(out, in)``, ``(out, in, *kernel)``, or ``(in, out)`` where `transposed`.
    transposed : bool
        As in Hugging Face's ``Conv1D``, which GPT-2 is made of.
    """

    name: str
    shape: tuple[int, ...]
    transposed: bool = False

    def factors(self, rank: int) -> dict[str, tuple[int, ...]]:
        """Shapes of the two factors by the name under which they are stored.

        Examples
        --------
        >>> AdaptedWeight("conv.weight", (8, 3, 5, 5)).factors(rank=2)
        {'conv.weight.lora_A': (2, 3, 5, 5), 'conv.weight.lora_B': (8, 2, 1, 1)}
        """
        rows, columns, *kernel = self.shape[::-1] if self.transposed else self.shape
        return {
            f"{self.name}.lora_A": (rank, columns, *kernel),
            f"{self.name}.lora_B": (rows, rank, *(1 for _ in kernel)),
        }


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Adapter(Model):
    """A frozen network's low-rank change ``W + alpha / r * B A`` and its new head, by themselves.

    It predicts as the network with the change folded in, and is saved without that network: its
    folder names the base by content address and loads with ``bequest.load(folder, base=model)``.

    Parameters
    ----------
    base : Trains
        A network with a head. Is not changed.
    tensors : mapping of str to torch.Tensor
        ``NAME.lora_A`` and ``NAME.lora_B`` of every weight in `weights`, and the head's
        ``HEAD.weight`` (C, D) and ``HEAD.bias`` (C,).
    weights : sequence of AdaptedWeight
    rank : int
        r, at least 1.
    alpha : float
        The change is scaled by ``alpha / rank``.
    classes : tuple
        Labels in the order of the head's outputs; empty for regression.
    target_scale : (mean, scale)
        As in `TorchModel`.
    card : Card

    Raises
    ------
    ModelError
        The tensors do not fit the base.

    References
    ----------
    Hu et al., LoRA: Low-Rank Adaptation of Large Language Models, ICLR 2022.
    """

    base: Trains = field(kw_only=False)
    tensors: Mapping[str, Tensor]
    weights: Sequence[AdaptedWeight]
    rank: int
    alpha: float
    classes: tuple[Label, ...]
    card: Card
    target_scale: tuple[float, float] = (0.0, 1.0)
    spec: InputSpec = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "spec", self.base.spec)
        self._check()

    def delta(self, weight: AdaptedWeight) -> Tensor:
        """What is added to this weight: float64, of its shape, of rank r at most."""
        low, high = (self.tensors[name].double() for name in weight.factors(self.rank))
        change = (high.flatten(1) @ low.flatten(1)) * (self.alpha / self.rank)
        return (change.T if weight.transposed else change).reshape(weight.shape)

    def merged(self) -> TorchModel:
        """An ordinary network: the base's with the change folded in and the new head."""
        return self._network

    @cached_property
    def _network(self) -> TorchModel:
        module = copy.deepcopy(self.base.module)
        with torch.no_grad():
            for weight in self.weights:
                value = module.get_parameter(weight.name)
                value.copy_(value.double() + self.delta(weight).to(value.device))
        _put_head(module, self.base.head, self.tensors)
        model = self.base.retrained(
            module.requires_grad_(True).eval(),
            classes=self.classes,
            target_scale=self.target_scale,
        )
        return replace(cast(TorchModel, model), card=self.card, adapter=self)

    def output(self, X: Any) -> Array:
        """Probabilities (N, C) or values (N,), float64: those of the merged network."""
        return self.merged().output(X)

    def features(self, X: Any, layer: str | None = None) -> Array:
        """The merged network's."""
        return self.merged().features(X, layer)

    def parameters(self) -> Mapping[str, Array]:
        """The merged network's; the adapter's own are its `tensors`."""
        return self.merged().parameters()

    @property
    def structure(self) -> Mapping[str, Any]:
        """The base's, and what is adapted."""
        return {
            "adapter": {
                "rank": self.rank,
                "alpha": self.alpha,
                "weights": [asdict(weight) for weight in self.weights],
            },
            "base": dict(self.base.structure),
        }

    def parts(self) -> tuple[object, ...]:
        """The merged network's."""
        return self.merged().parts()

    def save(self, folder: str | Path) -> None:
        """Write the adapter alone, with the name and the content address of its base."""
        base = self.base
        config = {
            "base": {"name": base.name, "address": _address(base), "answers": _answers(base)},
            "rank": self.rank,
            "alpha": self.alpha,
            "weights": [
                {**asdict(weight), "dtype": str(base.module.get_parameter(weight.name).dtype)}
                for weight in self.weights
            ],
            "classes": list(self.classes),
            "target_scale": list(self.target_scale),
        }
        write_folder(
            folder,
            kind="adapter",
            config=config,
            card=self.card,
            write=lambda place: write_weights(place / FILE, self.tensors),
        )

    def _check(self) -> None:
        """Every tensor is there, of the shape that the base asks for, and no other."""
        if self.rank < 1 or not math.isfinite(self.alpha):
            raise ModelError(f"an adapter has a rank from 1 on, not {self.rank}.")
        head = self.base.module.get_parameter(f"{self.base.head}.weight")
        rows = len(self.classes) or 1
        wanted: dict[str, tuple[int, ...]] = {
            f"{self.base.head}.weight": (rows, *head.shape[1:]),
            f"{self.base.head}.bias": (rows,),
        }
        for weight in self.weights:
            wanted |= weight.factors(self.rank)
        found = {name: tuple(tensor.shape) for name, tensor in self.tensors.items()}
        for name in sorted(wanted.keys() | found.keys()):
            if wanted.get(name) != found.get(name):
                raise ModelError(
                    f"the adapter's tensors do not fit its base: {name} is "
                    f"{found.get(name, 'missing')}, the base asks for {wanted.get(name, 'none')}."
                )
            if not self.tensors[name].is_floating_point():
                raise ModelError(f"the adapter has {name} in {self.tensors[name].dtype}.")


def load_adapter(
    folder: Path,
    config: Mapping[str, Any],
    card: Card,
    modules: Sequence[type] = (),
    base: Model | None = None,
) -> TorchModel:
    """Put a saved adapter on its base: the merged network, which knows its adapter.

    Raises
    ------
    ModelError
        No base is given, it is another than the one named, or the tensors do not fit.
    """
    named = f"{str(config['base']['name'])!r} (network {str(config['base']['address'])[:16]})"
    if base is None:
        raise ModelError(
            f"{folder.name} is an adapter of {named} and predicts nothing without it: "
            "bequest.load(folder, base=model). A hub finds the base where it is published too."
        )
    weights = [
        AdaptedWeight(str(w["name"]), tuple(map(int, w["shape"])), bool(w["transposed"]))
        for w in config["weights"]
    ]
    dtypes = [str(w["dtype"]) for w in config["weights"]]
    problem = _difference(base, config["base"], weights, dtypes)
    if problem or not isinstance(base, Trains):
        raise ModelError(
            f"this adapter was made on {named}; the base given, {base.name!r}, is another: "
            f"{problem}. Give the model that it was made on."
        )
    mean, scale = map(float, config["target_scale"])
    return Adapter(
        base,
        tensors=read_weights(folder / FILE),
        weights=weights,
        rank=int(config["rank"]),
        alpha=float(config["alpha"]),
        classes=tuple(config["classes"]),
        card=card,
        target_scale=(mean, scale),
    ).merged()


def _difference(
    base: Model, named: Mapping[str, Any], weights: Sequence[AdaptedWeight], dtypes: Sequence[str]
) -> str:
    """How `base` differs from the base that an adapter names; empty where it does not."""
    if not isinstance(base, Trains):
        return f"a {type(base).__name__}, no torch network"
    address = _address(base)
    if address == named["address"]:
        same = same_answers(named["answers"], _answers(base))
        return "" if same else "it has the same numbers and computes something else with them"
    return f"network {address[:16]}, {_first_difference(base, weights, dtypes)}"


def _first_difference(base: Trains, weights: Sequence[AdaptedWeight], dtypes: Sequence[str]) -> str:
    there = dict(base.module.named_parameters(remove_duplicate=False))
    for weight, dtype in zip(weights, dtypes, strict=True):
        if weight.name not in there:
            return f"it has no {weight.name}"
        found = there[weight.name]
        if tuple(found.shape) != weight.shape:
            return f"its {weight.name} is {tuple(found.shape)}, not {weight.shape}"
        if str(found.dtype) != dtype:
            return f"its {weight.name} is {found.dtype}, not {dtype}"
    return "it has the same layers with other numbers"


def _address(base: Trains) -> str:
    return network_hash(base.module, base.structure, base.encoder)


def _answers(base: Trains) -> list[list[float]] | None:
    """What tells networks with the same numbers apart; the config of one of ours does so itself."""
    asked = None if "net" in base.structure else question(base.spec)
    return None if asked is None else answers(base.module, base.encode(asked))


def _put_head(module: nn.Module, head: str, tensors: Mapping[str, Tensor]) -> None:
    layer = module.get_submodule(head)
    like = module.get_parameter(f"{head}.weight")
    for part in ("weight", "bias"):
        setattr(layer, part, nn.Parameter(tensors[f"{head}.{part}"].to(like, copy=True)))
    if isinstance(layer, nn.Linear):
        layer.out_features = len(tensors[f"{head}.bias"])
