"""NCE: negative conditional entropy of the labels given the source's hard labels.

Shapes: N samples, Z source classes, C target classes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import xlogy

from bequest.errors import DataError
from bequest.selection.arrays import as_array, check_labels
from bequest.selection.joint import JointTable
from bequest.selection.score import Score

__all__ = ["SCORE", "nce", "nce_from_table"]


def nce(source_labels: Any, labels: Any) -> float:
    """How far the source's labels settle the target's: minus their conditional entropy.

    Parameters
    ----------
    source_labels : array or tensor, shape (N,)
        The source's class of each of the target's rows, of any type; one class for all is fine
        and tells nothing.
    labels : array or tensor, shape (N,)
        The target's classes, of any type.

    Returns
    -------
    float
        Nats per row, from minus the labels' entropy to 0 (the source's label settles it).

    Raises
    ------
    DataError
        N differs between the two, or there is one target class only.

    References
    ----------
    Tran et al., Transferability and hardness of supervised classification tasks, ICCV 2019.

    Examples
    --------
    >>> nce([3, 3, 7, 7], ["cat", "cat", "dog", "dog"])
    0.0
    """
    sources = as_array(source_labels)
    if sources.ndim != 1 or len(sources) == 0:
        raise DataError(f"source labels must have shape (N,), these have {sources.shape}.")
    classes, indices = check_labels(labels, len(sources))
    kinds, columns = np.unique(sources, return_inverse=True)
    counts = np.zeros((len(classes), len(kinds)))
    np.add.at(counts, (indices, columns), 1.0)
    return _of_counts(counts)


def nce_from_table(table: JointTable) -> float:
    """`nce` of all rows that a table of one-hot source labels has seen.

    Parameters
    ----------
    table : JointTable

    Returns
    -------
    float
        Nats per row.

    Raises
    ------
    DataError
        Fewer than two target classes so far.
    """
    table.check()
    return _of_counts(table.counts)


def _of_counts(counts: Any) -> float:
    total = counts.sum()
    joint = xlogy(counts, counts).sum() - xlogy(counts.sum(axis=0), counts.sum(axis=0)).sum()
    return min(0.0, float(joint / total))


SCORE = Score(
    name="nce",
    needs="labels",
    kinds=("classification",),
    function=nce,
    optimistic=True,
    citation=(
        "@inproceedings{tran2019transferability, title={Transferability and Hardness of Supervised "
        "Classification Tasks}, author={Tran, Anh T. and Nguyen, Cuong V. and Hassner, Tal}, "
        "booktitle={ICCV}, year={2019}}"
    ),
)
