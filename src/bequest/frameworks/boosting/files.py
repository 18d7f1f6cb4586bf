"""Trees in a file: checked as text, then loaded in a process that may be lost, then here."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bequest.core.child_process import command
from bequest.errors import MissingExtra, ModelError
from bequest.frameworks.boosting.library import TreeLibrary
from bequest.optional import need

__all__ = ["library_module", "read_trees"]

MOST = 512 * 2**20  # bytes of text
ROOM = 4 * 2**30  # bytes of memory beyond what the file itself explains
TIMES = 30  # bytes of memory for each byte of text
SECONDS = 120
CHILD = str(Path(__file__).with_name("child.py"))


def library_module(library: TreeLibrary) -> Any:
    """The library, imported; `MissingExtra` with the line that installs it."""
    try:
        return need(library.name, extra="", purpose="a model of boosted trees")
    except MissingExtra as error:
        raise MissingExtra(
            f"{library.name} is needed for a model of boosted trees and is not installed.\n"
            f"Install it: pip install {library.package}",
            name=library.name,
        ) from error


def read_trees(
    path: Path, library: TreeLibrary, columns: int, coded: list[int], *, regression: bool
) -> Any:
    """The trees of an untrusted file.

    Raises
    ------
    ModelError
        It is too large, truncated or altered, or the library fails on it.
    MissingExtra
        The library is not installed.
    """
    module = library_module(library)
    if path.stat().st_size > MOST:
        raise ModelError(f"{path} is larger than {MOST // 2**20} MiB: it is not loaded.")
    try:
        text = path.read_text(encoding="utf-8")
        library.check(text, columns)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
    except (UnicodeDecodeError, RecursionError) as error:
        raise ModelError(f"{path} is damaged: it is not text.") from error
    told = {"library": library.name, "width": columns, "coded": coded, "regression": regression}
    _try_in_child(path, told, module)
    return library.load(path, module, regression=regression)


def _try_in_child(path: Path, told: Mapping[str, Any], module: Any) -> None:
    memory = ROOM + TIMES * path.stat().st_size
    line = command(CHILD, str(path.resolve()), json.dumps(told), memory=memory, needs=module)
    try:
        done = subprocess.run(line, capture_output=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise ModelError(f"{path} is damaged: its trees give no answer in {SECONDS} s.") from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        told_why = done.returncode == 1 and said  # else the library has ended the process
        reason = ascii(said[-1])[1:-1] if told_why else f"{told['library']} crashes on it"
        raise ModelError(f"{path} is damaged: {reason}.")
