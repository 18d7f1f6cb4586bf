"""The parents of an entry that stand in the same hub, by what its card calls them."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Iterator

from bequest.errors import BequestError, EntryNotFound, HubError
from bequest.hub import rows
from bequest.hub.entry import Entry
from bequest.hub.names import split_reference

__all__ = ["find_parent", "licences_of", "with_parents"]


def find_parent(db: sqlite3.Connection, parent: str, child: Entry | None = None) -> Entry | None:
    """The entry that a card calls its parent.

    Parameters
    ----------
    db : sqlite3.Connection
    parent : str
        A name, ``name@version``, or the digest of an entry.
    child : Entry, optional
        Whose parent it is, where it is published already: a name without a version then means
        the latest version that there was before it.

    Returns
    -------
    Entry or None
        None where this hub holds no such entry.

    Raises
    ------
    Damaged
        Its row was altered.
    """
    if re.fullmatch(r"(sha256:)?[0-9a-f]{64}", parent):
        return _by_digest(db, parent.removeprefix("sha256:"))
    try:
        name, version = split_reference(parent)
    except HubError:  # a card may name what is in no hub
        return None
    if version is None and child is not None:
        version = _latest_before(db, name, child)
    try:
        return rows.find(db, name, version)
    except EntryNotFound:
        return None


def licences_of(db: sqlite3.Connection, parents: Iterable[str]) -> dict[str, str | None]:
    """The licence of every parent; None for one that this hub does not hold, or cannot read."""
    return {parent: _licence(db, parent) for parent in parents}


def with_parents(db: sqlite3.Connection, entry: Entry) -> tuple[Entry, ...]:
    """An entry and all that it was made from as far as the hub holds it, parents first."""
    ordered: dict[tuple[str, int], Entry] = {}
    seen = {(entry.name, entry.version)}
    # A stack of our own: a lineage may be deeper than Python's.
    stack = [(entry, _parents(db, entry))]
    while stack:
        current, rest = stack[-1]
        parent = next(rest, None)
        if parent is None:
            stack.pop()
            ordered[current.name, current.version] = current
        elif (parent.name, parent.version) not in seen:
            seen.add((parent.name, parent.version))
            stack.append((parent, _parents(db, parent)))
    return tuple(ordered.values())


def _parents(db: sqlite3.Connection, entry: Entry) -> Iterator[Entry]:
    for parent in entry.card.parents:
        found = find_parent(db, str(parent), entry)
        if found is not None:
            yield found


def _licence(db: sqlite3.Connection, parent: str) -> str | None:
    try:
        found = find_parent(db, parent)
    except BequestError:  # an altered row of another entry does not keep this one out
        return None
    return found.licence if found is not None else None


def _by_digest(db: sqlite3.Connection, digest: str) -> Entry | None:
    # The digests of files stand in the record, too: what is found is looked at again.
    found = db.execute(
        "SELECT name, version FROM entries WHERE instr(record, ?)", (f'"digest": "{digest}"',)
    )
    for name, version in found.fetchall():
        try:
            entry = rows.find(db, name, version)
        except BequestError:
            continue
        if entry.digest == digest:
            return entry
    return None


def _latest_before(db: sqlite3.Connection, name: str, child: Entry) -> int:
    # Rows are never changed, so their order is that in which they were published.
    found = db.execute(
        "SELECT max(version) FROM entries WHERE name = ? AND rowid < "
        "(SELECT rowid FROM entries WHERE name = ? AND version = ?)",
        (name, child.name, child.version),
    ).fetchone()
    return int(found[0] or 0)
