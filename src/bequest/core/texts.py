"""Samples that are texts.

N samples.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from bequest.core.table import is_missing
from bequest.core.wording import named_rows
from bequest.errors import DataError

__all__ = ["Texts"]


@final
class Texts:
    """N texts, of any length; an empty one is a text.

    Parameters
    ----------
    texts : sequence of str
        Of Unicode characters: a lone half of a surrogate pair is none.

    Raises
    ------
    DataError
        A text is missing, is no string, or cannot be written as UTF-8.

    Examples
    --------
    >>> texts = Texts(["good", "", "bad"])
    >>> len(texts), texts[[2, 0]].tolist()
    (3, ['bad', 'good'])
    """

    __slots__ = ("_texts",)

    def __init__(self, texts: Sequence[str]) -> None:
        rows = list(texts)
        _check(rows)
        self._texts: NDArray[Any] = np.empty(len(rows), dtype=object)
        # str() makes numpy's strings, and other subclasses, plain ones
        self._texts[:] = [str(text) for text in rows]

    @property
    def shape(self) -> tuple[int]:
        """(N,)."""
        return (len(self),)

    def __len__(self) -> int:
        return len(self._texts)

    def __getitem__(self, rows: Any) -> Texts:
        """The texts of these rows: a number, a slice, numbers or a mask."""
        taken = Texts.__new__(Texts)
        taken._texts = np.atleast_1d(self._texts[rows])
        return taken

    def __iter__(self) -> Iterator[str]:
        return iter(self.tolist())

    def tolist(self) -> list[str]:
        """The texts as plain strings."""
        plain: list[str] = self._texts.tolist()
        return plain

    def content_digest(self) -> str:
        """Content address of the texts, in order: a sha256."""
        digest = hashlib.sha256(f"texts {len(self)}".encode())
        for text in self.tolist():
            content = text.encode()
            digest.update(len(content).to_bytes(8, "little") + content)
        return digest.hexdigest()

    def __repr__(self) -> str:
        return f"Texts({len(self)} texts)"


def _check(rows: list[Any]) -> None:
    missing = [row for row, text in enumerate(rows) if is_missing(text)]
    if missing:
        raise DataError(
            f"{len(missing)} of {len(rows)} texts are missing ({named_rows(missing)}): leave "
            "those rows out, or make them empty texts."
        )
    others = [row for row, text in enumerate(rows) if not isinstance(text, str)]
    if others:
        kind = type(rows[others[0]]).__name__
        raise DataError(
            f"{len(others)} of {len(rows)} texts are no strings ({named_rows(others)}, the first "
            f"is a {kind}): texts are a list of str."
        )
    for row, text in enumerate(rows):
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise DataError(
                f"text {row}, counted from 0, holds half of a surrogate pair at character "
                f"{error.start}, which is no Unicode: text.encode(errors='replace').decode()."
            ) from error
