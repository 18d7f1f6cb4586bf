"""Metrics as a mean over rows: what a paired interval needs.

Names and signs are scikit-learn's: higher is better, so errors are negative. N samples, C classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, final

import numpy as np
from numpy.typing import NDArray

from bequest.errors import DataError

__all__ = ["METRICS", "Metric", "metric_named"]

Array = NDArray[Any]
Kind = Literal["classification", "regression"]


@final
@dataclass(frozen=True)
class Metric:
    """One metric, as a mean of a score per row.

    Parameters
    ----------
    name : str
        scikit-learn's scorer name.
    kind : {"classification", "regression"}
    unit : str
        How a difference of it reads in a sentence: ``"points"`` are hundredths.
    rows : callable ``(y, prediction, reference) -> (N,) float64``
        `y` holds class indices (N,) or values (N,); `prediction` holds class probabilities (N, C)
        or values (N,); `reference` are the labels that fix class frequencies or the variance,
        so that the mean over any subset of rows keeps its meaning.
    """

    name: str
    kind: Kind
    unit: str
    rows: Callable[[Array, Array, Array], Array]

    def mean(self, y: Array, prediction: Array) -> float:
        """The metric on these rows; `y` is its own reference."""
        return float(self.rows(y, prediction, y).mean())


def _accuracy(y: Array, prediction: Array, reference: Array) -> Array:
    return np.asarray(prediction.argmax(axis=1) == y, dtype=np.float64)


def _balanced_accuracy(y: Array, prediction: Array, reference: Array) -> Array:
    counts = np.bincount(reference, minlength=prediction.shape[1])
    present = np.count_nonzero(counts)
    weight = len(reference) / (present * np.maximum(counts, 1))
    return np.asarray(_accuracy(y, prediction, reference) * weight[y])


def _log_loss(y: Array, prediction: Array, reference: Array) -> Array:
    chosen = prediction[np.arange(len(y)), y]
    return np.asarray(np.log(np.clip(chosen, 1e-7, 1.0)))


def _r2(y: Array, prediction: Array, reference: Array) -> Array:
    variance = max(float(np.var(reference)), np.finfo(np.float64).tiny)
    return np.asarray(1.0 - (y - prediction) ** 2 / variance)


def _squared_error(y: Array, prediction: Array, reference: Array) -> Array:
    return np.asarray(-((y - prediction) ** 2))


def _absolute_error(y: Array, prediction: Array, reference: Array) -> Array:
    return np.asarray(-np.abs(y - prediction))


METRICS: Mapping[str, Metric] = MappingProxyType(
    {
        metric.name: metric
        for metric in (
            Metric("accuracy", "classification", "points", _accuracy),
            Metric("balanced_accuracy", "classification", "points", _balanced_accuracy),
            Metric("neg_log_loss", "classification", "nats", _log_loss),
            Metric("r2", "regression", "points", _r2),
            Metric("neg_mean_squared_error", "regression", "squared units", _squared_error),
            Metric("neg_mean_absolute_error", "regression", "units", _absolute_error),
        )
    }
)


def metric_named(name: str | None, kind: Kind) -> Metric:
    """The metric of this name, or the default of this kind of task.

    Raises
    ------
    DataError
        No such metric, or it belongs to the other kind of task.

    Examples
    --------
    >>> metric_named(None, "regression").name
    'r2'
    """
    if name is None:
        name = "accuracy" if kind == "classification" else "r2"
    known = [metric.name for metric in METRICS.values() if metric.kind == kind]
    if name not in known:
        raise DataError(f"no metric named {name!r} for {kind}. Known: {', '.join(known)}.")
    return METRICS[name]
