"""Faults of the disk and of SQLite, said once, in the words of a hub."""

from __future__ import annotations

import errno
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bequest.errors import Damaged, HubError

__all__ = ["told", "written"]

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_BARRED = (errno.EACCES, errno.EPERM, errno.EROFS)
_BROKEN = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_LOCKED = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


@contextmanager
def told(
    folder: Path, place: Path | None = None, *, lost: str = "nothing was kept"
) -> Iterator[None]:
    """Raise `HubError` with a line for a person where the disk or the registry of a hub fails.

    `place` is where everything is written, where that is not the hub; `lost` says what it means
    that the disk is full. `Damaged` where the registry is no longer a sound database.
    """
    try:
        yield
    except OSError as error:
        raise HubError(_of_disk(folder, place, lost, error)) from error
    except sqlite3.Error as error:
        primary = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if primary in _BROKEN:
            raise Damaged(f"the registry of the hub {folder} is damaged: {error}.") from error
        raise HubError(_of_registry(folder, lost, error, primary)) from error


@contextmanager
def written(place: Path) -> Iterator[None]:
    """Raise `HubError` with a line where a file, perhaps on another disk, cannot be written."""
    try:
        yield
    except OSError as error:
        raise HubError(_of_target(place, error)) from error


def _of_target(place: Path, error: OSError) -> str:
    if error.errno in _FULL:
        return f"the disk is full: {place} was not written."
    return f"{place} cannot be written: {error.strerror or error}."


def _of_disk(folder: Path, place: Path | None, lost: str, error: OSError) -> str:
    if place is not None and (error.errno in _FULL or not _within(folder, error.filename)):
        return _of_target(place, error)
    if error.errno in _FULL:
        return f"the disk of the hub {folder} is full: {lost} ({error.strerror})."
    if error.errno in _BARRED:
        return f"the hub {folder} may not be written or read here: {error}."
    return f"the hub {folder} failed on disk: {error}."


def _within(folder: Path, file: Any) -> bool:
    """Whether a fault is the hub's; one that names no file was met while it was read."""
    return not isinstance(file, str) or Path(file).absolute().is_relative_to(folder.absolute())


def _of_registry(folder: Path, lost: str, error: sqlite3.Error, primary: int) -> str:
    if primary in _LOCKED:
        return f"the hub {folder} is held by another process. Try again, or end that process."
    if primary == sqlite3.SQLITE_FULL or (primary == sqlite3.SQLITE_IOERR and _no_room(folder)):
        return f"the disk of the hub {folder} is full: {lost}."
    if primary in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return f"the hub {folder} may not be written or read here: {error}."
    return f"the registry of the hub {folder} failed: {error}."


def _no_room(folder: Path) -> bool:
    # SQLite calls it an input/output error when it is its index in memory that cannot grow.
    return folder.is_dir() and shutil.disk_usage(folder).free < 2**16
