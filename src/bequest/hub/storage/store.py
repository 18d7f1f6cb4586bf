"""What a store is: the protocol between a hub and the place that keeps it.

A store keeps files under their sha256, and three lists: entries, outcomes, and findings on the
lineage of entries. Rows of a list are numbered from 1 on in the order in which they came, carry the
hash of their text, and are never changed or removed. So a `Mark`, the last row of each list, names
one state of one store; a snapshot is what was there at a mark, and to follow a store is to ask for
the rows behind one.

An HTTP store needs nothing else: its snapshot is a mark that it sends with every question; rows
travel as their text, so that who reads them can check their hash; files travel by their sha256. To
write, it sends the files first, then what is to be entered, and the server does in one transaction
what `Store.enter`, `Store.take_in` and `Store.record` promise.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol, final

from bequest.core import Card, Outcome
from bequest.errors import Damaged
from bequest.hub.records.edge import Edge
from bequest.hub.records.entry import Entry
from bequest.hub.storage.files.objects import Files
from bequest.hub.storage.row_hash import sealed

__all__ = ["EntryRow", "Mark", "ParentCame", "Reference", "Row", "Snapshot", "Store"]

Reference = tuple[str, int]  # name and version


class ParentCame(Exception):
    """A parent was published after the card of its child was settled: it is settled again."""


@final
@dataclass(frozen=True)
class Mark:
    """How far somebody has read a store: number and hash of the last row of each list.

    Numbers are 0, and hashes empty, where nothing was read. Another store has other hashes.
    """

    entries: int = 0
    entry_hash: str = ""
    outcomes: int = 0
    outcome_hash: str = ""
    findings: int = 0
    finding_hash: str = ""


class Row(NamedTuple):
    """An outcome or a finding as it was written: number, hash and JSON text; not checked yet."""

    number: int
    hash: str
    text: str

    def values(self, what: str) -> Any:
        """What the text holds, as plain values.

        Parameters
        ----------
        what : str
            What an error calls the row.

        Raises
        ------
        Altered
            The text no longer has its hash.
        ValueError
            It has, and is not JSON all the same.
        """
        return sealed(self.text, self.hash, what)


class EntryRow(NamedTuple):
    """An entry as it was written, with the name and the version that it is kept under."""

    number: int
    name: str
    version: int
    text: str
    hash: str

    def values(self, what: str) -> Any:
        """As `Row.values`."""
        return sealed(self.text, self.hash, what)


class Snapshot(Protocol):
    """One state of a store: what is published meanwhile is not seen.

    Methods raise `HubError` where the store cannot be read, and `Damaged` where what it holds is
    not what was written. Iterators are read while the snapshot is open.
    """

    def newest(self) -> Mark:
        """The last row of each list."""

    def holds(self, mark: Mark) -> bool:
        """Whether the rows of a mark are here, with the same hashes."""

    def entries_after(self, number: int) -> Iterator[EntryRow]:
        """Every later entry, in order; also one that was altered."""

    def outcomes_after(self, number: int) -> Iterator[Row]:
        """Every later outcome, in order; also one that was altered."""

    def findings_after(self, number: int) -> Iterator[Row]:
        """Every later finding, in order, without those that a later one on the same two models
        replaces."""

    def replaced(self, number: int) -> bool:
        """Whether a finding up to this number was replaced by a later one."""

    def latest(self, name: str) -> int:
        """The highest version under a name; 0 where there is none."""

    def has(self, name: str, version: int) -> bool:
        """Whether there is such an entry, sound or not."""

    def find(self, name: str, version: int | None) -> Entry:
        """An entry, the latest version by default.

        `EntryNotFound` where there is none; `Damaged` where its row was altered.
        """

    def entries(self, prefix: str, *, every: bool) -> Iterator[Entry | Damaged]:
        """Entries whose name begins with a prefix, by name and version: all, or the latest of each.

        In the place of one that was altered stands the error that says so.
        """

    def versions(self, name: str) -> Iterator[Entry | Damaged]:
        """All versions of one name, as in `entries`; `EntryNotFound` where there is none."""

    def references(self) -> list[Reference]:
        """Every name with its latest version, by name."""

    def with_digest(self, digest: str) -> Reference | None:
        """The first entry that has this content address, 64 hex digits."""

    def came_before(self, one: Reference, other: Reference) -> bool:
        """Whether one entry was published before another; both are here."""

    def outcomes(self, about: str = "") -> Iterator[Outcome | Damaged]:
        """Every outcome in whose record a text stands, in order.

        In the place of one that cannot be read stands the error that says so; its cause is a
        `DataError` where it was recorded as it is.
        """


class Store(Protocol):
    """A place that keeps a hub.

    Everything that is acknowledged is durable: a process that is killed, or a loss of power, leaves
    a whole entry or none. Errors are `HubError` with one line for a person.

    Attributes
    ----------
    folder : path
        A folder on this machine for what is derived from the store (the graph, caches); it may not
        exist before the first write, and may be read-only.
    wait : float
        Seconds to wait for another process that is writing.
    objects : Files
        The files of all entries.
    """

    folder: Path
    wait: float

    @property
    def objects(self) -> Files:
        """The files of all entries, by their sha256."""

    @property
    def exists(self) -> bool:
        """Whether anything was ever published or recorded here."""

    def snapshot(self, *, fresh: bool = True) -> AbstractContextManager[Snapshot]:
        """One state, with all that was acknowledged before; `HubError` where there is no hub.

        Where it need not be `fresh`, a state that has at least what this object has shown before:
        a store elsewhere need not be asked.
        """

    def staging(self) -> AbstractContextManager[Path]:
        """A new folder to make an entry in, removed at the end, whatever happens."""

    def enter(self, staged: Path, name: str, card: Card, expect: int | None) -> Entry:
        """Keep the files of a staged folder and enter them under the next version of a name.

        The card is settled (`bequest.hub.storage.parents`). `Conflict` where the latest version is
        not the expected one; `ParentCame` where a parent is here now that was not when the card was
        settled; `HubError` where its licence does not allow that of its child.
        """

    def take_in(self, work: Path, entries: Sequence[Entry]) -> tuple[Entry, ...]:
        """Enter entries of another hub, parents first, under their versions: all of them or none.

        `work` is a folder within `staging` with their files, each named by its sha256. Gives those
        that are new here; `Conflict` where a name and version is another model here, `HubError`
        where a parent's licence does not allow its child's.
        """

    def record(self, outcome: Outcome) -> str:
        """Keep an outcome, once; gives the sha256 of its JSON, 64 hex digits."""

    def save_findings(self, edges: Iterable[Edge]) -> None:
        """Keep what the weights said of parents; what is known already is not written again."""

    def copy(self, entry: Entry, place: Path) -> None:
        """Copy the files of an entry to a new folder, each checked against its hash."""

    def problems(self, name: str | None = None) -> tuple[Damaged, ...]:
        """What is wrong beside the rows and the files; with a name, with its entries only."""
