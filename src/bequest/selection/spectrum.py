"""The directions of a feature matrix, from the smaller of its two Gram matrices.

Shapes: N rows, D features, C targets, R directions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh, svd

from bequest.selection.arrays import centre, class_sums

__all__ = [
    "Energies", "Targets", "directions", "energies", "energies_from_gram", "gram", "principal",
]  # fmt: skip

Array = NDArray[Any]

EPS = float(np.finfo(np.float64).eps)
BLOCK = 4096  # rows turned into float64 at a time
BLURRED = 1e-11  # an eigenvalue below this share of the largest is lost to a Gram matrix's rounding
SMALL = 2**22  # N * D * min(N, D) up to which nothing is gained by a Gram matrix
AFFORDABLE = 2**29  # N * D * min(N, D) up to which a singular value decomposition may settle it


@final
@dataclass(frozen=True)
class Targets:
    """What is to be predicted, without ever building one-hot columns.

    `sums` takes rows (N, K) to their products with each target (C, K), `leave` fitted values (N, C)
    to what is left of the targets; `totals` (C,) are their squared lengths.
    """

    sums: Callable[[Array], Array]
    totals: Array
    leave: Callable[[Array], Array]

    @classmethod
    def of_classes(cls, indices: Array, classes: int) -> Targets:
        """One indicator of zeros and ones per class."""

        def leave(fitted: Array) -> Array:
            left = -fitted
            left[np.arange(len(indices)), indices] += 1.0
            return left

        counts = np.bincount(indices, minlength=classes).astype(np.float64)
        return cls(lambda rows: class_sums(rows, indices, classes), counts, leave)

    @classmethod
    def of_values(cls, values: Array) -> Targets:
        """One column of real values."""
        return cls(
            lambda rows: (values @ rows)[None],
            np.array([values @ values]),
            lambda fitted: values[:, None] - fitted,
        )


@final
@dataclass(frozen=True)
class Energies:
    """Positive eigenvalues `s` (R,), targets' energy `along` them (R, C), and the `rest` (C,)."""

    s: Array
    along: Array
    rest: Array


def gram(features: Array) -> Array:
    """``F' F``, shape (D, D) float64, of float64 blocks: no whole copy of float32 features."""
    if features.dtype == np.float64:
        return np.asarray(features.T @ features)
    total = np.zeros((features.shape[1],) * 2)
    for start in range(0, len(features), BLOCK):
        block = features[start : start + BLOCK].astype(np.float64)
        total += block.T @ block
    return total


def directions(features: Array) -> tuple[Array, Array]:
    """Eigenvalues (R,) and left singular vectors (N, R) of features of full numerical rank.

    For N rows that fit in memory as a square matrix, or few features.
    """
    rows, columns = features.shape
    features = features.astype(np.float64, copy=False)
    if rows * columns * min(rows, columns) <= AFFORDABLE:
        left, values, _ = svd(features, full_matrices=False, check_finite=False)
        keep = values > max(rows, columns) * EPS * values.max()
        return values[keep] ** 2, left[:, keep]
    if rows <= columns:
        s, left = _eigen(features @ features.T)
        keep = _kept(s, max(rows, columns))
        return s[keep], left[:, keep]
    s, right = _eigen(gram(features))
    keep = _kept(s, max(rows, columns))
    return s[keep], features @ (right[:, keep] / np.sqrt(s[keep]))


def principal(features: Array, dimensions: int) -> Array:
    """Coordinates of the rows along the widest directions, shape (N, P)."""
    centred = centre(features)
    if not centred.any():
        return centred[:, :0]
    s, left = directions(centred)
    widest = np.argsort(s)[::-1][:dimensions]
    return np.asarray(left[:, widest] * np.sqrt(s[widest]))


def energies(features: Array, targets: Targets) -> Energies:
    """Where the targets' energy lies, seen from the features."""
    rows, columns = features.shape
    if rows * columns * min(rows, columns) <= SMALL:
        return _resolved(features, targets)
    if rows <= columns:
        wide = features.astype(np.float64, copy=False)
        s, left = _eigen(wide @ wide.T)
        if not _blurred(s, rows, columns):
            keep = _kept(s, columns)
            along = targets.sums(left).T ** 2
            return Energies(s[keep], along[keep], along[~keep].sum(axis=0))
    else:
        s, right = _eigen(gram(features))
        if not _blurred(s, rows, columns):
            return _tall(features, targets, s, right)
    return _resolved(features, targets)


def energies_from_gram(gram: Array, sums: Array, totals: Array, rows: int) -> Energies:
    """The same from ``F' F`` (D, D), the targets' products with F (C, D) and squared lengths."""
    s, right = _eigen(gram)
    keep = _kept(s, max(rows, len(s)))
    along = (right[:, keep].T @ sums.T) ** 2 / s[keep, None]
    return Energies(s[keep], along, np.maximum(totals - along.sum(axis=0), 0.0))


def _resolved(features: Array, targets: Targets) -> Energies:
    s, left = directions(features)
    projected = targets.sums(left)
    rest = (targets.leave(left @ projected.T) ** 2).sum(axis=0)
    return Energies(s, projected.T**2, rest)


def _tall(features: Array, targets: Targets, s: Array, right: Array) -> Energies:
    keep = _kept(s, len(features))
    s, right = s[keep], right[:, keep]
    projected = right.T @ targets.sums(features).T
    along = projected**2 / s[:, None]
    rest = targets.totals - along.sum(axis=0)
    if (rest < 1e-6 * targets.totals).any():  # the difference has cancelled: look at the rows
        fitted = features @ (right @ (projected / s[:, None]))
        rest = (targets.leave(fitted) ** 2).sum(axis=0)
    return Energies(s, along, np.maximum(rest, 0.0))


def _eigen(matrix: Array) -> tuple[Array, Array]:
    s, vectors = eigh(matrix, overwrite_a=True, check_finite=False, driver="evd")
    return s, vectors


def _kept(s: Array, longest: int) -> Array:
    return np.asarray(s > max(longest * EPS, 1e-13) * max(float(s[-1]), 0.0))


def _blurred(s: Array, rows: int, columns: int) -> bool:
    affordable = rows * columns * min(rows, columns) <= AFFORDABLE
    return affordable and bool(s[0] < BLURRED * s[-1])
