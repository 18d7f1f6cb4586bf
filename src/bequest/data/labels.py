"""Labels: what kind of task they make, and their encoding as class indices or values.

N rows, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from bequest.core.metric import Kind
from bequest.core.table import missing_cells, plain_array
from bequest.core.task import Label
from bequest.core.wording import named_rows
from bequest.errors import DataError

__all__ = ["Labels", "encode_known", "read_labels"]

Array = NDArray[Any]
MOST = 1e37  # of a value; boosting sums them in float32, which ends at 3e38
MOST_CLASSES = 20  # distinct whole numbers, up to which numbers are taken as classes
SHOWN = 5  # rows or labels that a message names


@final
@dataclass(frozen=True)
class Labels:
    """Labels as a task holds them: sorted classes and int64 indices, or float64 values."""

    kind: Kind
    classes: tuple[Label, ...]
    targets: Array


def read_labels(values: Any, *, kind: Kind | None = None) -> Labels:
    """Check labels of shape (N,) or (N, 1), tell their kind and encode them.

    Text, booleans and up to 20 distinct whole numbers are classes, unless `kind` says otherwise.
    Classes are plain Python values; whole numbers are `int` even where the array holds floats.
    `DataError` where a label is missing or infinite, types are mixed, or all labels are the same.

    Examples
    --------
    >>> read_labels(["ill", "well", "ill"]).classes
    ('ill', 'well')
    >>> read_labels([0.5, 2.25, 1.0]).kind
    'regression'
    """
    if kind not in (None, "classification", "regression"):
        raise DataError(f"kind is {kind!r}; it must be 'classification' or 'regression'.")
    array = _checked(values)
    if kind is None:
        kind = _told_kind(array)
    if kind == "regression":
        return Labels("regression", (), _values(array))
    return _classes(array)


def encode_known(values: Any, kind: Kind, classes: tuple[Label, ...]) -> Array:
    """Encode labels of rows held out, shape (N,), whose classes are known, as in `Labels`.

    Examples
    --------
    >>> encode_known(["well", "ill"], "classification", ("ill", "well")).tolist()
    [1, 0]
    """
    array = _checked(values)
    if kind == "regression":
        return _numbers(array)
    index = {label: place for place, label in enumerate(classes)}
    found = np.array([index.get(value, -1) for value in array.tolist()], dtype=np.int64)
    unknown = np.flatnonzero(found < 0)
    if len(unknown):
        strange = sorted({repr(value) for value in array[unknown].tolist()})
        known = _first([repr(label) for label in classes], 20)
        raise DataError(
            f"{len(unknown)} of {len(array)} held-out labels are of a type that was never seen in "
            f"training: {_first(strange)} ({named_rows(unknown)}). Known: {known}.{_amounts(array)}"
        )
    return found


def _checked(values: Any) -> Array:
    array = plain_array(values)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise DataError(f"labels must have shape (N,), these have {array.shape}.")
    if not len(array):
        raise DataError("there are no rows: a task needs labelled rows.")
    kind = array.dtype.kind
    if kind == "S":
        array = _decoded(array)
    elif kind == "U":
        array = array.astype(object)
    elif kind not in "biufO":
        raise DataError(f"labels are text, booleans or numbers; these are {array.dtype}.")
    _refuse(missing_cells(array), "missing")
    if array.dtype.kind == "O":
        array = _same_typed(array)
    if array.dtype.kind == "f":
        _refuse(np.isinf(array), "infinite")
    return array


def _decoded(array: Array) -> Array:
    try:
        return np.array([label.decode() for label in array.tolist()], dtype=object)
    except UnicodeDecodeError as error:
        raise DataError(f"the labels are bytes that are not UTF-8: {error}.") from error


def _refuse(bad: Array, what: str) -> None:
    rows = np.flatnonzero(bad)
    if len(rows):
        verb = "is" if len(rows) == 1 else "are"
        raise DataError(
            f"{len(rows)} of {len(bad)} labels {verb} {what} ({named_rows(rows)}): leave those "
            "rows out."
        )


def _same_typed(objects: Array) -> Array:
    types = set(map(type, objects.tolist()))
    if all(issubclass(one, str) for one in types):
        return objects
    if all(issubclass(one, bool | np.bool_) for one in types):
        return objects.astype(bool)
    if all(issubclass(one, int | float | np.number | np.bool_) for one in types):
        return np.array(objects.tolist())
    names = ", ".join(sorted(one.__name__ for one in types))
    raise DataError(
        f"the labels mix types or are of none that is known: {names}. "
        "Make them all text, all booleans or all numbers."
    )


def _told_kind(array: Array) -> Kind:
    if array.dtype.kind == "O" and len(set(array.tolist())) == len(array) > MOST_CLASSES:
        raise DataError(
            f"the {len(array)} labels are text and all different ({_first(array.tolist())}): that "
            "is a name or a number that could not be read, not a class. Choose another column, or "
            "say kind='classification'."
        )
    if array.dtype.kind in "Ob":
        return "classification"
    whole = array.dtype.kind in "iu" or bool((array == np.floor(array)).all())
    return "classification" if whole and len(np.unique(array)) <= MOST_CLASSES else "regression"


def _numbers(array: Array) -> Array:
    if array.dtype.kind == "O":
        raise DataError(
            f"regression needs numbers, the labels are text ({_first(array.tolist())})."
        )
    numbers = array.astype(np.float64)
    far = np.flatnonzero(np.abs(numbers) > MOST)
    if len(far):
        raise DataError(
            f"labels reach {np.abs(numbers).max():.0e} ({named_rows(far)}), {MOST:.0e} is the "
            "most: "
            "their squares, which errors are made of, would be infinite. Predict their logarithm, "
            "or divide all of them by one number."
        )
    return numbers


def _values(array: Array) -> Array:
    numbers = _numbers(array)
    if (numbers == numbers[0]).all():
        raise DataError(
            f"all {len(numbers)} values are {numbers[0]:g}: there is nothing to predict."
        )
    return numbers


def _classes(array: Array) -> Labels:
    if array.dtype.kind == "f" and bool((array == np.floor(array)).all()):
        array = np.array([int(value) for value in array.tolist()])
    classes = sorted(set(array.tolist()))
    if len(classes) < 2:
        raise DataError(
            f"all {len(array)} labels are {classes[0]!r}: a task needs at least two classes."
        )
    index = {label: place for place, label in enumerate(classes)}
    targets = np.array([index[value] for value in array.tolist()], dtype=np.int64)
    return Labels("classification", tuple(classes), targets)


def _amounts(array: Array) -> str:
    """Whole numbers may have been meant as amounts."""
    if array.dtype.kind not in "iuf":
        return ""
    return " Where these numbers are amounts and no classes: kind='regression', --kind regression."


def _first(values: Any, shown: int = SHOWN) -> str:
    more = ", ..." if len(values) > shown else ""
    return ", ".join(str(value) for value in list(values)[:shown]) + more
