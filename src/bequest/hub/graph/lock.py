"""One writer at a time, on every platform: SQLite's lock on an empty file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from bequest.hub.storage.files.fork_safety import unforked

__all__ = ["only_writer"]


@contextmanager
def only_writer(path: Path, wait: float) -> Iterator[None]:
    """Hold the lock on a file, which stays empty; it ends with its process, however that ends.

    `sqlite3.OperationalError` where another process did not end within `wait` seconds, or the
    folder may not be written.
    """
    with unforked(), closing(_locked(path, wait)):
        yield


def _locked(path: Path, wait: float) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=wait, isolation_level=None)
    try:
        db.execute("BEGIN EXCLUSIVE")
    except sqlite3.DatabaseError as error:
        db.close()
        if error.sqlite_errorcode != sqlite3.SQLITE_NOTADB:
            raise
        path.unlink(missing_ok=True)  # somebody wrote into it: nothing of ours was there
        return _locked(path, wait)
    return db
