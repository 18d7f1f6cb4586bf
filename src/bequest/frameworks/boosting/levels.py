"""Levels of categories as text: as a table's column of them reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bequest.core import Table

__all__ = ["level_texts"]


def level_texts(levels: Sequence[Any]) -> tuple[str, ...]:
    """The texts that a `Table` has for these values once their column is one of categories.

    Examples
    --------
    >>> level_texts([1, 2]), level_texts(["low", "high"])
    (('1', '2'), ('low', 'high'))
    """
    column = Table({"level": list(levels)}).cast({"level": "category"}).columns["level"]
    return tuple(map(str, column.tolist()))
