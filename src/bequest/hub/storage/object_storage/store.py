"""A hub on object storage: a bucket with a log, and a folder here that follows it.

The folder is an ordinary store. Before anything is read from it, it is brought up to date with the
log; it may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple, final

from bequest.core import Card, Outcome
from bequest.core.given import checked_path
from bequest.core.kinds import shown
from bequest.errors import Damaged, EntryNotFound, HubError
from bequest.hub.records.edge import Edge
from bequest.hub.records.entry import Entry
from bequest.hub.storage.files.faults import told
from bequest.hub.storage.folder import rows
from bequest.hub.storage.folder.store import Store, copy_files, entered, hashed, next_version
from bequest.hub.storage.object_storage.bucket import Bucket
from bequest.hub.storage.object_storage.log import Log, Position, Record
from bequest.hub.storage.object_storage.remote_objects import FetchedObjects
from bequest.hub.storage.parents import enter_new, parents_of, settled

__all__ = ["RemoteStore", "opened"]

logger = logging.getLogger(__name__)

CACHES = Path("~/.cache/bequest")
_LONGEST = 86400.0  # seconds
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
    """What `Store` does for a folder, for a bucket, with a folder of its own as its cache."""

    def __init__(
        self, url: str, cache: Path, wait: float, storage: Mapping[str, Any] | None = None
    ) -> None:
        self.folder = cache
        self.wait = wait
        self._local = Store(cache, wait)
        self._bucket = Bucket(url, storage)
        self._log = Log(self._bucket)
        self.objects = FetchedObjects(self._bucket, self._local)

    @property
    def records(self) -> RemoteStore:
        """What is read: this one, which follows the log first."""
        return self

    @property
    def exists(self) -> bool:
        """Whether anything was ever published or recorded there."""
        return self._catch_up().number > 0

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """The state of the registry after all that the log holds now."""
        if not self._catch_up().number:
            raise HubError(f"there is no hub at {self._bucket.url}: the first publish makes one.")
        with self._here() as db:
            yield db

    def find(self, name: str, version: int | None) -> Entry:
        """As `rows.find`; the log is not asked for a version that was read before."""
        if version is not None and self._local.exists:
            with suppress(EntryNotFound), self._here() as db:
                return rows.find(db, name, version)
        with self.reading() as db:
            return rows.find(db, name, version)

    @contextmanager
    def staging(self) -> Iterator[Path]:
        """A new folder to make an entry in, removed at the end, whatever happens."""
        self._catch_up()
        self._bucket.require_one_winner()
        with self._local.staging() as work:
            yield work

    def settled(self, name: str, card: Card) -> Card:
        """As `Store.settled`."""
        with self._here() as db:
            return settled(db, name, card)

    def parents(self, entries: Iterable[Entry]) -> list[dict[str, Entry | None]]:
        """As `Store.parents`; the log is not asked: what was read here came after its parents."""
        if not self._local.exists:
            self._catch_up()
        with self._here() as db:
            return [parents_of(db, entry) for entry in entries]

    def enter(self, staged: Path, name: str, card: Card, expect: int | None) -> Entry:
        """As `Store.enter`: the files are in the bucket before the log names them."""
        if expect is not None:  # said before gigabytes are sent
            with self._here() as db:
                next_version(rows.latest(db, name), name, expect)
        paths, files = hashed(staged)
        self._keep(paths)

        def change(db: sqlite3.Connection) -> _Change:
            entry = entered(db, name, card, files, expect)
            return _Change(entry, [entry])

        entry: Entry = self._append(change)
        return entry

    def take_in(self, work: Path, entries: Sequence[Entry]) -> tuple[Entry, ...]:
        """As `Store.take_in`: one record of the log holds them all."""
        with self._here() as db:
            new = [entry for entry in entries if not rows.holds(db, entry.name, entry.version)]
        digests = {file.digest for entry in new for file in entry.files.values()}
        self._keep({digest: work / digest for digest in sorted(digests)})

        def change(db: sqlite3.Connection) -> _Change:
            entered = enter_new(db, entries)
            return _Change(entered, entered)

        entered: tuple[Entry, ...] = self._append(change)
        return entered

    def record(self, outcome: Outcome) -> str:
        """As `Store.record`."""
        self._bucket.require_one_winner()

        def change(db: sqlite3.Connection) -> _Change:
            before = db.total_changes
            digest = rows.add_outcome(db, outcome)
            new = db.total_changes > before
            return _Change(digest, outcomes=[outcome.to_json()] if new else [])

        digest: str = self._append(change)
        return digest

    def copy(self, entry: Entry, place: Path) -> None:
        """As `Store.copy`: what is not here is fetched first."""
        with told(self.folder), ThreadPoolExecutor(4) as pool:
            needed = {file.digest: file for file in entry.files.values()}
            list(pool.map(self.objects.located, needed.values()))
        with told(self.folder, place.parent):
            copy_files(self.objects, entry, place)

    def remember(self, edges: Iterable[Edge]) -> None:
        """As `Store.remember`, in the cache: what this machine found is not the log's to tell."""
        self._local.remember(edges)

    def damages(self, name: str | None = None) -> tuple[Damaged, ...]:
        """What is wrong with the log, all of which is read again, and with what follows it.

        With a name, the log is not read again.
        """
        if name is not None:
            self._catch_up()
            return self._local.damages(name)
        try:
            self._log.check(self._catch_up())
        except Damaged as error:
            return (error, *self._local.damages())
        return self._local.damages()

    def _keep(self, files: Mapping[str, Path]) -> None:
        self.objects.keep(files)
        with told(self.folder):  # what was made here need not be fetched
            self._local.objects.add_all(files)

    def _append(self, change: Callable[[sqlite3.Connection], _Change]) -> Any:
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

    def _appended(self, change: Callable[[sqlite3.Connection], _Change]) -> Any:
        done: list[Any] = []
        try:
            with told(self.folder), self._local.records.writing() as db:
                here = _position_of(db)
                result, entries, outcomes = change(db)
                if not entries and not outcomes:
                    return result
                record = self._log.append(here, entries, outcomes)
                if record is None:
                    raise _Lost
                done.append(result)
                _move(db, record.position)
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
            with told(self.folder), self._local.records.writing() as db:
                _follow(db, records)
            here = records[-1].position
        return here

    def _position(self) -> Position:
        if not self._local.exists:
            return Position()
        with self._here() as db:
            return _position_of(db)

    @contextmanager
    def _here(self) -> Iterator[sqlite3.Connection]:
        try:
            with self._local.reading() as db:
                yield db
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


def opened(
    place: str | Path,
    wait: float,
    cache: str | Path | None = None,
    storage: Mapping[str, Any] | None = None,
) -> Store | RemoteStore:
    """The store in a folder, or at an address."""
    known = isinstance(wait, int | float) and not isinstance(wait, bool)
    if not known or not 0 <= wait <= _LONGEST:
        raise HubError(f"wait is in seconds, from 0 to {_LONGEST:.0f}; not {shown(wait)}.")
    if storage is not None and not isinstance(storage, Mapping):
        raise HubError(f"storage holds settings by name, it is no {type(storage).__name__}.")
    if isinstance(place, str) and "://" in place:
        folder = _cache_of(place, storage) if cache is None else cache
        return RemoteStore(place, _folder(folder, "a cache"), wait, storage)
    if re.match(r"[a-z0-9]+:/[^/]", str(place)) and not isinstance(place, str):
        raise HubError(f"{place} was an address: give it as text, a Path loses one of its slashes.")
    if cache is not None or storage:
        raise HubError(f"{place} is a folder: cache and storage are for object storage.")
    return Store(_folder(place, "a hub"), wait)


def _position_of(db: sqlite3.Connection) -> Position:
    """How far this registry has followed; `HubError` where it holds things and follows no log."""
    known = db.execute("SELECT 1 FROM sqlite_schema WHERE name = 'followed'").fetchone()
    found = known and db.execute("SELECT number, seal, tag FROM followed").fetchone()
    if found:
        return Position(*found)
    if db.execute("SELECT 1 FROM entries UNION SELECT 1 FROM outcomes").fetchone():
        raise HubError("the folder for the cache is a hub of its own: give cache= another one.")
    return Position()


def _move(db: sqlite3.Connection, position: Position) -> None:
    """Say how far it has followed, in the transaction that entered what stands there."""
    db.execute(_FOLLOWED)
    db.execute(
        "INSERT OR REPLACE INTO followed VALUES (1, ?, ?, ?)",
        (position.number, position.seal, position.tag),
    )


def _follow(db: sqlite3.Connection, records: Iterable[Record]) -> None:
    """Enter what another process has not entered meanwhile, in a transaction that has begun."""
    for record in records:
        here = _position_of(db)
        ahead = record.position.number - here.number
        if ahead < 0:
            continue
        if ahead > 1:
            raise HubError("the cache was removed while it was brought up to date: try again.")
        if ahead:
            _enter(db, record)
        _move(db, record.position)


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


def _folder(place: str | Path, what: str) -> Path:
    folder = checked_path(place, what, HubError)
    try:
        folder = folder.expanduser()
        if folder.exists() and not folder.is_dir():
            raise HubError(f"{folder} is a file; {what} is a folder.")
    except (OSError, RuntimeError) as error:  # a name too long, a user that nobody knows
        reason = getattr(error, "strerror", None) or f"{error}"
        raise HubError(f"{what} cannot be at {shown(str(place))}: {reason.rstrip('.')}.") from error
    return folder


def _cache_of(url: str, storage: Mapping[str, Any] | None) -> Path:
    """Another folder for each address, named so that a person knows it."""
    told_apart = json.dumps([url.removesuffix("/"), str((storage or {}).get("endpoint", ""))])
    readable = re.sub(r"[^a-z0-9]+", "-", url.lower())[-40:].strip("-")
    return CACHES / f"{readable}-{hashlib.sha256(told_apart.encode()).hexdigest()[:16]}"
