"""Waiting until what was written is on the disk, and not only on its way there."""

from __future__ import annotations

import os
import sys
from pathlib import Path

if sys.platform != "win32":
    import fcntl

__all__ = ["flush", "sync_folder"]


def flush(handle: int) -> None:
    """Wait until the bytes of an open file, or the names in an open folder, are on the disk.

    Parameters
    ----------
    handle : int
        What the system calls it; on Windows, one that is open for writing.

    Raises
    ------
    OSError
        The disk is full or fails.

    References
    ----------
    fsync(2) of macOS: it leaves the bytes in the drive's own memory, F_FULLFSYNC does not.
    """
    if sys.platform != "win32" and (whole := getattr(fcntl, "F_FULLFSYNC", None)) is not None:
        try:
            fcntl.fcntl(handle, whole)
        except OSError:  # a network share does not know it
            os.fsync(handle)
        return
    os.fsync(handle)


def sync_folder(folder: Path) -> None:
    """Wait until a folder's names are on the disk."""
    if os.name == "nt":  # Windows opens no folders, and syncs names by itself
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        flush(handle)
    finally:
        os.close(handle)
