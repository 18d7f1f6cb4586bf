"""kNN: how well a row's nearest neighbours in feature space predict it.

Shapes: N samples, D features, C classes, B rows of a block.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bequest.errors import DataError
from bequest.selection.arrays import are_classes, check_features, check_labels, check_values
from bequest.selection.score import Score, by_targets

__all__ = ["SCORE", "knn_score"]

Array = NDArray[Any]

BLOCK = 1024  # rows whose distances to all others are held at a time


def knn_score(
    features: Any, labels: Any, *, neighbours: int = 5, classification: bool | None = None
) -> float:
    """Leave-one-out accuracy, or R², of the nearest neighbours in feature space.

    Rows as far away as the last neighbour all count as neighbours, and a row whose classes tie
    counts for its class's share: so neither the rows' order nor the classes' names matter.

    Parameters
    ----------
    features : array or tensor, shape (N, D)
        Distances are Euclidean.
    labels : array or tensor, shape (N,)
        Classes, or real values.
    neighbours : int
        How many; N - 1 where there are fewer rows.
    classification : bool, optional
        As in `logme`.

    Returns
    -------
    float
        Accuracy from 0 to 1; or R², at most 1, where 0 is what predicting the mean gives.

    Raises
    ------
    DataError
        The rows differ in number, a number is not finite, `neighbours` is below 1, or there is one
        class or value only.

    References
    ----------
    Cover and Hart, Nearest neighbor pattern classification, 1967. Puigcerver et al., Scalable
    transfer learning with expert models, ICLR 2021 (as a score of sources).

    Examples
    --------
    >>> knn_score([[0.0], [0.1], [5.0], [5.1]], ["a", "a", "b", "b"], neighbours=1)
    1.0
    """
    matrix = check_features(features).astype(np.float64)
    if neighbours < 1:
        raise DataError(f"neighbours must be 1 or more, not {neighbours}.")
    if are_classes(labels) if classification is None else classification:
        classes, indices = check_labels(labels, len(matrix))
        return _accuracy(matrix, indices, len(classes), neighbours)
    return _r2(matrix, check_values(labels, len(matrix)), neighbours)


def _accuracy(features: Array, indices: Array, classes: int, neighbours: int) -> float:
    indicators = np.eye(classes)[indices]
    hits = 0.0
    for rows, near in _near(features, neighbours):
        votes = near @ indicators
        top = votes == votes.max(axis=1, keepdims=True)
        hits += float((top[np.arange(len(top)), indices[rows]] / top.sum(axis=1)).sum())
    return hits / len(features)


def _r2(features: Array, values: Array, neighbours: int) -> float:
    left = 0.0
    for rows, near in _near(features, neighbours):
        predicted = near @ values / near.sum(axis=1)
        left += float(((values[rows] - predicted) ** 2).sum())
    return 1.0 - left / float(((values - values.mean()) ** 2).sum())


def _near(features: Array, neighbours: int) -> Iterator[tuple[slice, Array]]:
    """Per block of rows, ones for the neighbours and zeros for all others, shape (B, N)."""
    centred = features - features.mean(axis=0)
    squares = (centred**2).sum(axis=1)
    last = min(neighbours, len(features) - 1) - 1
    for start in range(0, len(features), BLOCK):
        rows = slice(start, min(start + BLOCK, len(features)))
        distances = squares[rows, None] + squares - 2 * centred[rows] @ centred.T
        own = np.arange(len(distances))
        distances[own, start + own] = np.inf
        reach = np.partition(distances, last, axis=1)[:, last]
        rounding = 1e-12 * (squares[rows] + squares.max())
        yield rows, (distances <= (reach + rounding)[:, None]).astype(np.float64)


SCORE = Score(
    name="knn",
    needs="features",
    kinds=("classification", "regression"),
    function=by_targets(knn_score),
    citation=(
        "@article{cover1967nearest, title={Nearest Neighbor Pattern Classification}, "
        "author={Cover, Thomas and Hart, Peter}, journal={IEEE Transactions on Information "
        "Theory}, year={1967}}"
    ),
)
