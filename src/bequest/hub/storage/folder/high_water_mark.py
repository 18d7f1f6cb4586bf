"""Up to where the registry is known to reach, in a small file beside it.

SQLite ends its write-ahead log at the first page that fails its checksum: a bit that flips there
takes with it, unsaid, what was committed after it. So the newest rows of every commit are named
here once it is on the disk. This file is never waited for: after a loss of power it may name older
rows, never rows that the registry has not kept.
"""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import final

from bequest.hub.storage.folder.rows import hashes, newest

__all__ = ["Tip"]


@final
class Tip:
    """The newest rows of a registry: number and hash of an entry and of an outcome."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def newest(self, db: sqlite3.Connection) -> str:
        """What `write` will say of the state that a transaction is about to commit."""
        return " ".join(f"{number} {seal or '-'}" for number, seal in newest(db))

    def write(self, newest: str) -> None:
        """Say that what `newest` found is on the disk; a disk that is full is not told of it."""
        with suppress(OSError):
            self.path.write_text(f"{newest} {_seal(newest)}\n", encoding="utf-8")

    def read(self) -> str:
        """What was written last; empty where nothing was, or it was altered or cut off.

        To be read before the registry is, which may only go on meanwhile.
        """
        try:
            newest, _, seal = self.path.read_text(encoding="utf-8").strip().rpartition(" ")
        except (OSError, UnicodeDecodeError):
            return ""
        return newest if seal == _seal(newest) else ""

    def kept(self, db: sqlite3.Connection, newest: str) -> bool:
        """Whether the registry has what was `read`."""
        if not newest:
            return True
        entry, seal, outcome, digest = newest.split(" ")
        found = hashes(db, int(entry), int(outcome))
        return tuple(one or "-" for one in found) == (seal, digest)


def _seal(newest: str) -> str:
    return hashlib.sha256(newest.encode()).hexdigest()[:16]
