"""Fine-tune: every parameter from the source, then trained on the target.

N samples, D features, C classes.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self, final

import numpy as np
import torch
from torch import nn

from bequest.core import MODALITIES, Model, Source, Task, Trains, TransferMethod
from bequest.errors import NotApplicable
from bequest.methods.head import new_head, probe_head
from bequest.methods.made import check_setting, made
from bequest.methods.network import network_of, tunable
from bequest.methods.pull import source_pull
from bequest.training import AUGMENTATIONS, Loop, fit_network, seeded
from bequest.training.fit import steps_for, target_scale

__all__ = ["FineTune"]


@final
@dataclass(frozen=True)
class FineTune(TransferMethod):
    """Start every parameter at the source's value, then train on the target.

    The head is kept where the classes are the same; else it is new, but for the rows of the
    classes that both know.

    Parameters
    ----------
    lr : float
        Peak step size of the head; a layer's is ``lr * decay ** (layers between it and the head)``.
    steps : int or None
        Batches; None: as many as the rows ask for.
    probe_first : bool
        LP-FT: a linear probe gives the head before everything is tuned.
    pull : float
        L2-SP: weight of half the squared distance of the body from the source.
    decay : float
        Layer-wise decay of the step size, above 0 and at most 1.
    freeze : float
        Share of the layers, from the input on, that stay as they are, 0 to 1.
    augment : {"none", "shift", "flip"}
        For images.

    References
    ----------
    Yosinski et al., NeurIPS 2014; LP-FT: Kumar et al., ICLR 2022; L2-SP: Li, Grandvalet and
    Davoine, ICML 2018; layer-wise decay: Howard and Ruder, ACL 2018.

    Examples
    --------
    >>> import bequest as bq
    >>> near = bq.Task.from_arrays(np.eye(4), ["a", "b", "a", "b"], name="near")
    >>> source = bq.train(near, net="mlp")
    >>> task = bq.Task.from_arrays(np.eye(4), ["a", "a", "c", "c"], name="far")
    >>> model = FineTune(steps=5).fit([bq.Source(source)], task, rng=np.random.default_rng(0))
    >>> model.classes, model.card.moved[-1]["rule"]
    (('a', 'c'), 'rows of 1 shared class')
    """

    name: ClassVar[str] = "fine-tune"
    citation: ClassVar[str] = (
        "@inproceedings{yosinski2014transferable, title={How transferable are features in deep "
        "neural networks?}, author={Yosinski, Jason and Clune, Jeff and Bengio, Yoshua and Lipson, "
        "Hod}, booktitle={NeurIPS}, year={2014}}"
    )
    lr: float = 1e-3
    steps: int | None = None
    probe_first: bool = False
    pull: float = 0.0
    decay: float = 1.0
    freeze: float = 0.0
    augment: str = "none"

    def __post_init__(self) -> None:
        check_setting(self, "lr", self.lr > 0, "above zero")
        check_setting(self, "steps", self.steps is None or self.steps > 0, "None or above zero")
        check_setting(self, "pull", self.pull >= 0, "zero or more")
        check_setting(self, "decay", 0 < self.decay <= 1, "above 0 and at most 1")
        check_setting(self, "freeze", 0 <= self.freeze <= 1, "from 0 to 1")
        check_setting(self, "augment", self.augment in AUGMENTATIONS, f"one of {[*AUGMENTATIONS]}")

    @property
    def trains_network(self) -> bool:
        """Always."""
        return True

    def refuses(self, sources: Sequence[Source], task: Task) -> NotApplicable | None:
        """The source must be a torch network with a last linear layer, and read the inputs."""
        return tunable(sources, task, self.augment, what="fine-tuning")

    def fit(self, sources: Sequence[Source], task: Task, *, rng: np.random.Generator) -> Model:
        """Copy the source, give it the target's head, train."""
        self.check(sources, task)
        source = network_of(sources, "fine-tuning")
        module = copy.deepcopy(source.module).requires_grad_(True)
        frozen = self._frozen(module, source.head)
        try:
            with seeded(rng) as generator:
                rule = self._tune(module, source, task, frozen, generator)
        except (IndexError, RuntimeError, TypeError, ValueError) as error:
            first = str(error).partition("\n")[0]
            raise NotApplicable(f"the source's network cannot be tuned here: {first}") from error
        module.requires_grad_(True)
        scale = target_scale(task)
        model = source.retrained(module, classes=task.classes, target_scale=scale)
        return made(model, self, sources, task, _moved(module, source.head, rule, frozen))

    def _tune(
        self,
        module: nn.Module,
        source: Trains,
        task: Task,
        frozen: frozenset[str],
        generator: torch.Generator,
    ) -> str:
        """Train `module` in place; say where the head's rows come from."""
        rule = new_head(module, source, task)
        if self.probe_first:
            rule = probe_head(module, source, task)
        fit_network(
            module,
            task,
            source.encoder,
            Loop(steps=self.steps or steps_for(len(task), 32), lr=self.lr),
            generator=generator,
            augment=self.augment,
            groups=self._groups(module, source.head, frozen),
            penalty=source_pull(module, source.head, self.pull) if self.pull else None,
            still=[module.get_submodule(name) for name in frozen],
        )
        return rule

    def _frozen(self, module: nn.Module, head: str) -> frozenset[str]:
        """Names of the layers that stay as they are, from the input on."""
        names = dict.fromkeys(name.rpartition(".")[0] for name, _ in module.named_parameters())
        body = [name for name in names if name not in ("", head)]
        return frozenset(body[: round(self.freeze * len(body))])

    def _groups(self, module: nn.Module, head: str, frozen: frozenset[str]) -> list[dict[str, Any]]:
        """One group a layer, from the head backwards; the frozen ones are left out."""
        layers: dict[str, list[nn.Parameter]] = {}
        for name, weight in module.named_parameters():
            layers.setdefault(name.rpartition(".")[0], []).append(weight)
        body = [name for name in layers if name != head]
        groups: list[dict[str, Any]] = [{"params": layers[head], "lr": 1.0}]
        for distance, name in enumerate(reversed(body), start=1):
            if name in frozen:
                for weight in layers[name]:
                    weight.requires_grad_(False)
            else:
                groups.append({"params": layers[name], "lr": self.decay**distance})
        return groups

    @classmethod
    def arms(cls, sources: Sequence[Source], task: Task) -> tuple[Self, ...]:
        """Plain, after a probe, pulled to the source, decayed, partly frozen, and augmented.

        A network of Hugging Face, large and trained at length, is tuned in steps about twenty times
        smaller (Devlin et al., BERT, NAACL 2019), and decays slower, for it has many layers.
        """
        large = any(s.model is not None and "huggingface" in s.model.structure for s in sources)
        unit, decay = (5e-5, 0.97) if large else (1e-3, 0.7)
        arms = [
            cls(probe_first=True, lr=unit),
            cls(lr=2 * unit, freeze=0.5),
            cls(lr=5 * unit),
            cls(lr=2 * unit, pull=0.01),
            cls(lr=2 * unit, decay=decay),
        ]
        for augment in MODALITIES[task.modality].augmentations[:1]:
            arms = [replace(arm, augment=augment) for arm in arms[:3]] + arms
        return tuple(arms)


def _moved(module: nn.Module, head: str, rule: str, frozen: frozenset[str]) -> list[dict[str, Any]]:
    layers: dict[str, int] = {}
    for name, weight in module.named_parameters():
        layer = name.rpartition(".")[0]
        layers[layer] = layers.get(layer, 0) + weight.numel()
    body = [
        {
            "part": layer,
            "numbers": numbers,
            "rule": "copied, frozen" if layer in frozen else "copied, then tuned",
        }
        for layer, numbers in layers.items()
        if layer != head
    ]
    return [*body, {"part": head, "numbers": layers[head], "rule": rule}]
