"""The registry as the graph reads it: in the order in which rows came, each row once."""

from __future__ import annotations

import hashlib
import json
import logging
import sqlite3
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, final

from bequest.hub.graph import vocabulary as v
from bequest.hub.graph.triples import of_entry, of_outcome, quad

__all__ = ["FORMAT", "Position", "chunks", "holds", "newest"]

logger = logging.getLogger(__name__)

FORMAT = 1  # of the graph: one that was built by other rules is built anew
_CHUNK = 100_000  # lines that are loaded at once: 140 MB of memory


@final
@dataclass(frozen=True)
class Position:
    """Up to which rows of the registry a graph has seen.

    Parameters
    ----------
    entries, outcomes : int
        Numbers of the last rows.
    seal, digest : str
        Their hashes: another registry has others.
    format : int
    """

    entries: int = 0
    seal: str = ""
    outcomes: int = 0
    digest: str = ""
    format: int = FORMAT

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Position | None:
        """What `to_json` wrote; None where this is something else."""
        try:
            position = cls(**json.loads(text))
        except (TypeError, ValueError, RecursionError):
            return None
        return position if position.format == FORMAT else None

    def line(self) -> str:
        """The position as a line of the graph's state, loaded in one step with its rows."""
        return quad(v.GRAPH, v.POSITION, self.to_json(), v.STATE)


def newest(db: sqlite3.Connection) -> Position:
    """Where a graph stands that has seen everything."""
    entry = db.execute("SELECT rowid, seal FROM entries ORDER BY rowid DESC LIMIT 1").fetchone()
    outcome = db.execute(
        "SELECT number, digest FROM outcomes ORDER BY number DESC LIMIT 1"
    ).fetchone()
    return Position(*(entry or (0, "")), *(outcome or (0, "")))


def holds(db: sqlite3.Connection, position: Position) -> bool:
    """Whether this registry is the one in which a graph got to that position."""
    entry = db.execute("SELECT seal FROM entries WHERE rowid = ?", (position.entries,)).fetchone()
    outcome = db.execute(
        "SELECT digest FROM outcomes WHERE number = ?", (position.outcomes,)
    ).fetchone()
    found = (entry[0] if entry else "", outcome[0] if outcome else "")
    return found == (position.seal, position.digest)


def chunks(db: sqlite3.Connection, start: Position) -> Iterator[tuple[bytes, Position]]:
    """What the registry has beyond a position, as N-Quads.

    Yields
    ------
    tuple of bytes and Position
        Lines, without the position's own, and where a graph that has loaded them stands.
    """
    lines: list[str] = []
    position = start
    for more, position in _steps(db, start):
        lines += more
        if len(lines) >= _CHUNK:
            yield _encoded(lines), position
            lines = []
    if lines or position != start:
        yield _encoded(lines), position


def _encoded(lines: list[str]) -> bytes:
    # Python's text may hold half of a pair of surrogates, which no RDF does.
    return ("\n".join(dict.fromkeys(lines)) + "\n").encode("utf-8", "replace")


def _steps(db: sqlite3.Connection, start: Position) -> Iterator[tuple[list[str], Position]]:
    seal, place = start.seal, start.entries
    for place, name, version, record, seal in db.execute(
        "SELECT rowid, name, version, record, seal FROM entries WHERE rowid > ? ORDER BY rowid",
        (start.entries,),
    ):
        said = _said(f"the row of {name}@{version}", record, seal)
        lines = _lines(of_entry, said, latest=partial(_latest, db, place)) if said else []
        yield lines, Position(place, seal, start.outcomes, start.digest)
    for number, digest, record in db.execute(
        "SELECT number, digest, record FROM outcomes WHERE number > ? ORDER BY number",
        (start.outcomes,),
    ):
        said = _said(f"the outcome {digest[:12]}", record, digest)
        lines = _lines(partial(of_outcome, digest), said) if said else []
        yield lines, Position(place, seal, number, digest)


def _said(what: str, record: str, seal: str) -> dict[str, Any] | None:
    if hashlib.sha256(str(record).encode("utf-8", "replace")).hexdigest() != seal:
        logger.warning("%s in the registry was altered. It is left out of the graph.", what)
        return None
    said: dict[str, Any] = json.loads(record)
    return said


def _lines(say: Any, said: dict[str, Any], **more: Any) -> list[str]:
    try:
        return list(say(said, **more))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        logger.warning("a row of the registry is left out of the graph: %r.", error)
        return []


def _latest(db: sqlite3.Connection, before: int, name: str) -> int:
    found = db.execute(
        "SELECT max(version) FROM entries WHERE name = ? AND rowid < ?", (name, before)
    ).fetchone()
    return int(found[0] or 0)
