"""The rows of the registry: entries, outcomes and findings, each sealed with its own hash."""

from __future__ import annotations

import difflib
import json
import sqlite3
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, final

from bequest.core import Outcome
from bequest.core.plain_values import quoted
from bequest.core.wording import pluralise
from bequest.errors import BequestError, Damaged, DataError, EntryNotFound
from bequest.hub.records.entry import Entry
from bequest.hub.storage.files.faults import told
from bequest.hub.storage.row_hash import Altered, seal_of, sealed, unaltered
from bequest.hub.storage.store import EntryRow, Mark, Reference, Row

__all__ = ["Rows", "hashes", "newest"]

_FINDINGS = """SELECT number, seal, record FROM lineage AS new WHERE number > ? AND NOT EXISTS (
    SELECT 1 FROM lineage WHERE name = new.name AND version = new.version AND parent = new.parent
    AND number > new.number) ORDER BY number"""  # the last row is always among them
_REPLACED = """SELECT 1 FROM lineage AS new JOIN lineage AS old USING (name, version, parent)
    WHERE new.number > ? AND old.number <= ? LIMIT 1"""


@final
class Rows:
    """A `bequest.hub.storage.Snapshot` of a registry: `db` is in a transaction that has begun.

    In one that writes, rows can be added, too. `folder` is what an error calls the hub.
    """

    def __init__(self, db: sqlite3.Connection, folder: Path) -> None:
        self.db = db
        self._folder = folder

    def newest(self) -> Mark:
        """As in `Snapshot`."""
        with told(self._folder):
            entry, outcome = newest(self.db)
        finding = self._one("SELECT number, seal FROM lineage ORDER BY number DESC LIMIT 1")
        return Mark(*entry, *outcome, *(finding or (0, "")))

    def holds(self, mark: Mark) -> bool:
        """As in `Snapshot`."""
        with told(self._folder):
            here = hashes(self.db, mark.entries, mark.outcomes)
        finding = self._one("SELECT seal FROM lineage WHERE number = ?", mark.findings)
        seen = (mark.entry_hash, mark.outcome_hash, mark.finding_hash)
        return (*here, finding[0] if finding else "") == seen

    def entries_after(self, number: int) -> Iterator[EntryRow]:
        """As in `Snapshot`."""
        return map(
            EntryRow._make,
            self._all(
                "SELECT rowid, name, version, record, seal FROM entries WHERE rowid > ? "
                "ORDER BY rowid",
                number,
            ),
        )

    def outcomes_after(self, number: int) -> Iterator[Row]:
        """As in `Snapshot`."""
        question = "SELECT number, digest, record FROM outcomes WHERE number > ? ORDER BY number"
        return map(Row._make, self._all(question, number))

    def findings_after(self, number: int) -> Iterator[Row]:
        """As in `Snapshot`."""
        return map(Row._make, self._all(_FINDINGS, number))

    def replaced(self, number: int) -> bool:
        """As in `Snapshot`."""
        return self._one(_REPLACED, number, number) is not None

    def latest(self, name: str) -> int:
        """As in `Snapshot`."""
        found = self._one("SELECT max(version) FROM entries WHERE name = ?", name)
        return int((found and found[0]) or 0)

    def has(self, name: str, version: int) -> bool:
        """As in `Snapshot`."""
        question = "SELECT 1 FROM entries WHERE name = ? AND version = ?"
        return self._one(question, name, version) is not None

    def find(self, name: str, version: int | None) -> Entry:
        """As in `Snapshot`."""
        wanted = self.latest(name) if version is None else version
        question = "SELECT name, version, record, seal FROM entries WHERE name = ? AND version = ?"
        try:
            row = self._one(question, name, wanted)
        except OverflowError:  # a larger number than SQLite has
            row = None
        if row is None:
            raise self._not_found(name, version)
        return _entry(row)

    def entries(self, prefix: str, *, every: bool) -> Iterator[Entry | Damaged]:
        """As in `Snapshot`."""
        # Names are ASCII below 0x7f, so that is the end of the range of a prefix.
        rows = self._all(
            "SELECT name, version, record, seal FROM entries AS e WHERE name >= ? AND name < ? AND "
            "(? OR version = (SELECT max(version) FROM entries WHERE name = e.name)) "
            "ORDER BY name, version",
            *(prefix, prefix + "\x7f", every),
        )
        return map(_entry_or_error, rows)

    def versions(self, name: str) -> Iterator[Entry | Damaged]:
        """As in `Snapshot`."""
        if not self.latest(name):
            raise self._not_found(name, None)
        question = "SELECT name, version, record, seal FROM entries WHERE name = ? ORDER BY version"
        return map(_entry_or_error, self._all(question, name))

    def references(self) -> list[Reference]:
        """As in `Snapshot`."""
        question = "SELECT name, max(version) FROM entries GROUP BY name ORDER BY name"
        return [(name, version) for name, version in self._all(question)]

    def with_digest(self, digest: str) -> Reference | None:
        """As in `Snapshot`."""
        # The digests of files stand in the record, too: what is found is looked at again.
        found = self._all(
            "SELECT name, version FROM entries WHERE instr(record, ?) ORDER BY rowid",
            f'"digest": "{digest}"',
        )
        for name, version in list(found):
            try:
                entry = self.find(name, version)
            except BequestError:  # an altered row of another entry does not hide this one
                continue
            if entry.digest == digest:
                return name, version
        return None

    def came_before(self, one: Reference, other: Reference) -> bool:
        """As in `Snapshot`."""
        # Rows are never changed, so their order is that in which they were published.
        row = "(SELECT rowid FROM entries WHERE name = ? AND version = ?)"
        found = self._one(f"SELECT {row} < {row}", *one, *other)
        return bool(found and found[0])

    def outcomes(self, about: str = "") -> Iterator[Outcome | Damaged]:
        """As in `Snapshot`."""
        found = self._all(
            "SELECT digest, record FROM outcomes WHERE instr(record, ?) ORDER BY number",
            json.dumps(about)[1:-1],  # as it stands in the record; each holds the empty text
        )
        return (_outcome_or_error(record, digest) for digest, record in found)

    def uses(self, digest: str) -> bool:
        """Whether any entry has a file with this digest."""
        return self._one("SELECT 1 FROM uses WHERE object = ?", digest) is not None

    def enter(self, entry: Entry) -> None:
        """Add an entry; its version must be free."""
        record = json.dumps(entry.to_dict(), allow_nan=False)
        row = (entry.name, entry.version, record, seal_of(record))
        self.db.execute("INSERT INTO entries VALUES (?, ?, ?, ?)", row)
        objects = {file.digest for file in entry.files.values()}
        uses = [(digest, entry.name, entry.version) for digest in objects]
        self.db.executemany("INSERT INTO uses VALUES (?, ?, ?)", uses)

    def record(self, text: str) -> str:
        """Add an outcome under the hash of its JSON, perhaps of another version, once."""
        digest = seal_of(text)
        self.db.execute(
            "INSERT OR IGNORE INTO outcomes (digest, record) VALUES (?, ?)", (digest, text)
        )
        return digest

    def problems(self, name: str | None = None) -> Iterator[str]:
        """What is wrong with the registry beside its rows of entries, a line each; reads all of it.

        With a name, only which objects the entries of this name use.
        """
        if name is None:
            yield from self._as_a_whole()
        # Two questions, not one with OR: by name, only the rows of that name are read.
        only, given = ("", ()) if name is None else (" WHERE name = ?", (name,))
        used = set(self._all(f"SELECT object, name, version FROM uses{only}", *given))
        listed = _listed(self._all(f"SELECT name, version, record FROM entries{only}", *given))
        for digest, user, version in sorted(used ^ set(listed), key=str)[:5]:
            yield f"the registry does not know who uses {digest[:12]}: {user}@{version}."

    def _as_a_whole(self) -> Iterator[str]:
        for (line,) in self._all("PRAGMA integrity_check(5)"):
            if line != "ok":
                said = " ".join(str(line).split())
                yield f"the registry's pages do not fit together: {said}."
        wrong = (f"{found}" for found in self.outcomes() if isinstance(found, Damaged))
        yield from islice(wrong, 5)

    def _not_found(self, name: str, version: int | None) -> EntryNotFound:
        highest = self.latest(name)
        if highest:
            line = f"{name} has no version {quoted(version)}: the latest is {highest}."
            return EntryNotFound(line)
        names = [row[0] for row in self._all("SELECT DISTINCT name FROM entries LIMIT 10000")]
        close = difflib.get_close_matches(name, names, n=1)
        known = pluralise(len(names), "name")
        hint = f" Did you mean {close[0]!r}?" if close else f" It has {known}."
        return EntryNotFound(f"the hub has no entry named {name!r}.{hint}")

    def _all(self, question: str, *values: Any) -> Iterator[tuple[Any, ...]]:
        """Rows as they are read: a fault of the registry is told here, one of the reader is not."""
        with told(self._folder):
            # Not `yield from`, which closes the cursor of a reader that gave up: too late, perhaps.
            for row in self.db.execute(question, values):  # noqa: UP028
                yield row

    def _one(self, question: str, *values: Any) -> tuple[Any, ...] | None:
        with told(self._folder):
            found: tuple[Any, ...] | None = self.db.execute(question, values).fetchone()
            return found


def newest(db: sqlite3.Connection) -> tuple[tuple[int, str], tuple[int, str]]:
    """Number and hash of the last row of entries and of outcomes; 0 and "" where there is none."""
    entry = db.execute("SELECT rowid, seal FROM entries ORDER BY rowid DESC LIMIT 1")
    outcome = db.execute("SELECT number, digest FROM outcomes ORDER BY number DESC LIMIT 1")
    return entry.fetchone() or (0, ""), outcome.fetchone() or (0, "")


def hashes(db: sqlite3.Connection, entry: int, outcome: int) -> tuple[str, str]:
    """The hashes of the rows with these numbers: another registry has others, or none ("")."""
    seal = db.execute("SELECT seal FROM entries WHERE rowid = ?", (entry,)).fetchone()
    digest = db.execute("SELECT digest FROM outcomes WHERE number = ?", (outcome,)).fetchone()
    return str(seal[0]) if seal else "", str(digest[0]) if digest else ""


def _entry(row: tuple[Any, ...]) -> Entry:
    name, version, record, seal = row
    what = f"the row of {name}@{version} in the registry"
    try:
        entry = Entry.from_dict(sealed(record, seal, what))
    except Altered as error:
        raise Damaged(f"{error}.") from error
    except (ValueError, RecursionError) as error:
        raise Damaged(f"{what} is unsound: {error}") from error
    if (entry.name, entry.version) != (name, version):
        raise Damaged(f"{what} is that of {entry}.")
    return entry


def _entry_or_error(row: tuple[Any, ...]) -> Entry | Damaged:
    try:
        return _entry(row)
    except Damaged as error:
        return error


def _outcome_or_error(record: str, digest: str) -> Outcome | Damaged:
    what = f"the outcome {digest[:12]} in the registry"
    try:
        return Outcome.from_json(unaltered(record, digest, what))
    except Altered as error:
        return Damaged(f"{error}.")
    except DataError as error:
        unsound = Damaged(f"{what} is unsound: {error}")
        unsound.__cause__ = error
        return unsound


def _listed(found: Iterable[tuple[Any, ...]]) -> Iterator[tuple[str, str, int]]:
    for name, version, record in found:
        try:
            digests = {str(file["digest"]) for file in json.loads(record)["files"].values()}
        except (AttributeError, KeyError, TypeError, ValueError, RecursionError):
            continue
        for digest in digests:
            yield digest, name, version
