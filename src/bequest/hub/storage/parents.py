"""The parents of an entry that stand in the same hub, by what its card calls them.

A card that is published calls each parent that is here ``name@version`` (`settled`), so that
nothing that comes later changes what it means. What was not here keeps its name, or its digest, by
which it is found when it comes.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import replace

from bequest.core import Card
from bequest.errors import BequestError, Conflict, Damaged, HubError
from bequest.hub.records.compatibility import check_derived
from bequest.hub.records.entry import Entry
from bequest.hub.records.names import digest_in, split_reference
from bequest.hub.storage.folder import rows

__all__ = [
    "ParentCame",
    "Reference",
    "came_before",
    "check_settled",
    "enter_new",
    "find_parent",
    "parents_of",
    "resolve",
    "settled",
    "with_parents",
]

Reference = tuple[str, int]  # name and version


class ParentCame(Exception):
    """A parent was published after the card of its child was settled: it is settled anew."""


def resolve(db: sqlite3.Connection, parent: str) -> Reference | None:
    """Which entry of this hub is meant by ``name@version``, a digest, or the name of its latest.

    Of several entries with one digest it is the first.
    """
    if digest := digest_in(parent):
        return _by_digest(db, digest)
    try:
        name, version = split_reference(parent)
    except HubError:  # a card may name what is in no hub
        return None
    found = (name, rows.latest(db, name) if version is None else version)
    return found if rows.holds(db, *found) else None


def find_parent(db: sqlite3.Connection, parent: str, child: Entry) -> Entry | None:
    """The entry that a published card calls a parent; `Damaged` where its row was altered."""
    if "@" not in parent and digest_in(parent) is None:  # it was not here when the card was settled
        return None
    found = resolve(db, parent)
    return None if found in (None, (child.name, child.version)) else rows.find(db, *found)


def came_before(db: sqlite3.Connection, parent: Reference, child: Reference) -> bool:
    """Whether one entry was published before another."""
    # Rows are never changed, so their order is that in which they were published.
    row = "(SELECT rowid FROM entries WHERE name = ? AND version = ?)"
    return bool(db.execute(f"SELECT {row} < {row}", (*parent, *child)).fetchone()[0])


def parents_of(db: sqlite3.Connection, entry: Entry) -> dict[str, Entry | None]:
    """What a card calls its parents, and which entries these are.

    None stands for one that this hub does not hold, or cannot read.
    """
    found: dict[str, Entry | None] = {}
    for parent in map(str, entry.card.parents):
        try:
            found[parent] = find_parent(db, parent, entry)
        except Damaged:
            found[parent] = None
    return found


def settled(db: sqlite3.Connection, name: str, card: Card) -> Card:
    """A card about to be published, with every parent that is here as ``name@version``, once.

    What this hub does not hold stays as it is written, and the log names it. `HubError` where a
    parent's licence does not allow that of its child.
    """
    found = {parent: resolve(db, parent) for parent in card.parents}
    check_derived(name, card.licence, {said: _licence(db, place) for said, place in found.items()})
    called = (said if place is None else _called(place) for said, place in found.items())
    return replace(card, parents=tuple(dict.fromkeys(called)))


def check_settled(db: sqlite3.Connection, name: str, card: Card) -> None:
    """Look at a settled card again in the transaction that enters it, before it does.

    `ParentCame` where a parent was published since and has a version now; `HubError` where its
    licence does not allow that of its child.
    """
    found = {parent: resolve(db, parent) for parent in card.parents}
    here = {said: place for said, place in found.items() if place is not None}
    if any(said != _called(place) for said, place in here.items()):
        raise ParentCame
    held = {said: _licence(db, place) for said, place in here.items()}
    # Those that nobody knows were named in the log once.
    known = {said: licence for said, licence in held.items() if licence is not None}
    check_derived(name, card.licence, known)


def with_parents(db: sqlite3.Connection, entry: Entry) -> tuple[Entry, ...]:
    """An entry and all that it was made from as far as the hub holds it, parents first."""
    ordered: dict[Reference, Entry] = {}
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


def enter_new(db: sqlite3.Connection, entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """Enter those that are not here yet, as `Store.take_in` promises, in a transaction begun."""
    return tuple(entry for entry in entries if _enter(db, entry))


def _enter(db: sqlite3.Connection, entry: Entry) -> bool:
    if rows.holds(db, entry.name, entry.version):
        here = rows.find(db, entry.name, entry.version)
        if here.digest == entry.digest:
            return False
        raise Conflict(
            f"{entry} is another model here ({here.digest[:12]}) than in the bundle "
            f"({entry.digest[:12]}): nothing was taken in. Unbundle it into another hub."
        )
    found = {said: resolve(db, said) for said in map(str, entry.card.parents)}
    held = {said: place and rows.find(db, *place).licence for said, place in found.items()}
    check_derived(str(entry), entry.licence, held)
    rows.enter(db, entry)
    return True


def _parents(db: sqlite3.Connection, entry: Entry) -> Iterator[Entry]:
    for parent in entry.card.parents:
        found = find_parent(db, str(parent), entry)
        if found is not None:
            yield found


def _called(place: Reference) -> str:
    return f"{place[0]}@{place[1]}"


def _licence(db: sqlite3.Connection, place: Reference | None) -> str | None:
    """None for one that this hub does not hold, or cannot read."""
    if place is None:
        return None
    try:
        return rows.find(db, *place).licence
    except BequestError:  # an altered row of another entry does not keep this one out
        return None


def _by_digest(db: sqlite3.Connection, digest: str) -> Reference | None:
    # The digests of files stand in the record, too: what is found is looked at again.
    found = db.execute(
        "SELECT name, version FROM entries WHERE instr(record, ?) ORDER BY rowid",
        (f'"digest": "{digest}"',),
    )
    for name, version in found.fetchall():
        try:
            entry = rows.find(db, name, version)
        except BequestError:
            continue
        if entry.digest == digest:
            return name, version
    return None
