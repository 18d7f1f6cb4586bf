"""Entries of another hub enter this one in one transaction: all of them or none."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from bequest.errors import Conflict, EntryNotFound, HubError
from bequest.hub import rows
from bequest.hub.compatibility import check_derived
from bequest.hub.entry import Entry
from bequest.hub.objects import Objects
from bequest.hub.parents import find_parent
from bequest.hub.registry import Records

__all__ = ["enter_all"]


def enter_all(
    records: Records, objects: Objects, work: Path, entries: Sequence[Entry]
) -> tuple[Entry, ...]:
    """Keep the files of entries and enter those that are not here yet.

    Parameters
    ----------
    records : Records
    objects : Objects
    work : Path
        A folder on the hub's file system with the entries' files, each named by its sha256.
    entries : sequence of Entry
        Parents first.

    Returns
    -------
    tuple of Entry
        Those that are new here.

    Raises
    ------
    Conflict
        A name and version is another model here.
    HubError
        A parent's licence does not allow its child's.
    """
    digests = sorted({file.digest for entry in entries for file in entry.files.values()})
    try:
        objects.add_all([work / digest for digest in digests])
        with records.writing() as db:
            # Another process may have forgotten an object that nothing used; none can now.
            for digest in digests:
                if not objects.has(digest):
                    objects.add(work / digest)
            return tuple(entry for entry in entries if _enter(db, entry))
    except BaseException:
        with suppress(OSError, sqlite3.Error, HubError):  # the first fault is the one to tell
            _forget(records, objects, digests)
        raise


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


def _forget(records: Records, objects: Objects, digests: Sequence[str]) -> None:
    with records.writing() as db:
        for digest in digests:
            if not rows.used(db, digest):
                objects.remove(digest)
