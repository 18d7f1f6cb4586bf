"""Parameters: a source's numbers into a network of another size, by a map that is refused early.

N samples, C classes.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self, final, get_args

import numpy as np
import torch
from torch import nn

from bequest.core import MODALITIES, Card, Model, Source, Task, Trains, TransferMethod
from bequest.errors import MapError, NotApplicable
from bequest.frameworks.encoders.encoder import Encoder, fit_encoder
from bequest.frameworks.torch.model import TorchModel
from bequest.frameworks.torch.networks import NETS, build
from bequest.mapping import ParameterMap, map_parameters
from bequest.methods.head import rescaled_head
from bequest.methods.network import network_config, network_of, unread
from bequest.methods.provenance import check_setting, with_provenance
from bequest.training import AUGMENTATIONS, Loop, fit_network, seeded
from bequest.training.fit import steps_for, target_scale

__all__ = ["Parameters"]

logger = logging.getLogger(__name__)
Net = Literal["auto", "mlp", "resnet"]
DepthRule = Literal["even", "first", "last"]


@final
@dataclass(frozen=True)
class Parameters(TransferMethod):
    """Start a wider, deeper, narrower or shallower network at the source's numbers, then train.

    Which number goes where is a parameter map: it is made and judged before anything trains, and
    stands in the outcome.

    Parameters
    ----------
    net : {"auto", "mlp", "resnet"}
        The target; auto: the source's family.
    width : int
        Channels of the residual network's last stage (a multiple of 8), or units of each of the
        perceptron's layers over four.
    layers : int or None
        Residual blocks a stage, or hidden layers of the perceptron; None: as from scratch.
    coverage : float
        Least share of the body's numbers that must come from the source, 0 to 1; less is refused.
    depth : {"even", "first", "last"}
        Where blocks are repeated more or less often: which of the source's each gets. Blocks that
        "even" has to repeat start as ones that change nothing, where they can.
    lr : float
        Peak step size.
    steps : int or None
        Batches; None: as many as the rows ask for.
    augment : {"none", "shift", "flip"}
        For images.

    References
    ----------
    Chen, Goodfellow and Shlens, Net2Net, ICLR 2016; Wang et al., LEMON: Lossless model expansion,
    ICLR 2024; Xu et al., Initializing models with larger ones, ICLR 2024.

    Examples
    --------
    >>> import bequest as bq
    >>> near = bq.Task.from_arrays(np.eye(4), ["a", "b", "a", "b"], name="near")
    >>> source = bq.train(near, net="mlp")
    >>> task = bq.Task.from_arrays(np.eye(4), ["a", "a", "c", "c"], name="far")
    >>> wider = Parameters(width=64, steps=5)
    >>> wider.map([bq.Source(source)], task).body_coverage
    1.0
    >>> wider.fit([bq.Source(source)], task, rng=np.random.default_rng(0)).classes
    ('a', 'c')
    """

    name: ClassVar[str] = "parameters"
    automatic: ClassVar[bool] = False
    citation: ClassVar[str] = (
        "@inproceedings{chen2016net2net, title={Net2Net: Accelerating learning via knowledge "
        "transfer}, author={Chen, Tianqi and Goodfellow, Ian and Shlens, Jonathon}, "
        "booktitle={ICLR}, year={2016}}"
    )
    net: Net = "auto"
    width: int = 64
    layers: int | None = None
    coverage: float = 0.5
    depth: DepthRule = "even"
    lr: float = 2e-3
    steps: int | None = None
    augment: str = "none"

    def __post_init__(self) -> None:
        check_setting(self, "net", self.net in get_args(Net), f"one of {[*get_args(Net)]}")
        check_setting(self, "width", self.width > 0 and self.width % 8 == 0, "a multiple of 8")
        layers = self.layers is None or self.layers > 0
        check_setting(self, "layers", layers, "None or above zero")
        check_setting(self, "coverage", 0 <= self.coverage <= 1, "from 0 to 1")
        rules = [*get_args(DepthRule)]
        check_setting(self, "depth", self.depth in rules, f"one of {rules}")
        check_setting(self, "lr", self.lr > 0, "above zero")
        check_setting(self, "steps", self.steps is None or self.steps > 0, "None or above zero")
        check_setting(self, "augment", self.augment in AUGMENTATIONS, f"one of {[*AUGMENTATIONS]}")

    @property
    def trains_network(self) -> bool:
        """Always."""
        return True

    def refuses(self, sources: Sequence[Source], task: Task) -> NotApplicable | None:
        """The source must be a network of the inputs' kind, and the map fill enough of the body."""
        try:
            plan = self.map(sources, task)
        except NotApplicable as refused:
            return refused
        if plan.body_from_source < self.coverage:
            return NotApplicable(
                f"{plan.body_from_source:.0%} of the body's numbers come from the source, "
                f"at least {self.coverage:.0%} are asked for."
            )
        return None

    def map(self, sources: Sequence[Source], task: Task) -> ParameterMap:
        """The map into a fresh target; the same for the same source, task and settings.

        Raises
        ------
        NotApplicable
            The source is no torch network, reads other inputs, or cannot be traced.
        """
        source = network_of(sources, "a parameter map")
        refused = self._unread(source, task)
        if refused is not None:
            raise refused
        encoder = self._encoder(source, task)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            module = build(*self._structure(source, task, encoder))
        try:
            return self._planned(source, task, module, encoder)
        except MapError as error:
            raise NotApplicable(str(error)) from error

    def _unread(self, source: Trains, task: Task) -> NotApplicable | None:
        net = self._net(source, task)
        if not net:
            return NotApplicable(f"there is no network of ours for {task.modality} inputs.")
        refused = unread(net, task, self.augment)
        if refused is not None:
            return refused
        any_size = net == "resnet" and source.spec.modality == task.modality
        return None if any_size else source.applies(task)

    def fit(self, sources: Sequence[Source], task: Task, *, rng: np.random.Generator) -> Model:
        """Map, load, train."""
        self.check(sources, task)
        source = network_of(sources, "a parameter map")
        encoder = self._encoder(source, task)
        net, config = self._structure(source, task, encoder)
        with seeded(rng) as generator:
            plan = self._planned(source, task, build(net, config), encoder)
            logger.info("the map from %s:\n%s", source.name, plan)
            module = plan.apply()
            if task.kind == "regression" and not source.classes:
                rescaled_head(module, "head", source.target_scale, target_scale(task))
            fit_network(
                module,
                task,
                encoder,
                Loop(steps=self.steps or steps_for(len(task), 32), lr=self.lr),
                generator=generator,
                augment=self.augment,
            )
        model = TorchModel(
            module,
            spec=task.spec,
            classes=task.classes,
            card=Card(),
            encoder=encoder,
            structure={"net": net, "config": config},
            target_scale=target_scale(task),
        )
        return with_provenance(model, self, sources, task, _moved(plan), plan.to_dict())

    def _planned(
        self, source: Trains, task: Task, module: nn.Module, encoder: Encoder
    ) -> ParameterMap:
        read = source.spec.shape in (None, task.spec.shape)
        example = torch.from_numpy(encoder.encode(task.inputs[np.arange(2)])) if read else None
        both = source.classes and task.classes
        plan = map_parameters(
            source.module,
            module,
            example=example,
            classes=(source.classes, task.classes) if both else None,
            depth=self.depth,
        )
        if not plan.problems:
            return plan
        # What cannot be matched by name keeps its own start; the coverage says how much that is.
        parts = [entry.target for entry in plan.entries if entry.problem]
        return map_parameters(source.module, module, example=example, depth=self.depth, skip=parts)

    def _encoder(self, source: Trains, task: Task) -> Encoder:
        """The source's, where it reads these inputs: its numbers mean something in its units."""
        if source.encoder is None or source.applies(task) is not None:
            return fit_encoder(task.inputs)
        encoder: Encoder = source.encoder
        return encoder

    def _net(self, source: Trains, task: Task) -> str:
        if self.net != "auto":
            return self.net
        net = source.structure.get("net")
        ours = (name for name in MODALITIES[task.modality].networks if name in NETS)
        return str(net) if net in NETS else next(ours, "")

    def _structure(
        self, source: Trains, task: Task, encoder: Encoder
    ) -> tuple[str, dict[str, Any]]:
        net = self._net(source, task)
        return net, network_config(net, task, encoder, width=self.width, layers=self.layers)

    @classmethod
    def arms(cls, sources: Sequence[Source], task: Task) -> tuple[Self, ...]:
        """Twice as wide, twice as deep, and as large as from scratch is."""
        return cls(width=64), cls(width=32, layers=3), cls(width=32)


def _moved(plan: ParameterMap) -> list[dict[str, Any]]:
    return [
        {"part": entry.target, "numbers": entry.size, "rule": f"{entry.rule}, then tuned"}
        for entry in plan.entries
        if entry.role != "constant"
    ]
