"""How entries begin to exist: what is looked at in the transaction that enters them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from bequest.core import Card
from bequest.errors import Conflict
from bequest.hub.records.compatibility import check_derived
from bequest.hub.records.entry import Entry, StoredFile, manifest_digest
from bequest.hub.storage.folder.rows import Rows
from bequest.hub.storage.parents import check_settled, resolve

__all__ = ["enter_new", "entered", "next_version"]


def entered(
    rows: Rows,
    name: str,
    card: Card,
    files: Mapping[str, StoredFile],
    expect: int | None,
) -> Entry:
    """Enter a settled card under the next version of a name, in a transaction that has begun."""
    version = next_version(rows.latest(name), name, expect)
    check_settled(rows, name, card)
    when = datetime.now(UTC).isoformat(timespec="seconds")
    entry = Entry(name, version, manifest_digest(files), when, card, files)
    rows.enter(entry)
    return entry


def next_version(latest: int, name: str, expect: int | None) -> int:
    """The version behind the latest one; `Conflict` where that is not the expected one."""
    if expect is not None and expect != latest:
        raise Conflict(
            f"{name} is at version {latest}, not at {expect} as expected: somebody else published "
            f"first. Look at it, then publish with expect={latest}."
        )
    return latest + 1


def enter_new(rows: Rows, entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """Enter those that are not here yet, as `Store.take_in` promises, in a transaction begun."""
    return tuple(entry for entry in entries if _enter(rows, entry))


def _enter(rows: Rows, entry: Entry) -> bool:
    if rows.has(entry.name, entry.version):
        here = rows.find(entry.name, entry.version)
        if here.digest == entry.digest:
            return False
        raise Conflict(
            f"{entry} is another model here ({here.digest[:12]}) than in the bundle "
            f"({entry.digest[:12]}): nothing was taken in. Unbundle it into another hub."
        )
    found = {said: resolve(rows, said) for said in map(str, entry.card.parents)}
    held = {said: place and rows.find(*place).licence for said, place in found.items()}
    check_derived(str(entry), entry.licence, held)
    rows.enter(entry)
    return True
