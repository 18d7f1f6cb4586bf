"""Which rows, again and again: halves for intervals, subsets for speed.

Halves are drawn without replacement, so that no row stands twice: a copied row is its own nearest
neighbour and predicts itself. The spread of a mean over halves is that of the mean over fresh
samples of all rows (McCarthy, Pseudo-replication: half samples, 1969).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["halves", "subset"]

Array = NDArray[Any]


def halves(
    strata: Array, groups: Array | None, times: int, rng: np.random.Generator
) -> Iterator[Array]:
    """Sorted rows of random halves, so many times.

    Each holds half of every stratum, rounded up or down by chance, and at least one row. With
    groups, halves of the groups are drawn, whole, and strata only keep one row at least.
    """
    for _ in range(times):
        if groups is None:
            yield _take(strata, 0.5, rng)
        else:
            index = np.unique(groups, return_inverse=True)[1]
            chosen = _take(np.zeros(index.max() + 1, dtype=np.int64), 0.5, rng)
            inside = np.isin(index, chosen)
            for stratum in np.setdiff1d(strata, strata[inside]):
                group = rng.choice(index[strata == stratum])
                inside |= index == group
            yield np.flatnonzero(inside)


def subset(strata: Array, limit: int, rng: np.random.Generator) -> Array:
    """Sorted rows, about `limit` of them, with every stratum's share and at least one row each."""
    if len(strata) <= limit:
        return np.arange(len(strata))
    return _take(strata, limit / len(strata), rng)


def _take(strata: Array, share: float, rng: np.random.Generator) -> Array:
    chosen = []
    for stratum in np.unique(strata):
        rows = np.flatnonzero(strata == stratum)
        wanted = int(np.floor(share * len(rows) + rng.random()))
        chosen.append(rng.permutation(rows)[: max(1, wanted)])
    return np.sort(np.concatenate(chosen))
