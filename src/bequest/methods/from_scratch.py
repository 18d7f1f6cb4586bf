"""From scratch: the baseline that every transfer is held against.

N samples, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self, final, get_args

import numpy as np
from scipy.sparse import issparse
from sklearn.dummy import DummyClassifier, DummyRegressor

from bequest.core import Baseline, Card, Encoder, Model, Task
from bequest.core.modality import MODALITIES, GivesCodes
from bequest.errors import NotApplicable
from bequest.frameworks.encoders.encoder import fit_encoder
from bequest.frameworks.encoders.unit_rows import UnitRows
from bequest.frameworks.sklearn.model import SklearnModel
from bequest.frameworks.torch.model import TorchModel
from bequest.frameworks.torch.networks import build
from bequest.methods.families import (
    UNIT_ROWS,
    averaged,
    counts,
    fits_svm,
    not_unit_rows,
    too_many_rows,
)
from bequest.methods.network import network_config, unread
from bequest.methods.provenance import check_setting, with_provenance
from bequest.training import AUGMENTATIONS, Loop, fit_network, seeded
from bequest.training.estimators import (
    Scaling,
    bayes_estimator,
    boosting_estimator,
    calibrated,
    linear_estimator,
    svm_estimator,
    text_estimator,
    trees_estimator,
)
from bequest.training.fit import steps_for, target_scale
from bequest.training.growing import fit_in_steps

__all__ = ["FromScratch", "Net", "constant"]

Net = Literal[
    "auto", "linear", "svm", "extra-trees", "boosting", "naive-bayes", "mlp", "resnet"
]  # fmt: skip
NETWORKS = ("mlp", "resnet")


@final
@dataclass(frozen=True)
class FromScratch(Baseline):
    """Train on the target alone.

    Parameters
    ----------
    net : {"auto", "linear", "svm", "extra-trees", "boosting", "naive-bayes", "mlp", "resnet"}
        auto: the `default_network` of the inputs' modality: a residual network for images, extra
        trees for tables, a linear model for vectors and texts.
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
        Inverse of the regularisation of a linear model or a support vector machine, scikit-learn's
        C; for texts a hundredth of it. Of naive Bayes the inverse of what is added to each count.
    leaf : int
        Least rows in a leaf of trees.
    scaling : {"standard", "l2"}
        What a linear model and a support vector machine read of vectors and images: each column
        standardised, or each row brought to length one, as suits counts and pixels.
    calibrated : bool
        Bring a linear model's probabilities to the right size by a temperature that is fitted out
        of fold: a strong regularisation makes them too even.

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
    scaling: Literal["standard", "l2"] = "standard"
    calibrated: bool = False

    def __post_init__(self) -> None:
        check_setting(self, "net", self.net in get_args(Net), f"one of {[*get_args(Net)]}")
        check_setting(self, "lr", self.lr > 0, "above zero")
        check_setting(self, "steps", self.steps is None or self.steps > 0, "None or above zero")
        check_setting(self, "width", self.width > 0 and self.width % 8 == 0, "a multiple of 8")
        check_setting(self, "augment", self.augment in AUGMENTATIONS, f"one of {[*AUGMENTATIONS]}")
        check_setting(self, "strength", self.strength > 0, "above zero")
        check_setting(self, "leaf", self.leaf > 0, "above zero")
        known = self.scaling in ("standard", "l2")
        check_setting(self, "scaling", known, "'standard' or 'l2'")

    @property
    def trains_network(self) -> bool:
        """Where it is no estimator of scikit-learn."""
        return self.net in ("auto", *NETWORKS)

    def applies(self, task: Task) -> NotApplicable | None:
        """The task must have labels, its modality such networks, and its rows suit them."""
        if not task.labelled:
            return NotApplicable("from scratch needs labelled rows, and the task has none.")
        net = self._net(task)
        if net not in get_args(Net):
            return NotApplicable(f"from scratch trains no {net!r} for {task.modality} inputs.")
        if self.scaling == "l2" and task.modality not in UNIT_ROWS:
            return not_unit_rows()
        if net == "svm" and not fits_svm(task):
            return too_many_rows(task)
        if net == "naive-bayes" and not counts(task):
            return NotApplicable("naive Bayes reads counts: classes, and no number below zero.")
        return unread(net, task, self.augment)

    def fit(self, task: Task, *, rng: np.random.Generator) -> Model:
        """Fit the encoder and the model on the task's rows."""
        refused = self.applies(task)
        if refused is not None:
            raise refused
        net = self._net(task)
        model = (
            self._network(net, task, rng) if net in NETWORKS else self._estimator(net, task, rng)
        )
        return with_provenance(model, self, (), task)

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
        words = net == "naive-bayes" and task.modality in UNIT_ROWS
        whole_rows = self.scaling == "l2" or words
        encoder: Encoder = UnitRows.fit(task.inputs) if whole_rows else fit_encoder(task.inputs)
        encoded: Any = encoder.encode(task.inputs)
        if not issparse(encoded):
            precise = encoded if task.modality == "image" else encoded.astype(np.float64)
            encoded = precise.reshape(len(task), -1)  # as the model reads rows
        width = encoded.shape[1]
        codes = len(encoder.cardinalities) if isinstance(encoder, GivesCodes) else 0
        categorical = [place >= width - codes for place in range(width)]
        estimator = self._unfitted(net, task, issparse(encoded), categorical, rng)
        estimator = fit_in_steps(estimator, encoded, task.labels)
        return SklearnModel(
            estimator, spec=task.spec, classes=task.classes, card=Card(), encoder=encoder
        )

    def _unfitted(
        self, net: str, task: Task, sparse: bool, categorical: list[bool], rng: np.random.Generator
    ) -> Any:
        scaling: Scaling = "none" if self.scaling == "l2" else "standard"  # the encoder did it
        seed = int(rng.integers(2**31))
        if net == "boosting":
            return boosting_estimator(task, self.leaf, categorical, seed)
        if net == "extra-trees":
            return trees_estimator(task, self.leaf, seed)
        if net == "naive-bayes":
            return bayes_estimator(task, self.strength)
        if net == "svm":
            return svm_estimator(task, self.strength, categorical, scaling, seed=seed)
        if sparse:
            linear = text_estimator(task, self.strength)
        else:
            linear = linear_estimator(task, self.strength, categorical, scaling)
        return calibrated(linear, task, seed) if self.calibrated else linear

    @classmethod
    def arms(cls, task: Task) -> tuple[Self, ...]:
        """What belongs in the average of the modality, the most promising first."""
        return tuple(cls(**settings) for settings in averaged(task))


def constant(task: Task) -> SklearnModel:
    """The class frequencies, or the mean value, for every row: what is left where nothing trains.

    Examples
    --------
    >>> import bequest as bq
    >>> task = bq.Task.from_arrays([[0.0], [1.0], [2.0], [3.0]], ["a", "b", "b", "b"])
    >>> constant(task).predict_proba([[9.0]]).tolist()
    [[0.25, 0.75]]
    """
    # It looks at no row.
    estimator = DummyRegressor() if task.kind == "regression" else DummyClassifier(strategy="prior")
    estimator.fit(np.zeros((len(task), 1)), task.labels, task.weights)
    card = Card(name=f"{task.name} (constant)", task=task.describe(), method="constant")
    return SklearnModel(estimator, spec=task.spec, classes=task.classes, card=card)
