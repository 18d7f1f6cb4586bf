"""H-score: how much of the features' spread the classes explain, after whitening.

Shapes: N samples, D features, C classes, R directions.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bequest.errors import DataError
from bequest.selection.arrays import centre, check_features, check_labels
from bequest.selection.moments import Moments
from bequest.selection.score import Score
from bequest.selection.spectrum import Energies, Targets, energies, energies_from_gram

__all__ = ["SCORE", "h_score", "h_score_from_moments", "ledoit_wolf_shrinkage"]

Array = NDArray[Any]
Shrinkage = Literal["ledoit-wolf"] | float | None


def h_score(features: Any, labels: Any, *, shrinkage: Shrinkage = None) -> float:
    """Trace of the inverse covariance of the features times that of their class means.

    Parameters
    ----------
    features : array or tensor, shape (N, D)
        What the source computes just before its head.
    labels : array or tensor, shape (N,)
        Classes of any type.
    shrinkage : None, "ledoit-wolf" or float from 0 to 1
        None is the plain H-score; directions without spread are left out. With a number a, the
        covariance becomes ``(1 - a) S + a tr(S) / D I`` and the class means' ``(1 - a)`` times
        theirs, which is the regularised H-score; ``"ledoit-wolf"`` takes a from the rows. Use it
        when N is not much larger than D: the plain score of D >= N - 1 independent features is
        C - 1, whatever they know.

    Returns
    -------
    float
        Dimensionless, from 0 to ``min(C - 1, D)``; higher is better.

    Raises
    ------
    DataError
        N differs between the two, a feature is not finite, there are fewer than two classes, or
        `shrinkage` is none of the above.

    References
    ----------
    Bao et al., An information-theoretic approach to transferability in task transfer learning,
    ICIP 2019. Ibrahim et al., Newer is not always better: rethinking transferability metrics,
    their peculiarities, stability and performance, 2021. Ledoit and Wolf, A well-conditioned
    estimator for large-dimensional covariance matrices, 2004.

    Examples
    --------
    >>> labels = np.array([0, 1, 2, 0, 1, 2])
    >>> round(h_score(np.eye(3)[labels], labels), 9)
    2.0
    """
    matrix = check_features(features)
    classes, indices = check_labels(labels, len(matrix))
    centred = centre(matrix)
    targets = Targets.of_classes(indices, len(classes))
    squares = (centred**2).sum(axis=1)
    seen = energies(centred, targets)
    return _score(seen, targets.totals, centred.shape, float(squares @ squares), shrinkage)


def h_score_from_moments(moments: Moments, *, shrinkage: Shrinkage = None) -> float:
    """`h_score` of all rows that `moments` has seen.

    Parameters
    ----------
    moments : Moments
        Of classes.
    shrinkage
        As in `h_score`.

    Returns
    -------
    float
        As `h_score`.

    Raises
    ------
    DataError
        No rows yet, one class only, or moments of values.
    """
    moments.check()
    if not moments.classification:
        raise DataError("the H-score is defined for classes, these moments are of values.")
    counts, shape = moments.counts, (moments.rows, len(moments.mean))
    sums = counts[:, None] * (moments.class_means - moments.mean)
    scatter = moments.scatter.copy()
    rounding = shape[0] * (32 * np.finfo(np.float64).eps * moments.mean) ** 2
    constant = np.diag(scatter) <= rounding
    scatter[constant] = scatter[:, constant] = 0.0
    seen = energies_from_gram(scatter, sums, counts, shape[0])
    return _score(seen, counts, shape, moments.fourth, shrinkage)


def ledoit_wolf_shrinkage(s: Array, fourth: float, rows: int, columns: int) -> float:
    """Ledoit and Wolf's shrinkage towards a multiple of the identity, 0 to 1.

    `s` (R,) are the positive eigenvalues of the scatter matrix (N times the covariance), `fourth`
    is the sum over the centred rows of their length to the fourth power.
    """
    variances = s / rows
    square = float(variances @ variances)
    noise = (fourth / rows - square) / (columns * rows)
    distance = (square - variances.sum() ** 2 / columns) / columns
    noise = min(noise, distance)
    return 0.0 if noise <= 0 else float(noise / distance)


def _score(
    seen: Energies, counts: Array, shape: tuple[int, ...], fourth: float, shrinkage: Shrinkage
) -> float:
    rows, columns = shape
    explained_R = (seen.along / counts).sum(axis=1)
    if shrinkage is None or len(seen.s) == 0:
        return float(explained_R.sum())
    if shrinkage == "ledoit-wolf":
        share = ledoit_wolf_shrinkage(seen.s, fourth, rows, columns)
    elif isinstance(shrinkage, int | float) and 0 <= shrinkage <= 1:
        share = float(shrinkage)
    else:
        raise DataError(f"shrinkage is None, 'ledoit-wolf' or from 0 to 1, not {shrinkage!r}.")
    kept = (1 - share) * seen.s
    return float((kept / (kept + share * seen.s.sum() / columns) * explained_R).sum())


def _regularised(features: Array, targets: Array) -> float:
    return h_score(features, targets, shrinkage="ledoit-wolf")


SCORE = Score(
    name="h-score",
    needs="features",
    kinds=("classification",),
    function=_regularised,
    optimistic=True,
    citation=(
        "@misc{ibrahim2021newer, title={Newer is not always better: Rethinking transferability "
        "metrics, their peculiarities, stability and performance}, author={Ibrahim, Shibal and "
        "Ponomareva, Natalia and Mazumder, Rahul}, year={2021}}"
    ),
)
