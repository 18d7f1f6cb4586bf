"""LEEP: the likelihood of the labels given the source's predictions.

Shapes: N samples, Z source classes, C target classes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bequest.errors import DataError
from bequest.selection.arrays import check_labels, check_probabilities
from bequest.selection.joint import JointTable
from bequest.selection.score import Score

__all__ = ["SCORE", "leep", "leep_from_table"]

Array = NDArray[Any]


def leep(probabilities: Any, labels: Any) -> float:
    """Mean log likelihood of the labels under the best guess from the source's classes.

    The source says how likely its class z is; how often z goes with target class y is counted on
    the same rows; together they predict y.

    Parameters
    ----------
    probabilities : array or tensor, shape (N, Z)
        The source's class probabilities on the target's rows; not logits.
    labels : array or tensor, shape (N,)
        The target's classes, of any type.

    Returns
    -------
    float
        Nats per row, from minus the labels' entropy (the source's classes say nothing) to 0.

    Raises
    ------
    DataError
        N differs between the two, a row does not sum to one, or there is one class only.

    References
    ----------
    Nguyen et al., LEEP: A new measure to evaluate transferability of learned representations,
    ICML 2020.

    Examples
    --------
    >>> leep([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]], ["cat", "dog", "cat"])
    0.0
    """
    theta = check_probabilities(probabilities)
    _, indices = check_labels(labels, len(theta))
    return leep_from_table(JointTable().update(theta, indices), theta, indices)


def leep_from_table(table: JointTable, probabilities: Any, labels: Any) -> float:
    """The part of LEEP that a chunk gives, once the table has seen all chunks.

    LEEP looks at the rows twice; the mean over chunks, weighted by their rows, is the whole's.

    Parameters
    ----------
    table : JointTable
        Of all rows.
    probabilities, labels
        As in `leep`, of one chunk.

    Returns
    -------
    float
        Nats per row of this chunk.

    Raises
    ------
    DataError
        A label that the table has not seen, or another number of source classes.
    """
    table.check()
    theta = check_probabilities(probabilities)
    row_of = {label: row for row, label in enumerate(table.classes)}
    conditional = table.conditional
    if theta.shape[1] != conditional.shape[1]:
        raise DataError(f"{theta.shape[1]} source classes, the table has {conditional.shape[1]}.")
    values = np.asarray(labels.detach().cpu() if hasattr(labels, "detach") else labels).tolist()
    unseen = set(values) - set(row_of)
    if unseen or len(values) != len(theta):
        raise DataError(
            f"{len(theta)} rows with {len(values)} labels, of which the table has not seen "
            f"{sorted(unseen)}."
        )
    indices = np.array([row_of[value] for value in values])
    return float(np.log((conditional[indices] * theta).sum(axis=1)).mean())


SCORE = Score(
    name="leep",
    needs="probabilities",
    kinds=("classification",),
    function=leep,
    optimistic=True,
    citation=(
        "@inproceedings{nguyen2020leep, title={LEEP: A New Measure to Evaluate Transferability of "
        "Learned Representations}, author={Nguyen, Cuong V. and Hassner, Tal and Seeger, Matthias "
        "and Archambeau, Cedric}, booktitle={ICML}, year={2020}}"
    ),
)
