"""Bytes to disk and back, hashed on the way and synced before anybody hears of them."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from io import BufferedReader
from pathlib import Path
from typing import IO, TypeVar

from bequest.core.disk import flush, sync_folder
from bequest.errors import HubError
from bequest.hub.storage.files.fork_safety import on_fork

__all__ = [
    "copy_hashed",
    "hash_file",
    "opened",
    "read_small",
    "sync",
    "sync_all",
    "sync_folder",
    "sync_folders",
    "write_hashed",
]

T = TypeVar("T")
_WAITERS: list[ThreadPoolExecutor] = []  # one at most
_CHUNK = 2**20  # bytes read at once
# A symlink put in the file's place is not followed, and a pipe does not make us wait for ever.
_CAREFULLY = (
    os.O_RDONLY
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_BINARY", 0)
)


def copy_hashed(source: Path, target: Path) -> tuple[str, int]:
    """Copy a regular file to a new one, sync the copy, and give its sha256 and its bytes.

    `HubError` where the source is no regular file, or changed while it was read.
    """
    with opened(source) as file, target.open("xb") as copy:
        before = _state(file)
        digest = hashlib.sha256()
        # As many bytes as it had: one that grows as fast as it is read would never end.
        while chunk := file.read(min(_CHUNK, before[0] - copy.tell())):
            digest.update(chunk)
            copy.write(chunk)
        if _state(file) != before:
            raise HubError(f"{source} changed while it was read: nothing was kept.")
        copy.flush()
        flush(copy.fileno())
        return digest.hexdigest(), copy.tell()


def hash_file(path: Path) -> tuple[str, int]:
    """Say the sha256, 64 hex digits, and the bytes of a regular file."""
    with opened(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest(), file.tell()


def write_hashed(parts: Iterable[bytes], target: IO[bytes] | None = None) -> str:
    """Write bytes, where there is a target, and give their sha256 in 64 hex digits."""
    hashed = hashlib.sha256()
    for part in parts:
        hashed.update(part)
        if target is not None:
            target.write(part)
    return hashed.hexdigest()


def read_small(path: Path, most: int) -> bytes:
    """The bytes of a regular file; `HubError` where it is none, or has more than `most`."""
    with opened(path) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise HubError(f"{str(path)!a} has more than {most} bytes: it is not read.")
    return content


def sync(path: Path) -> None:
    """Wait until a file's bytes are on the disk."""
    with path.open("rb") as file:
        flush(file.fileno())


def sync_all(paths: Iterable[Path]) -> None:
    """Wait until the bytes of several files are on the disk: all are sent, then all waited for."""
    with ExitStack() as stack:
        files = [stack.enter_context(path.open("rb")).fileno() for path in paths]
        for file in files:
            _send(file)
        _at_once(flush, files)


def sync_folders(folders: Iterable[Path]) -> None:
    """Wait until the names in several folders are on the disk."""
    _at_once(sync_folder, list(folders))


def _at_once(wait: Callable[[T], None], things: Sequence[T]) -> None:
    """Wait for several at once: a disk writes them down together, and we sleep but once."""
    if not _WAITERS:
        _WAITERS.append(ThreadPoolExecutor(7, thread_name_prefix="bequest-sync"))
    others: list[Future[None]] = []
    with suppress(IndexError, RuntimeError):  # another thread forks in this moment
        for thing in things[1:]:
            others.append(_WAITERS[0].submit(wait, thing))
    try:
        for thing in (*things[:1], *things[1 + len(others) :]):
            wait(thing)
    finally:
        for other in others:
            other.exception()  # nothing may be closed while it is waited for
    for other in others:
        other.result()


def _let_waiters_go() -> None:
    while _WAITERS:
        _WAITERS.pop().shutdown()


on_fork(_let_waiters_go, _WAITERS.clear)  # threads do not survive a fork


def _send(handle: int) -> None:
    # Linux begins to write what is dirty when it is told that nobody will read it soon.
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)


def opened(path: Path) -> BufferedReader:
    """A regular file, open for reading; `HubError` where it is a link, a pipe or a device."""
    file = os.fdopen(os.open(path, _CAREFULLY), "rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise HubError(f"{path} is no regular file: it is not read.")
    return file


def _state(file: BufferedReader) -> tuple[int, int]:
    now = os.fstat(file.fileno())
    return now.st_size, now.st_mtime_ns
