"""The proper score that a verdict is judged by: the mean of a loss per row, higher is better.

N rows, C classes.

Hits and misses throw away how sure a model is: on twenty rows two models of 66 and 89 % can hardly
be told apart by them, and can be by their probabilities. A proper score is best where the
probabilities are true, so a model cannot gain by it what it does not know.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bequest.core import METRICS, Task

__all__ = ["score_name", "score_rows"]

Array = NDArray[Any]


def score_name(task: Task) -> str:
    """The score that judges models of this task: its metric where that is a loss of each row.

    Examples
    --------
    >>> score_name(Task.from_arrays(np.eye(4), [0, 1, 0, 1], metric="roc_auc"))
    'neg_brier_score'
    """
    if task.metric.loss:
        return task.metric_name
    return "neg_brier_score" if task.kind == "classification" else "neg_mean_squared_error"


def score_rows(task: Task, output: Array, rows: Array) -> Array:
    """What each of these rows contributes to the score; over all rows the mean is the score.

    Rows count as they do for the metric: by their weights, all classes alike for balanced accuracy,
    all groups alike for a metric per group.

    Parameters
    ----------
    task : Task
    output : array, shape (n, C) or (n,)
        Class probabilities or values for these rows.
    rows : int array, shape (n,)
        The test rows of one fold.

    References
    ----------
    Brier, Verification of forecasts expressed in terms of probability, Monthly Weather Review 1950;
    Gneiting and Raftery, Strictly proper scoring rules, prediction, and estimation, JASA 2007.

    Examples
    --------
    >>> task = Task.from_arrays(np.eye(4), ["a", "a", "a", "b"], metric="balanced_accuracy")
    >>> even = np.full((4, 2), 0.5)
    >>> score_rows(task, even, np.arange(4)).round(3).tolist()
    [-0.167, -0.167, -0.167, -0.5]
    """
    if task.metric.loss:
        return task.row_scores(output, rows)
    scores = METRICS[score_name(task)].linearise(task.targets[rows], output)
    return np.asarray(scores * _row_weights(task)[rows])


def _row_weights(task: Task) -> Array:
    """How much each row counts, shape (N,), with mean one."""
    weight = np.ones(len(task)) if task.weights is None else task.weights.astype(np.float64)
    alike = None  # what each row belongs to, where all of these count alike
    if task.metric.units == "group" and task.groups is not None:
        alike = np.unique(task.groups, return_inverse=True)[1]
    elif task.metric_name == "balanced_accuracy":
        alike = task.targets
    if alike is not None:
        weight = weight / np.bincount(alike, weight)[alike]
    return np.asarray(weight * (len(task) / weight.sum()))
