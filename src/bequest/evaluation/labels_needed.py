"""How many labels would decide an undecided verdict.

N rows now, n rows then.

With more rows the standard error falls as the root of n, and the gain falls too, for from scratch
learns. With the gain as ``n ** -b`` the two meet at ``N (half / gain) ** (1 / (1/2 - b))``, and
never where b is a half or more: the interval then closes no faster than the gain.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bequest.core import Executor, Task, Verdict
from bequest.data.splits import folds
from bequest.evaluation.curves import NEVER, Until, curve, in_rows, nested
from bequest.evaluation.jobs import Arm
from bequest.evaluation.score import score_rows
from bequest.frameworks.combined.ensemble import sharpened

__all__ = ["labels_needed", "rows_that_decide"]

Array = NDArray[Any]
REACH = 100.0  # times the rows at hand: what is beyond is called never
FRACTIONS = (0.5, 1.0)
SLOWEST = 0.45  # exponent of the gain, from which on the interval closes too slowly


def labels_needed(
    transfer: Sequence[Arm],
    scratch: Sequence[Arm],
    task: Task,
    verdict: Verdict,
    *,
    executor: Executor,
    rng: np.random.Generator,
    temperatures: tuple[float, float] = (1.0, 1.0),
    k: int = 5,
    until: Until = NEVER,
) -> float:
    """Labelled rows with which the interval would leave zero, about; ``inf`` for never.

    Both sides are trained on half and on all of each fold's training rows: how fast the gain in the
    judged score falls is read off these two.

    Parameters
    ----------
    transfer, scratch : sequence of Arm
        Those that are averaged on either side.
    task : Task
    verdict : Verdict
        Undecided.
    executor : Executor
    rng : numpy.random.Generator
    temperatures : (float, float)
        Of both averages of classifiers, as the verdict compares them.
    k : int
    until : Until

    Raises
    ------
    NotApplicable
        The time was used up, or an arm cannot be trained on half of the rows.
    """
    [splits] = folds(task, k, 1, rng=rng)
    ordered = nested(task, splits, rng)
    means = []
    for arms, heat in zip((transfer, scratch), temperatures, strict=True):
        _, outputs = curve(arms, task, ordered, FRACTIONS, executor, rng, until, least=2)
        rows = partial(_score_rows, task, heat)
        means.append([float(in_rows(task, each, ordered, rows).mean()) for each in outputs])
    (half_t, all_t), (half_s, all_s) = means
    return rows_that_decide(verdict, len(task), half_t - half_s, all_t - all_s)


def _score_rows(task: Task, temperature: float, output: Array, rows: Array) -> Array:
    warm = sharpened(output, temperature) if task.kind == "classification" else output
    return score_rows(task, warm, rows)


def rows_that_decide(verdict: Verdict, rows: int, gain_of_half: float, gain: float) -> float:
    """As `labels_needed`, from the gains on half of the rows and on all of them.

    Examples
    --------
    >>> verdict = Verdict(gain=0.1, low=-0.1, high=0.3, metric="neg_brier_score")
    >>> rows_that_decide(verdict, 30, gain_of_half=0.1, gain=0.1)
    120.0
    >>> rows_that_decide(verdict, 30, gain_of_half=0.2, gain=0.1)
    inf
    """
    mean, low, high = verdict.judged
    half = mean - low if mean > 0 else high - mean  # on the side of zero
    if mean == 0 or not math.isfinite(half) or gain * mean <= 0 or verdict.contradicted:
        return math.inf
    falls = math.log2(max(gain_of_half / gain, 1.0)) if gain_of_half * gain > 0 else 0.0
    if falls >= SLOWEST:
        return math.inf
    times = max(1.0, half / abs(mean)) ** (1 / (0.5 - falls))
    return math.inf if times > REACH else float(math.ceil(rows * times))
