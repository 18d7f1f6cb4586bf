"""Sums over rows that add up over chunks: what scores can be computed from.

Shapes: N samples, D features, C classes. Everything is centred on a mean that moves as rows come
in (Chan et al., 1983), so that features far from zero lose no digits.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from bequest.errors import DataError
from bequest.selection.arrays import as_array, check_features

__all__ = ["Moments"]

Array = NDArray[Any]

BLOCK = 4096  # rows in float64 at a time


@final
@dataclass
class _Group:
    """Count, mean (D,) and summed squared deviations (D,) of the rows of one class."""

    count: int
    mean: Array
    squares: Array

    def merge(self, other: _Group) -> None:
        count = self.count + other.count
        shift = other.mean - self.mean
        self.squares = self.squares + other.squares + self.count * other.count / count * shift**2
        self.mean = self.mean + other.count / count * shift
        self.count = count


@final
@dataclass(kw_only=True, eq=False, repr=False, slots=True)
class Moments:
    """Mergeable moments of features and labels, in float64: D * D numbers, whatever N is.

    Parameters
    ----------
    classification : bool
        Whether labels are classes, of any type, or real values.

    Attributes
    ----------
    rows : int
        N so far.
    mean : array, shape (D,)
    scatter : array, shape (D, D)
        Sum of ``u u'`` over the centred rows u.
    third : array, shape (D,)
        Sum of ``|u|^2 u``.
    fourth : float
        Sum of ``|u|^4``.
    groups : dict
        By class: its count, its mean and its summed squared deviations.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> features, labels = rng.normal(size=(60, 3)), np.tile(["a", "b"], 30)
    >>> whole = Moments().update(features, labels)
    >>> halves = Moments().update(features[:20], labels[:20])
    >>> halves = halves.merge(Moments().update(features[20:], labels[20:]))
    >>> bool(np.allclose(whole.scatter, halves.scatter, rtol=1e-12))
    True
    """

    classification: bool = True
    rows: int = field(default=0, init=False)
    mean: Array = field(default_factory=lambda: np.zeros(0), init=False)
    scatter: Array = field(default_factory=lambda: np.zeros((0, 0)), init=False)
    third: Array = field(default_factory=lambda: np.zeros(0), init=False)
    fourth: float = field(default=0.0, init=False)
    groups: dict[Any, _Group] = field(default_factory=dict, init=False)
    _cross: Array = field(default_factory=lambda: np.zeros(0), init=False)
    _target_mean: float = field(default=0.0, init=False)
    _target_square: float = field(default=0.0, init=False)

    def update(self, features: Any, labels: Any) -> Moments:
        """Add rows and return self.

        Parameters
        ----------
        features : array or tensor, shape (n, D)
        labels : array or tensor, shape (n,)
            A chunk may hold one class only.

        Raises
        ------
        DataError
            The rows differ in number, D differs from the rows before, or a number is not finite.
        """
        matrix = check_features(features)
        targets = self._targets(labels, len(matrix))
        for start in range(0, len(matrix), BLOCK):
            block = matrix[start : start + BLOCK].astype(np.float64)
            self.merge(self._of_block(block, targets[start : start + BLOCK]))
        return self

    def merge(self, other: Moments) -> Moments:
        """Add all that `other` has seen and return self; `other` stays as it is.

        Raises
        ------
        DataError
            One is of classes and the other of values, or the features differ in number.
        """
        if self.classification != other.classification:
            raise DataError("moments of classes and moments of values do not add up.")
        if other.rows == 0:
            return self
        if self.rows == 0:
            self._start(len(other.mean))
        if len(self.mean) != len(other.mean):
            raise DataError(f"these rows have {len(other.mean)} features, not {len(self.mean)}.")
        rows = self.rows + other.rows
        shift = other.mean - self.mean
        mine, its = -other.rows / rows * shift, self.rows / rows * shift
        self._add_targets(other, shift, rows)
        fourth = _fourth(self, mine) + _fourth(other, its)
        self.third = _third(self, mine) + _third(other, its)
        self.fourth = fourth
        self.scatter += other.scatter
        self.scatter += np.outer(self.rows * mine, mine) + np.outer(other.rows * its, its)
        self.mean = self.mean - mine
        self.rows = rows
        return self

    @property
    def classes(self) -> tuple[Any, ...]:
        """The classes seen so far, sorted."""
        return tuple(sorted(self.groups))

    @property
    def counts(self) -> Array:
        """Rows of each class, shape (C,), in the order of `classes`."""
        return np.array([self.groups[label].count for label in self.classes], dtype=np.float64)

    @property
    def class_means(self) -> Array:
        """Mean of each class, shape (C, D), in the order of `classes`."""
        return np.array([self.groups[label].mean for label in self.classes])

    @property
    def class_squares(self) -> Array:
        """Summed squared deviations from the class mean, shape (C, D)."""
        return np.array([self.groups[label].squares for label in self.classes])

    def target_sums(self) -> tuple[Array, Array]:
        """Products of each target with the raw features (C, D), and its squared length (C,)."""
        if self.classification:
            return self.counts[:, None] * self.class_means, self.counts
        centre = self._target_mean
        sums = self._cross + self.rows * centre * self.mean
        return sums[None], np.array([self._target_square + self.rows * centre**2])

    def check(self) -> None:
        """Raise `DataError` unless there are rows of two classes, or of two values."""
        if self.rows == 0:
            raise DataError("these moments have seen no rows.")
        if self.classification and len(self.groups) < 2:
            raise DataError(f"all {self.rows} rows are of class {self.classes[0]!r}.")
        rounding = 1e-28 * self.rows * self._target_mean**2
        if not self.classification and self._target_square <= rounding:
            raise DataError(f"all {self.rows} values to predict are {self._target_mean:g}.")

    def _targets(self, labels: Any, rows: int) -> Array:
        array = as_array(labels)
        if array.shape != (rows,):
            raise DataError(f"{rows} rows of features, but labels of shape {array.shape}.")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise DataError("a label is not finite.")
        if not self.classification and array.dtype.kind not in "fiub":
            raise DataError(f"values to predict must be real numbers, these are {array.dtype}.")
        return array if self.classification else array.astype(np.float64)

    def _of_block(self, block: Array, targets: Array) -> Moments:
        part = Moments(classification=self.classification)
        part.rows = len(block)
        part.mean = block.mean(axis=0)
        centred = block - part.mean
        squares = (centred**2).sum(axis=1)
        part.scatter = centred.T @ centred
        part.third = squares @ centred
        part.fourth = float(squares @ squares)
        if self.classification:
            for label in np.unique(targets):
                members = block[targets == label]
                mean = members.mean(axis=0)
                deviations = ((members - mean) ** 2).sum(axis=0)
                part.groups[_plain(label)] = _Group(len(members), mean, deviations)
        else:
            part._target_mean = float(targets.mean())
            left = targets - part._target_mean
            part._target_square = float(left @ left)
            part._cross = left @ centred
        return part

    def _start(self, features: int) -> None:
        self.mean, self.third, self._cross = (np.zeros(features) for _ in range(3))
        self.scatter = np.zeros((features, features))

    def _add_targets(self, other: Moments, shift: Array, rows: int) -> None:
        for label, group in other.groups.items():
            if label in self.groups:
                self.groups[label].merge(group)
            else:
                self.groups[label] = _Group(group.count, group.mean, group.squares)
        if not self.classification:
            weight = self.rows * other.rows / rows
            difference = other._target_mean - self._target_mean
            self._cross = self._cross + other._cross + weight * difference * shift
            self._target_square += other._target_square + weight * difference**2
            self._target_mean += other.rows / rows * difference


def _plain(label: Any) -> Any:
    return label.item() if hasattr(label, "item") else label


def _third(part: Moments, d: Array) -> Array:
    """Sum of ``|u + d|^2 (u + d)`` over the centred rows u."""
    trace = np.trace(part.scatter)
    return np.asarray(part.third + 2 * (part.scatter @ d) + (trace + part.rows * (d @ d)) * d)


def _fourth(part: Moments, d: Array) -> float:
    """Sum of ``|u + d|^4`` over the centred rows u."""
    square = float(d @ d)
    return float(
        part.fourth
        + 4 * (d @ part.third)
        + 4 * (d @ (part.scatter @ d))
        + 2 * np.trace(part.scatter) * square
        + part.rows * square**2
    )
