"""What the gain's interval is made of: row noise and what rows and training rows share.

A arms, R repeats, N rows, G groups (rows, where there are none), B bootstrap samples.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self, final

import numpy as np
from numpy.typing import NDArray

from bequest.evaluation.replay import choose, row_weights

__all__ = ["Spread", "resample"]

Array = NDArray[Any]

CHUNK = 2_000_000  # numbers of one array held at a time
TINY = np.finfo(np.float64).tiny
FEWEST = 8  # groups, below which a third or fourth moment says nothing


@final
@dataclass(frozen=True)
class Spread:
    """The gain, and the parts of its variance.

    Parameters
    ----------
    gain : float
        Mean over the rows of the difference between the arms chosen without that row.
    settled : float
        Variance of that mean from row to row: the noise that is left once the choice is averaged.
    chosen : float
        Variance of the same mean for a chosen pair of arms, from the rows that did not choose it.
    interplay : float
        Variance, within rows and over repeats, of a chosen pair's mean: what changes where other
        rows train. NaN where no pair ran two repeats.
    kurtosis : float
        Of the differences, 1 or more, corrected for their number; 3 for a normal distribution.
    skewness : float
        Of the differences with the choice averaged out, corrected for their number.
    units : int
        Groups.
    """

    gain: float
    settled: float
    chosen: float
    interplay: float
    kurtosis: float
    skewness: float
    units: int


def resample(
    transfer: Array,
    scratch: Array,
    groups: Array | None,
    rng: np.random.Generator,
    n_boot: int,
    *,
    by: tuple[Array, Array] | None = None,
) -> Spread:
    """Choose both arms again in each bootstrap sample and judge them on the rows left out.

    Parameters
    ----------
    transfer, scratch : array, shape (A, R, N)
    groups : array, shape (N,), or None
    rng : numpy.random.Generator
    n_boot : int
    by : pair of arrays of the same shapes, optional
        Scores that choose, where they are not those that judge.
    """
    better, base = (transfer, scratch) if by is None else by
    rows = transfer.shape[2]
    members = np.arange(rows) if groups is None else np.unique(groups, return_inverse=True)[1]
    pairs = _Pairs.of(transfer, scratch, members)
    tally = _Tally(np.zeros(rows), np.zeros(rows))
    for weights in _chunks(rows, groups, rng, n_boot):
        tally.add(weights, choose(better, weights), choose(base, weights), pairs)
    return tally.spread(members)


def _chunks(
    rows: int, groups: Array | None, rng: np.random.Generator, n_boot: int
) -> Iterator[Array]:
    size = max(1, CHUNK // rows)
    for start in range(0, n_boot, size):
        yield row_weights(rows, groups, rng, min(size, n_boot - start))


@dataclass(frozen=True, eq=False)
class _Pairs:
    """Differences of any pair of arms, and how they change from repeat to repeat."""

    transfer: Array
    scratch: Array
    means: tuple[Array, Array]  # (A, N) each, over the repeats that each arm ran
    members: Array
    known: dict[tuple[int, int], Array]

    @classmethod
    def of(cls, transfer: Array, scratch: Array, members: Array) -> Self:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # arms that never ran: a row of NaN
            means = np.nanmean(transfer, axis=1), np.nanmean(scratch, axis=1)
        return cls(transfer, scratch, means, members, {})

    def differences(self, better: Array, base: Array) -> Array:
        """Score per row of pair by pair, shape (B, N)."""
        return np.asarray(self.means[0][better] - self.means[1][base])

    def changes(self, better: int, base: int) -> Array:
        """Variance over repeats of each group's sum, shape (G,); NaN under two repeats."""
        if (better, base) not in self.known:
            repeats = self.transfer[better] - self.scratch[base]
            repeats = repeats[np.isfinite(repeats[:, 0])]
            sums = _sums(repeats, self.members)
            varied = sums.var(axis=0, ddof=1) if len(sums) > 1 else np.full(sums.shape[1], np.nan)
            self.known[better, base] = varied
        return self.known[better, base]


@dataclass(eq=False)
class _Tally:
    """Sums over the bootstrap samples."""

    total: Array  # (N,) of the differences of rows left out
    times: Array  # (N,) how often a row was left out
    samples: int = 0
    chosen: float = 0.0
    with_two: int = 0  # samples that left out two groups, so that a variance can be seen
    interplay: float = 0.0
    with_repeats: int = 0
    second: float = 0.0  # sums of powers of the groups' deviations
    fourth: float = 0.0
    count: float = 0.0

    def add(self, weights: Array, better: Array, base: Array, pairs: _Pairs) -> None:
        out = weights == 0
        differences = pairs.differences(better, base)
        self.total += (differences * out).sum(axis=0)
        self.times += out.sum(axis=0)
        rows = out.sum(axis=1)
        centre = (differences * out).sum(axis=1) / rows
        deviations = _sums((differences - centre[:, None]) * out, pairs.members)
        out_groups = _sums(out.astype(np.float64), pairs.members) > 0
        groups = out_groups.sum(axis=1)
        share = groups / out_groups.shape[1]  # from the groups left out to all of them
        squares = (deviations**2).sum(axis=1)
        two = groups > 1
        varied = share * squares * groups / np.maximum(groups - 1, 1) / rows**2
        self.chosen += float(varied[two].sum())
        self.with_two += int(two.sum())
        self.second += float(squares.sum())
        self.fourth += float((deviations**4).sum())
        self.count += float(groups.sum())
        self.samples += len(weights)
        for index, pair in enumerate(zip(better.tolist(), base.tolist(), strict=True)):
            changed = float(pairs.changes(*pair)[out_groups[index]].sum())
            if np.isfinite(changed):
                self.interplay += share[index] * changed / rows[index] ** 2
                self.with_repeats += 1

    def spread(self, members: Array) -> Spread:
        seen = self.times > 0
        per_row = self.total[seen] / self.times[seen]
        gain = float(per_row.mean())
        sums = _sums((per_row - gain)[None], members[seen])[0]
        units = int(members.max()) + 1
        settled = float((sums**2).sum() * units / (units - 1) / len(per_row) ** 2)
        kurtosis = self.fourth * self.count / max(self.second**2, TINY)
        return Spread(
            gain=gain,
            settled=settled,
            chosen=self.chosen / self.with_two if self.with_two else settled,
            interplay=self.interplay / self.with_repeats if self.with_repeats else float("nan"),
            kurtosis=_kurtosis(kurtosis, units),
            skewness=_skewness(sums),
            units=units,
        )


def _kurtosis(seen: float, count: int) -> float:
    """The population's kurtosis, larger than the one seen in few values (Joanes and Gill 1998)."""
    if count < FEWEST:
        return 3.0
    excess = (count - 1) * ((count + 1) * (seen - 3) + 6) / ((count - 2) * (count - 3))
    return max(1.0, 3 + excess)


def _skewness(values: Array) -> float:
    """Skewness of the population, from deviations of its mean; 0 where nothing varies."""
    count, variance = len(values), float((values**2).mean())
    if count < FEWEST or variance < TINY:
        return 0.0
    seen = float((values**3).mean() / variance**1.5)
    return seen * math.sqrt(count * (count - 1)) / (count - 2)


def _sums(values: Array, members: Array) -> Array:
    """Sum the columns of `values` (B, N) by group, shape (B, G)."""
    count = int(members.max()) + 1
    if count == values.shape[1]:
        return values  # every row is its own group, in order or not: sums of one
    order = np.argsort(members, kind="stable")
    starts = np.searchsorted(members[order], np.arange(count))
    return np.asarray(np.add.reduceat(values[:, order], starts, axis=1))
