"""Plain values that somebody else wrote down: checked before they are read, cut to be shown.

Cards and outcomes come from strangers: one text that no file can hold, among thousands of rows,
would else stop whoever adds, formats or sorts them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["escaped", "json_fault", "quoted"]

DEEPEST = 64  # values inside of each other; Python itself reads and writes some hundreds
LARGEST = 2**64  # a whole number, in size


def quoted(value: Any, most: int = 60) -> str:
    r"""Somebody else's value in a message: escaped, and cut.

    Examples
    --------
    >>> print(quoted("a\x1b[31m\n"), quoted("x" * 99, 12))
    'a\x1b[31m\n' 'xxxxxxxx...
    """
    try:
        # More than this is never shown, and a value may be as long as a file.
        said = ascii(value[: 2 * most] if isinstance(value, str | bytes) else value)
    except (ValueError, RecursionError):  # a number of thousands of digits, a nest
        return f"an {type(value).__name__}" if isinstance(value, int) else "a nest of values"
    return said if len(said) <= most else f"{said[: most - 3]}..."


def escaped(name: str, most: int = 60) -> str:
    r"""As `quoted`, without quotation marks, for a name that stands in a path.

    Examples
    --------
    >>> print(escaped("card.json"), escaped("a\nb"))
    card.json a\nb
    """
    said = ascii(name[: 2 * most])[1:-1]
    return said if len(said) <= most else f"{said[: most - 3]}..."


def json_fault(value: Any, *, finite: bool = True, deepest: int = DEEPEST) -> str:
    """What in a value no strict JSON can hold, behind its place; empty where there is nothing.

    Parameters
    ----------
    value : object
    finite : bool
        Whether a number may be neither NaN nor infinite.
    deepest : int
        How many values may stand inside of each other.

    Examples
    --------
    >>> json_fault({"a": [1.0, {"b": float("nan")}]})
    '.a[1].b: nan is no finite number'
    """
    if isinstance(value, str):
        return _text_fault(value)
    if value is None or isinstance(value, bool):
        return ""
    if isinstance(value, int | float):
        return _number_fault(value, finite)
    if not isinstance(value, Mapping | list | tuple):
        return f": a {type(value).__name__} is no plain value"
    if not deepest:
        return f": more than {DEEPEST} values stand inside of each other"
    if isinstance(value, Mapping):
        return _first(_of_key(key, inner, deepest, finite) for key, inner in value.items())
    if set(map(type, value)) == {float} and all(map(math.isfinite, value)):
        return ""  # the numbers of a sketch, of which there are thousands
    found = (
        (n, json_fault(inner, finite=finite, deepest=deepest - 1)) for n, inner in enumerate(value)
    )
    return _first(f"[{n}]{fault}" if fault else "" for n, fault in found)


def _of_key(key: Any, value: Any, deepest: int, finite: bool) -> str:
    if not isinstance(key, str):
        return f": the key {quoted(key)} is no text"
    fault = _text_fault(key) or json_fault(value, finite=finite, deepest=deepest - 1)
    return f".{escaped(key, 40)}{fault}" if fault else ""


def _text_fault(text: str) -> str:
    if text.isascii():  # nearly all of them, and a hub has millions
        return ""
    try:
        text.encode()
    except UnicodeEncodeError:
        return f": {quoted(text)} holds half of a surrogate pair, which is no Unicode"
    return ""


def _number_fault(number: float, finite: bool) -> str:
    if isinstance(number, int):
        return (
            "" if abs(number) < LARGEST else f": {quoted(number)} is no number below 2^64 in size"
        )
    return f": {number} is no finite number" if finite and not math.isfinite(number) else ""


def _first(faults: Iterable[str]) -> str:
    return next((fault for fault in faults if fault), "")
