"""Arrays and tensors in, checked float64 arrays out.

Shapes: N samples, D features, C classes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bequest.errors import DataError

__all__ = [
    "are_classes",
    "as_array",
    "centre",
    "check_features",
    "check_labels",
    "check_probabilities",
    "check_values",
    "class_sums",
]

Array = NDArray[Any]

MAX_WHOLE_CLASSES = 20  # floats with up to this many distinct whole values are classes


def as_array(values: Any) -> Array:
    """A numpy array of an array, a tensor on any device, or a sequence.

    Tensors are told by their `detach`, so that torch need not be imported.
    """
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        if "bfloat16" in str(values.dtype):  # numpy has no such type
            values = values.float()
        values = values.numpy()
    if hasattr(values, "toarray"):
        values = values.toarray()
    return np.asarray(values)


def check_features(features: Any) -> Array:
    """Finite features of shape (N, D), in the floating type that they came in."""
    array = as_array(features)
    if array.ndim != 2:
        raise DataError(f"features must have shape (N, D), these have {array.shape}.")
    if 0 in array.shape:
        raise DataError(f"features need a row and a column at least, these have {array.shape}.")
    if array.dtype.kind not in "fiub":
        raise DataError(f"features must be real numbers, these are {array.dtype}.")
    if array.dtype.kind != "f":
        return np.asarray(array, dtype=np.float64)
    finite = np.isfinite(array)
    if not finite.all():
        row, column = np.argwhere(~finite)[0]
        raise DataError(
            f"{finite.size - np.count_nonzero(finite)} of {finite.size} feature values are NaN or "
            f"infinite, the first in row {row}, column {column}."
        )
    return array


def check_labels(labels: Any, rows: int) -> tuple[Array, Array]:
    """The classes (C,), two or more, sorted, and each row's index into them, shape (N,) int64."""
    array = _labels_of_length(labels, rows)
    if array.dtype.kind == "O":
        if any(value is None or value != value for value in array):
            raise DataError("a label is missing.")
        array = np.array([str(value) for value in array])
    classes, indices = np.unique(array, return_inverse=True)
    if len(classes) < 2:
        raise DataError(f"all {rows} labels are {array[0]!r}: a score needs two classes at least.")
    return classes, indices.reshape(-1).astype(np.int64)


def check_values(labels: Any, rows: int) -> Array:
    """Finite target values of shape (N,), float64, not all the same."""
    array = _labels_of_length(labels, rows)
    if array.dtype.kind not in "fiub":
        raise DataError(f"values to predict must be real numbers, these are {array.dtype}.")
    values = array.astype(np.float64)
    if (values == values[0]).all():
        raise DataError(f"all {rows} values to predict are {values[0]:g}: nothing to tell apart.")
    return values


def check_probabilities(probabilities: Any) -> Array:
    """Rows of probabilities, shape (N, Z) float64; they must sum to one within 1e-3."""
    array = check_features(probabilities).astype(np.float64)
    if array.min() < 0:
        raise DataError(f"a probability is negative: {array.min():g}.")
    sums = array.sum(axis=1)
    worst = int(np.abs(sums - 1).argmax())
    if abs(sums[worst] - 1) > 1e-3:
        raise DataError(
            f"row {worst} of the probabilities sums to {sums[worst]:g}, not to one: "
            "give probabilities, not logits."
        )
    return np.asarray(array / sums[:, None])


def are_classes(labels: Any) -> bool:
    """Whether labels are classes: all but floats that are not a few whole numbers.

    Examples
    --------
    >>> are_classes(["a", "b"]), are_classes([0.0, 1.0, 1.0]), are_classes([0.5, 1.5])
    (True, True, False)
    """
    array = as_array(labels)
    if array.dtype.kind != "f":
        return True
    distinct = np.unique(array)
    return len(distinct) <= MAX_WHOLE_CLASSES and bool((distinct == np.floor(distinct)).all())


def centre(features: Array) -> Array:
    """Columns with their mean taken off, float64; what is left of a constant column is zero."""
    features = features.astype(np.float64, copy=False)
    mean = features.mean(axis=0)
    centred = features - mean
    rounding = 32 * np.finfo(np.float64).eps * np.abs(mean)
    centred[:, np.abs(centred).max(axis=0) <= rounding] = 0.0
    return np.asarray(centred)


def class_sums(rows: Array, indices: Array, classes: int) -> Array:
    """Sum of the rows of each class, shape (C, D) float64; no (N, C) matrix is built."""
    order = np.argsort(indices, kind="stable")
    present, starts = np.unique(indices[order], return_index=True)
    sums = np.zeros((classes, rows.shape[1]))
    sums[present] = np.add.reduceat(rows[order], starts, axis=0, dtype=np.float64)
    return np.asarray(sums)


def _labels_of_length(labels: Any, rows: int) -> Array:
    array = as_array(labels)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise DataError(f"labels must have shape (N,), these have {array.shape}.")
    if len(array) != rows:
        raise DataError(f"{rows} rows of features, but {len(array)} labels.")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise DataError(f"{np.count_nonzero(~np.isfinite(array))} of {rows} labels are not finite.")
    return array
