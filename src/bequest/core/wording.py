"""Small words that several messages need."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

__all__ = ["counted_in", "listed", "named_rows", "pluralise"]


def pluralise(amount: int, thing: str) -> str:
    """An amount and what it counts, which is given in the singular.

    Examples
    --------
    >>> pluralise(1, "row"), pluralise(3, "row")
    ('1 row', '3 rows')
    """
    return f"{amount} {thing if amount == 1 else thing + 's'}"


def listed(names: Iterable[object], most: int = 5) -> str:
    """The first names of many, and how many more there are.

    Examples
    --------
    >>> listed("abcd", 2), listed("ab")
    ('a, b and 2 more', 'a, b')
    """
    known = list(map(str, names))
    more = f" and {len(known) - most} more" if len(known) > most else ""
    return ", ".join(known[:most]) + more


@contextmanager
def counted_in(source: Any) -> Iterator[None]:
    """Rows that messages name are counted as a spreadsheet shows them, where they are of a file."""
    file = isinstance(source, str | Path) and bool({".csv", ".tsv"} & {*Path(source).suffixes})
    before = _IN_FILE.set(file)
    try:
        yield
    finally:
        _IN_FILE.reset(before)


def named_rows(rows: Sequence[Any] | NDArray[Any], most: int = 5) -> str:
    """The first of some rows, and how they are counted.

    Examples
    --------
    >>> named_rows([3]), named_rows(range(9), most=2)
    ('row 3, counted from 0', 'rows 0, 1, ..., counted from 0')
    >>> with counted_in("ward.csv"):
    ...     named_rows([3])
    'row 5, the header being row 1'
    """
    first, how = (2, "the header being row 1") if _IN_FILE.get() else (0, "counted from 0")
    shown = ", ".join(str(int(row) + first) for row in list(rows)[:most])
    more = ", ..." if len(rows) > most else ""
    return f"row{'' if len(rows) == 1 else 's'} {shown}{more}, {how}"


_IN_FILE: ContextVar[bool] = ContextVar("rows of a file", default=False)
