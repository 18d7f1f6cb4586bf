"""LoRA: the source stays as it is, a low-rank change beside it is trained.

r is the rank, D and C the features and classes of the head.
"""

from __future__ import annotations

import copy
import importlib.util
import re
import sys
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self, final

import numpy as np
import torch
from torch import Tensor, nn

from bequest.core import Model, Source, Task, Trains, TransferMethod
from bequest.errors import NotApplicable
from bequest.frameworks.torch.adapter import AdaptedWeight, Adapter
from bequest.methods.head import new_head, probe_head
from bequest.methods.network import (
    device_of,
    network_of,
    photo_augmentation,
    tunable,
    with_statistics,
)
from bequest.methods.provenance import check_setting, with_provenance
from bequest.optional import need
from bequest.training import AUGMENTATIONS, Loop, fit_network, seeded
from bequest.training.fit import steps_for, target_scale

__all__ = ["LoRA", "adaptable"]

EVERY = "all-linear"
PACKED = "in_proj_weight"
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


@final
@dataclass(frozen=True)
class LoRA(TransferMethod):
    """Freeze the source; train a change of rank r beside its weights, and a new head.

    The change is folded into an ordinary network in the end. ``model.adapter`` is the change and
    the head alone: small to save and to publish, and of use to whoever has the source.

    Parameters
    ----------
    rank : int
        r of every change, at least 1.
    alpha : float
        The change is scaled by ``alpha / rank``.
    lr : float
        Peak step size of the change and of the head.
    steps : int or None
        Batches; None: as many as the rows ask for.
    targets : "all-linear" or tuple of str
        Layers to adapt: all linear, convolutional and attention layers but the head, or those with
        these names or ends of names (``"q_proj"``).
    augment : {"none", "shift", "flip"}
        For images.
    probe_first : bool
        A linear probe gives the head before the change is trained.

    References
    ----------
    Hu et al., LoRA: Low-Rank Adaptation of Large Language Models, ICLR 2022; the layers are
    peft's.

    Examples
    --------
    >>> import bequest as bq
    >>> near = bq.Task.from_arrays(np.eye(4), ["a", "b", "a", "b"], name="near")
    >>> source = bq.train(near, net="mlp")
    >>> task = bq.Task.from_arrays(np.eye(4), ["a", "a", "c", "c"], name="far")
    >>> model = LoRA(rank=2, steps=5).fit([bq.Source(source)], task, rng=np.random.default_rng(0))
    >>> model.classes, sorted(model.adapter.tensors)[:2]
    (('a', 'c'), ['body.0.weight.lora_A', 'body.0.weight.lora_B'])
    """

    name: ClassVar[str] = "lora"
    automatic: ClassVar[bool] = False
    citation: ClassVar[str] = (
        "@inproceedings{hu2022lora, title={LoRA: Low-Rank Adaptation of Large Language Models}, "
        "author={Hu, Edward J. and Shen, Yelong and Wallis, Phillip and Allen-Zhu, Zeyuan and Li, "
        "Yuanzhi and Wang, Shean and Wang, Lu and Chen, Weizhu}, booktitle={ICLR}, year={2022}}"
    )
    rank: int = 8
    alpha: float = 16.0
    lr: float = 2e-3
    steps: int | None = None
    targets: str | tuple[str, ...] = EVERY
    augment: str = "none"
    probe_first: bool = False

    def __post_init__(self) -> None:
        whole = isinstance(self.rank, int) and not isinstance(self.rank, bool)
        check_setting(self, "rank", whole and self.rank >= 1, "a whole number from 1 on")
        check_setting(self, "alpha", self.alpha > 0, "above zero")
        check_setting(self, "lr", self.lr > 0, "above zero")
        check_setting(self, "steps", self.steps is None or self.steps > 0, "None or above zero")
        check_setting(self, "augment", self.augment in AUGMENTATIONS, f"one of {[*AUGMENTATIONS]}")
        if self.targets != EVERY:
            names = not isinstance(self.targets, str) and len(self.targets) > 0
            check_setting(self, "targets", names, f"{EVERY!r} or a tuple of names of layers")
            object.__setattr__(self, "targets", tuple(self.targets))

    def settings(self) -> dict[str, Any]:
        """The settings as plain values; several targets are a list, as JSON has it."""
        targets = self.targets if isinstance(self.targets, str) else [*self.targets]
        return {**asdict(self), "targets": targets}

    @property
    def trains_network(self) -> bool:
        """Always."""
        return True

    def refuses(self, sources: Sequence[Source], task: Task) -> NotApplicable | None:
        """The source must be a torch network with layers below its head, and peft be there."""
        refused = tunable(sources, task, self.augment, what="LoRA")
        if refused is not None:
            return refused
        source = network_of(sources, "LoRA")
        if "peft" not in sys.modules and importlib.util.find_spec("peft") is None:
            return NotApplicable("LoRA needs peft: pip install 'bequest[hf]'.")
        return self._unmatched(adaptable(source.module, source.head))

    def fit(self, sources: Sequence[Source], task: Task, *, rng: np.random.Generator) -> Model:
        """Train the change on a copy of the source, then fold it into another copy."""
        self.check(sources, task)
        source = network_of(sources, "LoRA")
        layers = self._chosen(adaptable(source.module, source.head))
        try:
            with seeded(rng) as generator:
                tensors, rule = self._trained(source, task, layers, generator)
        except (AttributeError, IndexError, RuntimeError, TypeError, ValueError) as error:
            first = str(error).partition("\n")[0]
            raise NotApplicable(f"the source's network cannot be adapted here: {first}") from error
        adapter = Adapter(
            source,
            tensors=tensors,
            weights=[*layers.values()],
            rank=self.rank,
            alpha=self.alpha,
            classes=task.classes,
            card=source.card,
            target_scale=target_scale(task),
        )
        return with_provenance(adapter.merged(), self, sources, task, self._moved(adapter, rule))

    def _trained(
        self,
        source: Trains,
        task: Task,
        layers: Mapping[str, AdaptedWeight],
        generator: torch.Generator,
    ) -> tuple[dict[str, Tensor], str]:
        """The trained factors and head by name; and where the head's rows come from."""
        module = copy.deepcopy(source.module)
        rule = new_head(module, source, task)
        if self.probe_first:
            rule = probe_head(module, source, task)
        injected(module, layers, rank=self.rank, alpha=self.alpha)
        head = module.get_submodule(source.head)
        head.requires_grad_(True)
        fit_network(
            module,
            task,
            source.encoder,
            Loop(
                steps=self.steps or steps_for(len(task), 32),
                lr=self.lr,
                device=device_of(source),
            ),
            generator=generator,
            augment=self.augment,
            still=with_statistics(module),
        )
        kept = {f"{source.head}.{part}": value for part, value in head.named_parameters()}
        found = {**kept, **factors(module, layers)}
        return {name: value.detach().clone() for name, value in found.items()}, rule

    def _chosen(self, layers: Mapping[str, AdaptedWeight]) -> dict[str, AdaptedWeight]:
        if self.targets == EVERY:
            return dict(layers)
        return {n: w for n, w in layers.items() if any(_ends(n, t) for t in self.targets)}

    def _unmatched(self, layers: Mapping[str, AdaptedWeight]) -> NotApplicable | None:
        if not layers:
            return NotApplicable("the source has no linear or convolutional layer but its head.")
        targets = () if self.targets == EVERY else self.targets
        for target in targets:
            if not any(_ends(name, target) for name in layers):
                names = list(layers)
                listed = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
                return NotApplicable(f"no layer {target!r} can be adapted; these can: {listed}.")
        return None

    def _moved(self, adapter: Adapter, rule: str) -> list[dict[str, Any]]:
        head = adapter.base.head
        inside = {weight.name for weight in adapter.weights}
        body = [
            {
                "part": name,
                "numbers": value.numel(),
                "rule": f"copied, plus a change of rank {self.rank}"
                if name in inside
                else "copied, frozen",
            }
            for name, value in adapter.base.module.named_parameters()
            if name.rpartition(".")[0] != head
        ]
        numbers = sum(adapter.tensors[f"{head}.{part}"].numel() for part in ("weight", "bias"))
        return [*body, {"part": head, "numbers": numbers, "rule": rule}]

    @classmethod
    def arms(cls, sources: Sequence[Source], task: Task) -> tuple[Self, ...]:
        """After a probe, in small steps and in larger ones; and a small rank."""
        augment = photo_augmentation(task)
        return (
            cls(probe_first=True, augment=augment),
            cls(probe_first=True, lr=5e-3, augment=augment),
            cls(rank=4, lr=5e-3, augment=augment),
        )


def adaptable(module: nn.Module, head: str) -> dict[str, AdaptedWeight]:
    """The layers that peft can adapt and a merge reproduces, each with its weight.

    Left out are the head, weights that two layers share, and convolutions with groups, dilation
    or another padding than zeros, which peft's change does not follow. Of torch's attention the
    packed projection of queries, keys and values counts.

    Parameters
    ----------
    module : torch.nn.Module
    head : str
        Name of the head.

    Examples
    --------
    >>> net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    >>> adaptable(net, head="2")
    {'0': AdaptedWeight(name='0.weight', shape=(8, 4), transposed=False)}
    """
    named = list(module.named_parameters(remove_duplicate=False))
    times = Counter(id(weight) for _, weight in named)
    single = {name for name, weight in named if times[id(weight)] == 1}
    found: dict[str, AdaptedWeight] = {}
    never_called: set[str] = set()
    for name, layer in module.named_modules():
        if isinstance(layer, nn.MultiheadAttention):
            never_called.add(f"{name}.out_proj")  # it is read by its weight
        if not name or name == head or name in never_called:
            continue
        weight = _weight_of(name, layer)
        if weight is not None and weight.name in single:
            found[name] = weight
    return found


def injected(
    module: nn.Module, layers: Mapping[str, AdaptedWeight], *, rank: int, alpha: float
) -> nn.Module:
    """`module` with peft's layers in the place of these, everything else frozen."""
    peft = need("peft", extra="hf", purpose="LoRA")
    packed = [weight.name for weight in layers.values() if weight.name.endswith(PACKED)]
    called = [re.escape(name) for name in layers if f"{name}.{PACKED}" not in packed]
    config = peft.LoraConfig(
        r=rank,
        lora_alpha=alpha,
        target_modules="|".join(called) or [],
        # peft's own layer for torch's attention adds the output projection's change twice (0.21).
        target_parameters=packed or None,
    )
    with warnings.catch_warnings():
        # It warns of a Conv1D among linear layers, and handles it.
        warnings.filterwarnings("ignore", message="fan_in_fan_out")
        peft.inject_adapter_in_model(config, module)
    for name in packed:
        wrapper = module.get_submodule(name.removesuffix(f".{PACKED}"))
        # A transformer's layers ask their attention for its settings, which the wrapper hides.
        plain = vars(wrapper.base_layer)
        vars(wrapper).update({key: plain[key] for key in plain.keys() - vars(wrapper).keys()})
    return module


def factors(module: nn.Module, layers: Mapping[str, AdaptedWeight]) -> dict[str, Tensor]:
    """peft's two factors of every weight, by the names under which an adapter keeps them."""
    found: dict[str, Tensor] = {}
    for name, weight in layers.items():
        layer: Any = module.get_submodule(name)
        found[f"{weight.name}.lora_A"] = layer.lora_A["default"].weight
        found[f"{weight.name}.lora_B"] = layer.lora_B["default"].weight
    return found


def _weight_of(name: str, layer: nn.Module) -> AdaptedWeight | None:
    """The weight that a change of this layer alters; None where its forward may not follow it."""
    kind = type(layer)  # a subclass may compute something else
    part = PACKED if kind is nn.MultiheadAttention else "weight"
    weight = layer._parameters.get(part)
    if weight is None or not weight.is_floating_point():
        return None
    transposed = _is_transposed(kind)
    plain = kind in (nn.Linear, nn.MultiheadAttention) or transposed
    if not plain and not (kind in CONVOLUTIONS and _is_plain(layer)):
        return None
    return AdaptedWeight(f"{name}.{part}", tuple(weight.shape), transposed)


def _is_plain(layer: Any) -> bool:
    dilated = any(step != 1 for step in layer.dilation)
    return layer.groups == 1 and not dilated and layer.padding_mode == "zeros"


def _is_transposed(kind: type[nn.Module]) -> bool:
    foreign = sys.modules.get("transformers.pytorch_utils")
    return foreign is not None and kind is foreign.Conv1D


def _ends(name: str, target: str) -> bool:
    return name == target or name.endswith(f".{target}")
