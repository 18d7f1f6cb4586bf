"""Probe: a linear head on the source's frozen features.

N samples, D features, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self, final

import numpy as np

from bequest.core import Card, Model, Source, Task, TransferMethod, features_of
from bequest.errors import NotApplicable
from bequest.frameworks.stacked import Stacked, view_of
from bequest.methods.made import made, model_of
from bequest.training.estimators import linear_estimator, vector_model

__all__ = ["Probe"]


@final
@dataclass(frozen=True)
class Probe(TransferMethod):
    """Fit a regularised linear head on what the source computes before its own head.

    Parameters
    ----------
    strength : float
        Inverse of the regularisation (scikit-learn's C) on standardised features; regression
        picks its own by leave-one-out.

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
    strength: float = 0.1

    def refuses(self, sources: Sequence[Source], task: Task) -> NotApplicable | None:
        """The source must read the inputs and show features; one row is tried."""
        source = model_of(sources)
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
        head = vector_model(linear_estimator(task, self.strength), features, task)
        model = Stacked(source, head, views=("features",), card=Card())
        moved = ({"part": "features", "numbers": features.shape[1], "rule": "frozen"},)
        return made(model, self, sources, task, moved)

    @classmethod
    def arms(cls, sources: Sequence[Source], task: Task) -> tuple[Self, ...]:
        """Three strengths; regression needs one."""
        if task.kind == "regression":
            return (cls(),)
        return (cls(strength=0.1), cls(strength=1.0), cls(strength=0.01))
