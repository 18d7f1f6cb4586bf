"""From scratch: the baseline that every transfer is held against.

N samples, C classes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product, zip_longest
from typing import ClassVar, Literal, Self, final, get_args

import numpy as np
from scipy.sparse import issparse

from bequest.core import Baseline, Card, Model, Task
from bequest.core.modality import MODALITIES, GivesCodes
from bequest.errors import NotApplicable
from bequest.frameworks.encoders import fit_encoder
from bequest.frameworks.networks import build
from bequest.frameworks.sklearn_model import SklearnModel
from bequest.frameworks.torch_model import TorchModel
from bequest.methods.made import check_setting, made
from bequest.methods.network import network_config, unread
from bequest.training import AUGMENTATIONS, Loop, fit_network, seeded
from bequest.training.estimators import boosting_estimator, linear_estimator, text_estimator
from bequest.training.fit import steps_for, target_scale

__all__ = ["FromScratch"]

TREE_COLUMNS = 500  # trees on more columns than that cost more time than they are worth
Net = Literal["auto", "linear", "boosting", "mlp", "resnet"]


@final
@dataclass(frozen=True)
class FromScratch(Baseline):
    """Train on the target alone.

    Parameters
    ----------
    net : {"auto", "linear", "boosting", "mlp", "resnet"}
        auto: the `default_network` of the inputs' modality: a residual network for images, boosting
        for tables, a perceptron for vectors, a linear model for texts.
    lr : float
        Peak step size of a network.
    steps : int or None
        Batches for a network; None: as many as the rows ask for.
    width : int
        Channels of the residual network's last stage (a multiple of 8), or units of each of the
        perceptron's two layers over four.
    augment : {"none", "shift", "flip"}
        For images.
    strength : float
        Inverse of the linear model's regularisation, scikit-learn's C; for texts a hundredth of it.
    leaf : int
        Least rows in a leaf of boosting.

    References
    ----------
    He, Girshick and Dollár, Rethinking ImageNet Pre-training, ICCV 2019.

    Examples
    --------
    >>> import bequest as bq
    >>> task = bq.Task.from_arrays([[0.0], [1.0], [2.0], [3.0]], ["a", "a", "b", "b"])
    >>> model = FromScratch(net="linear").fit(task, rng=np.random.default_rng(0))
    >>> model.predict([[9.0]]).tolist()
    ['b']
    """

    name: ClassVar[str] = "from-scratch"
    citation: ClassVar[str] = (
        "@inproceedings{he2019rethinking, title={Rethinking ImageNet pre-training}, author={He, "
        "Kaiming and Girshick, Ross and Doll{\\'a}r, Piotr}, booktitle={ICCV}, year={2019}}"
    )
    net: Net = "auto"
    lr: float = 2e-3
    steps: int | None = None
    width: int = 32
    augment: str = "none"
    strength: float = 0.1
    leaf: int = 5

    def __post_init__(self) -> None:
        check_setting(self, "net", self.net in get_args(Net), f"one of {[*get_args(Net)]}")
        check_setting(self, "lr", self.lr > 0, "above zero")
        check_setting(self, "steps", self.steps is None or self.steps > 0, "None or above zero")
        check_setting(self, "width", self.width > 0 and self.width % 8 == 0, "a multiple of 8")
        check_setting(self, "augment", self.augment in AUGMENTATIONS, f"one of {[*AUGMENTATIONS]}")
        check_setting(self, "strength", self.strength > 0, "above zero")
        check_setting(self, "leaf", self.leaf > 0, "above zero")

    @property
    def trains_network(self) -> bool:
        """Where it is no estimator of scikit-learn."""
        return self.net not in ("linear", "boosting")

    def applies(self, task: Task) -> NotApplicable | None:
        """The task must have labels, and its modality such networks."""
        if not task.labelled:
            return NotApplicable("from scratch needs labelled rows, and the task has none.")
        net = self._net(task)
        if net not in get_args(Net):
            return NotApplicable(f"from scratch trains no {net!r} for {task.modality} inputs.")
        return unread(net, task, self.augment)

    def fit(self, task: Task, *, rng: np.random.Generator) -> Model:
        """Fit the encoder and the model on the task's rows."""
        refused = self.applies(task)
        if refused is not None:
            raise refused
        net = self._net(task)
        model = (
            self._network(net, task, rng)
            if net in ("mlp", "resnet")
            else self._estimator(net, task, rng)
        )
        return made(model, self, (), task)

    def _net(self, task: Task) -> str:
        return MODALITIES[task.modality].default_network if self.net == "auto" else self.net

    def _network(self, net: str, task: Task, rng: np.random.Generator) -> TorchModel:
        encoder = fit_encoder(task.inputs)
        config = network_config(net, task, encoder, width=self.width)
        rows = len(task)
        loop = Loop(steps=self.steps or steps_for(rows, 32), lr=self.lr)
        with seeded(rng) as generator:
            module = build(net, config)
            fit_network(module, task, encoder, loop, generator=generator, augment=self.augment)
        return TorchModel(
            module,
            spec=task.spec,
            classes=task.classes,
            card=Card(),
            encoder=encoder,
            structure={"net": net, "config": config},
            target_scale=target_scale(task),
        )

    def _estimator(self, net: str, task: Task, rng: np.random.Generator) -> SklearnModel:
        encoder = fit_encoder(task.inputs)
        encoded = encoder.encode(task.inputs)
        if not issparse(encoded):
            encoded = encoded.reshape(len(task), -1)
        width = encoded.shape[1]
        codes = len(encoder.cardinalities) if isinstance(encoder, GivesCodes) else 0
        categorical = [place >= width - codes for place in range(width)]
        if net == "boosting":
            estimator = boosting_estimator(task, self.leaf, categorical, int(rng.integers(2**31)))
        elif issparse(encoded):
            estimator = text_estimator(task, self.strength)
        else:
            estimator = linear_estimator(task, self.strength, categorical)
        estimator.fit(encoded, task.labels)
        return SklearnModel(
            estimator, spec=task.spec, classes=task.classes, card=Card(), encoder=encoder
        )

    @classmethod
    def arms(cls, task: Task) -> tuple[Self, ...]:
        """Every family that fits the inputs, at several settings, the families in turn."""
        modality = MODALITIES[task.modality]
        rates = (5e-3, 2e-3, 5e-4)
        leaves = (5, 10, 20, 2) if math.prod(task.spec.shape or ()) <= TREE_COLUMNS else ()
        strengths = (0.1,) if task.kind == "regression" else (0.1, 1.0, 0.01, 10.0, 0.001)
        grid = product(rates, (*modality.augmentations[:1], "none"), (32, 64))
        families = {
            "boosting": [cls(net="boosting", leaf=leaf) for leaf in leaves],
            "linear": [cls(net="linear", strength=strength) for strength in strengths],
            "mlp": [cls(net="mlp", lr=lr, width=w) for lr, w in product(rates, (32, 8))],
            "resnet": [cls(net="resnet", lr=lr, augment=a, width=w) for lr, a, w in grid],
        }
        turns = zip_longest(*(families[net] for net in modality.networks if net in families))
        return tuple(arm for turn in turns for arm in turn if arm is not None)
