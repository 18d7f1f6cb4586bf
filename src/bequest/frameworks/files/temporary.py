"""Hidden places beside an output, where it is made; and those that killed processes left there."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path

__all__ = ["STALE", "clean_up", "is_dead", "last_change", "leftovers", "process_mark", "sibling"]

STALE = 3600.0  # seconds without a change after which what no living process holds is left over
MARK = ".bequest-"  # so that nothing of anybody else's is ever taken for ours


def process_mark() -> str:
    """Text that says which process made a place: machine, process, and a number of its own.

    Examples
    --------
    >>> process_mark().split("-")[1] == str(os.getpid())
    True
    """
    return f"{_host()}-{os.getpid()}-{secrets.token_hex(8)}"


def is_dead(mark: str) -> bool:
    """Whether the process of a `process_mark` ran on this machine and has ended.

    Examples
    --------
    >>> is_dead(process_mark())
    False
    """
    return _here(mark) and not _lives(mark)


def sibling(place: Path) -> Path:
    """A hidden path beside `place`, on its file system, that nothing is at yet."""
    return place.parent / f"{_start(place)}{process_mark()}"


def leftovers(place: Path) -> Iterator[Path]:
    """What `sibling` named for `place`, where its process is not known to live and an hour passed.

    Links are passed over.
    """
    start = _start(place)
    for path in sorted(place.parent.iterdir()):
        mark = path.name.removeprefix(start)
        if mark == path.name or not re.fullmatch(r"[0-9a-f]{8}-[0-9]+-[0-9a-f]{16}", mark):
            continue
        living = _here(mark) and _lives(mark)
        if not living and not path.is_symlink() and time.time() - last_change(path) > STALE:
            yield path


def clean_up(place: Path) -> None:
    """Remove the leftovers of `place`; to be called when a whole output stands there.

    Only then: a process that was killed in the moment of replacing left the old one in them.
    """
    for path in leftovers(place):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def last_change(work: Path) -> float:
    """When anything in it changed last, in seconds since 1970; now, where it just went."""
    try:
        return max(path.lstat().st_mtime for path in (work, *work.rglob("*")))
    except FileNotFoundError:  # its owner is at work
        return time.time()


def _start(place: Path) -> str:
    # Cut, because a file system takes 255 bytes of a name.
    return f".{os.fsencode(place.name)[:180].decode(errors='ignore')}{MARK}"


def _host() -> str:
    # Hashed: a host's name may hold what a path may not.
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]


def _here(mark: str) -> bool:
    # On Windows os.kill ends the process whatever the signal; there, time alone decides.
    host, _, rest = mark.partition("-")
    return os.name == "posix" and host == _host() and rest.partition("-")[0].isdecimal()


def _lives(mark: str) -> bool:
    try:
        os.kill(int(mark.split("-")[1]), 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # it belongs to somebody else
        return True
    return True
