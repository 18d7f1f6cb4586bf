"""One model from scratch, its family and strength chosen by cross-validation.

N rows, K folds.
"""

from __future__ import annotations

import numpy as np

from bequest.core import MODALITIES, Task, output_of
from bequest.data.splits import Split, folds
from bequest.errors import DataError
from bequest.methods.families import candidates
from bequest.methods.from_scratch import NETWORKS, FromScratch

__all__ = ["chosen"]

FOLDS = 5
MOST_ROWS = 2000  # families that differ on these differ on more


def chosen(task: Task, *, rng: np.random.Generator) -> FromScratch:
    """The settings of from scratch that predict best what they were not fitted to.

    Every family of the task's modality but its networks is tried at some strengths, on 2,000 rows
    at most, and judged by the Brier score or the squared error. Where the modality's default is a
    network, as for images, it is that one, untried: only a network can be fine-tuned later. The
    first family stands where the rows cannot make two folds.

    Examples
    --------
    >>> X = np.linspace(-1, 1, 40)[:, None]
    >>> ring = Task.from_arrays(X, np.abs(X[:, 0]) > 0.5)
    >>> chosen(ring, rng=np.random.default_rng(0)).net != "linear"
    True
    """
    refused = FromScratch().applies(task)
    if refused is not None:
        raise refused
    if MODALITIES[task.modality].default_network in NETWORKS:
        return FromScratch()
    few = task if len(task) <= MOST_ROWS else task.take(rng.permutation(len(task))[:MOST_ROWS])
    tried = [FromScratch(**settings) for settings in candidates(few)]
    tried = [one for one in tried if one.applies(task) is None]
    try:
        [pairs] = folds(few, min(FOLDS, max(2, len(few) // 2)), rng=rng)
    except DataError:
        return tried[0]
    seed = int(rng.integers(2**31))
    return min(tried, key=lambda one: _loss(one, few, pairs, seed))


def _loss(method: FromScratch, task: Task, pairs: list[Split], seed: int) -> float:
    """Summed over all tested rows: the squared error of values, or of probabilities (Brier)."""
    loss = 0.0
    for train, test in pairs:
        model = method.fit(task.take(train), rng=np.random.default_rng(seed))
        output = output_of(model, task.inputs[test])
        truth = task.targets[test]
        wanted = np.eye(len(task.classes))[truth] if task.classes else truth
        loss += float(((output - wanted) ** 2).sum())
    return loss
