"""Splits of a task's rows: stratified, never through a group, and never back in time.

N rows, C classes (or bins of values), G groups, K parts, T distinct times. scikit-learn's
splitters warn or refuse where a class has fewer rows than there are folds, which is the usual case
with few labels; these do neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bequest.core.task import Task
from bequest.core.wording import pluralise
from bequest.errors import CannotSplit

__all__ = [
    "MANY_FOLDS",
    "MIN_BLOCKS",
    "Split",
    "folds",
    "folds_for",
    "judged_rows",
    "resampling_units",
]

Rows = NDArray[np.int64]
Split = tuple[Rows, Rows]  # training rows, test rows
MIN_BLOCKS = 5  # of time that are tested, below which a bootstrap over blocks gives no verdict
FEW_ROWS, MANY_FOLDS, FEW_FOLDS = 100, 10, 5
BINS = 10  # of a regression's values, where whole groups are dealt


def folds(
    task: Task, k: int = 5, repeats: int = 1, *, rng: np.random.Generator
) -> list[list[Split]]:
    """Deal all rows into `k` folds, `repeats` times.

    Without groups, the rows of a class differ by one at most from fold to fold, and so do all
    rows; a class of two rows or more is in every training part. Values are stratified by rank:
    each fold gets one of every `k` neighbours. With groups, whole groups are dealt so that the
    folds come as close to each other as that allows.

    With time, the window of training rows expands: the rows, in order of time, are cut between
    distinct times into ``k + 1`` blocks of about equal size, and fold `i` trains on the blocks up
    to `i` and tests block ``i + 1``. There is one repeat, the first block is never tested, and rows
    of a tested group are not trained on.

    Parameters
    ----------
    task : Task
    k : int
        Folds, 2 or more; with time, the number of tested blocks.
    repeats : int
        How often to deal; with time, once.
    rng : numpy.random.Generator

    Returns
    -------
    list of list of (train, test)
        One inner list of `k` pairs per repeat; int64 row numbers, sorted.

    Raises
    ------
    CannotSplit
        Fewer rows, or fewer groups, than folds; fewer distinct times than blocks; or all training
        rows of a block are of groups that it tests.

    References
    ----------
    Cerqueira, Torgo and Mozetic, Evaluating time series forecasting models, Machine Learning 2020.

    Examples
    --------
    >>> task = Task.from_arrays(np.eye(6), list("aabbbb"))
    >>> [pairs] = folds(task, 2, rng=np.random.default_rng(0))
    >>> [sorted(task.labels[test].tolist()) for train, test in pairs]
    [['a', 'b', 'b'], ['a', 'b', 'b']]
    """
    if k < 2:
        raise CannotSplit(f"{k} folds: at least two are needed.")
    if task.time is not None:
        return [_expanding(task, _blocks(task.time, k + 1))]
    units, what = len(task), "row"
    if task.groups is not None:
        units, what = len(set(task.groups.tolist())), "group"
    if units < k:
        raise CannotSplit(
            f"{pluralise(units, what)} cannot make {k} folds: ask for fewer folds, or label more "
            f"{what}s."
        )
    by_repeat = [_deal(task, k, rng) for _ in range(repeats)]
    return [
        [(np.flatnonzero(fold != part), np.flatnonzero(fold == part)) for part in range(k)]
        for fold in by_repeat
    ]


def folds_for(task: Task) -> int:
    """Folds a repeat: ten below a hundred rows, five from there on and for rows in time.

    Not more than there are rows, or groups.

    Examples
    --------
    >>> folds_for(Task.from_arrays(np.eye(40), list("ab") * 20))
    10
    """
    if task.time is not None:
        return FEW_FOLDS
    units = len(task) if task.groups is None else len(set(task.groups.tolist()))
    return min(units, MANY_FOLDS if len(task) < FEW_ROWS else FEW_FOLDS)


def judged_rows(pairs: Sequence[Split]) -> Rows:
    """The rows that one repeat tests, sorted: all of them, or with time all but the first block.

    Examples
    --------
    >>> task = Task.from_arrays(np.eye(4), list("abab"), time=[2001, 2003, 2002, 2003])
    >>> [pairs] = folds(task, 2, rng=np.random.default_rng(0))
    >>> judged_rows(pairs).tolist()
    [1, 2, 3]
    """
    return np.sort(np.concatenate([test for _, test in pairs]))


def resampling_units(task: Task, k: int = MIN_BLOCKS) -> Rows | None:
    """Which rows a bootstrap draws together: those of a group, or of a block of time.

    The unit of each row, int64 (N,), from 0 on, in order of group or time; None where each row is
    its own, as it is for one time without groups. As for `folds`, time is cut into ``k + 1``
    blocks, or as many as there are distinct times.

    Examples
    --------
    >>> task = Task.from_arrays(np.eye(4), list("abab"), groups=["b", "a", "b", "a"])
    >>> resampling_units(task).tolist()
    [1, 0, 1, 0]
    """
    if task.groups is not None:
        return np.unique(task.groups, return_inverse=True)[1]
    if task.time is None:
        return None
    distinct = len(np.unique(task.time))
    return _blocks(task.time, min(k + 1, distinct)) if distinct > 1 else None


def _blocks(time: NDArray[Any], count: int) -> Rows:
    """The block of each row, shape (N,): cuts between distinct times, nearest to equal sizes."""
    times, place = np.unique(time, return_inverse=True)
    if len(times) < count:
        raise CannotSplit(
            f"{pluralise(len(times), 'distinct time')} cannot make {count} blocks, one to train on "
            f"and {count - 1} to test: give finer times, or ask for fewer folds."
        )
    until_T = np.cumsum(np.bincount(place))
    cuts: list[int] = []
    for block in range(1, count):
        first = cuts[-1] + 1 if cuts else 0
        off = np.abs(until_T[first : len(times) - count + block] - len(time) * block / count)
        cuts.append(first + int(off.argmin()))
    return np.searchsorted(cuts, place)


def _expanding(task: Task, block: Rows) -> list[Split]:
    pairs = []
    for tested in range(1, int(block.max()) + 1):
        test = np.flatnonzero(block == tested)
        train = _without_groups(task, np.flatnonzero(block < tested), test)
        if not len(train):
            raise CannotSplit(
                f"all rows before block {tested + 1} of time are of groups that it tests: leave "
                "out groups=, or give longer series."
            )
        pairs.append((train, test))
    return pairs


def _without_groups(task: Task, rows: Rows, tested: Rows) -> Rows:
    if task.groups is None:
        return rows
    groups = task.groups.astype(str)
    return rows[~np.isin(groups[rows], groups[tested])]


def _deal(task: Task, k: int, rng: np.random.Generator) -> Rows:
    """The fold of each row, shape (N,)."""
    if task.groups is not None:
        return _deal_groups(task, k, rng)
    n = len(task)
    keys: Any = task.targets
    if task.kind == "classification":
        keys = rng.permutation(len(task.classes))[task.targets]
    # by class (classes in random order) or by value, ties in random order
    order = np.lexsort((rng.random(n), keys))
    places = np.arange(n) % k
    if task.kind == "regression":
        # Neighbours in rank go to different folds, in an order drawn anew for every k of them:
        # else the first fold would always get the lowest.
        rounds = rng.permuted(np.tile(np.arange(k), (-(-n // k), 1)), axis=1)
        places = rounds.ravel()[:n]
    fold = np.empty(n, dtype=np.int64)
    fold[order] = rng.permutation(k)[places]
    return fold


def _deal_groups(task: Task, k: int, rng: np.random.Generator) -> Rows:
    """Deal whole groups, large ones rather first, each to the part that lacks its classes most."""
    _, group = np.unique(np.asarray(task.groups).astype(str), return_inverse=True)
    strata = _strata(task)
    counts_GC = np.zeros((group.max() + 1, strata.max() + 1))
    np.add.at(counts_GC, (group, strata), 1)
    totals_C = counts_GC.sum(axis=0)
    wanted_KC = np.full((k, 1), 1 / k) * totals_C / np.maximum(totals_C, 1)
    held_KC = np.zeros_like(wanted_KC)
    part_G = np.empty(len(counts_GC), dtype=np.int64)
    # By size alone, every repeat would deal alike.
    order = np.argsort(-counts_GC.sum(axis=1) * rng.uniform(0.5, 1.5, len(counts_GC)))
    names = rng.permutation(k)
    for left, g in zip(range(len(order), 0, -1), order, strict=True):
        share_C = counts_GC[g] / np.maximum(totals_C, 1)
        empty = held_KC.sum(axis=1) == 0
        # What the squared distance to the wanted shares grows by, if this part takes the group.
        cost_K = (share_C * (2 * (held_KC - wanted_KC) + share_C)).sum(axis=1)
        if empty.sum() >= left:
            cost_K[~empty] = np.inf
        best = int(np.argmin(cost_K[names]))
        part_G[g] = names[best]
        held_KC[names[best]] += share_C
    return part_G[group]


def _strata(task: Task) -> Rows:
    if task.kind == "classification":
        return np.asarray(task.targets)
    ranks = np.argsort(np.argsort(task.targets, kind="stable"), kind="stable")
    return np.asarray(ranks * min(BINS, len(task)) // len(task))
