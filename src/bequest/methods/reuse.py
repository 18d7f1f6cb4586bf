"""Reuse: predict with the source as it is.

N samples, C classes of the target, Z classes of the source.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self, final

import numpy as np
from numpy.typing import NDArray

from bequest.core import Model, Predicts, Task, TransferMethod, output_of
from bequest.errors import NotApplicable
from bequest.frameworks.relabelled import Relabelled
from bequest.methods.made import made, matched, needs_source

__all__ = ["Reuse", "relabel"]


@final
@dataclass(frozen=True)
class Reuse(TransferMethod):
    """Predict with the source as it is, its labels matched by name.

    Parameters
    ----------
    correct_prior : bool
        Weigh each class by its share among the target's training rows over the share that the
        source expects of it.

    References
    ----------
    Saerens, Latinne and Decaestecker, Adjusting the Outputs of a Classifier to New a Priori
    Probabilities, Neural Computation 2002.

    Examples
    --------
    >>> import bequest as bq, numpy as np
    >>> task = bq.Task.from_arrays(np.array([[0.0], [1.0], [2.0], [3.0]]), [0, 0, 1, 1])
    >>> source = bq.wrap(lambda x: (x[:, 0] > 1.5).astype(int), classes=[0, 1], name="cut")
    >>> Reuse().fit(source, task, rng=np.random.default_rng(0)).predict([[9.0]])
    array([1])
    """

    name: ClassVar[str] = "reuse"
    citation: ClassVar[str] = (
        "@article{saerens2002adjusting, title={Adjusting the Outputs of a Classifier to New a "
        "Priori Probabilities: A Simple Procedure}, author={Saerens, Marco and Latinne, Patrice "
        "and Decaestecker, Christine}, journal={Neural Computation}, volume={14}, year={2002}}"
    )
    correct_prior: bool = True

    def applies(self, source: Model | None, task: Task) -> NotApplicable | None:
        """The inputs must fit, and every class of the target be one of the source's."""
        refused = needs_source(source, task)
        if refused is not None or source is None:
            return refused
        if not isinstance(source, Predicts):
            return NotApplicable("the source has no head: it gives features only.")
        if source.kind != task.kind:
            return NotApplicable(f"the source does {source.kind}, the task is {task.kind}.")
        unknown = [label for label in task.classes if matched(label, source.classes) is None]
        if unknown:
            said = ", ".join(map(str, unknown[:5]))
            return NotApplicable(f"the source does not know the target's classes {said}.")
        return None

    def fit(self, source: Model | None, task: Task, *, rng: np.random.Generator) -> Model:
        """Match the labels; count the target's classes where asked."""
        refused = self.applies(source, task)
        if refused is not None or source is None:
            raise refused or NotApplicable("reuse needs a source.")
        moved = ({"part": "the whole model", "numbers": 0, "rule": "as it is"},)
        if task.kind == "regression":
            return made(source, self, source, task, moved)
        return made(
            relabel(source, task, correct_prior=self.correct_prior), self, source, task, moved
        )

    @classmethod
    def arms(cls, source: Model | None, task: Task) -> tuple[Self, ...]:
        """With and without the correction; it does nothing for regression."""
        if task.kind == "regression":
            return (cls(correct_prior=False),)
        return (cls(correct_prior=True), cls(correct_prior=False))


def relabel(source: Model, task: Task, *, correct_prior: bool) -> Relabelled:
    """The source under the target's labels, all of which it must know."""
    columns = [matched(label, source.classes) or 0 for label in task.classes]
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
    shares = source.card.task.get("class_shares")
    if shares is not None and len(shares) == len(source.classes):
        prior = np.asarray(shares, dtype=np.float64)[columns]
    else:
        prior = output_of(source, task.inputs).mean(axis=0)[columns]
    prior = np.maximum(prior, 1e-3)
    return np.asarray(prior / prior.sum())
