"""More trees on those that a model has: boosting that goes on, on other rows.

N rows, D columns, C classes.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble._hist_gradient_boosting.gradient_boosting import BaseHistGradientBoosting
from sklearn.pipeline import Pipeline

from bequest.core import Model, Task
from bequest.errors import NotApplicable
from bequest.frameworks.boosting import BoostedTrees, Growth
from bequest.frameworks.combined.relabelled import Relabelled
from bequest.frameworks.sklearn.model import SklearnModel

__all__ = ["boosts_further", "more_trees"]

Array = NDArray[Any]


def boosts_further(model: Model) -> NotApplicable | None:
    """None where `more_trees` takes the model, else the reason why not.

    Examples
    --------
    >>> from sklearn.ensemble import HistGradientBoostingRegressor
    >>> import bequest as bq
    >>> trees = HistGradientBoostingRegressor().fit(np.eye(9), np.arange(9.0))
    >>> boosts_further(bq.wrap(trees)) is None
    True
    """
    if isinstance(model, Relabelled):
        return boosts_further(model.source)
    if isinstance(model, BoostedTrees):
        return None
    last = _last_step(model.estimator) if isinstance(model, SklearnModel) else None
    if not isinstance(last, BaseHistGradientBoosting):
        return NotApplicable("the source is not boosted trees that can be grown further.")
    if last.is_categorical_ is not None:
        return NotApplicable(
            "scikit-learn's boosting forgets the source's categories when it goes on: train the "
            "source with LightGBM, XGBoost or CatBoost, or encode its categories in a pipeline."
        )
    return None


def more_trees(model: Model, task: Task, columns: Sequence[int], growth: Growth) -> Model:
    """A copy of the model with more trees, fitted to what the old ones leave of the task's labels.

    Parameters
    ----------
    model : Model
        `boosts_further` says None of it.
    task : Task
    columns : sequence of int
        For each of the task's C classes its place among the model's; empty for a regression.
    growth : Growth

    Raises
    ------
    NotApplicable
        scikit-learn's boosting is asked to go on with rows of some of its classes only.
    """
    if isinstance(model, Relabelled):
        return more_trees(model.source, task, [model.columns[one] for one in columns], growth)
    if isinstance(model, BoostedTrees):
        return model.continued(task, columns, growth)
    assert isinstance(model, SklearnModel)
    targets = task.targets
    if model.classes:
        known = model.estimator.classes_
        labels = [model.classes[one] for one in columns]
        places = [known.tolist().index(label) for label in labels]
        targets = known[np.asarray(places)[task.targets]]
        if len(np.unique(targets)) < len(known):
            raise NotApplicable("scikit-learn's boosting goes on with rows of each class only.")
    estimator = copy.deepcopy(model.estimator)
    rows = model.encode(task.inputs)
    if isinstance(estimator, Pipeline):
        rows = estimator[:-1].transform(rows) if len(estimator) > 1 else rows
    _grow(_last_step(estimator), rows, targets, growth)
    return replace(model, estimator=estimator)


def _last_step(estimator: Any) -> Any:
    return estimator[-1] if isinstance(estimator, Pipeline) else estimator


def _grow(trees: Any, rows: Any, targets: Array, growth: Growth) -> None:
    """Fit more trees, in place, by ``warm_start``.

    It means to go on with the rows of the first fit. It sorts the new rows into bins of their own
    and walks the old trees with the old trees' numbers of bins, which are other values here. So it
    is told what the old trees say of these rows: that is asked for once, before the first new tree.
    """
    said = np.asfortranarray(trees._raw_predict(rows))
    settings = {
        "warm_start": True,
        "max_iter": trees.n_iter_ + growth.rounds,
        "learning_rate": growth.lr,
        "max_leaf_nodes": 8,
        "min_samples_leaf": growth.leaf,
        "l2_regularization": 1.0,  # rows that the source is sure of have next to no weight
        "early_stopping": False,
    }
    before = {name: getattr(trees, name) for name in settings}
    trees._raw_predict = lambda *_, **__: said
    try:
        trees.set_params(**settings).fit(_without_empty(rows), targets)
    finally:
        del trees._raw_predict
    trees.set_params(**{**before, "max_iter": trees.n_iter_})


def _without_empty(rows: Any) -> Any:
    """Columns without any value as zeros, which nothing splits: scikit-learn finds no bins."""
    empty = np.isnan(np.asarray(rows, dtype=np.float64)).all(axis=0)
    if not empty.any():
        return rows
    filled = rows.copy()
    if hasattr(filled, "loc"):
        filled.loc[:, empty] = 0.0
    else:
        filled[:, empty] = 0.0
    return filled
