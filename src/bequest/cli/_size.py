"""Amounts of bytes, as a person reads them."""

from __future__ import annotations

__all__ = ["sized"]


def sized(number: int) -> str:
    """Bytes in the unit that leaves one to three digits before the point.

    Examples
    --------
    >>> sized(512), sized(20_480), sized(3_500_000)
    ('512 B', '20.5 kB', '3.5 MB')
    """
    amount = float(number)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 999.5:
            return f"{number} B" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"
