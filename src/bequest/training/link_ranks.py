"""Where the true entity stands among all of them: filtered ranks of both sides of each triple.

M known triples, T judged triples, N entities, R relations, D numbers a vector.
"""

from __future__ import annotations

from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bequest.nets.scoring import Scoring

__all__ = ["backwards", "filtered_ranks", "rank_summary"]

_SCORES = 2**24  # in memory at a time


def filtered_ranks(
    scoring: Scoring,
    entities: Tensor,
    relations: Tensor,
    judged: NDArray[np.int64],
    known: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Rank the true tail among all entities, and the true head; known others do not count.

    The vectors are `entities` (N, D) and `relations` (2 R, D): each relation, then each one
    backwards, from tail to head. Triples are places of head, relation and tail: those that are
    `judged` (T, 3), and those that are `known` to be true (M, 3), from training and among the
    judged. The ranks (T, 2), of tail and head, run from 1 to N. Of those that score alike, half
    stand before it, so that an embedding of zeros gets the rank of chance.

    References
    ----------
    Bordes et al., NeurIPS 2013 (filtered ranks); Berrendorf et al., On the Ambiguity of Rank-Based
    Evaluation of Entity Alignment or Link Prediction Methods, 2020 (ties).

    Examples
    --------
    >>> from bequest.nets.distmult import DISTMULT
    >>> entities, relations = torch.tensor([[1.0], [2.0], [3.0]]), torch.ones(2, 1)
    >>> filtered_ranks(DISTMULT, entities, relations, np.array([[0, 0, 1]]), np.zeros((0, 3)))
    array([[2., 3.]])
    """
    known = np.asarray(known, dtype=np.int64).reshape(-1, 3)
    count = len(relations) // 2
    sides = [(judged, known), (backwards(judged, count), backwards(known, count))]
    found = [_of_tails(scoring, entities, relations, wanted, true) for wanted, true in sides]
    return np.stack(found, axis=1)


def backwards(triples: NDArray[np.int64], relations: int) -> NDArray[np.int64]:
    """The same triples from tail to head, shape (M, 3), by relations that are counted from R on.

    Examples
    --------
    >>> backwards(np.array([[0, 1, 5]]), relations=2).tolist()
    [[5, 3, 0]]
    """
    return np.stack([triples[:, 2], triples[:, 1] + relations, triples[:, 0]], axis=1)


def _of_tails(
    scoring: Scoring,
    entities: Tensor,
    relations: Tensor,
    judged: NDArray[np.int64],
    known: NDArray[np.int64],
) -> NDArray[np.float64]:
    others = _Others(known)
    ranks = np.empty(len(judged))
    step = max(1, _SCORES // max(1, len(entities)))
    with torch.no_grad():
        for start in range(0, len(judged), step):
            part = judged[start : start + step]
            head, relation, tail = torch.from_numpy(part.T.copy())
            scores = scoring.compare(scoring.query(entities[head], relations[relation]), entities)
            one_each = torch.arange(len(part))
            true = scores[one_each, tail].clone()
            scores[others.of(part)] = -torch.inf
            scores[one_each, tail] = -torch.inf
            better = (scores > true[:, None]).sum(dim=1)
            alike = (scores == true[:, None]).sum(dim=1)
            ranks[start : start + step] = 1.0 + better + alike / 2
    return ranks


@final
class _Others:
    """All tails that are known to answer a query, found by sorting."""

    def __init__(self, known: NDArray[np.int64]) -> None:
        self._width = int(known[:, 1].max(initial=0)) + 1
        keys = known[:, 0] * self._width + known[:, 1]
        order = np.argsort(keys, kind="stable")
        self._keys, self._tails = keys[order], known[order, 2]

    def of(self, judged: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Which row of `judged`, and a tail that answers it: one pair for each that is known."""
        keys = judged[:, 0] * self._width + judged[:, 1]
        keys[judged[:, 1] >= self._width] = -1
        start = np.searchsorted(self._keys, keys, side="left")
        counts = np.searchsorted(self._keys, keys, side="right") - start
        rows = np.repeat(np.arange(len(keys)), counts)
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        tails = self._tails[np.repeat(start, counts) + within]
        return torch.from_numpy(rows), torch.from_numpy(tails)


def rank_summary(ranks: NDArray[np.float64]) -> dict[str, float]:
    """Mean reciprocal rank and the share of ranks up to 1, 3 and 10, over both sides.

    Examples
    --------
    >>> rank_summary(np.array([[1.0, 2.0], [4.0, 20.0]]))["mrr"]
    0.45
    """
    hits = {f"hits@{k}": float((ranks <= k).mean()) for k in (1, 3, 10)}
    return {"mrr": float((1.0 / ranks).mean()), **hits}
