"""A store as the graph reads it: in the order in which rows came, each row once."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, final

from bequest.hub.graph import vocabulary as v
from bequest.hub.graph.alike import Alike
from bequest.hub.graph.triples import Teller, quad, similar
from bequest.hub.records.names import digest_in
from bequest.hub.storage.row_hash import UNSOUND, Altered
from bequest.hub.storage.store import EntryRow, Mark, Reference, Row, Snapshot

__all__ = ["FORMAT", "Position", "chunks", "furthest", "holds", "newest"]

logger = logging.getLogger(__name__)

FORMAT = 5  # of the graph: one that was built by other rules is built anew
_CHUNK = 8 * 2**20  # bytes of lines that are loaded in one transaction
_ROWS = 256  # rows whose lines are joined


@final
@dataclass(frozen=True)
class Position:
    """Up to which rows of the registry a graph has seen: their numbers, and the hashes of the last.

    Another registry has other hashes. `tasks` is the number of the last task whose sketch was
    compared with the others.
    """

    entries: int = 0
    seal: str = ""
    outcomes: int = 0
    digest: str = ""
    checks: int = 0
    finding: str = ""
    tasks: int = 0
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

    @property
    def mark(self) -> Mark:
        """The rows themselves."""
        return Mark(
            *(self.entries, self.seal, self.outcomes, self.digest, self.checks, self.finding)
        )

    def reaches(self, other: Position) -> bool:
        """Whether both have seen the same rows."""
        return replace(self, tasks=0) == replace(other, tasks=0)

    def line(self) -> str:
        """The position as a line of the graph's state, loaded in one step with its rows."""
        return quad(v.GRAPH, v.POSITION, self.to_json(), v.STATE)


def furthest(said: Iterable[str]) -> Position | None:
    """The furthest of several positions, where an older one was not removed yet."""
    found = [position for position in map(Position.from_json, said) if position is not None]
    return max(found, key=lambda p: (p.entries, p.outcomes, p.checks, p.tasks), default=None)


def newest(state: Snapshot) -> Position:
    """Where a graph stands that has seen everything."""
    mark = state.newest()
    return Position(
        *(mark.entries, mark.entry_hash, mark.outcomes, mark.outcome_hash),
        *(mark.findings, mark.finding_hash),
    )


def holds(state: Snapshot, position: Position) -> bool:
    """Whether this store is the one in which a graph got to that position.

    Not where a finding on two models has been replaced since: what the graph says of them would
    have to be taken back.
    """
    return state.holds(position.mark) and not state.replaced(position.checks)


def chunks(
    state: Snapshot, start: Position, alike: Alike, size: int = _CHUNK
) -> Iterator[tuple[list[bytes], Position]]:
    """What the registry has beyond a position, as N-Quads, in chunks of so many bytes.

    `alike` has seen what a graph at this position has seen. Each chunk has lines, in parts, without
    the position's own, and the position of a graph that has loaded them.
    """
    parts: list[bytes] = []
    waiting: list[str] = []
    length, position = 0, start
    for row, position in _steps(state, start, alike):
        waiting.append(row)
        if len(waiting) == _ROWS:
            parts.append(_encoded(waiting))
            length += len(parts[-1])
            waiting = []
            if length >= size:
                yield parts, position
                parts, length = [], 0
    if waiting or parts:
        yield [*parts, _encoded(waiting)], position


def _encoded(rows: list[str]) -> bytes:
    # Python's text may hold half of a pair of surrogates, which no RDF does.
    return "".join(rows).encode("utf-8", "replace")


def _steps(state: Snapshot, start: Position, alike: Alike) -> Iterator[tuple[str, Position]]:
    position = start
    teller = Teller(partial(_meant, state), alike.saw)
    for lines, position in _rows(state, start, teller):
        yield lines, position
    for task, other in alike.pairs(start.tasks):
        yield "".join(f"{line}\n" for line in similar(task, other)), position
    if (last := alike.count()) != start.tasks:
        yield "", replace(position, tasks=last)


def _rows(state: Snapshot, start: Position, teller: Teller) -> Iterator[tuple[str, Position]]:
    seal, place = start.seal, start.entries
    # Not by `replace`, which takes ten times as long: there is one for each row.
    rest = (start.checks, start.finding, start.tasks)
    end = (start.outcomes, start.digest)
    for entry in state.entries_after(start.entries):
        place, seal = entry.number, entry.hash
        said = _said(f"the row of {entry.name}@{entry.version}", entry)
        lines = _lines(partial(teller.of_entry, (entry.name, entry.version)), said)
        yield lines, Position(place, seal, end[0], end[1], *rest)
    for row in state.outcomes_after(start.outcomes):
        said = _said(f"the outcome {row.hash[:12]}", row)
        lines = _lines(partial(teller.of_outcome, row.hash), said)
        end = (row.number, row.hash)
        yield lines, Position(place, seal, end[0], end[1], *rest)
    for row in state.findings_after(start.checks):
        said = _said(f"the finding {row.number}", row)
        lines = _lines(teller.of_check, said)
        yield lines, Position(place, seal, *end, row.number, row.hash, rest[2])


def _said(what: str, row: EntryRow | Row) -> Any:
    what = f"{what} in the registry"
    try:
        return row.values(what)
    except Altered as error:
        logger.warning("%s. It is left out of the graph.", error)
    except (ValueError, RecursionError) as error:
        logger.warning("%s is unsound (%r). It is left out.", what, error)
    return None


def _lines(say: Any, said: Any) -> str:
    if said is None:
        return ""
    try:
        return "".join(f"{line}\n" for line in say(said))
    except UNSOUND as error:
        logger.warning("a row of the registry is left out of the graph: %r.", error)
        return ""


def _meant(state: Snapshot, said: str, child: Reference) -> str:
    """The entry with this digest; as it is written where that came after the child.

    So a graph that followed the store row by row says the same as one that is built anew.
    """
    digest = digest_in(said)
    found = state.with_digest(digest) if digest else None
    return f"{found[0]}@{found[1]}" if found and state.came_before(found, child) else said
