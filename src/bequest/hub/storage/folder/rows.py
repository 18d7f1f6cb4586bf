"""What is asked of the registry: entries and outcomes, each row sealed with its own hash."""

from __future__ import annotations

import difflib
import json
import logging
import sqlite3
from collections.abc import Iterable, Iterator
from itertools import islice

from bequest.core import Outcome
from bequest.core.kinds import shown
from bequest.core.wording import counted
from bequest.errors import Damaged, DataError, EntryNotFound
from bequest.hub.records.entry import Entry
from bequest.hub.storage.row_hash import Altered, seal_of, sealed, unaltered

__all__ = [
    "add_outcome",
    "add_text",
    "all_outcomes",
    "enter",
    "entries",
    "entries_after",
    "find",
    "hashes",
    "holds",
    "latest",
    "newest",
    "outcomes",
    "outcomes_after",
    "references",
    "unsound",
    "used",
    "versions",
]

logger = logging.getLogger(__name__)


def latest(db: sqlite3.Connection, name: str) -> int:
    """The highest version under this name; 0 where there is none."""
    found = db.execute("SELECT max(version) FROM entries WHERE name = ?", (name,)).fetchone()
    return int(found[0] or 0)


def enter(db: sqlite3.Connection, entry: Entry) -> None:
    """Add an entry; its version must be free."""
    record = json.dumps(entry.to_dict(), allow_nan=False)
    db.execute(
        "INSERT INTO entries VALUES (?, ?, ?, ?)",
        (entry.name, entry.version, record, seal_of(record)),
    )
    objects = {file.digest for file in entry.files.values()}
    db.executemany(
        "INSERT INTO uses VALUES (?, ?, ?)", [(o, entry.name, entry.version) for o in objects]
    )


def holds(db: sqlite3.Connection, name: str, version: int) -> bool:
    """Whether there is such an entry, sound or not."""
    query = "SELECT 1 FROM entries WHERE name = ? AND version = ?"
    return db.execute(query, (name, version)).fetchone() is not None


def find(db: sqlite3.Connection, name: str, version: int | None) -> Entry:
    """The entry of this name and version, or the latest; `Damaged` where its row was altered."""
    wanted = latest(db, name) if version is None else version
    query = "SELECT name, version, record, seal FROM entries WHERE name = ? AND version = ?"
    try:
        row = db.execute(query, (name, wanted)).fetchone()
    except OverflowError:  # a larger number than SQLite has
        row = None
    if row is None:
        raise _not_found(db, name, version)
    return _entry(row)


def entries(db: sqlite3.Connection, prefix: str, *, every: bool) -> Iterator[Entry | Damaged]:
    """Entries whose name begins with `prefix`, by name and version; the latest of each, or all.

    In the place of a row that was altered stands the error that says so.
    """
    # Names are ASCII below 0x7f, so that is the end of the range of a prefix.
    rows = db.execute(
        "SELECT name, version, record, seal FROM entries AS e WHERE name >= ? AND name < ? AND "
        "(? OR version = (SELECT max(version) FROM entries WHERE name = e.name)) "
        "ORDER BY name, version",
        (prefix, prefix + "\x7f", every),
    )
    return (_entry_or_error(row) for row in rows)


def versions(db: sqlite3.Connection, name: str) -> Iterator[Entry | Damaged]:
    """All versions of one name, as `entries` gives them; `EntryNotFound` where there is none."""
    if not latest(db, name):
        raise _not_found(db, name, None)
    rows = db.execute(
        "SELECT name, version, record, seal FROM entries WHERE name = ? ORDER BY version", (name,)
    )
    return (_entry_or_error(row) for row in rows)


def references(db: sqlite3.Connection) -> list[tuple[str, int]]:
    """Every name with its latest version, by name."""
    rows = db.execute("SELECT name, max(version) FROM entries GROUP BY name ORDER BY name")
    return [(name, version) for name, version in rows]


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


def entries_after(db: sqlite3.Connection, row: int) -> Iterator[tuple[int, str, int, str, str]]:
    """Number, name, version, record and seal of every later row, unread, as they came."""
    yield from db.execute(
        "SELECT rowid, name, version, record, seal FROM entries WHERE rowid > ? ORDER BY rowid",
        (row,),
    )


def outcomes_after(db: sqlite3.Connection, row: int) -> Iterator[tuple[int, str, str]]:
    """Number, digest and record of every later row, unread, as they came."""
    yield from db.execute(
        "SELECT number, digest, record FROM outcomes WHERE number > ? ORDER BY number", (row,)
    )


def used(db: sqlite3.Connection, digest: str) -> bool:
    """Whether any entry has a file with this digest."""
    return db.execute("SELECT 1 FROM uses WHERE object = ?", (digest,)).fetchone() is not None


def add_outcome(db: sqlite3.Connection, outcome: Outcome) -> str:
    """Add an outcome under the hash of its JSON; one that is here already is not added again."""
    return add_text(db, outcome.to_json())


def add_text(db: sqlite3.Connection, record: str) -> str:
    """Add an outcome as the JSON that it was recorded as, perhaps by another version."""
    digest = seal_of(record)
    db.execute("INSERT OR IGNORE INTO outcomes (digest, record) VALUES (?, ?)", (digest, record))
    return digest


def all_outcomes(db: sqlite3.Connection, about: str = "") -> Iterator[Outcome]:
    """Every outcome that holds a text, in the order in which they were recorded.

    One that is none, but was recorded as it stands, is somebody else's: the log names it, and it
    keeps nobody from the others. `Damaged` where a row was altered.
    """
    for found in outcomes(db, about):
        if isinstance(found, Outcome):
            yield found
        elif isinstance(found.__cause__, DataError):
            logger.warning("%s It is left out.", found)
        else:
            raise found


def outcomes(db: sqlite3.Connection, about: str = "") -> Iterator[Outcome | Damaged]:
    """As `all_outcomes`; in the place of one that cannot be read stands the error that says so."""
    found = db.execute(
        "SELECT digest, record FROM outcomes WHERE instr(record, ?) ORDER BY number",
        (json.dumps(about)[1:-1],),  # as it stands in the record; each holds the empty text
    )
    for digest, record in found:
        yield _outcome_or_error(record, digest)


def unsound(db: sqlite3.Connection, name: str | None = None) -> Iterator[str]:
    """What is wrong with the registry beside its rows of entries, a line each; reads all of it.

    With a name, only which objects the entries of this name use.
    """
    if name is None:
        yield from _as_a_whole(db)
    # Two questions, not one with OR: by name, only the rows of that name are read.
    only, given = ("", ()) if name is None else (" WHERE name = ?", (name,))
    used = set(db.execute(f"SELECT object, name, version FROM uses{only}", given))
    listed = set(_listed(db.execute(f"SELECT name, version, record FROM entries{only}", given)))
    for digest, user, version in sorted(used ^ listed, key=str)[:5]:
        yield f"the registry does not know who uses {digest[:12]}: {user}@{version}."


def _entry(row: tuple[str, int, str, str]) -> Entry:
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


def _entry_or_error(row: tuple[str, int, str, str]) -> Entry | Damaged:
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


def _as_a_whole(db: sqlite3.Connection) -> Iterator[str]:
    for (line,) in db.execute("PRAGMA integrity_check(5)"):
        if line != "ok":
            yield f"the registry's pages do not fit together: {' '.join(str(line).split())}."
    wrong = (f"{found}" for found in outcomes(db) if isinstance(found, Damaged))
    yield from islice(wrong, 5)


def _listed(found: Iterable[tuple[str, int, str]]) -> Iterator[tuple[str, str, int]]:
    for name, version, record in found:
        try:
            digests = {str(file["digest"]) for file in json.loads(record)["files"].values()}
        except (AttributeError, KeyError, TypeError, ValueError, RecursionError):
            continue
        for digest in digests:
            yield digest, name, version


def _not_found(db: sqlite3.Connection, name: str, version: int | None) -> EntryNotFound:
    highest = latest(db, name)
    if highest:
        return EntryNotFound(f"{name} has no version {shown(version)}: the latest is {highest}.")
    names = [row[0] for row in db.execute("SELECT DISTINCT name FROM entries LIMIT 10000")]
    close = difflib.get_close_matches(name, names, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else f" It has {counted(len(names), 'name')}."
    return EntryNotFound(f"the hub has no entry named {name!r}.{hint}")
