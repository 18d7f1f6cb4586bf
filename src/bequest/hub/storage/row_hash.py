"""The seal of a row in the registry: the hash of its text, so that no altered row is believed."""

from __future__ import annotations

import hashlib
import json
from typing import Any

__all__ = ["UNSOUND", "Altered", "seal_of", "sealed", "unaltered"]

# What plain values of another shape than expected raise.
UNSOUND = (AttributeError, KeyError, TypeError, ValueError, OverflowError, RecursionError)


class Altered(ValueError):
    """A row is not what it was when it was sealed."""


def seal_of(record: str) -> str:
    """sha256 of a record, 64 hex digits."""
    # A flipped bit may leave a number, or half of a pair of surrogates: neither has this hash.
    return hashlib.sha256(str(record).encode("utf-8", "replace")).hexdigest()


def unaltered(record: str, seal: str, what: str = "it") -> str:
    """The record, where its seal is whole; else `Altered`, which calls the row `what`."""
    if seal_of(record) != seal:
        raise Altered(f"{what} was altered")
    return str(record)


def sealed(record: str, seal: str, what: str = "it") -> Any:
    """What a record holds, as plain values, where its seal is whole, as in `unaltered`.

    `ValueError` or `RecursionError` where it was sealed, and is no JSON all the same.

    Examples
    --------
    >>> sealed("[1]", seal_of("[1]"))
    [1]
    >>> sealed("[2]", seal_of("[1]"), "the row")
    Traceback (most recent call last):
        ...
    bequest.hub.storage.row_hash.Altered: the row was altered
    """
    return json.loads(unaltered(record, seal, what))
