"""Reuse: predict with the source as it is.

N samples, C classes of the target, Z classes of the source.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self, final

import numpy as np
from numpy.typing import NDArray

from bequest.core import Model, Predicts, Source, Task, TransferMethod, output_of
from bequest.errors import NotApplicable
from bequest.frameworks.combined.label_posterior import LabelPosterior
from bequest.frameworks.combined.relabelled import Relabelled
from bequest.methods.provenance import (
    answers_otherwise,
    match_label,
    model_of,
    named_for,
    with_provenance,
)

__all__ = ["Reuse", "relabel"]


@final
@dataclass(frozen=True)
class Reuse(TransferMethod):
    """Predict with the source as it is, its labels matched by name.

    A source that gives labels and no probabilities enters through its confusion matrix: how often
    each class occurs among the target's training rows where the source says each label.

    Parameters
    ----------
    correct_prior : bool
        Weigh each class by its share among the target's training rows over the share that the
        source expects of it. Without effect on a source that gives labels only.

    References
    ----------
    Saerens, Latinne and Decaestecker, Adjusting the Outputs of a Classifier to New a Priori
    Probabilities, Neural Computation 2002.

    Examples
    --------
    >>> import bequest as bq, numpy as np
    >>> task = bq.Task.from_arrays(np.array([[0.0], [1.0], [2.0], [3.0]]), [0, 0, 1, 1])
    >>> source = bq.wrap(lambda x: (x[:, 0] > 1.5).astype(int), classes=[0, 1], name="cut")
    >>> Reuse().fit([bq.Source(source)], task, rng=np.random.default_rng(0)).predict([[9.0]])
    array([1])
    """

    name: ClassVar[str] = "reuse"
    citation: ClassVar[str] = (
        "@article{saerens2002adjusting, title={Adjusting the Outputs of a Classifier to New a "
        "Priori Probabilities: A Simple Procedure}, author={Saerens, Marco and Latinne, Patrice "
        "and Decaestecker, Christine}, journal={Neural Computation}, volume={14}, year={2002}}"
    )
    correct_prior: bool = True

    def refuses(self, sources: Sequence[Source], task: Task) -> NotApplicable | None:
        """The inputs must fit, and every class of the target be one of the source's."""
        source = model_of(sources)
        refused = source.applies(task)
        if refused is not None:
            return refused
        if not isinstance(source, Predicts):
            return NotApplicable("the source has no head: it gives features only.")
        return answers_otherwise(source, task)

    def fit(self, sources: Sequence[Source], task: Task, *, rng: np.random.Generator) -> Model:
        """Match the labels; count the target's classes where asked."""
        self.check(sources, task)
        source = named_for(model_of(sources), task)
        moved = ({"part": "the whole model", "numbers": 0, "rule": "as it is"},)
        if task.kind == "regression":
            return with_provenance(source, self, sources, task, moved)
        return with_provenance(
            relabel(source, task, correct_prior=self.correct_prior), self, sources, task, moved
        )

    @classmethod
    def arms(cls, sources: Sequence[Source], task: Task) -> tuple[Self, ...]:
        """With the correction; none for regression, where `Stack` corrects level and scale too."""
        return (cls(),) if task.kind == "classification" else ()


def relabel(source: Model, task: Task, *, correct_prior: bool) -> Model:
    """The source under the target's labels, all of which it must know."""
    columns = [match_label(label, source.classes) or 0 for label in task.classes]
    said = output_of(source, task.inputs)
    if np.isin(said, (0.0, 1.0)).all():
        return LabelPosterior.counted(
            source,
            task.inputs,
            task.targets,
            classes=task.classes,
            named=columns,
            card=source.card,
        )
    weights = np.ones(len(columns))
    if correct_prior:
        weights = _target_prior(task) / _source_prior(source, task, columns)
    return Relabelled(
        source,
        classes=task.classes,
        columns=columns,
        weights=[float(weight) for weight in weights],
        card=source.card,
    )


def _target_prior(task: Task) -> NDArray[np.float64]:
    """Shares of the classes (C,), each counted once more than it is seen."""
    counts = np.bincount(task.targets, minlength=len(task.classes)) + 1.0
    return np.asarray(counts / counts.sum())


def _source_prior(source: Model, task: Task, columns: list[int]) -> NDArray[np.float64]:
    """What the source expects: its training shares where its card tells them, else its mean."""
    shares = source.card.task.class_shares
    if len(shares) == len(source.classes):
        prior = np.asarray(shares, dtype=np.float64)[columns]
    else:
        prior = output_of(source, task.inputs).mean(axis=0)[columns]
    prior = np.maximum(prior, 1e-3)
    return np.asarray(prior / prior.sum())
