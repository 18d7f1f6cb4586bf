"""Metrics that are means of a score per row.

N rows, C classes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from bequest.core.metric import Kind, Metric, PerGroup

__all__ = ["MeanMetric"]

Array = NDArray[Any]
Scores = Callable[[Array, Array, Array | None, Array | None], Array]


@final
@dataclass(frozen=True)
class MeanMetric(Metric):
    """A metric that is the mean of a score per row.

    Parameters
    ----------
    name, kind, unit, loss
        As in `Metric`.
    scores : callable ``(y, prediction, reference, weights) -> (N,) float64``
        Score of each row; `reference` and `weights` may be None.

    Examples
    --------
    >>> def hit(y, prediction, reference, weights):
    ...     return (np.abs(y - prediction) < 1).astype(float)
    >>> MeanMetric("within_one", "regression", "points", hit).value(np.zeros(2), np.array([0.5, 3]))
    0.5
    """

    name: str
    kind: Kind
    unit: str
    scores: Scores
    loss: bool = False

    def linearise(
        self,
        y: Array,
        prediction: Array,
        *,
        reference: Array | None = None,
        weights: Array | None = None,
        groups: Array | None = None,
    ) -> Array:
        """See `Metric.linearise`; the score of each row where rows have equal weight."""
        scores = self.scores(y, prediction, reference, weights)
        if weights is None:
            return scores
        mean = np.average(scores, weights=weights)
        return np.asarray(mean + weights / weights.mean() * (scores - mean))


def _accuracy(y: Array, prediction: Array, *_: Any) -> Array:
    return np.asarray(prediction.argmax(axis=1) == y, dtype=np.float64)


def _balanced_accuracy(
    y: Array, prediction: Array, reference: Array | None, weights: Array | None
) -> Array:
    if reference is None or weights is not None:
        reference = y  # with weights too: those of the reference are not known
    counts = np.bincount(reference, weights, minlength=prediction.shape[1])
    present = np.count_nonzero(counts)
    weight = counts.sum() / (present * np.where(counts > 0, counts, 1))
    return np.asarray(_accuracy(y, prediction) * weight[y])


def _log_loss(y: Array, prediction: Array, *_: Any) -> Array:
    chosen = prediction[np.arange(len(y)), y]
    return np.asarray(np.log(np.clip(chosen, 1e-7, 1.0)))


def _brier(y: Array, prediction: Array, *_: Any) -> Array:
    """Of two classes, half the sum over classes, as scikit-learn has it."""
    classes = prediction.shape[1]
    squares = ((prediction - np.eye(classes)[y]) ** 2).sum(axis=1)
    return np.asarray(-squares / (2 if classes == 2 else 1))


def _r2(y: Array, prediction: Array, reference: Array | None, weights: Array | None) -> Array:
    if reference is None and weights is not None:
        variance = np.average((y - np.average(y, weights=weights)) ** 2, weights=weights)
    else:
        variance = np.var(y if reference is None else reference)
    variance = max(float(variance), np.finfo(np.float64).tiny)
    return np.asarray(1.0 - (y - prediction) ** 2 / variance)


def _squared_error(y: Array, prediction: Array, *_: Any) -> Array:
    return np.asarray(-((y - prediction) ** 2))


def _absolute_error(y: Array, prediction: Array, *_: Any) -> Array:
    return np.asarray(-np.abs(y - prediction))


ACCURACY = MeanMetric("accuracy", "classification", "points", _accuracy)
BALANCED_ACCURACY = MeanMetric("balanced_accuracy", "classification", "points", _balanced_accuracy)
LOG_LOSS = MeanMetric("neg_log_loss", "classification", "nats", _log_loss, loss=True)
BRIER = MeanMetric("neg_brier_score", "classification", "points", _brier, loss=True)
R2 = MeanMetric("r2", "regression", "points", _r2, loss=True)
SQUARED_ERROR = MeanMetric(
    "neg_mean_squared_error", "regression", "squared units", _squared_error, loss=True
)
ABSOLUTE_ERROR = MeanMetric(
    "neg_mean_absolute_error", "regression", "units", _absolute_error, loss=True
)
PER_GROUP_ACCURACY = PerGroup("per_group_accuracy", ACCURACY)
PER_GROUP_ABSOLUTE_ERROR = PerGroup("per_group_neg_mean_absolute_error", ABSOLUTE_ERROR)
