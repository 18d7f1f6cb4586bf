"""The gain of the model handed over, with an interval that the choice among arms cannot fool.

A arms, R repeats, N rows, B bootstrap samples.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from bequest.core import METRICS, Verdict
from bequest.data.splits import MIN_BLOCKS
from bequest.errors import DataError
from bequest.evaluation.race import RaceResult
from bequest.evaluation.spread import Spread, resample

__all__ = ["estimate_gain", "judge"]

Array = NDArray[Any]

# The derivation stands in docs/theory/gain.md.
# scores that jump as a prediction moves from one class to another
STEPS = frozenset({"accuracy", "balanced_accuracy", "f1", "f1_macro", "matthews_corrcoef"})
STEP_SHARE = 0.4  # of a step score's interplay that does not average out
STEP_DOUBT = 0.4  # of the noise between arms that the choice by a step score is left with
DOUBT = 1 / 3  # the same by a loss, of that noise which is the rows' own
NO_REPEATS = 1.0  # interplay over row noise where one repeat leaves it unknown: the bound


def judge(result: RaceResult, *, rng: np.random.Generator, level: float = 0.95) -> Verdict:
    """Say whether the race's transfer model beats its from-scratch model; see `estimate_gain`.

    Fewer than five blocks of time decide nothing: the interval is then without end.
    """
    verdict = estimate_gain(
        result.transfer,
        result.scratch,
        metric=result.metric,
        rng=rng,
        level=level,
        groups=result.groups,
        folds=result.k,
    )
    if result.blocks is not None and result.blocks < MIN_BLOCKS:
        return replace(verdict, low=-math.inf, high=math.inf)
    return verdict


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
    that no arm is judged by the rows that chose it: that gives the gain. Its standard error comes
    from all rows. It adds to the row noise what the rows share with each other by training each
    other's models, which repeats of the cross-validation show.

    Parameters
    ----------
    transfer, scratch : array, shape (A, R, N)
        Out-of-fold score of each row (`bequest.core.Task.row_scores`), A may differ between the
        two; NaN where an arm was out before that repeat.
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
    >>> scratch = (rng.random((1, 1, 200)) < 0.6).astype(float)
    >>> transfer = (rng.random((1, 1, 200)) < 0.9).astype(float)
    >>> estimate_gain(transfer, scratch, metric="accuracy", rng=rng).kind
    'helps'
    """
    _check(transfer, scratch, metric, groups)
    spread = resample(transfer, scratch, groups, rng, n_boot)
    variance, freedom = _variance(spread, metric, folds)
    half = float(stats.t.ppf((1 + level) / 2, freedom)) * math.sqrt(variance)
    if variance <= (1e-9 * spread.gain) ** 2:
        half = abs(spread.gain)  # all rows say the same to the last digit: that is no measurement
    low, high = spread.gain - half, spread.gain + half
    if metric == "accuracy":
        low, high = max(low, -1.0), min(high, 1.0)
    return Verdict(spread.gain, low, high, metric, level)


def _variance(spread: Spread, metric: str, folds: int) -> tuple[float, float]:
    """Variance of the gain's error, and the degrees of freedom that it is known with."""
    if metric in STEPS:
        return _variance_of_steps(spread, folds), spread.units - 1.0
    if math.isnan(spread.interplay):
        variance = (1 + NO_REPEATS) * spread.chosen
    else:
        most = spread.chosen + spread.interplay  # all that the rows vary by in one repeat
        seen = min((folds - 1) * spread.interplay, most)
        own = max(0.0, 1 - seen / max(spread.chosen, 1e-300))
        settled = (1 - DOUBT) * own * _between(spread)
        variance = spread.chosen - settled + _one_repeat(folds) * seen
    heavy = 2 * spread.units / max(spread.kurtosis - 1, 1e-9)
    return variance, max(2.0, min(spread.units - 1.0, heavy))


def _variance_of_steps(spread: Spread, folds: int) -> float:
    least = 1 / (spread.units + 2) / spread.units  # half a discordant pair each way
    noise = max(least, spread.chosen - (1 - STEP_DOUBT) * _between(spread))
    if math.isnan(spread.interplay):
        return noise * (1 + STEP_SHARE * NO_REPEATS)
    return noise + STEP_SHARE * math.sqrt(folds - 1) * spread.interplay


def _between(spread: Spread) -> float:
    """What a chosen pair's variance has beyond that of the choice averaged out."""
    return max(0.0, spread.chosen - spread.settled)


def _one_repeat(folds: int) -> float:
    """How much more one repeat of K folds errs by interplay than endless repeats would."""
    rest = folds - 1
    across = (2 * folds / rest + 1 / rest**2) ** 2  # a pair of rows in different folds
    together = 1 / rest**2  # in the same fold
    return (rest * across + together) / folds / 2 - folds / rest


def _check(transfer: Array, scratch: Array, metric: str, groups: Array | None) -> None:
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
