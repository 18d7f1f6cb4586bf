"""Where an entry is made before it counts, and how what a killed process left is found."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["abandoned", "staging"]

STALE = 3600.0  # seconds without a change after which a folder of an unknown process is abandoned


@contextmanager
def staging(folder: Path) -> Iterator[Path]:
    """A new folder on the hub's file system, removed at the end, whatever happens.

    Parameters
    ----------
    folder : Path
        The hub.
    """
    work = folder / "tmp" / f"{_host()}-{os.getpid()}-{secrets.token_hex(8)}"
    work.mkdir(parents=True)
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def abandoned(folder: Path) -> Iterator[Path]:
    """Staging folders whose process is dead, or that nobody has written to for an hour.

    Parameters
    ----------
    folder : Path
        The hub.
    """
    try:
        works = sorted((folder / "tmp").iterdir())
    except FileNotFoundError:
        return
    for work in works:
        if _dead(work.name) or time.time() - _last_change(work) > STALE:
            yield work


def _host() -> str:
    # Hashed: a host's name may hold what a path may not.
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]


def _dead(name: str) -> bool:
    host, _, rest = name.partition("-")
    pid = rest.partition("-")[0]
    # On Windows os.kill ends the process whatever the signal; there, time alone decides.
    if os.name != "posix" or host != _host() or not pid.isdecimal():
        return False
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:  # it lives, and belongs to somebody else
        return False
    return False


def _last_change(work: Path) -> float:
    try:
        return max(path.lstat().st_mtime for path in (work, *work.rglob("*")))
    except FileNotFoundError:  # its owner is at work
        return time.time()
