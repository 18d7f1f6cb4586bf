"""The gain of the model handed over, with an interval that the choice among arms cannot fool.

A arms, R repeats, N rows, B bootstrap samples.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bequest.core import METRICS, Verdict
from bequest.errors import DataError
from bequest.evaluation.race import RaceResult
from bequest.evaluation.replay import choose, row_weights

__all__ = ["estimate_gain", "judge"]

Array = NDArray[Any]


def judge(result: RaceResult, *, rng: np.random.Generator, level: float = 0.95) -> Verdict:
    """Say whether the race's transfer model beats its from-scratch model; see `estimate_gain`."""
    return estimate_gain(
        result.transfer,
        result.scratch,
        metric=result.metric,
        rng=rng,
        level=level,
        groups=result.groups,
        folds=result.k,
    )


def estimate_gain(
    transfer: Array,
    scratch: Array,
    *,
    metric: str,
    rng: np.random.Generator,
    n_boot: int = 2000,
    level: float = 0.95,
    groups: Array | None = None,
    folds: int = 5,
) -> Verdict:
    """Estimate the gain of the chosen transfer arm over the chosen from-scratch arm.

    Both are chosen again in each bootstrap sample of the rows and scored on the rows left out, so
    that no arm is judged by the rows that chose it.

    Parameters
    ----------
    transfer, scratch : array, shape (A, R, N)
        Out-of-fold score of each row (`bequest.core.Metric.rows`), A may differ between the two;
        NaN where an arm was out before that repeat.
    metric : str
        A key of `bequest.core.METRICS`.
    rng : numpy.random.Generator
    n_boot : int
        Bootstrap samples.
    level : float
        Coverage of the interval, 0 to 1.
    groups : array, shape (N,), optional
        Rows of one group are resampled together.
    folds : int
        Folds of each repeat.

    Returns
    -------
    Verdict
        The gain is for both arms refitted on all N rows and judged on new rows of the same
        distribution.

    Raises
    ------
    DataError
        The shapes do not fit, or a side has no arm with a score for every row.

    References
    ----------
    Tsamardinos, Greasidou and Borboudakis, Bootstrapping the out-of-sample predictions for
    efficient and accurate cross-validation, Machine Learning 2018.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> scratch = (rng.random((1, 1, 100)) < 0.6).astype(float)
    >>> estimate_gain(scratch + 0.3, scratch, metric="accuracy", rng=rng).kind
    'helps'
    """
    weights = row_weights(_checked(transfer, scratch, metric, groups), groups, rng, n_boot)
    better = _mean_over_repeats(transfer)[choose(transfer, weights)]
    base = _mean_over_repeats(scratch)[choose(scratch, weights)]
    left_out = weights == 0
    gains = ((better - base) * left_out).sum(axis=1) / left_out.sum(axis=1)
    low, high = np.quantile(gains, [(1 - level) / 2, (1 + level) / 2])
    return Verdict(float(gains.mean()), float(low), float(high), metric, level)


def _checked(transfer: Array, scratch: Array, metric: str, groups: Array | None) -> int:
    if metric not in METRICS:
        raise DataError(f"no metric named {metric!r}. Known: {', '.join(METRICS)}.")
    for name, side in (("transfer", transfer), ("from scratch", scratch)):
        if side.ndim != 3 or 0 in side.shape or side.shape[2] != transfer.shape[2]:
            raise DataError(
                f"scores must be of shape (arms, repeats, {transfer.shape[-1]} rows), "
                f"those of {name} have {side.shape}."
            )
        if not np.isfinite(side[:, 0]).all(axis=1).any():
            raise DataError(f"no arm of {name} has a score for every row.")
    rows: int = transfer.shape[2]
    if groups is not None and len(groups) != rows:
        raise DataError(f"{len(groups)} groups do not fit {rows} rows.")
    return rows


def _mean_over_repeats(scores: Array) -> Array:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # arms that never ran: a row of NaN
        return np.asarray(np.nanmean(scores, axis=1))
