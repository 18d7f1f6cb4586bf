"""Continued boosting: the source's trees, and more of them for what they get wrong here.

N rows, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self, final

import numpy as np

from bequest.core import Model, Source, Task, TransferMethod
from bequest.errors import NotApplicable
from bequest.frameworks.boosting import Growth
from bequest.frameworks.combined.relabelled import Relabelled
from bequest.methods.provenance import (
    answers_otherwise,
    check_setting,
    match_label,
    model_of,
    named_for,
    with_provenance,
)
from bequest.training.more_trees import boosts_further, more_trees

__all__ = ["ContinuedBoosting"]


@final
@dataclass(frozen=True)
class ContinuedBoosting(TransferMethod):
    """Keep the source's trees, and go on boosting on the target's rows.

    For models of LightGBM (`init_model`), XGBoost (`xgb_model`) and CatBoost (`init_model`), and
    for scikit-learn's histogram boosting, alone or at the end of a pipeline. It is to trees what
    fine-tuning is to networks.

    Parameters
    ----------
    rounds : int
        Rounds of boosting; each adds one tree, or one for each class.
    lr : float
        What each new tree is multiplied by, above 0 and at most 1.
    leaf : int
        Least rows in a leaf of a new tree. Of XGBoost, the least weight that so many rows have.

    References
    ----------
    Friedman, Greedy Function Approximation: A Gradient Boosting Machine, Annals of Statistics 2001.

    Examples
    --------
    >>> import bequest as bq
    >>> from sklearn.ensemble import HistGradientBoostingRegressor
    >>> X = np.arange(60.0)[:, None]
    >>> source = bq.wrap(HistGradientBoostingRegressor().fit(X, X[:, 0]), name="line")
    >>> higher = bq.Task.from_arrays(X, X[:, 0] + 100.0, kind="regression")
    >>> method = ContinuedBoosting(rounds=100, lr=0.1)
    >>> model = method.fit([bq.Source(source)], higher, rng=np.random.default_rng(0))
    >>> [round(float(m.predict([[30.0]])[0]), -1) for m in (source, model)]
    [30.0, 130.0]
    """

    name: ClassVar[str] = "continued-boosting"
    citation: ClassVar[str] = (
        "@article{friedman2001greedy, title={Greedy Function Approximation: A Gradient Boosting "
        "Machine}, author={Friedman, Jerome H.}, journal={Annals of Statistics}, volume={29}, "
        "year={2001}}"
    )
    rounds: int = 30
    lr: float = 0.05
    leaf: int = 5

    def __post_init__(self) -> None:
        check_setting(self, "rounds", self.rounds >= 1, "1 or more")
        check_setting(self, "lr", 0 < self.lr <= 1, "above 0 and at most 1")
        check_setting(self, "leaf", self.leaf >= 1, "1 or more")

    def refuses(self, sources: Sequence[Source], task: Task) -> NotApplicable | None:
        """Boosted trees that read the inputs, and know every class of the target."""
        source = model_of(sources)
        refused = boosts_further(source) or source.applies(task)
        if refused is not None:
            return refused
        return answers_otherwise(source, task)

    def fit(self, sources: Sequence[Source], task: Task, *, rng: np.random.Generator) -> Model:
        """Grow a copy of the source."""
        self.check(sources, task)
        source = named_for(model_of(sources), task)
        columns = [match_label(label, source.classes) or 0 for label in task.classes]
        growth = Growth(self.rounds, self.lr, self.leaf, int(rng.integers(2**31)))
        model = more_trees(source, task, columns, growth)
        if task.classes != model.classes:
            model = _under(model, source, task, columns)
        moved = ({"part": "trees", "numbers": 0, "rule": f"kept, {self.rounds} rounds added"},)
        return with_provenance(model, self, sources, task, moved)

    @classmethod
    def arms(cls, sources: Sequence[Source], task: Task) -> tuple[Self, ...]:
        """One: with more rounds the new trees fit the noise of a few labels."""
        return (cls(),)


def _under(model: Model, source: Model, task: Task, columns: Sequence[int]) -> Model:
    """The grown trees under the target's labels; the source's own may be other ones."""
    places: list[Any] = list(columns)
    while isinstance(source, Relabelled):
        places = [source.columns[one] for one in places]
        source = source.source
    even = [1.0] * len(places)
    return Relabelled(model, classes=task.classes, columns=places, weights=even, card=model.card)
