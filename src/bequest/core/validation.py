"""What a person handed over, held against what was asked for: one line where it is another thing.

These stand at the doors of the library, so that no inner code has to.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np

from bequest.core.task import Task
from bequest.errors import BequestError, DataError

__all__ = ["as_text", "is_seconds", "validate_path", "validate_task"]


def validate_path(given: Any, what: str, error: type[BequestError] = DataError) -> Path:
    """The path that was given.

    Parameters
    ----------
    given : str or path
    what : str
        What it should be the path of, for the message: ``"a model folder"``.
    error : type of BequestError
        Raised where it is no path.

    Returns
    -------
    Path
        As given: nothing is expanded.

    Raises
    ------
    BequestError
        `given` is neither text nor a path, is empty, or holds a zero byte.

    Examples
    --------
    >>> validate_path("ward3", "a model folder").name
    'ward3'
    >>> validate_path(3, "a model folder")
    Traceback (most recent call last):
        ...
    bequest.errors.DataError: a model folder is named by a path, not by a int: 3.
    """
    if not isinstance(given, str | os.PathLike):
        shown = repr(given) if isinstance(given, int | float | bytes | None) else "give its path"
        raise error(f"{what} is named by a path, not by a {type(given).__name__}: {shown}.")
    if not os.fspath(given).strip():  # a path that is empty would be the current folder
        raise error(f"{what} is named by a path, and this one is empty.")
    place = Path(given)
    if "\0" in str(place):
        raise error(f"{what} cannot be at {str(place)!a}: a path holds no zero byte.")
    return place


def as_text(name: str) -> str:
    r"""A name from the disk as text that every file can hold; bytes that are no UTF-8 are shown.

    Examples
    --------
    >>> print(as_text("ward7"), as_text(os.fsdecode(b"caf\xe9")))
    ward7 caf\xe9
    """
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def validate_task(given: Any, what: str = "the task", *, labelled: bool = True) -> Task:
    """The task that was given.

    Parameters
    ----------
    given : Task
    what : str
        What it is to the caller, for the message.
    labelled : bool
        Whether it must have labels.

    Returns
    -------
    Task

    Raises
    ------
    DataError
        It is something else, such as the name of a file, or it has no labels and needs them.

    Examples
    --------
    >>> validate_task("few.csv")
    Traceback (most recent call last):
        ...
    bequest.errors.DataError: the task must be a Task, not a str: make one with ...
    """
    if isinstance(given, Task):
        if labelled:
            given.require_labels()
        return given
    makers = "Task.from_table(file, target), Task.from_arrays(X, y) or Task.from_images(folder)"
    raise DataError(f"{what} must be a Task, not a {type(given).__name__}: make one with {makers}.")


def is_seconds(given: Any) -> bool:
    """Whether it is a finite number of seconds above zero; a truth value is none.

    Examples
    --------
    >>> is_seconds(1.5), is_seconds(True), is_seconds(float("inf"))
    (True, False, False)
    """
    number = isinstance(given, int | float | np.integer | np.floating)
    return number and not isinstance(given, bool) and 0 < given < math.inf
