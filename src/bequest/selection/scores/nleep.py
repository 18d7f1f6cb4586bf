"""NLEEP: LEEP with clusters of the features in place of the source's classes.

Shapes: N samples, D features, C classes, V clusters.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

from bequest.errors import DataError
from bequest.selection.arrays import centre, check_features, check_labels
from bequest.selection.score import Score
from bequest.selection.scores.leep import leep
from bequest.selection.spectrum import directions

__all__ = ["SCORE", "cluster_probabilities", "nleep"]

Array = NDArray[Any]

ENERGY = 0.8  # share of the variance that the principal directions keep, as in the paper
ROWS_PER_CLUSTER = 5  # with fewer, a cluster is a row, and any features look perfect


def nleep(features: Any, labels: Any, *, components: int | None = None, seed: int = 0) -> float:
    """LEEP of a Gaussian mixture's posterior over the source's features.

    Parameters
    ----------
    features : array or tensor, shape (N, D)
    labels : array or tensor, shape (N,)
        Classes of any type.
    components : int, optional
        V, the number of clusters. Where left out 5 per class, as in the paper, but no more than
        one per 5 rows.
    seed : int
        Of the mixture's start. The order of the rows does not matter.

    Returns
    -------
    float
        Nats per row, from minus the labels' entropy to 0; higher is better.

    Raises
    ------
    DataError
        N differs between the two, a feature is not finite, there is one class only, or there are
        more components than rows.

    References
    ----------
    Li et al., Ranking neural checkpoints, CVPR 2021.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> labels = np.repeat([0, 1], 30)
    >>> round(nleep(9.0 * labels[:, None] + rng.normal(size=(60, 2)), labels), 3)
    -0.0
    """
    matrix = check_features(features)
    classes, indices = check_labels(labels, len(matrix))
    if components is None:
        components = default_components(len(matrix), len(classes))
    return leep(cluster_probabilities(matrix, components=components, seed=seed), indices)


def default_components(rows: int, classes: int) -> int:
    """Five clusters per class, but no more than one per five rows, and at least one."""
    return max(1, min(5 * classes, rows // ROWS_PER_CLUSTER))


def cluster_probabilities(features: Array, *, components: int, seed: int) -> Array:
    """Posterior of a Gaussian mixture on the features' principal directions, shape (N, V)."""
    if not 1 <= components <= len(features):
        raise DataError(f"{components} components for {len(features)} rows: from 1 to N they go.")
    centred = centre(features)
    if not centred.any():
        return np.full((len(features), components), 1.0 / components)
    # The start depends on the order of the rows; an order of their own takes that away.
    order = np.lexsort((np.abs(centred).sum(axis=1), centred.sum(axis=1)))
    s, left = directions(centred[order])
    widest = np.argsort(s)[::-1]
    shares = np.cumsum(s[widest]) / s.sum()
    widest = widest[: int(np.searchsorted(shares, ENERGY)) + 1]
    rows = left[:, widest] * np.sqrt(s[widest] * len(features) / s[widest].mean())
    mixture = GaussianMixture(
        components, covariance_type="diag", reg_covar=1e-3, random_state=seed, max_iter=100
    )
    with warnings.catch_warnings():
        # A mixture that has not settled, or has found fewer clusters, is a poorer score: no fault.
        warnings.simplefilter("ignore", ConvergenceWarning)
        posterior = mixture.fit(rows).predict_proba(rows)
    probabilities = np.empty_like(posterior)
    probabilities[order] = posterior
    return np.asarray(probabilities)


def _prepare(features: Array, targets: Array) -> Array:
    components = default_components(len(features), len(np.unique(targets)))
    return cluster_probabilities(features, components=components, seed=0)


SCORE = Score(
    name="nleep",
    needs="features",
    kinds=("classification",),
    function=leep,
    optimistic=True,
    prepare=_prepare,
    citation=(
        "@inproceedings{li2021ranking, title={Ranking Neural Checkpoints}, author={Li, Yandong and "
        "Jia, Xuhui and Sang, Ruoxin and Zhu, Yukun and Green, Bradley and Wang, Liqiang and Gong, "
        "Boqing}, booktitle={CVPR}, year={2021}}"
    ),
)
