"""Fine-tune: every parameter from the source, then trained on the target.

N samples, D features, C classes.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self, final, get_args

import numpy as np
import torch
from torch import nn

from bequest.core import Model, Source, Task, Trains, TransferMethod
from bequest.errors import NotApplicable
from bequest.methods.head import new_head, probe_head
from bequest.methods.l2_sp import source_pull
from bequest.methods.network import (
    device_of,
    network_of,
    photo_augmentation,
    tunable,
    with_statistics,
)
from bequest.methods.provenance import check_setting, with_provenance
from bequest.training import AUGMENTATIONS, Loop, fit_network, seeded
from bequest.training.fit import target_scale

__all__ = ["FineTune"]

BatchNorm = Literal["frozen", "tuned"]
SMALL = 10**6  # numbers; larger networks were trained at length on much data


@final
@dataclass(frozen=True)
class FineTune(TransferMethod):
    """Start every parameter at the source's value, then train on the target.

    The head is kept where the classes are the same; else it is new, but for the rows of the
    classes that both know.

    Parameters
    ----------
    lr : float or None
        Peak step size of the head. None: 0.003 for a network of bequest's own or of fewer than a
        million parameters, 0.0001 for a larger one, 0.00005 for one of Hugging Face.
    steps : int or None
        Batches of 32; None: 20 passes over the rows, but 60 at least and 2,000 at most.
    probe_first : bool
        LP-FT: a linear probe gives the head before everything is tuned.
    pull : float
        L2-SP: weight of half the squared distance of the body from the source.
    decay : float
        Layer-wise decay: the first layer's step size as a share of the head's, above 0 and at most
        1. Those in between fall geometrically, however many there are.
    freeze : float
        Share of the layers, from the input on, that stay as they are, 0 to 1.
    augment : {"none", "shift", "flip"}
        For images.
    batch_norm : {"frozen", "tuned"}
        Whether batch normalisation keeps the source's statistics, or takes those of each batch.
    smoothing : float or None
        Share of each label's weight that all classes get alike, from 0 to below 1. None: 0.1 for a
        network that is large in the sense of `lr`, which few labels soon make too sure, else 0.

    References
    ----------
    Yosinski et al., NeurIPS 2014; LP-FT: Kumar et al., ICLR 2022; L2-SP: Li, Grandvalet and
    Davoine, ICML 2018; layer-wise decay: Howard and Ruder, ACL 2018; step sizes of transformers:
    Devlin et al., BERT, NAACL 2019; smoothing: Szegedy et al., CVPR 2016.

    Examples
    --------
    >>> import bequest as bq
    >>> near = bq.Task.from_arrays(np.eye(4), ["a", "b", "a", "b"], name="near")
    >>> source = bq.train(near, net="mlp")
    >>> task = bq.Task.from_arrays(np.eye(4), ["a", "a", "c", "c"], name="far")
    >>> model = FineTune(steps=5).fit([bq.Source(source)], task, rng=np.random.default_rng(0))
    >>> model.classes, model.card.transferred[-1]["rule"]
    (('a', 'c'), 'rows of 1 shared class')
    """

    name: ClassVar[str] = "fine-tune"
    citation: ClassVar[str] = (
        "@inproceedings{yosinski2014transferable, title={How transferable are features in deep "
        "neural networks?}, author={Yosinski, Jason and Clune, Jeff and Bengio, Yoshua and Lipson, "
        "Hod}, booktitle={NeurIPS}, year={2014}}"
    )
    lr: float | None = None
    steps: int | None = None
    probe_first: bool = False
    pull: float = 0.0
    decay: float = 1.0
    freeze: float = 0.0
    augment: str = "none"
    batch_norm: BatchNorm = "frozen"
    smoothing: float | None = None

    def __post_init__(self) -> None:
        check_setting(self, "lr", self.lr is None or self.lr > 0, "None or above zero")
        check_setting(self, "steps", self.steps is None or self.steps > 0, "None or above zero")
        check_setting(self, "pull", self.pull >= 0, "zero or more")
        check_setting(self, "decay", 0 < self.decay <= 1, "above 0 and at most 1")
        check_setting(self, "freeze", 0 <= self.freeze <= 1, "from 0 to 1")
        check_setting(self, "augment", self.augment in AUGMENTATIONS, f"one of {[*AUGMENTATIONS]}")
        norms = [*get_args(BatchNorm)]
        check_setting(self, "batch_norm", self.batch_norm in norms, f"one of {norms}")
        smooth = self.smoothing is None or 0 <= self.smoothing < 1
        check_setting(self, "smoothing", smooth, "None, or from 0 to below 1")

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
        return with_provenance(
            model, self, sources, task, _moved(module, source.head, rule, frozen)
        )

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
        rate, smoothing = _suited(source)
        still = [module.get_submodule(name) for name in frozen]
        if self.batch_norm == "frozen":
            still += with_statistics(module)
        fit_network(
            module,
            task,
            source.encoder,
            Loop(
                steps=self.steps or _steps(len(task)),
                lr=self.lr or rate,
                device=device_of(source),
            ),
            generator=generator,
            augment=self.augment,
            smoothing=smoothing if self.smoothing is None else self.smoothing,
            groups=self._groups(module, source.head, frozen),
            penalty=source_pull(module, source.head, self.pull) if self.pull else None,
            still=still,
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
        for distance, name in enumerate(reversed(body), start=1):  # at the first layer len(body)
            if name in frozen:
                for weight in layers[name]:
                    weight.requires_grad_(False)
            else:
                groups.append({"params": layers[name], "lr": self.decay ** (distance / len(body))})
        return groups

    @classmethod
    def arms(cls, sources: Sequence[Source], task: Task) -> tuple[Self, ...]:
        """The upper half after a probe; the whole network; and with the source's own head.

        Few labels tell little about the layers next to the input, and half of the time is theirs.
        """
        augment = photo_augmentation(task)
        return (
            cls(probe_first=True, freeze=0.5, augment=augment),
            cls(probe_first=True, decay=0.1, augment=augment),
            cls(freeze=0.5, augment=augment),
        )


def _suited(source: Trains) -> tuple[float, float]:
    """The peak step size and the smoothing that suit the source; see `FineTune`."""
    if "huggingface" in source.structure:
        return 5e-5, 0.1
    size = sum(weight.numel() for weight in source.module.parameters())
    return (3e-3, 0.0) if "net" in source.structure or size < SMALL else (1e-4, 0.1)


def _steps(rows: int) -> int:
    return min(max(20 * rows // 32, 60), 2000)


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
