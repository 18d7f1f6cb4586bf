"""GBC: how little the classes overlap in feature space, as Gaussians.

Shapes: N samples, D features, C classes, P principal directions.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh

from bequest.errors import DataError
from bequest.selection.arrays import check_features, check_labels
from bequest.selection.moments import Moments
from bequest.selection.score import Score
from bequest.selection.spectrum import principal

__all__ = ["SCORE", "gbc", "gbc_axes", "gbc_from_moments"]

Array = NDArray[Any]
Covariance = Literal["spherical", "diagonal"]


def gbc(
    features: Any,
    labels: Any,
    *,
    dimensions: int = 64,
    covariance: Covariance = "spherical",
    prior_rows: float = 1.0,
) -> float:
    """Minus the sum of the Bhattacharyya coefficients of all ordered pairs of classes.

    Parameters
    ----------
    features : array or tensor, shape (N, D)
    labels : array or tensor, shape (N,)
        Classes of any type.
    dimensions : int
        Principal directions that are kept.
    covariance : {"spherical", "diagonal"}
        One variance per class, or one per class and direction.
    prior_rows : float
        Each class's variance is averaged with that of all rows, which weighs as much as this many
        rows; it gives a class of one row a variance. 0 is the paper's score.

    Returns
    -------
    float
        From ``-C (C - 1)`` (every class looks the same) to 0; higher is better.

    Raises
    ------
    DataError
        N differs between the two, a feature is not finite, or there is one class only; a class has
        no variance and `prior_rows` is 0.

    References
    ----------
    Pándy et al., Transferability estimation using Bhattacharyya class separability, CVPR 2022.

    Examples
    --------
    >>> labels = np.repeat([0, 1], 10)
    >>> gbc(np.ones((20, 3)), labels)
    -2.0
    """
    matrix = check_features(features)
    classes, indices = check_labels(labels, len(matrix))
    projected = principal(matrix, dimensions)
    moments = Moments().update(projected, indices) if projected.shape[1] else None
    if moments is None:  # nothing varies: no class can be told from another
        return -float(len(classes) * (len(classes) - 1))
    return gbc_from_moments(moments, covariance=covariance, prior_rows=prior_rows)


def gbc_from_moments(
    moments: Moments, *, covariance: Covariance = "spherical", prior_rows: float = 1.0
) -> float:
    """GBC in the coordinates that `moments` was given; no directions are dropped.

    To stream features in two passes, project the chunks on `gbc_axes` of the first pass's moments
    and take the moments of that: the result is `gbc` of the whole.

    Parameters
    ----------
    moments : Moments
        Of classes.
    covariance, prior_rows
        As in `gbc`.

    Returns
    -------
    float
        As `gbc`.

    Raises
    ------
    DataError
        No rows yet, one class only, or moments of values; or no variance and no prior.
    """
    moments.check()
    if not moments.classification:
        raise DataError("GBC is defined for classes, these moments are of values.")
    counts, means = moments.counts[:, None], moments.class_means
    squares, spread = moments.class_squares, np.diag(moments.scatter) / moments.rows
    varies = spread > (32 * np.finfo(np.float64).eps * moments.mean) ** 2
    means, squares, spread = means[:, varies], squares[:, varies], spread[varies]
    if covariance == "spherical":
        squares = np.broadcast_to(squares.mean(axis=1, keepdims=True), squares.shape)
        spread = np.broadcast_to(spread.mean() if len(spread) else 0.0, spread.shape)
    variances = (squares + prior_rows * spread) / (counts + prior_rows)
    if (variances <= 0).any():
        raise DataError("a class has no variance: set prior_rows above 0.")
    overlap = 0.0
    for mean, variance in zip(means, variances, strict=True):
        middle = 0.5 * (variances + variance)
        distance = 0.125 * ((means - mean) ** 2 / middle).sum(axis=1)
        volume = np.log(middle).sum(axis=1) - 0.5 * np.log(variances * variance).sum(axis=1)
        overlap += float(np.exp(-distance - 0.5 * volume).sum()) - 1.0
    return -max(overlap, 0.0)


def gbc_axes(moments: Moments, *, dimensions: int = 64) -> Array:
    """The principal directions that `gbc` keeps, shape (D, min(dimensions, D))."""
    size = len(moments.mean)
    span = [max(0, size - dimensions), size - 1]
    return np.asarray(eigh(moments.scatter, subset_by_index=span)[1])


def _prepare(features: Array, targets: Array) -> Array:
    return principal(features, 64)


SCORE = Score(
    name="gbc",
    needs="features",
    kinds=("classification",),
    function=gbc,
    optimistic=True,
    prepare=_prepare,
    citation=(
        "@inproceedings{pandy2022transferability, title={Transferability Estimation using "
        "Bhattacharyya Class Separability}, author={P{\\'a}ndy, Michal and Agostinelli, Andrea and "
        "Uijlings, Jasper and Ferrari, Vittorio and Mensink, Thomas}, booktitle={CVPR}, "
        "year={2022}}"
    ),
)
