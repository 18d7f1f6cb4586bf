"""Where an entry is made before it counts, and how what a killed process left is found."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bequest.frameworks.files.temporary import STALE, is_dead, last_change, process_mark

__all__ = ["abandoned", "staging"]


@contextmanager
def staging(folder: Path) -> Iterator[Path]:
    """A new folder on the hub's file system, removed at the end, whatever happens."""
    work = folder / "tmp" / process_mark()
    work.mkdir(parents=True)
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def abandoned(folder: Path) -> Iterator[Path]:
    """Staging folders whose process is dead, or that nobody has written to for an hour."""
    try:
        works = sorted((folder / "tmp").iterdir())
    except FileNotFoundError:
        return
    for work in works:
        if is_dead(work.name) or time.time() - last_change(work) > STALE:
            yield work
