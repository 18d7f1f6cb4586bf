"""Metrics that are no means over rows, linearised by jackknife pseudo-values.

A row's pseudo-value is ``n * value - (n - 1) * value without the row``; the spread of all of them
estimates the variance of the value (Efron and Tibshirani, An introduction to the bootstrap, 1993,
chapter 11). The values without a row come in closed form: no metric is computed N times.

N rows (n in formulas), C classes, T distinct scores.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from bequest.core.metric import Kind, Metric
from bequest.core.wording import pluralise
from bequest.errors import NotApplicable

__all__ = ["JackknifeMetric"]

Array = NDArray[Any]
LeftOut = Callable[[Array, Array, Array], tuple[float, Array]]


@final
@dataclass(frozen=True)
class JackknifeMetric(Metric):
    """A metric that is linearised by leaving out one row at a time.

    Parameters
    ----------
    name, kind, unit, two_classes
        As in `Metric`.
    left_out : callable ``(y, prediction, weights) -> (value, (N,) float64)``
        The value on all rows, and without each of them; NaN where it is undefined without the
        row, which then contributes the value itself. The weights have mean 1.

    Examples
    --------
    >>> def wape(y, prediction, weights):
    ...     errors, sizes = weights * np.abs(y - prediction), weights * np.abs(y)
    ...     without = (errors.sum() - errors) / (sizes.sum() - sizes)
    ...     return -errors.sum() / sizes.sum(), -without
    >>> metric = JackknifeMetric("neg_wape", "regression", "points", wape)
    >>> round(metric.value(np.array([2.0, 4.0, 4.0]), np.array([3.0, 4.0, 5.0])), 6)
    -0.2
    """

    name: str
    kind: Kind
    unit: str
    left_out: LeftOut
    two_classes: bool = False

    def linearise(
        self,
        y: Array,
        prediction: Array,
        *,
        reference: Array | None = None,
        weights: Array | None = None,
        groups: Array | None = None,
    ) -> Array:
        """See `Metric.linearise`; pseudo-values, moved so that their mean is the value."""
        scaled = np.ones(len(y)) if weights is None else weights / weights.mean()
        try:
            with np.errstate(divide="ignore", invalid="ignore"):
                value, without = self.left_out(y, prediction, scaled)
        except _Undefined as error:
            rows = pluralise(len(y), "row")
            raise NotApplicable(f"{self.name} is undefined on {rows}: {error}.") from error
        steps = (len(y) - 1) * np.where(np.isnan(without), 0.0, value - without)
        return np.asarray(value + steps - steps.mean())


class _Undefined(Exception):
    """Why a metric has no value on these rows."""


def _refuse_one_class(y: Array, classes: int) -> None:
    counts = np.bincount(y, minlength=classes)
    if np.count_nonzero(counts) < 2:
        missing = ", ".join(str(place) for place in np.flatnonzero(counts == 0)[:5])
        raise _Undefined(f"class {missing} (counted from 0) has none")


def _roc_auc(y: Array, prediction: Array, weights: Array) -> tuple[float, Array]:
    _refuse_one_class(y, prediction.shape[1])
    return _area(y == 1, prediction[:, 1], weights)


def _roc_auc_ovr(y: Array, prediction: Array, weights: Array) -> tuple[float, Array]:
    """Mean over the classes that have rows; a class of one row keeps its area without it."""
    _refuse_one_class(y, prediction.shape[1])
    areas = [_area(y == label, prediction[:, label], weights) for label in np.unique(y)]
    kept = [np.where(np.isnan(without), area, without) for area, without in areas]
    return float(np.mean([area for area, _ in areas])), np.mean(kept, axis=0)


def _area(positive: Array, scores: Array, weights: Array) -> tuple[float, Array]:
    """Area under the curve by placements: the weight of the other class that a row is right of.

    Leaving a row out takes its placement from the sum over pairs; ties count half.
    """
    distinct, place = np.unique(scores, return_inverse=True)
    plus_T = np.bincount(place, weights * positive, len(distinct))
    minus_T = np.bincount(place, weights * ~positive, len(distinct))
    below = (np.cumsum(minus_T) - minus_T / 2)[place]
    above = (np.cumsum(plus_T[::-1])[::-1] - plus_T / 2)[place]
    right = weights * np.where(positive, below, above)  # of the pairs that the row is in
    plus, minus = weights[positive].sum(), weights[~positive].sum()
    pairs = right[positive].sum()
    left = np.where(positive, (plus - weights) * minus, plus * (minus - weights))
    alone = np.where(positive, positive.sum(), (~positive).sum()) == 1
    return float(pairs / (plus * minus)), np.where(alone, np.nan, (pairs - right) / left)


def _average_precision(y: Array, prediction: Array, weights: Array) -> tuple[float, Array]:
    """Sum over thresholds of precision times the step of recall.

    Without a row, precision changes at its own threshold and all lower ones, in the same way for
    all rows of one class and weight: one pass over the thresholds for each of these.
    """
    positive = y == 1
    if not positive.any():
        raise _Undefined("class 1 (counted from 0), the positive one, has none")
    distinct, place = np.unique(-prediction[:, 1], return_inverse=True)
    step_T = np.bincount(place, weights * positive, len(distinct))
    right_T, all_T = np.cumsum(step_T), np.cumsum(np.bincount(place, weights))
    terms = step_T * right_T / all_T
    before = np.cumsum(terms) - terms
    total, without = right_T[-1], np.full(len(y), np.nan)
    kinds, member = np.unique(np.stack([weights * positive, weights]), axis=1, return_inverse=True)
    order = np.argsort(member.ravel(), kind="stable")
    ends = np.cumsum(np.bincount(member.ravel()))
    for (own, weight), rows in zip(kinds.T, np.split(order, ends[:-1]), strict=True):
        if own and positive.sum() == 1:
            continue
        rest = all_T - weight
        precision = np.where(rest > 0, (right_T - own) / np.where(rest > 0, rest, 1), 0)
        changed = step_T * precision
        after = np.cumsum(changed[::-1])[::-1]  # from the row's own threshold on
        at = place[rows]
        without[rows] = (before[at] + after[at] - own * precision[at]) / (total - own)
    return float(terms.sum() / total), without


def _f1(y: Array, prediction: Array, weights: Array) -> tuple[float, Array]:
    actual, found = y == 1, prediction.argmax(axis=1) == 1
    if not actual.any():
        raise _Undefined("class 1 (counted from 0), the positive one, has none")
    both, sums = weights @ (actual & found), weights @ (actual * 1.0 + found)
    without = 2 * (both - weights * (actual & found)) / (sums - weights * (actual * 1.0 + found))
    return 2 * both / sums, np.where(actual & (actual.sum() == 1), np.nan, without)


def _f1_macro(y: Array, prediction: Array, weights: Array) -> tuple[float, Array]:
    """Mean over the classes that are among the labels or the predictions."""
    found, classes = prediction.argmax(axis=1), prediction.shape[1]
    same = y == found
    right_C = np.bincount(y, weights * same, classes)
    sums_C = np.bincount(y, weights, classes) + np.bincount(found, weights, classes)
    scores_C, used = _share(2 * right_C, sums_C), np.count_nonzero(sums_C)
    # Leaving a row out changes its class and the predicted one; where both are one, only that.
    own, own_gone = _without(right_C, sums_C, y, weights * same, weights * np.where(same, 2, 1))
    other, other_gone = _without(right_C, sums_C, found, 0.0, weights)
    total = scores_C.sum() - scores_C[y] + own + np.where(same, 0.0, other - scores_C[found])
    left = used - own_gone - (~same & other_gone)
    return scores_C.sum() / used, np.where(left > 0, total / np.maximum(left, 1), np.nan)


def _without(
    right_C: Array, sums_C: Array, label: Array, right: Any, taken: Array
) -> tuple[Array, Array]:
    """F1 of each row's class once the row's part is taken from it, and whether nothing is left."""
    sums = sums_C[label] - taken
    return _share(2 * (right_C[label] - right), sums), sums <= 0


def _share(part: Array, whole: Array) -> Array:
    return np.where(whole > 0, part / np.where(whole > 0, whole, 1), 0.0)


def _matthews(y: Array, prediction: Array, weights: Array) -> tuple[float, Array]:
    """The correlation of labels and predictions; 0 where all predictions are one class.

    Gorodkin, Comparing two K-category assignments by a K-category correlation coefficient, 2004.
    """
    found, classes = prediction.argmax(axis=1), prediction.shape[1]
    _refuse_one_class(y, classes)
    same, total = y == found, weights.sum()
    actual_C = np.bincount(y, weights, classes)
    found_C = np.bincount(found, weights, classes)
    right, cross = weights @ same, actual_C @ found_C
    value = _correlation(total, right, cross, actual_C @ actual_C, found_C @ found_C)
    without = _correlation(
        total - weights,
        right - weights * same,
        cross - weights * (found_C[y] + actual_C[found]) + weights**2 * same,
        actual_C @ actual_C - 2 * weights * actual_C[y] + weights**2,
        found_C @ found_C - 2 * weights * found_C[found] + weights**2,
    )
    counts = np.bincount(y, minlength=classes)
    last = (counts[y] == 1) & (np.count_nonzero(counts) == 2)
    return float(value), np.where(last, np.nan, without)


def _correlation(total: Any, right: Any, cross: Any, actual: Any, found: Any) -> Array:
    spread, other = total**2 - actual, total**2 - found
    flat = np.minimum(spread, other) <= 1e-13 * total**2  # one class only, but for rounding
    scale = np.sqrt(np.where(flat, 1.0, spread * other))
    return np.where(flat, 0.0, (right * total - cross) / scale)


def _root_mean_squared_error(y: Array, prediction: Array, weights: Array) -> tuple[float, Array]:
    squares = weights * (y - prediction) ** 2
    rest = np.maximum(squares.sum() - squares, 0.0)
    return -float(np.sqrt(squares.mean())), -np.sqrt(rest / (len(y) - weights))


ROC_AUC = JackknifeMetric("roc_auc", "classification", "points", _roc_auc, two_classes=True)
ROC_AUC_OVR = JackknifeMetric("roc_auc_ovr", "classification", "points", _roc_auc_ovr)
AVERAGE_PRECISION = JackknifeMetric(
    "average_precision", "classification", "points", _average_precision, two_classes=True
)
F1 = JackknifeMetric("f1", "classification", "points", _f1, two_classes=True)
F1_MACRO = JackknifeMetric("f1_macro", "classification", "points", _f1_macro)
MATTHEWS = JackknifeMetric("matthews_corrcoef", "classification", "points", _matthews)
ROOT_MEAN_SQUARED_ERROR = JackknifeMetric(
    "neg_root_mean_squared_error", "regression", "units", _root_mean_squared_error
)
