"""The choice among candidates, replayed under other weights of the rows.

A candidates, R repeats, N rows, B bootstrap samples.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bequest.errors import DataError

__all__ = ["choose", "row_weights"]

Array = NDArray[Any]


def choose(scores: Array, weights: Array) -> Array:
    """Which candidate would have been chosen, had every row counted `weights` times.

    It is the one with the best weighted mean over the repeats that it ran; ties go to the one
    named first.

    Parameters
    ----------
    scores : array, shape (A, R, N)
        Score per row, higher is better; NaN in all N rows of the repeats that a candidate did not
        run.
    weights : array, shape (B, N)
        How often each row counts; not all zero.

    Returns
    -------
    int array, shape (B,)
        Index of the chosen candidate, 0 to A - 1.

    Examples
    --------
    >>> scores = np.array([[[1.0, 0.0, 0.0]], [[0.0, 1.0, 1.0]]])
    >>> choose(scores, np.array([[1, 1, 1], [3, 1, 0]])).tolist()
    [1, 0]
    """
    ran: Array = np.asarray(np.isfinite(scores).all(axis=2))
    sums = np.where(ran[:, :, None], scores, 0.0).sum(axis=1)
    means = sums / np.maximum(ran.sum(axis=1), 1)[:, None]
    judged = np.where(ran.any(axis=1), weights @ means.T, -np.inf)
    return np.asarray(judged.argmax(axis=1))


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
