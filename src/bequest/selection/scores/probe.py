"""Probe: what a ridge regression on the features predicts of rows that it has not seen.

Shapes: N samples, D features, C targets, R directions.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bequest.errors import DataError
from bequest.selection.arrays import are_classes, centre, check_features, check_labels, check_values
from bequest.selection.score import Score, by_targets
from bequest.selection.spectrum import directions

__all__ = ["PENALTIES", "SCORE", "leave_one_out", "probe_score"]

Array = NDArray[Any]

PENALTIES = (*np.logspace(-7, 1, 17).tolist(), np.inf)  # as shares of the largest eigenvalue


def probe_score(
    features: Any,
    labels: Any,
    *,
    classification: bool | None = None,
    measure: Literal["skill", "accuracy"] = "skill",
) -> float:
    """Skill of a linear probe on rows left out, in closed form.

    A ridge regression with an offset, on zeros and ones per class or on the values, predicts each
    row from all others; its penalty is the one of 18 with the least squared error. Skill is the
    share of the squared error of predicting the others' mean that it saves: R² for values, the
    Brier skill score for classes. It is a proper score: with few rows it says more than hits do.

    Parameters
    ----------
    features : array or tensor, shape (N, D)
    labels : array or tensor, shape (N,)
        Classes, or real values.
    classification : bool, optional
        As in `logme`.
    measure : {"skill", "accuracy"}
        Accuracy is for classes only.

    Returns
    -------
    float
        From 0 to 1; higher is better.

    Raises
    ------
    DataError
        The rows differ in number, a number is not finite, there is one class or value only, or
        accuracy is asked of values.

    References
    ----------
    Alain and Bengio, Understanding intermediate layers using linear classifier probes, 2016.
    Allen, The relationship between variable selection and data augmentation and a method for
    prediction, 1974 (the closed form).

    Examples
    --------
    >>> x = np.linspace(0, 1, 20)[:, None]
    >>> round(probe_score(x, 3 * x[:, 0] + 1), 6)
    1.0
    """
    matrix = check_features(features)
    if are_classes(labels) if classification is None else classification:
        classes, indices = check_labels(labels, len(matrix))
        targets = np.eye(len(classes))[indices]
    elif measure == "accuracy":
        raise DataError("accuracy is for classes: ask for measure='skill' of values.")
    else:
        targets = check_values(labels, len(matrix))[:, None]
    predicted = leave_one_out(matrix, targets)
    if measure == "accuracy":
        return float((predicted.argmax(axis=1) == targets.argmax(axis=1)).mean())
    rows = len(targets)
    mean_error = (((targets - targets.mean(axis=0)) * rows / (rows - 1)) ** 2).sum()
    return max(0.0, float(1 - ((targets - predicted) ** 2).sum() / mean_error))


def leave_one_out(features: Array, targets: Array) -> Array:
    """Each row's prediction (N, C) by a ridge regression on all others, at the best penalty."""
    centred, rows = centre(features), len(targets)
    offset = targets - targets.mean(axis=0)
    s, left = directions(centred) if centred.any() else (np.ones(0), centred[:, :0])
    projected, squares = left.T @ offset, left**2
    best, predicted = np.inf, targets
    for penalty in PENALTIES:
        shrunk = s / (s + penalty * s.max(initial=1e-300)) if np.isfinite(penalty) else 0 * s
        leverage = 1 / rows + squares @ shrunk
        residual = offset - left @ (shrunk[:, None] * projected)
        # Leaving a row out and predicting it needs no second fit (Allen, 1974).
        residual /= np.maximum(1 - leverage, 1e-9)[:, None]
        error = float((residual**2).sum())
        if error < best:
            best, predicted = error, targets - residual
    return np.asarray(predicted)


SCORE = Score(
    name="probe",
    needs="features",
    kinds=("classification", "regression"),
    function=by_targets(probe_score),
    citation=(
        "@misc{alain2016understanding, title={Understanding intermediate layers using linear "
        "classifier probes}, author={Alain, Guillaume and Bengio, Yoshua}, year={2016}}"
    ),
)
