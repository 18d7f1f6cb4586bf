"""What runs in a worker process: one job at a time, with the shared values that it has read."""

from __future__ import annotations

import pickle
from functools import partial
from pathlib import Path
from typing import Any

from bequest.core.registry import install
from bequest.errors import ExecutorError

__all__ = ["ADDITIONS", "ONE_THREAD", "get_ready", "run_job"]

ADDITIONS = "additions"  # the file that holds what the parent process has registered
_VARIABLES = ("OMP", "OPENBLAS", "MKL", "NUMEXPR", "VECLIB_MAXIMUM")
ONE_THREAD = {f"{name}_NUM_THREADS": "1" for name in _VARIABLES}  # as the local executor has it
_held: dict[str, Any] = {}  # shared values by file, of the last folder that was asked for


def get_ready(folder: str, content: bytes) -> None:
    """Import what a pickled job needs, and read what is shared in the folder."""
    _drop_others(folder)
    install(_fetch(folder, ADDITIONS))
    pickle.loads(content)  # written by the parent process, as all that is shared
    for path in Path(folder).iterdir():
        _fetch(folder, path.name)


def run_job(folder: str, content: bytes) -> Any:
    """Run a pickled job; what it fetches is read once, and dropped with the next folder."""
    _drop_others(folder)
    try:
        if (
            f"{folder}/{ADDITIONS}" not in _held
        ):  # loky put a new process in the place of a large one
            get_ready(folder, content)
        return pickle.loads(content)(partial(_fetch, folder))
    except Exception as error:
        raise _portable(error) from error


def _portable(error: Exception) -> Exception:
    """The error itself, where the parent process can read it; else one that says what it was."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return ExecutorError(f"a job raised {error!r}.")
    return error


def _drop_others(folder: str) -> None:
    for path in [path for path in _held if not path.startswith(folder)]:
        del _held[path]


def _fetch(folder: str, key: str) -> Any:
    path = f"{folder}/{key}"
    if path not in _held:
        _held[path] = pickle.loads(Path(path).read_bytes())
    return _held[path]
