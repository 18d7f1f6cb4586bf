"""What reading single rows does not tell: pages, indexes, outcomes, and which objects are used."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator

from bequest.errors import Damaged
from bequest.hub import rows

__all__ = ["unsound"]


def unsound(db: sqlite3.Connection) -> Iterator[str]:
    """Say in one line each what is wrong with the registry as a whole; reads all of it.

    Parameters
    ----------
    db : sqlite3.Connection

    Yields
    ------
    str
        Nothing where all holds. Rows of entries that were altered are not named: see
        `rows.entries`.
    """
    for (line,) in db.execute("PRAGMA integrity_check(5)"):
        if line != "ok":
            yield f"the registry's pages do not fit together: {' '.join(str(line).split())}."
    try:
        for _ in rows.all_outcomes(db):
            pass
    except Damaged as error:
        yield str(error)
    used = set(db.execute("SELECT object, name, version FROM uses"))
    listed = set(_listed(db))
    for digest, name, version in sorted(used ^ listed, key=str)[:5]:
        yield f"the registry does not know who uses {digest[:12]}: {name}@{version}."


def _listed(db: sqlite3.Connection) -> Iterator[tuple[str, str, int]]:
    for name, version, record in db.execute("SELECT name, version, record FROM entries"):
        try:
            files = json.loads(record)["files"].values()
            found = {str(file["digest"]) for file in files}
        except (AttributeError, KeyError, TypeError, ValueError, RecursionError):
            continue
        for digest in found:
            yield digest, name, version
