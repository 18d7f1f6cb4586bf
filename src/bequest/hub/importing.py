"""Entries of another hub enter this one in one transaction: all of them or none."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from bequest.errors import Conflict, EntryNotFound
from bequest.hub import rows
from bequest.hub.compatibility import check_derived
from bequest.hub.entry import Entry
from bequest.hub.parents import find_parent

__all__ = ["enter_new"]


def enter_new(db: sqlite3.Connection, entries: Sequence[Entry]) -> tuple[Entry, ...]:
    """Enter those that are not here yet, as `Store.take_in` promises, in a transaction begun."""
    return tuple(entry for entry in entries if _enter(db, entry))


def _enter(db: sqlite3.Connection, entry: Entry) -> bool:
    try:
        here = rows.find(db, entry.name, entry.version)
    except EntryNotFound:
        rows.enter(db, entry)
    else:
        if here.digest == entry.digest:
            return False
        raise Conflict(
            f"{entry} is another model here ({here.digest[:12]}) than in the bundle "
            f"({entry.digest[:12]}): nothing was taken in. Unbundle it into another hub."
        )
    held: dict[str, str | None] = {}
    for parent in map(str, entry.card.parents):
        found = find_parent(db, parent, entry)
        held[parent] = None if found is None else found.licence
    check_derived(str(entry), entry.licence, held)
    return True
