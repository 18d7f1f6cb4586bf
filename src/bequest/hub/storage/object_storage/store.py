"""A hub on object storage: a bucket with a log, and a folder here that follows it.

The folder is an ordinary store. Before anything is read from it, it is brought up to date with the
log; it may be deleted at any time.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, final

from bequest.core import Card, Outcome
from bequest.errors import Damaged, HubError
from bequest.hub.records.edge import Edge
from bequest.hub.records.entry import Entry
from bequest.hub.storage.files.faults import told
from bequest.hub.storage.folder.entering import enter_new, entered, next_version
from bequest.hub.storage.folder.rows import Rows
from bequest.hub.storage.folder.store import FolderStore, copy_files, hashed
from bequest.hub.storage.object_storage.bucket import Bucket
from bequest.hub.storage.object_storage.log import Log, Position, Record
from bequest.hub.storage.object_storage.remote_objects import FetchedObjects

__all__ = ["RemoteStore"]

logger = logging.getLogger(__name__)

_ATTEMPTS = 100  # every lost one means that somebody else has published

_FOLLOWED = """CREATE TABLE IF NOT EXISTS followed (
    one INTEGER PRIMARY KEY CHECK (one = 1), number INTEGER NOT NULL, seal TEXT NOT NULL,
    tag TEXT NOT NULL)"""


class _Change(NamedTuple):
    """What a transaction has done, and what of it goes into the log."""

    result: Any
    entries: Sequence[Entry] = ()
    outcomes: Sequence[str] = ()


class _Lost(Exception):
    """Somebody else wrote the next record first: what was done here is rolled back."""


@final
class RemoteStore:
    """A store in a bucket, with a folder of its own as its cache."""

    def __init__(self, bucket: Bucket, cache: Path, wait: float) -> None:
        self.folder = cache
        self.wait = wait
        self._local = FolderStore(cache, wait)
        self._bucket = bucket
        self._log = Log(bucket)
        self.objects = FetchedObjects(bucket, self._local)

    @property
    def exists(self) -> bool:
        """As in `Store`."""
        return self._catch_up().number > 0

    @contextmanager
    def snapshot(self, *, fresh: bool = True) -> Iterator[Rows]:
        """As in `Store`: a fresh one has all that the log holds now."""
        if (fresh or not self._local.exists) and not self._catch_up().number:
            raise HubError(f"there is no hub at {self._bucket.url}: the first publish makes one.")
        with self._here() as state:
            yield state

    @contextmanager
    def staging(self) -> Iterator[Path]:
        """As in `Store`."""
        self._catch_up()
        self._bucket.require_one_winner()
        with self._local.staging() as work:
            yield work

    def enter(self, staged: Path, name: str, card: Card, expect: int | None) -> Entry:
        """As in `Store`: the files are in the bucket before the log names them."""
        if expect is not None:  # said before gigabytes are sent
            with self._here() as state:
                next_version(state.latest(name), name, expect)
        paths, files = hashed(staged)
        self._keep(paths)

        def change(rows: Rows) -> _Change:
            entry = entered(rows, name, card, files, expect)
            return _Change(entry, [entry])

        entry: Entry = self._append(change)
        return entry

    def take_in(self, work: Path, entries: Sequence[Entry]) -> tuple[Entry, ...]:
        """As in `Store`: one record of the log holds them all."""
        with self._here() as state:
            new = [entry for entry in entries if not state.has(entry.name, entry.version)]
        digests = {file.digest for entry in new for file in entry.files.values()}
        self._keep({digest: work / digest for digest in sorted(digests)})

        def change(rows: Rows) -> _Change:
            entered = enter_new(rows, entries)
            return _Change(entered, entered)

        entered: tuple[Entry, ...] = self._append(change)
        return entered

    def record(self, outcome: Outcome) -> str:
        """As in `Store`."""
        self._bucket.require_one_winner()

        def change(rows: Rows) -> _Change:
            text, before = outcome.to_json(), rows.newest()
            digest = rows.record(text)
            return _Change(digest, outcomes=[text] if rows.newest() != before else [])

        digest: str = self._append(change)
        return digest

    def copy(self, entry: Entry, place: Path) -> None:
        """As in `Store`: what is not here is fetched first."""
        with told(self.folder), ThreadPoolExecutor(4) as pool:
            needed = {file.digest: file for file in entry.files.values()}
            list(pool.map(self.objects.located, needed.values()))
        with told(self.folder, place.parent):
            copy_files(self.objects, entry, place)

    def save_findings(self, edges: Iterable[Edge]) -> None:
        """As in `Store`, in the cache: what this machine found is not the log's to tell."""
        self._local.save_findings(edges)

    def problems(self, name: str | None = None) -> tuple[Damaged, ...]:
        """What is wrong with the log, all of which is read again, and with what follows it.

        With a name, the log is not read again.
        """
        if name is not None:
            self._catch_up()
            return self._local.problems(name)
        try:
            self._log.check(self._catch_up())
        except Damaged as error:
            return (error, *self._local.problems())
        return self._local.problems()

    def _keep(self, files: Mapping[str, Path]) -> None:
        self.objects.keep(files)
        with told(self.folder):  # what was made here need not be fetched
            self._local.objects.add_all(files)

    def _append(self, change: Callable[[Rows], _Change]) -> Any:
        """Do a change here and in the log, or in neither; again where others came first."""
        for _ in range(_ATTEMPTS):
            self._catch_up()
            self._make()
            try:
                return self._appended(change)
            except _Lost:
                continue
        raise HubError(
            f"{_ATTEMPTS} others published to {self._bucket.url} at the same time: try again."
        )

    def _appended(self, change: Callable[[Rows], _Change]) -> Any:
        done: list[Any] = []
        try:
            with self._local.writing() as rows:
                here = _position_of(rows)
                result, entries, outcomes = change(rows)
                if not entries and not outcomes:
                    return result
                record = self._log.append(here, entries, outcomes)
                if record is None:
                    raise _Lost
                done.append(result)
                _move(rows, record.position)
        except HubError as error:
            if not done:
                raise
            logger.warning("it is published; the cache will read it from the log: %s", error)
        return done[0]

    def _catch_up(self) -> Position:
        """Enter into the cache what the log holds beyond it."""
        here = self._position()
        for records in self._log.after(here):
            self._make()
            with self._local.writing() as rows:
                _follow(rows, records)
            here = records[-1].position
        return here

    def _position(self) -> Position:
        if not self._local.exists:
            return Position()
        with self._cached(), told(self.folder), self._local.snapshot() as rows:
            return _position_of(rows)

    @contextmanager
    def _here(self) -> Iterator[Rows]:
        with self._cached(), self._local.snapshot() as state:
            yield state

    @contextmanager
    def _cached(self) -> Iterator[None]:
        try:
            yield
        except Damaged as error:
            if isinstance(error.__cause__, sqlite3.Error):
                raise Damaged(
                    f"{error} It is a cache: delete it, {self._bucket.url} holds all of it."
                ) from error
            raise

    def _make(self) -> None:
        if not self._local.exists:
            with self._local.staging():  # refuses a folder that holds other things
                pass


def _position_of(rows: Rows) -> Position:
    """How far this registry has followed; `HubError` where it holds things and follows no log."""
    known = rows.db.execute("SELECT 1 FROM sqlite_schema WHERE name = 'followed'").fetchone()
    found = known and rows.db.execute("SELECT number, seal, tag FROM followed").fetchone()
    if found:
        return Position(*found)
    if rows.db.execute("SELECT 1 FROM entries UNION SELECT 1 FROM outcomes").fetchone():
        raise HubError("the folder for the cache is a hub of its own: give cache= another one.")
    return Position()


def _move(rows: Rows, position: Position) -> None:
    """Say how far it has followed, in the transaction that entered what stands there."""
    rows.db.execute(_FOLLOWED)
    rows.db.execute(
        "INSERT OR REPLACE INTO followed VALUES (1, ?, ?, ?)",
        (position.number, position.seal, position.tag),
    )


def _follow(rows: Rows, records: Iterable[Record]) -> None:
    """Enter what another process has not entered meanwhile, in a transaction that has begun."""
    for record in records:
        here = _position_of(rows)
        ahead = record.position.number - here.number
        if ahead < 0:
            continue
        if ahead > 1:
            raise HubError("the cache was removed while it was brought up to date: try again.")
        if ahead:
            _enter(rows, record)
        _move(rows, record.position)


def _enter(rows: Rows, record: Record) -> None:
    for entry in record.entries:
        if rows.has(entry.name, entry.version):
            raise HubError(
                f"record {record.position.number} of the log publishes {entry} a second time: "
                f"nobody who keeps to the log writes that."
            )
        rows.enter(entry)
    for text in record.outcomes:
        rows.record(text)
