"""How often source classes and target classes go together; adds up over chunks.

Shapes: N samples, Z source classes, C target classes.
"""

from __future__ import annotations

from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from bequest.errors import DataError
from bequest.selection.arrays import as_array, check_probabilities, class_sums

__all__ = ["JointTable"]

Array = NDArray[Any]


@final
class JointTable:
    """Mergeable sums of source probabilities per target class.

    Attributes
    ----------
    rows : int
        N so far.

    Examples
    --------
    >>> table = JointTable().update([[0.9, 0.1], [0.2, 0.8]], ["cat", "dog"])
    >>> table = table.merge(JointTable().update([[1.0, 0.0]], ["cat"]))
    >>> table.classes, table.counts.round(3).tolist()
    (('cat', 'dog'), [[1.9, 0.1], [0.2, 0.8]])
    """

    __slots__ = ("_sums", "rows")

    def __init__(self) -> None:
        self.rows = 0
        self._sums: dict[Any, Array] = {}

    def update(self, probabilities: Any, labels: Any) -> JointTable:
        """Add rows and return self.

        Parameters
        ----------
        probabilities : array or tensor, shape (n, Z)
            The source's class probabilities; one-hot rows for hard labels.
        labels : array or tensor, shape (n,)
            The target's classes.

        Raises
        ------
        DataError
            The rows differ in number, Z differs from the rows before, or a row does not sum to one.
        """
        theta = check_probabilities(probabilities)
        targets = as_array(labels)
        if targets.shape != (len(theta),):
            raise DataError(f"{len(theta)} rows, but labels of shape {targets.shape}.")
        classes, indices = np.unique(targets, return_inverse=True)
        part = JointTable()
        part.rows = len(theta)
        sums = class_sums(theta, indices, len(classes))
        part._sums = dict(zip(classes.tolist(), sums, strict=True))
        return self.merge(part)

    def merge(self, other: JointTable) -> JointTable:
        """Add all that `other` has seen and return self; `other` stays as it is."""
        widths = {len(row) for table in (self, other) for row in table._sums.values()}
        if len(widths) > 1:
            raise DataError(f"tables of {sorted(widths)} source classes do not add up.")
        for label, row in list(other._sums.items()):
            self._sums[label] = self._sums.get(label, 0.0) + row
        self.rows += other.rows
        return self

    @property
    def classes(self) -> tuple[Any, ...]:
        """The target's classes seen so far, sorted."""
        return tuple(sorted(self._sums))

    @property
    def counts(self) -> Array:
        """Expected number of rows of target class c and source class z, shape (C, Z)."""
        return np.array([self._sums[label] for label in self.classes])

    @property
    def conditional(self) -> Array:
        """P(target class | source class), shape (C, Z); zero for a source class never used."""
        counts = self.counts
        totals = counts.sum(axis=0)
        return np.asarray(counts / np.where(totals > 0, totals, 1.0))

    def check(self) -> None:
        """Raise `DataError` unless two target classes have been seen."""
        if len(self._sums) < 2:
            raise DataError(
                f"{self.rows} rows of {len(self._sums)} target classes: two are needed."
            )
