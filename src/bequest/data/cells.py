"""What number a cell of text says, by that cell alone.

A column of text may be one of numbers in which somebody wrote a word: what the others say must not
hang on that one, or a single row would change what becomes of all of them.
"""

from __future__ import annotations

import datetime
import math
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["number_in", "years"]

_NUMBER = re.compile(r"[+-]?([0-9]+[.,]?[0-9]*|[.,][0-9]+)([eE][+-]?[0-9]+)?")
_HEXADECIMAL = re.compile(r"0[xX][0-9a-fA-F]{1,15}")  # as Arrow reads them from a file
_TRUTH = {"true": 1.0, "false": 0.0}
_SECONDS_PER_YEAR = 31_556_952.0


def number_in(text: str) -> float | None:
    """The number that a cell would be in a column of its own kind; None where it is a word.

    A date counts in years since 1970, as in `years`; a time of day in seconds; true is 1.

    Examples
    --------
    >>> number_in("61.0"), number_in("1970-01-01"), number_in("10:30"), number_in("about 3")
    (61.0, 0.0, 37800.0, None)
    """
    if _NUMBER.fullmatch(text):
        number = float(text.replace(",", "."))
        return number if math.isfinite(number) else None
    if _HEXADECIMAL.fullmatch(text):
        return float(int(text, 16))
    if (said := _TRUTH.get(text.lower())) is not None:
        return said
    return _date(text) if text[:1].isdigit() else None


def years(dates: NDArray[Any]) -> NDArray[np.float64]:
    """Dates (N,), to the second, as years since 1970."""
    return np.asarray(dates.astype("datetime64[s]").astype(np.int64) / _SECONDS_PER_YEAR)


def _date(text: str) -> float | None:
    try:
        date = datetime.datetime.fromisoformat(text)
        if date.tzinfo is not None:
            date = date.astimezone(datetime.UTC).replace(tzinfo=None)
        return float(years(np.array([date], dtype="datetime64[us]"))[0])
    except (ValueError, OverflowError):
        return _time(text)


def _time(text: str) -> float | None:
    try:
        time = datetime.time.fromisoformat(text)
    except ValueError:
        return None
    return 3600.0 * time.hour + 60.0 * time.minute + time.second + time.microsecond / 1e6
