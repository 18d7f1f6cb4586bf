"""How many labels from scratch would need for the score that transfer has.

F fractions of the training rows, K folds, N rows, B bootstrap samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bequest.core import Executor, LabelsSaved, Task
from bequest.data.splits import folds
from bequest.errors import DataError
from bequest.evaluation.curves import NEVER, Until, curve, in_rows, nested
from bequest.evaluation.jobs import Arm
from bequest.evaluation.replay import row_weights

__all__ = ["FRACTIONS", "REACH", "labels_saved"]

Array = NDArray[Any]

FRACTIONS = (0.2, 0.35, 0.6, 1.0)  # even steps of the logarithm, about
REACH = 10.0  # a curve says nothing of sizes beyond this many times the rows that it saw
EXPONENTS = np.geomspace(0.1, 2.0, 160)  # c of the power law; learning curves have 0.3 to 1.5


def labels_saved(
    arms: Sequence[Arm],
    task: Task,
    transfer_rows: Array,
    *,
    executor: Executor,
    rng: np.random.Generator,
    k: int = 5,
    until: Until = NEVER,
    fractions: Sequence[float] = FRACTIONS,
    n_boot: int = 1000,
    level: float = 0.95,
) -> LabelsSaved:
    """Measure the learning curve of from scratch and read transfer's score off it.

    From scratch is trained on nested parts of each fold's training rows and scored on the fold's
    test rows; a rising power law ``a - b * n ** -c`` is fitted to the means.

    Parameters
    ----------
    arms : sequence of Arm
        Those from scratch, which are averaged.
    task : Task
    transfer_rows : array, shape (N,)
        Out-of-fold metric of each row with transfer, by `k` folds too.
    executor : Executor
        Runs the jobs.
    rng : numpy.random.Generator
    k : int
    until : Until
        When it is given up.
    fractions : sequence of float
        Shares of the training rows, rising, above 0 and up to 1; three at least.
    n_boot : int
        Bootstrap samples of the rows, the same for both sides.
    level : float
        Coverage of the interval, 0 to 1.

    Returns
    -------
    LabelsSaved
        All in training rows of a fold, which are the rows that both sides were trained on here.
        `needed` is ``inf`` where the curve levels off below transfer's score, or would reach it
        only beyond `REACH` times the rows at hand.

    Raises
    ------
    NotApplicable
        Fewer than three sizes could be trained; with the arm's own reason.
    DataError
        `transfer_rows` does not fit the task.

    References
    ----------
    Viering and Loog, The shape of learning curves: a review, IEEE TPAMI 2023.

    Examples
    --------
    >>> from bequest.core import Card
    >>> from bequest.frameworks.combined.function_model import FunctionModel
    >>> def mean(task, rng):  # its square error falls towards 1 and no further
    ...     level = task.targets.mean()
    ...     return FunctionModel(
    ...         lambda X: np.full(len(X), level), spec=task.spec, classes=(), card=Card()
    ...     )
    >>> y = np.random.default_rng(0).normal(size=500)
    >>> task = Task.from_arrays(np.zeros((500, 1)), y, metric="neg_mean_squared_error")
    >>> knows_half = -((y / 2) ** 2)
    >>> from bequest.executors.local import LocalExecutor
    >>> with LocalExecutor() as executor:
    ...     saved = labels_saved(
    ...         [Arm("", "mean", {}, mean)], task, knows_half, executor=executor,
    ...         rng=np.random.default_rng(0),
    ...     )
    >>> saved.sizes, saved.needed
    ((80, 140, 240, 400), inf)
    """
    if transfer_rows.shape != (len(task),) or not np.isfinite(transfer_rows).all():
        raise DataError(f"transfer's scores must be {len(task)} finite numbers, one per row.")
    [splits] = folds(task, k, 1, rng=rng)
    ordered = nested(task, splits, rng)
    sizes, outputs = curve(arms, task, ordered, fractions, executor, rng, until)
    scores = np.stack([in_rows(task, output, ordered, task.row_scores) for output in outputs])
    weights = row_weights(len(task), task.groups, rng, n_boot)
    weights /= weights.sum(axis=1, keepdims=True)
    everyone = np.full((1, len(task)), 1.0 / len(task))
    needed = _needed(sizes, everyone @ scores.T, everyone @ transfer_rows)[0]
    resampled = _needed(sizes, weights @ scores.T, weights @ transfer_rows)
    low, high = np.quantile(resampled, [(1 - level) / 2, (1 + level) / 2], method="inverted_cdf")
    return LabelsSaved(
        labels=int(sizes[-1]),
        needed=float(needed),
        low=float(low),
        high=float(high),
        sizes=tuple(int(size) for size in sizes),
        scratch=tuple(float(mean) for mean in scores.mean(axis=1)),
        transfer=float(transfer_rows.mean()),
    )


def _needed(sizes: Array, curves: Array, wanted: Array) -> Array:
    """Rows at which each fitted curve reaches its wanted score, shape (B,); inf out of reach.

    Parameters
    ----------
    sizes : array, shape (F,)
    curves : array, shape (B, F)
    wanted : array, shape (B,)
    """
    a, b, c = _power_law(sizes, curves)
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        rows = (b / (a - wanted)) ** (1.0 / c)
    rows = np.where(wanted >= a, np.inf, np.maximum(rows, 1.0))
    return np.where(rows > REACH * sizes.max(), np.inf, rows)


def _power_law(sizes: Array, curves: Array) -> tuple[Array, Array, Array]:
    """Least squares of ``a - b * n ** -c`` with b >= 0, by a search over c; each of shape (B,)."""
    best = np.full(len(curves), np.inf)
    a, b, c = (np.zeros(len(curves)) for _ in range(3))
    means = curves.mean(axis=1, keepdims=True)
    for exponent in EXPONENTS:
        falling = sizes**-exponent - (sizes**-exponent).mean()
        slope = np.maximum(-(curves - means) @ falling / (falling @ falling), 0.0)
        error = ((curves - means + slope[:, None] * falling) ** 2).sum(axis=1)
        better = error < best
        best = np.where(better, error, best)
        a = np.where(better, means[:, 0] + slope * (sizes**-exponent).mean(), a)
        b, c = np.where(better, slope, b), np.where(better, exponent, c)
    return a, b, c
