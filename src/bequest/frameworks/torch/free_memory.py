"""Whether what a file holds fits into memory, before it is read."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from bequest.errors import ModelError

__all__ = ["check_memory", "free_bytes"]

MEMINFO = Path("/proc/meminfo")
CONTAINER = Path("/sys/fs/cgroup")
GB = 10**9


def check_memory(tensors: Iterable[tuple[str, int]], where: str) -> None:
    """Raise `ModelError` where tensors, each with its dtype and bytes, are too large for memory.

    They are counted as float32, beside what was read where that is smaller. Where the system does
    not say what is free, nothing is raised.
    """
    needed = 0
    for dtype, size in tensors:
        needed += 3 * size if dtype in ("F16", "BF16") else size
    free = free_bytes()
    if free is not None and needed > free:
        raise ModelError(
            f"{where} takes {needed / GB:.1f} GB of memory to load, {free / GB:.1f} GB are free."
        )


def free_bytes() -> int | None:
    """Bytes of memory that are free on this machine, or in this container; None where unknown."""
    try:
        free = _amounts(MEMINFO)["MemAvailable:"] * 1024
    except (OSError, KeyError):
        return None
    try:
        most, used = (int((CONTAINER / f"memory.{n}").read_text()) for n in ("max", "current"))
        files = _amounts(CONTAINER / "memory.stat")
        cached = files["active_file"] + files["inactive_file"]  # given back when it is needed
    except (OSError, KeyError, ValueError):  # there is no limit, or no container
        return free
    return min(free, max(0, most - used + cached))


def _amounts(path: Path) -> dict[str, int]:
    """The numbers in a file of lines with a name and a number."""
    rows = [line.split() for line in path.read_text().splitlines()]
    return {row[0]: int(row[1]) for row in rows if len(row) > 1 and row[1].isdecimal()}
