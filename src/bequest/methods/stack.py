"""Stack: the source's outputs as input of a small model.

N samples, C classes.
"""

from __future__ import annotations

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
from bequest.frameworks.combined.stacked import Stacked, View, log_probabilities, view_of
from bequest.frameworks.encoders.unit_rows import UnitRows
from bequest.methods.families import UNIT_ROWS, narrow, not_unit_rows, sparse_vectors
from bequest.methods.probe import Probe
from bequest.methods.provenance import check_setting, match_label, model_of, with_provenance
from bequest.methods.reuse import relabel
from bequest.training.estimators import (
    Scaling,
    boosting_estimator,
    linear_estimator,
    trees_estimator,
    vector_model,
)
from bequest.training.offset import fit_offset

__all__ = ["Stack"]

TREE_LEAF = 3  # rows in a leaf of extra trees


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
    learner : {"linear", "extra-trees", "boosting"}
    offset : bool
        The small model corrects the source instead of reading it: what it gives is added to the
        source's log-probabilities, or values. Needs the source's classes, and is linear.
    strength : float
        Inverse of the regularisation of a linear classifier.
    scaling : {"standard", "l2"}
        What a linear model that is no offset reads of vectors and images: each column standardised,
        or each row brought to length one, beside the source's outputs as they are.

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
    learner: Literal["linear", "extra-trees", "boosting"] = "linear"
    offset: bool = False
    strength: float = 0.1
    scaling: Literal["standard", "l2"] = "standard"

    def __post_init__(self) -> None:
        learners = ("linear", "extra-trees", "boosting")
        check_setting(self, "learner", self.learner in learners, f"one of {[*learners]}")
        check_setting(self, "strength", self.strength > 0, "above zero")
        known = self.scaling in ("standard", "l2")
        check_setting(self, "scaling", known, "'standard' or 'l2'")

    def refuses(self, sources: Sequence[Source], task: Task) -> NotApplicable | None:
        """The inputs must fit; the offset also needs the target's classes, or two regressions."""
        source = model_of(sources)
        refused = source.applies(task)
        if refused is None and not isinstance(source, Predicts):
            return NotApplicable("the source has no head: it gives features only.")
        if refused is None and self.scaling == "l2" and task.modality not in UNIT_ROWS:
            return not_unit_rows()
        if refused is not None or not self.offset:
            return refused
        if source.kind != task.kind:
            return NotApplicable(f"the source does {source.kind}, the task is {task.kind}.")
        if any(match_label(label, source.classes) is None for label in task.classes):
            return NotApplicable("as an offset the source must know all classes of the target.")
        return None

    def fit(self, sources: Sequence[Source], task: Task, *, rng: np.random.Generator) -> Model:
        """Ask the source once, fit the small model on its answers."""
        self.check(sources, task)
        source = model_of(sources)
        encoder = self._encoder(task) if self.inputs else None
        model = (
            self._offset(source, task, encoder)
            if self.offset
            else self._stacked(source, task, encoder, int(rng.integers(2**31)))
        )
        moved = ({"part": "outputs", "numbers": max(1, len(source.classes)), "rule": "frozen"},)
        return with_provenance(model, self, sources, task, moved)

    def _encoder(self, task: Task) -> Encoder:
        if self.scaling == "l2":
            return UnitRows.fit(task.inputs)
        return MODALITIES[task.modality].fit_dense_encoder(task.inputs)

    def _stacked(self, source: Model, task: Task, encoder: Encoder | None, seed: int) -> Model:
        views: tuple[View, ...] = ("outputs", "inputs") if self.inputs else ("outputs",)
        matrix = view_of(source, task.inputs, views, encoder)
        if self.learner == "boosting":
            leaf = max(2, min(20, len(task) // 20))
            estimator = boosting_estimator(task, leaf, [False] * matrix.shape[1], seed)
        elif self.learner == "extra-trees":
            estimator = trees_estimator(task, TREE_LEAF, seed)
        else:
            scaling: Scaling = "none" if self.scaling == "l2" else "standard"
            estimator = linear_estimator(task, self.strength, scaling=scaling)
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
        """What belongs in an average: corrections of the source, and its outputs beside the inputs.

        Of images and texts only where the source shows no features: a probe of those says all that
        its outputs do, and more.
        """
        trees = "extra-trees" in MODALITIES[task.modality].networks and narrow(task)
        beside = cls(learner="extra-trees") if trees else cls()
        offsets = (cls(offset=True, strength=0.03), cls(offset=True, inputs=False, strength=0.03))
        if sparse_vectors(task):
            arms: tuple[Self, ...] = tuple(cls(scaling="l2", strength=c) for c in (10.0, 100.0))
        elif task.kind == "regression":
            arms = (beside, cls()) if trees else (beside, *offsets[:1])
        elif task.modality in ("image", "text"):
            shown = sources and Probe().applies(sources, task) is None
            arms = () if shown else (*offsets, cls(inputs=False, strength=1.0))
        else:
            arms = (offsets[0], beside, offsets[1])
        return tuple(a for a in arms if not sources or a.applies(sources, task) is None)
