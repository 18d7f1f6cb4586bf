"""Small words that several messages need."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["counted", "listed"]


def counted(amount: int, thing: str) -> str:
    """An amount and what it counts, which is given in the singular.

    Examples
    --------
    >>> counted(1, "row"), counted(3, "row")
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
