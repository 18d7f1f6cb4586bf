"""The registry of record: one SQLite file, read anew by every call, its writer kept open."""

from __future__ import annotations

import os
import sqlite3
import time
import weakref
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import final

from bequest.errors import Damaged, HubError
from bequest.hub.storage.files.fork_safety import on_fork, unforked
from bequest.hub.storage.files.staging import staging
from bequest.hub.storage.files.streams import sync
from bequest.hub.storage.folder.high_water_mark import Tip

__all__ = ["FORMAT", "Records", "identity"]

FORMAT = 1
_OURS = 0x62717374  # "bqst": application_id, so that no other database is taken for a hub
_DURABLE = "PRAGMA synchronous = FULL"  # a commit that was acknowledged survives a power loss
# On macOS a sync leaves the bytes in the drive's own memory unless it is told more; also a reader
# that closes last moves the log into the file.
_WHOLE = ("PRAGMA fullfsync = ON", "PRAGMA checkpoint_fullfsync = ON")
_SCHEMA = (
    """CREATE TABLE entries (
        name TEXT NOT NULL, version INTEGER NOT NULL CHECK (version > 0),
        record TEXT NOT NULL, seal TEXT NOT NULL, PRIMARY KEY (name, version))""",
    """CREATE TABLE uses (
        object TEXT NOT NULL, name TEXT NOT NULL, version INTEGER NOT NULL,
        PRIMARY KEY (object, name, version)) WITHOUT ROWID""",
    """CREATE TABLE outcomes (
        number INTEGER PRIMARY KEY, digest TEXT NOT NULL UNIQUE, record TEXT NOT NULL)""",
    """CREATE TABLE lineage (
        number INTEGER PRIMARY KEY, name TEXT NOT NULL, version INTEGER NOT NULL,
        parent TEXT NOT NULL, record TEXT NOT NULL, seal TEXT NOT NULL)""",
    "CREATE INDEX lineage_of ON lineage (name, version, parent)",
    f"PRAGMA application_id = {_OURS}",
    f"PRAGMA user_version = {FORMAT}",
)


_IN_USE: weakref.WeakValueDictionary[int, Records] = weakref.WeakValueDictionary()


@final
class Records:
    """One SQLite file. Readers open it anew, so that they see what stands on the disk.

    The connection that wrote last is kept for the next write of this process, whichever thread does
    it: opening and closing one for each would sync the disk five times instead of once. It is
    closed before the process forks, and with this object. `wait` is how many seconds another
    process that is writing is waited for.
    """

    def __init__(self, path: Path, wait: float) -> None:
        self.path = path
        self.wait = wait
        self._tip = Tip(path.with_suffix(".tip"))
        self._kept: list[tuple[sqlite3.Connection, tuple[int, int]]] = []  # one, at rest
        _IN_USE[id(self)] = self
        weakref.finalize(self, _close, self._kept)

    @unforked()
    def create(self) -> None:
        """Make the database where there is none yet; safe between processes."""
        db = self._taken()
        if db is None:
            if not self.path.exists():
                self._make()
            elif not self.path.stat().st_size and self._tip.read():
                raise self._lost()  # emptied: a new one in its place would hide that
            db = self._connect("rwc")
            try:
                self._prepare(db)
            except BaseException:
                _abandon(db)
                raise
        self._keep(db)

    def close(self) -> None:
        """Close the kept connection: what its log holds goes into the file, where nobody else
        has it open."""
        _close(self._kept)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection that sees one state of the registry throughout."""
        newest = self._tip.read()
        with unforked(), closing(self._readable()) as db:
            db.execute("BEGIN")
            if not self._checked(db):
                raise self._lost() if newest else self._missing()
            self._require(db, newest)
            yield db

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction: all that is done in it becomes visible at its end, or nothing does."""
        newest = self._tip.read()
        with unforked():
            db = self._taken() or self._connect("rw")
            try:
                db.execute(_DURABLE)
                db.execute("BEGIN IMMEDIATE")
                self._checked(db)
                self._require(db, newest)
                yield db
                newest = self._tip.newest(db)
                db.execute("COMMIT")
                self._tip.write(newest)
            except BaseException:
                _abandon(db)
                raise
            self._keep(db)

    def _taken(self) -> sqlite3.Connection | None:
        """The kept connection, unless another file has taken the place of the one it is to."""
        try:
            db, file = self._kept.pop()
        except IndexError:  # none, or another thread has it
            return None
        if identity(self.path) == file:
            return db
        db.close()
        return None

    def _keep(self, db: sqlite3.Connection) -> None:
        file = identity(self.path)
        if self._kept or file is None:
            db.close()
        else:
            self._kept.append((db, file))

    def _make(self) -> None:
        """Make it whole beside its place, so that nobody ever sees one without tables."""
        with staging(self.path.parent) as work:
            made = Records(work / self.path.name, self.wait)
            with closing(made._connect("rwc")) as db:
                made._prepare(db)
            sync(made.path)
            with suppress(OSError):  # another process was first, or there are no hard links
                os.link(made.path, self.path)

    def _prepare(self, db: sqlite3.Connection) -> None:
        self._write_ahead(db)
        db.execute(_DURABLE)
        db.execute("BEGIN IMMEDIATE")
        if not self._checked(db):
            if self._tip.read():
                raise self._lost()
            for statement in _SCHEMA:
                db.execute(statement)
        db.execute("COMMIT")

    def _connect(self, options: str) -> sqlite3.Connection:
        address = f"{self.path.absolute().as_uri()}?mode={options}"
        db = sqlite3.connect(
            address,
            uri=True,
            timeout=self.wait,
            isolation_level=None,
            check_same_thread=False,  # one thread has it at a time
        )
        db.execute("PRAGMA trusted_schema = OFF")
        for pragma in _WHOLE:
            db.execute(pragma)
        # A flipped bit may leave no UTF-8; the row's seal tells, so reading it must not fail.
        db.text_factory = lambda text: text.decode("utf-8", "replace")
        return db

    def _readable(self) -> sqlite3.Connection:
        if not self.path.is_file():
            raise self._missing()
        db = self._connect("rw")
        try:
            db.execute("PRAGMA schema_version")
        except sqlite3.OperationalError:
            db.close()
            # A reader of a write-ahead log writes an index beside it, which a folder that is
            # read-only forbids; where no log is left over, the file alone is the whole registry.
            log = self.path.with_name(f"{self.path.name}-wal")
            if log.exists() and log.stat().st_size:
                raise
            return self._connect("ro&immutable=1")
        return db

    def _write_ahead(self, db: sqlite3.Connection) -> None:
        # SQLite does not wait for a lock here, whatever the timeout says.
        patience = time.monotonic() + self.wait
        while True:
            try:
                db.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > patience:
                    raise
                time.sleep(0.02)

    def _checked(self, db: sqlite3.Connection) -> bool:
        version = int(db.execute("PRAGMA user_version").fetchone()[0])
        tables = db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
        if not version and not tables:
            return False
        if db.execute("PRAGMA application_id").fetchone()[0] != _OURS:
            raise HubError(f"{self.path} is a database of something else, not of a hub.")
        if version > FORMAT:
            raise HubError(
                f"the hub {self.path.parent} has format {version}, this version reads up to "
                f"{FORMAT}: upgrade bequest."
            )
        return True

    def _require(self, db: sqlite3.Connection, newest: str) -> None:
        if not self._tip.kept(db, newest):
            raise self._lost()

    def _lost(self) -> Damaged:
        return Damaged(
            f"the registry of the hub {self.path.parent} has lost what was published last: its "
            f"files were altered, or are those of an older copy. Put back a whole copy, or "
            f"remove {self._tip.path} to go on with what is left."
        )

    def _missing(self) -> HubError:
        return HubError(f"there is no hub at {self.path.parent}: the first publish makes one.")


def identity(path: Path) -> tuple[int, int] | None:
    """Which file or folder stands there, whatever it is called; None where there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _abandon(db: sqlite3.Connection) -> None:
    with suppress(sqlite3.Error):  # nothing had begun, or SQLite has rolled back by itself
        db.execute("ROLLBACK")
    db.close()


def _close(kept: list[tuple[sqlite3.Connection, tuple[int, int]]]) -> None:
    with suppress(IndexError):
        while True:  # two threads that ended at once have kept one each
            kept.pop()[0].close()


def _close_all() -> None:
    for found in _IN_USE.valuerefs():
        if (records := found()) is not None:
            records.close()


on_fork(_close_all)  # SQLite's locks do not survive a fork
