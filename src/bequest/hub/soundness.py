"""What reading single rows does not tell: pages, indexes, outcomes, and which objects are used."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from itertools import islice

from bequest.errors import Damaged
from bequest.hub import rows

__all__ = ["unsound"]


def unsound(db: sqlite3.Connection, name: str | None = None) -> Iterator[str]:
    """Say in one line each what is wrong with the registry as a whole; reads all of it.

    Parameters
    ----------
    db : sqlite3.Connection
    name : str, optional
        Only which objects the entries of this name use.

    Yields
    ------
    str
        Nothing where all holds. Rows of entries that were altered are not named: see
        `rows.entries`.
    """
    if name is None:
        yield from _as_a_whole(db)
    # Two questions, not one with OR: by name, only the rows of that name are read.
    only, given = ("", ()) if name is None else (" WHERE name = ?", (name,))
    used = set(db.execute(f"SELECT object, name, version FROM uses{only}", given))
    listed = set(_listed(db.execute(f"SELECT name, version, record FROM entries{only}", given)))
    for digest, user, version in sorted(used ^ listed, key=str)[:5]:
        yield f"the registry does not know who uses {digest[:12]}: {user}@{version}."


def _as_a_whole(db: sqlite3.Connection) -> Iterator[str]:
    for (line,) in db.execute("PRAGMA integrity_check(5)"):
        if line != "ok":
            yield f"the registry's pages do not fit together: {' '.join(str(line).split())}."
    wrong = (f"{found}" for found in rows.outcomes(db) if isinstance(found, Damaged))
    yield from islice(wrong, 5)


def _listed(rows: Iterable[tuple[str, int, str]]) -> Iterator[tuple[str, str, int]]:
    for name, version, record in rows:
        try:
            files = json.loads(record)["files"].values()
            found = {str(file["digest"]) for file in files}
        except (AttributeError, KeyError, TypeError, ValueError, RecursionError):
            continue
        for digest in found:
            yield digest, name, version
