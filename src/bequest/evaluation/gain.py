"""The gain of the model handed over, with an interval that the choice among arms cannot fool.

A arms, R repeats, N rows, B bootstrap samples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from bequest.core import METRICS, SourceGain, Verdict
from bequest.data.splits import MIN_BLOCKS
from bequest.errors import DataError
from bequest.evaluation.candidates import Candidate
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
LEAST_SEEN = 0.25  # share of an average's members, below which its repeats say no less
MOST_DIFFERENCES = 20_000  # numbers that an outcome holds of one source
SAMPLES, FEWEST_SAMPLES = 2000, 200  # of the bootstrap
DRAWN_ROWS = 20_000_000  # in all samples: of more than 10,000 rows there are fewer samples
NO_REPEATS = 1.0  # interplay over row noise where repeats do not show it: the bound
UNBOUNDED = 1.15  # what the formula lacks in the variance of losses without an upper end


def judge(
    result: RaceResult, *, rng: np.random.Generator, level: float = 0.95
) -> tuple[Verdict, tuple[SourceGain, ...]]:
    """Say whether the race's transfer beats its from scratch, and what each source is worth.

    Both are judged by the score, which also makes the choice among sources; see `estimate_gain`.
    Fewer than five blocks of time decide nothing: the interval is then without end.
    """
    everything = range(len(result.transfer))
    chosen = result.scratch_index
    verdict = _compared(result, everything, range(len(result.scratch)), rng, level)
    alone = len(result.transfer) == len(result.scratch) == 1
    gains = tuple(
        SourceGain(
            one.name,
            verdict if alone else _compared(result, [place], [chosen], rng, level),
            _differences(one, result.scratch[chosen], result.groups),
        )
        for place, one in enumerate(result.transfer)
    )
    return verdict, gains if len({gain.source for gain in gains}) == len(gains) else ()


def _compared(
    result: RaceResult,
    transfer: Sequence[int],
    scratch: Sequence[int],
    rng: np.random.Generator,
    level: float,
) -> Verdict:
    sides = [result.transfer[t] for t in transfer], [result.scratch[s] for s in scratch]
    scores = _stacked(sides[0], "score"), _stacked(sides[1], "score")
    repeated = min(one.repeated for side in sides for one in side)
    options: dict[str, Any] = {
        "level": level,
        "groups": result.groups,
        "folds": result.k,
        "repeated": repeated,
        "n_boot": _samples(scores[0].shape[2]),
    }
    seed = rng.integers(2**63)  # both by the same samples
    by_score = estimate_gain(
        *scores, metric=result.score, rng=np.random.default_rng(seed), **options
    )
    verdict = by_score
    if result.score != result.metric:
        metrics = _stacked(sides[0], "metric"), _stacked(sides[1], "metric")
        by_metric = estimate_gain(
            *metrics, metric=result.metric, rng=np.random.default_rng(seed), by=scores, **options
        )
        verdict = replace(
            by_metric,
            score=result.score,
            score_gain=by_score.gain,
            score_low=by_score.low,
            score_high=by_score.high,
            probability=by_score.probability,
        )
    if result.blocks is not None and result.blocks < MIN_BLOCKS:
        verdict = replace(verdict, low=-math.inf, high=math.inf, probability=0.5)
        if verdict.score:
            verdict = replace(verdict, score_low=-math.inf, score_high=math.inf)
    return verdict


def _samples(rows: int) -> int:
    """Bootstrap samples of so many rows: their time is bounded, and more rows need fewer."""
    return max(FEWEST_SAMPLES, min(SAMPLES, DRAWN_ROWS // rows))


def _stacked(candidates: Sequence[Candidate], what: str) -> Array:
    """Score or metric of several candidates, (A, R, N)."""
    return np.stack([getattr(one, what) for one in candidates])


def _differences(
    better: Candidate, base: Candidate, groups: Array | None
) -> tuple[tuple[float, ...], ...]:
    """What each row, or group, contributes to the gain in each repeat that both ran."""
    rows = better.score - base.score
    rows = rows[np.isfinite(rows).all(axis=1)]
    if groups is not None:
        member = np.unique(groups, return_inverse=True)[1]
        units = int(member.max()) + 1
        rows = np.stack([np.bincount(member, row) * units / len(row) for row in rows])
    if rows.size > MOST_DIFFERENCES:
        return ()
    return tuple(tuple(round(float(value), 6) for value in row) for row in rows)


def estimate_gain(
    transfer: Array,
    scratch: Array,
    *,
    metric: str,
    rng: np.random.Generator,
    n_boot: int = SAMPLES,
    level: float = 0.95,
    groups: Array | None = None,
    folds: int = 5,
    repeated: float = 1.0,
    by: tuple[Array, Array] | None = None,
) -> Verdict:
    """Estimate the gain of the chosen transfer candidate over the chosen from-scratch candidate.

    Both are chosen again in each bootstrap sample of the rows and scored on the rows left out, so
    that no arm is judged by the rows that chose it: that gives the gain. Its standard error comes
    from all rows. It adds to the row noise what the rows share with each other by training each
    other's models, which repeats of the cross-validation show.

    Parameters
    ----------
    transfer, scratch : array, shape (A, R, N)
        Out-of-fold score of each row (`bequest.core.Task.row_scores`), A may differ between the
        two; NaN where a candidate did not run that repeat.
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
    repeated : float
        Share of an average's members that ran every repeat, above 0 to 1. The others are taken to
        change from repeat to repeat as much as these do.
    by : pair of arrays of the same shapes, optional
        Scores that choose, where they are not those that judge.

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
    spread = resample(transfer, scratch, groups, rng, n_boot, by=by)
    spread = replace(spread, interplay=spread.interplay / max(repeated, LEAST_SEEN) ** 2)
    variance, freedom = _variance(spread, metric, folds)
    quantile = float(stats.t.ppf((1 + level) / 2, freedom))
    half = quantile * math.sqrt(variance)
    tail = _tail(spread, quantile) * math.sqrt(variance) if _unbounded(metric) else 0.0
    if variance <= (1e-9 * spread.gain) ** 2:
        half = abs(spread.gain)  # all rows say the same to the last digit: that is no measurement
    below, beyond = half + max(0.0, -tail), half + max(0.0, tail)
    low, high = spread.gain - below, spread.gain + beyond
    reach = below if spread.gain > 0 else beyond  # towards zero
    above = 0.5 if half == 0 else float(stats.t.cdf(spread.gain / reach * quantile, freedom))
    if metric == "accuracy":
        low, high = max(low, -1.0), min(high, 1.0)
    return Verdict(spread.gain, low, high, metric, level, probability=above)


def _variance(spread: Spread, metric: str, folds: int) -> tuple[float, float]:
    """Variance of the gain's error, and the degrees of freedom that it is known with."""
    odds = _odds(folds, spread.units)
    unseen = math.isnan(spread.interplay) or math.isinf(odds)
    if metric in STEPS:
        return _variance_of_steps(spread, None if unseen else odds), spread.units - 1.0
    if unseen:
        variance = (1 + NO_REPEATS) * spread.chosen
    else:
        most = spread.chosen + spread.interplay  # all that the rows vary by in one repeat
        seen = min(odds * spread.interplay, most)
        own = max(0.0, 1 - seen / max(spread.chosen, 1e-300))
        settled = (1 - DOUBT) * own * _between(spread)
        variance = spread.chosen - settled + _one_repeat(folds, odds) * seen
    if _unbounded(metric):
        variance *= UNBOUNDED
    heavy = 2 * spread.units / max(spread.kurtosis - 1, 1e-9)
    return variance, max(2.0, min(spread.units - 1.0, heavy))


def _variance_of_steps(spread: Spread, odds: float | None) -> float:
    least = 1 / (spread.units + 2) / spread.units  # half a discordant pair each way
    noise = max(least, spread.chosen - (1 - STEP_DOUBT) * _between(spread))
    if odds is None:
        return noise * (1 + STEP_SHARE * NO_REPEATS)
    return noise + STEP_SHARE * math.sqrt(odds) * spread.interplay


def _unbounded(metric: str) -> bool:
    """Whether one row can lose any amount, so that the rows at hand miss the longest tail."""
    return METRICS[metric].kind == "regression" or metric == "neg_log_loss"


def _tail(spread: Spread, quantile: float) -> float:
    """How much further skew differences reach on their longer side, in standard errors.

    Johnson's correction of a t interval for skewness (JASA 1978), on the side that it widens.
    """
    return spread.skewness / math.sqrt(spread.units) * (1 / 6 + quantile**2 / 3)


def _between(spread: Spread) -> float:
    """What a chosen pair's variance has beyond that of the choice averaged out."""
    return max(0.0, spread.chosen - spread.settled)


def _odds(folds: int, units: int) -> float:
    """How often a unit trains the model that tests another one, over how often it does not.

    ``K - 1`` for many units. Where each is a fold of its own all repeats are alike: without end.
    """
    return units * (folds - 1) / (units - folds) if units > folds else math.inf


def _one_repeat(folds: int, odds: float) -> float:
    """How much more one repeat of K folds errs by interplay than endless repeats would."""
    rest, together = folds - 1, 1 / (1 + odds)  # share of the pairs of units that share a fold
    across = (2 * folds / rest + 1 / rest**2) ** 2  # weight of a pair in different folds
    within = 1 / rest**2
    alone = (folds / rest) ** 2  # what the rows' own variance holds of it
    return ((1 - together) * across + together * within) / 2 - (1 - together) * alone


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
