"""Probe: a small head on the source's frozen features.

N samples, D features, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, Self, final, get_args

import numpy as np

from bequest.core import Card, Model, Source, Task, TransferMethod, features_of
from bequest.errors import NotApplicable
from bequest.frameworks.combined.stacked import Stacked, view_of
from bequest.methods.families import fits_svm, too_many_rows
from bequest.methods.provenance import check_setting, model_of, with_provenance
from bequest.training.estimators import (
    Scaling,
    calibrated,
    linear_estimator,
    svm_estimator,
    vector_model,
)

__all__ = ["Probe"]


@final
@dataclass(frozen=True)
class Probe(TransferMethod):
    """Fit a regularised small head on what the source computes before its own head.

    Parameters
    ----------
    head : {"linear", "svm"}
        Logistic or ridge regression, or a support vector machine with a Gaussian kernel, for up to
        4,000 rows.
    strength : float
        Inverse of the regularisation (scikit-learn's C); a linear regression picks its own by
        leave-one-out.
    scaling : {"none", "standard", "l2"}
        What the head reads: the features as they are, each one standardised, or each row of them
        brought to length one.
    calibrated : bool
        Bring the probabilities of a linear head to the right size by a temperature that is fitted
        out of fold: a strong regularisation makes them too even. The other head's always are so.

    References
    ----------
    Alain and Bengio, Understanding Intermediate Layers Using Linear Classifier Probes, ICLR
    Workshop 2017.

    Examples
    --------
    >>> import bequest as bq, numpy as np
    >>> from sklearn.neural_network import MLPClassifier
    >>> X, y = np.array([[0.0], [1.0], [2.0], [3.0]]), np.array(["a", "a", "b", "b"])
    >>> net = MLPClassifier((4,), solver="lbfgs", random_state=0).fit(X, y)
    >>> task = bq.Task.from_arrays(X, ["low", "low", "high", "high"])
    >>> model = Probe().fit([bq.Source(bq.wrap(net))], task, rng=np.random.default_rng(0))
    >>> model.classes
    ('high', 'low')
    """

    name: ClassVar[str] = "probe"
    citation: ClassVar[str] = (
        "@inproceedings{alain2017understanding, title={Understanding intermediate layers using "
        "linear classifier probes}, author={Alain, Guillaume and Bengio, Yoshua}, "
        "booktitle={ICLR Workshop}, year={2017}}"
    )
    head: Literal["linear", "svm"] = "linear"
    strength: float = 1.0
    scaling: Scaling = "none"
    calibrated: bool = False

    def __post_init__(self) -> None:
        check_setting(self, "head", self.head in ("linear", "svm"), "'linear' or 'svm'")
        check_setting(self, "strength", self.strength > 0, "above zero")
        known = self.scaling in get_args(Scaling)
        check_setting(self, "scaling", known, f"one of {[*get_args(Scaling)]}")

    def refuses(self, sources: Sequence[Source], task: Task) -> NotApplicable | None:
        """The source must read the inputs and show features; one row is tried."""
        source = model_of(sources)
        if self.head == "svm" and not fits_svm(task):
            return too_many_rows(task)
        refused = source.applies(task)
        if refused is not None:
            return refused
        try:
            features_of(source, task.inputs[np.arange(min(2, len(task)))])
        except NotApplicable as reason:
            return reason
        return None

    def fit(self, sources: Sequence[Source], task: Task, *, rng: np.random.Generator) -> Model:
        """Compute the features once, fit the head."""
        self.check(sources, task)
        source = model_of(sources)
        features = view_of(source, task.inputs, ("features",))
        seed = int(rng.integers(2**31))
        if self.head == "svm":
            estimator = svm_estimator(task, self.strength, scaling=self.scaling, seed=seed)
        else:
            estimator = linear_estimator(task, self.strength, scaling=self.scaling)
            estimator = calibrated(estimator, task, seed) if self.calibrated else estimator
        head = vector_model(estimator, features, task)
        model = Stacked(source, head, views=("features",), card=Card())
        moved = ({"part": "features", "numbers": features.shape[1], "rule": "frozen"},)
        return with_provenance(model, self, sources, task, moved)

    @classmethod
    def arms(cls, sources: Sequence[Source], task: Task) -> tuple[Self, ...]:
        """What belongs in an average, by the inputs' modality."""
        if task.kind == "regression":
            return (cls(scaling="l2"),)
        if task.modality == "text":
            even = cls(scaling="l2", strength=1.0, calibrated=True)
            kernel = cls(head="svm", scaling="l2", strength=10.0)
            return (even, kernel, cls(scaling="l2", strength=10.0))
        if task.modality == "image":
            return (cls(scaling="none", strength=1.0), cls(scaling="l2", strength=100.0))
        return (cls(scaling="l2", strength=10.0),)
