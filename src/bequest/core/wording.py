"""Small words that several messages need."""

from __future__ import annotations

__all__ = ["counted"]


def counted(amount: int, thing: str) -> str:
    """An amount and what it counts, which is given in the singular.

    Examples
    --------
    >>> counted(1, "row"), counted(3, "row")
    ('1 row', '3 rows')
    """
    return f"{amount} {thing if amount == 1 else thing + 's'}"
