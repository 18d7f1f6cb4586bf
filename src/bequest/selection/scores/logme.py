"""LogME: the evidence of a linear model on a source's features.

Shapes: N samples, D features, C classes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bequest.selection.arrays import are_classes, check_features, check_labels, check_values
from bequest.selection.evidence import max_evidence
from bequest.selection.moments import Moments
from bequest.selection.score import Score, by_targets
from bequest.selection.spectrum import Targets, energies, energies_from_gram

__all__ = ["SCORE", "logme", "logme_from_moments"]

Array = NDArray[Any]


def logme(features: Any, labels: Any, *, classification: bool | None = None) -> float:
    """Log marginal likelihood per row of a Bayesian linear model, at its best precisions.

    Weights have a prior ``N(0, 1 / alpha)``, labels have noise ``N(0, 1 / beta)``, and there is no
    offset; alpha and beta are those of the largest evidence. Classes are predicted one against
    the rest, as zeros and ones, and the classes' evidences averaged.

    Parameters
    ----------
    features : array or tensor, shape (N, D)
        What the source computes just before its head. Scaling them all by one number changes
        nothing.
    labels : array or tensor, shape (N,)
        Classes, or real values.
    classification : bool, optional
        Whether labels are classes. Where left out, strings, booleans and integers are, and floats
        of up to 20 distinct whole values.

    Returns
    -------
    float
        Nats per row; higher is better. It is a log density, so it may have any sign. Where the
        optimum lies at no noise and the features span all rows, its finite limit. Where labels lie
        in the span of fewer directions than rows the density has no bound; their noise is then
        taken as 1e-12 of their energy, which holds the score below about
        ``14 - log(deviation of the labels)``.

    Raises
    ------
    DataError
        The rows differ in number, a number is not finite, or there is one class or value only.

    References
    ----------
    You et al., LogME: Practical assessment of pre-trained models for transfer learning, ICML 2021.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> labels = np.repeat([0, 1], 20)
    >>> knows = labels[:, None] + 0.1 * rng.normal(size=(40, 8))
    >>> logme(knows, labels) > logme(rng.normal(size=(40, 8)), labels)
    True
    """
    matrix = check_features(features)
    if are_classes(labels) if classification is None else classification:
        classes, indices = check_labels(labels, len(matrix))
        targets = Targets.of_classes(indices, len(classes))
    else:
        targets = Targets.of_values(check_values(labels, len(matrix)))
    seen = energies(matrix, targets)
    evidence = max_evidence(seen.s, seen.along, seen.rest, len(matrix))
    return float(evidence.mean() / len(matrix))


def logme_from_moments(moments: Moments) -> float:
    """`logme` of all rows that `moments` has seen; meant for more rows than features.

    A Gram matrix holds half of the digits: directions with less than 1e-13 of the largest one's
    energy count as none, where `logme` itself looks closer.

    Parameters
    ----------
    moments : Moments

    Returns
    -------
    float
        Nats per row.

    Raises
    ------
    DataError
        No rows yet, or one class or value only.
    """
    moments.check()
    mean, rows = moments.mean, moments.rows
    gram = moments.scatter + rows * np.outer(mean, mean)
    sums, totals = moments.target_sums()
    seen = energies_from_gram(gram, sums, totals, rows)
    return float(max_evidence(seen.s, seen.along, seen.rest, rows).mean() / rows)


SCORE = Score(
    name="logme",
    needs="features",
    kinds=("classification", "regression"),
    function=by_targets(logme),
    citation=(
        "@inproceedings{you2021logme, title={LogME: Practical Assessment of Pre-trained Models for "
        "Transfer Learning}, author={You, Kaichao and Liu, Yong and Wang, Jianmin and Long, "
        "Mingsheng}, booktitle={ICML}, year={2021}}"
    ),
)
