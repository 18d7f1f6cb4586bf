"""Small words that several messages need."""

from __future__ import annotations

__all__ = ["counted"]


def counted(amount: int, thing: str, many: str = "") -> str:
    """An amount and what it counts, in the singular where it is one.

    Parameters
    ----------
    amount : int
    thing : str
        In the singular.
    many : str
        The plural, where it is not `thing` and an s.

    Returns
    -------
    str

    Examples
    --------
    >>> counted(1, "row"), counted(3, "row"), counted(0, "class", "classes")
    ('1 row', '3 rows', '0 classes')
    """
    return f"{amount} {thing if amount == 1 else many or thing + 's'}"
