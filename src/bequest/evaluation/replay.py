"""The race's choice, replayed under other weights of the rows.

A arms, R repeats (rungs), N rows, B bootstrap samples.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bequest.errors import DataError

__all__ = ["choose", "row_weights"]

Array = NDArray[Any]


def choose(scores: Array, weights: Array) -> Array:
    """Which arm the race would have chosen, had every row counted `weights` times.

    The schedule is read off the scores: as many arms survive each rung as survived it in the
    race. Arms are judged by their weighted mean over the rungs so far; an arm that survives in the
    replay only is judged by the rungs that it ran in the race. Ties go to the arm named first.

    Parameters
    ----------
    scores : array, shape (A, R, N)
        Score per row, higher is better; NaN in all N rows of the repeats that an arm did not run.
    weights : array, shape (B, N)
        How often each row counts; not all zero.

    Returns
    -------
    int array, shape (B,)
        Index of the chosen arm, 0 to A - 1.

    Examples
    --------
    >>> scores = np.array([[[1.0, 0.0, 0.0]], [[0.0, 1.0, 1.0]]])
    >>> choose(scores, np.array([[1, 1, 1], [3, 1, 0]])).tolist()
    [1, 0]
    """
    ran: Array = np.asarray(np.isfinite(scores).all(axis=2))
    means = _means_so_far(scores, ran, weights)
    alive = np.broadcast_to(ran[:, 0], means.shape[:2])
    for rung in range(scores.shape[1]):
        judged = np.where(alive, means[:, :, rung], -np.inf)
        if rung + 1 == scores.shape[1]:
            return np.asarray(judged.argmax(axis=1))
        rank = np.argsort(np.argsort(-judged, axis=1, kind="stable"), axis=1, kind="stable")
        alive = alive & (rank < ran[:, rung + 1].sum())
    raise DataError("there is no repeat to choose by.")


def _means_so_far(scores: Array, ran: Array, weights: Array) -> Array:
    """Weighted mean of each arm after each rung, shape (B, A, R); NaN before its first."""
    arms, repeats, rows = scores.shape
    known = np.where(ran[:, :, None], scores, 0.0).reshape(arms * repeats, rows)
    sums = (weights @ known.T).reshape(len(weights), arms, repeats).cumsum(axis=2)
    runs = np.maximum(ran.cumsum(axis=1), 1)
    return np.asarray(sums / (runs * weights.sum(axis=1)[:, None, None]))


def row_weights(rows: int, groups: Array | None, rng: np.random.Generator, n_boot: int) -> Array:
    """How often each row is drawn in each bootstrap sample, shape (n_boot, rows), float64.

    Parameters
    ----------
    rows : int
    groups : array of shape (rows,) or None
        Rows of one group are drawn together, as many groups as there are.
    rng : numpy.random.Generator
    n_boot : int
        Samples to draw. A sample that leaves no row out is drawn again.
    """
    members = np.arange(rows) if groups is None else np.unique(groups, return_inverse=True)[1]
    count = int(members.max()) + 1
    if count < 2:
        raise DataError(f"{rows} rows in one group cannot be resampled: two groups are the least.")
    drawn = _draws(count, rng, n_boot)
    while (whole := (drawn > 0).all(axis=1)).any():
        drawn[whole] = _draws(count, rng, int(whole.sum()))
    return np.asarray(drawn[:, members], dtype=np.float64)


def _draws(count: int, rng: np.random.Generator, n_boot: int) -> Array:
    """How often each of `count` units is drawn in `count` draws, shape (n_boot, count)."""
    cells = rng.integers(count, size=(n_boot, count)) + count * np.arange(n_boot)[:, None]
    return np.bincount(cells.ravel(), minlength=n_boot * count).reshape(n_boot, count)
