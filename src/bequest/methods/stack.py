"""Stack: the source's outputs as input of a small model.

N samples, C classes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, Self, final

import numpy as np

from bequest.core import (
    MODALITIES,
    Card,
    Encoder,
    Model,
    Predicts,
    Source,
    Task,
    TransferMethod,
    output_of,
)
from bequest.errors import NotApplicable
from bequest.frameworks.stacked import Stacked, View, log_probabilities, view_of
from bequest.methods.from_scratch import TREE_COLUMNS
from bequest.methods.made import made, matched, model_of
from bequest.methods.reuse import relabel
from bequest.training.estimators import boosting_estimator, linear_estimator, vector_model
from bequest.training.offset import fit_offset

__all__ = ["Stack"]


@final
@dataclass(frozen=True)
class Stack(TransferMethod):
    """Fit a small model on what the source predicts, with or without the inputs.

    Asks nothing of the source but predictions, so it also takes one that shows no features, one
    with other classes, and one that predicts a number.

    Parameters
    ----------
    inputs : bool
        The small model also reads the target's own inputs.
    learner : {"linear", "boosting"}
    offset : bool
        The small model corrects the source instead of reading it: what it gives is added to the
        source's log-probabilities, or values. Needs the source's classes, and is linear.
    strength : float
        Inverse of the regularisation of a linear classifier.

    References
    ----------
    Wolpert, Stacked Generalization, Neural Networks 1992; Wang and Schneider, Flexible Transfer
    Learning under Support and Model Shift, NeurIPS 2014 (the offset).

    Examples
    --------
    >>> import bequest as bq, numpy as np
    >>> X = np.linspace(0, 1, 20)[:, None]
    >>> task = bq.Task.from_arrays(X, 3 * X[:, 0] + 1, kind="regression")
    >>> source = bq.wrap(lambda x: 3 * x[:, 0], name="slope")
    >>> model = Stack(offset=True).fit([bq.Source(source)], task, rng=np.random.default_rng(0))
    >>> model.predict([[2.0]]).round(1).tolist()
    [7.0]
    """

    name: ClassVar[str] = "stack"
    citation: ClassVar[str] = (
        "@article{wolpert1992stacked, title={Stacked generalization}, author={Wolpert, David H}, "
        "journal={Neural Networks}, volume={5}, year={1992}}"
    )
    inputs: bool = True
    learner: Literal["linear", "boosting"] = "linear"
    offset: bool = False
    strength: float = 0.1

    def refuses(self, sources: Sequence[Source], task: Task) -> NotApplicable | None:
        """The inputs must fit; the offset also needs the target's classes, or two regressions."""
        source = model_of(sources)
        refused = source.applies(task)
        if refused is None and not isinstance(source, Predicts):
            return NotApplicable("the source has no head: it gives features only.")
        if refused is not None or not self.offset:
            return refused
        if source.kind != task.kind:
            return NotApplicable(f"the source does {source.kind}, the task is {task.kind}.")
        if any(matched(label, source.classes) is None for label in task.classes):
            return NotApplicable("as an offset the source must know all classes of the target.")
        return None

    def fit(self, sources: Sequence[Source], task: Task, *, rng: np.random.Generator) -> Model:
        """Ask the source once, fit the small model on its answers."""
        self.check(sources, task)
        source = model_of(sources)
        encoder = MODALITIES[task.modality].fit_dense_encoder(task.inputs) if self.inputs else None
        model = (
            self._offset(source, task, encoder)
            if self.offset
            else self._stacked(source, task, encoder, int(rng.integers(2**31)))
        )
        moved = ({"part": "outputs", "numbers": max(1, len(source.classes)), "rule": "frozen"},)
        return made(model, self, sources, task, moved)

    def _stacked(self, source: Model, task: Task, encoder: Encoder | None, seed: int) -> Model:
        views: tuple[View, ...] = ("outputs", "inputs") if self.inputs else ("outputs",)
        matrix = view_of(source, task.inputs, views, encoder)
        if self.learner == "boosting":
            leaf = max(2, min(20, len(task) // 20))
            estimator = boosting_estimator(task, leaf, [False] * matrix.shape[1], seed)
        else:
            estimator = linear_estimator(task, self.strength)
        head = vector_model(estimator, matrix, task)
        spec = task.spec if self.inputs else source.spec
        return Stacked(source, head, views=views, encoder=encoder, spec=spec, card=Card())

    def _offset(self, source: Model, task: Task, encoder: Encoder | None) -> Model:
        views: tuple[View, ...] = ("inputs",) if self.inputs else ("outputs",)
        if task.kind == "classification":
            source = relabel(source, task, correct_prior=False)
        below = output_of(source, task.inputs)
        matrix = view_of(source, task.inputs, views, encoder, below)
        head: Model
        if task.kind == "classification":
            head = fit_offset(matrix, log_probabilities(below), task, self.strength)
        else:
            rest = replace(task, targets=task.targets - below)
            head = vector_model(linear_estimator(rest, self.strength), matrix, rest)
        return Stacked(
            source,
            head,
            views=views,
            encoder=encoder,
            offset=True,
            spec=task.spec if self.inputs else source.spec,
            card=Card(),
        )

    @classmethod
    def arms(cls, sources: Sequence[Source], task: Task) -> tuple[Self, ...]:
        """Offset, outputs beside the inputs, outputs alone, and trees where inputs are columns."""
        arms = [cls(offset=True), cls(inputs=True), cls(inputs=False)]
        trees = "boosting" in MODALITIES[task.modality].networks
        if trees and math.prod(task.spec.shape or ()) <= TREE_COLUMNS:
            arms.append(cls(inputs=True, learner="boosting"))
        return tuple(a for a in arms if not sources or a.applies(sources, task) is None)
