"""A registry that follows a log: what is new in the one is entered into the other."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from bequest.errors import HubError
from bequest.hub import rows
from bequest.hub.log import Position, Record

__all__ = ["follow", "move", "position_of"]

_SCHEMA = """CREATE TABLE IF NOT EXISTS followed (
    one INTEGER PRIMARY KEY CHECK (one = 1), number INTEGER NOT NULL, seal TEXT NOT NULL,
    tag TEXT NOT NULL)"""


def position_of(db: sqlite3.Connection) -> Position:
    """How far this registry has followed; `HubError` where it holds things and follows no log."""
    known = db.execute("SELECT 1 FROM sqlite_schema WHERE name = 'followed'").fetchone()
    found = known and db.execute("SELECT number, seal, tag FROM followed").fetchone()
    if found:
        return Position(*found)
    if db.execute("SELECT 1 FROM entries UNION SELECT 1 FROM outcomes").fetchone():
        raise HubError("the folder for the cache is a hub of its own: give cache= another one.")
    return Position()


def move(db: sqlite3.Connection, position: Position) -> None:
    """Say how far it has followed, in the transaction that entered what stands there."""
    db.execute(_SCHEMA)
    db.execute(
        "INSERT OR REPLACE INTO followed VALUES (1, ?, ?, ?)",
        (position.number, position.seal, position.tag),
    )


def follow(db: sqlite3.Connection, records: Iterable[Record]) -> None:
    """Enter what another process has not entered meanwhile, in a transaction that has begun."""
    for record in records:
        here = position_of(db)
        ahead = record.position.number - here.number
        if ahead < 0:
            continue
        if ahead > 1:
            raise HubError("the cache was removed while it was brought up to date: try again.")
        if ahead:
            _enter(db, record)
        move(db, record.position)


def _enter(db: sqlite3.Connection, record: Record) -> None:
    for entry in record.entries:
        if rows.holds(db, entry.name, entry.version):
            raise HubError(
                f"record {record.position.number} of the log publishes {entry} a second time: "
                f"nobody who keeps to the log writes that."
            )
        rows.enter(db, entry)
    for text in record.outcomes:
        rows.add_text(db, text)
