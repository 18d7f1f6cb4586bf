"""Which tasks are alike: their published sketches, kept in a file beside the graph.

T tasks, F numbers a sketch. A pass over the registry names the tasks that are new; they are held
against all earlier ones at its end, many at once.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Self, final

import numpy as np
from numpy.typing import NDArray

from bequest.errors import Damaged, DataError
from bequest.hub.sketches.embedding import FEATURES
from bequest.hub.sketches.task_sketch import TaskSketch

__all__ = ["Alike"]

Array = NDArray[np.float32]
CLOSE = 0.9  # cosine of two mean embeddings
MOST = 5  # earlier tasks that a task is held to be like: the closest ones
_BLOCK = 512  # tasks that are held against the others at once
_TABLE = """CREATE TABLE IF NOT EXISTS tasks (
    number INTEGER PRIMARY KEY, task TEXT NOT NULL UNIQUE, modality TEXT NOT NULL,
    embedding BLOB NOT NULL)"""

_MODALITIES = "SELECT DISTINCT modality FROM tasks WHERE number > ? ORDER BY modality"
_OF_MODALITY = "SELECT number, task, embedding FROM tasks WHERE modality = ? ORDER BY number"


@final
class Alike:
    """Embeddings of the tasks that a graph has seen, in the order in which it saw them.

    They stand in an SQLite file, made where it is not there; a ``with`` block is one transaction.

    Examples
    --------
    >>> import tempfile
    >>> from bequest.core import Task
    >>> from bequest.hub.sketches.task_sketch import sketch
    >>> rows = np.random.default_rng(0).normal(size=(80, 3))
    >>> same, other = (sketch(Task.from_arrays(rows + n, rows[:, 0] > 0)) for n in (0, 50))
    >>> with Alike(Path(tempfile.mkdtemp(), "tasks.sqlite")) as alike:
    ...     for task, seen in {"a": same, "b": other, "c": same}.items():
    ...         alike.saw(task, seen.to_dict())
    ...     list(alike.pairs(0))
    [('c', 'a')]
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> Self:
        self._db = self._opened()
        return self

    def __exit__(self, kind: object, *error: object) -> None:
        with closing(self._db):
            if kind is None:
                self._db.commit()

    def count(self) -> int:
        """The number of the last task."""
        with _read():
            found = self._db.execute("SELECT max(number) FROM tasks").fetchone()[0]
        return int(found or 0)

    def clear(self) -> None:
        """Forget all of them, whatever is in the file."""
        self._db.close()
        self._path.unlink(missing_ok=True)
        self._db = self._opened()

    def saw(self, task: str, sketch: Any) -> None:
        """Keep a task's embedding, where the sketch is one; the first one counts."""
        found = _embedding(sketch)
        if found is not None:
            row = (task, found[0], found[1].tobytes())
            with _read():
                self._db.execute(
                    "INSERT OR IGNORE INTO tasks (task, modality, embedding) VALUES (?, ?, ?)", row
                )

    def pairs(self, seen: int) -> Iterator[tuple[str, str]]:
        """Every task beyond a number with each earlier one of its modality that it is like."""
        for (modality,) in self._all(_MODALITIES, seen):
            rows = self._all(_OF_MODALITY, modality)
            whole = np.frombuffer(b"".join(row[2] for row in rows), dtype=np.float32)
            first = sum(row[0] <= seen for row in rows)
            for place, earlier in _close(whole.reshape(len(rows), FEATURES), first):
                yield rows[place][1], rows[earlier][1]

    def _opened(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, timeout=30.0)
        try:
            db.execute(_TABLE)
        except sqlite3.DatabaseError as error:
            db.close()
            if isinstance(error, sqlite3.OperationalError):
                raise
            self._path.unlink()  # no database: all in it is derived, and found missing
            return self._opened()
        return db

    def _all(self, question: str, value: Any) -> list[tuple[Any, ...]]:
        with _read():
            return self._db.execute(question, (value,)).fetchall()


@contextmanager
def _read() -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError:  # held by another process, or the disk is full
        raise
    except sqlite3.DatabaseError as error:
        raise Damaged(f"the sketches of the graph cannot be read: {error}") from error


def _close(embedded: Array, first: int) -> Iterator[tuple[int, int]]:
    """Places of rows from `first` on, each with the earlier rows that are close to it."""
    for start in range(first, len(embedded), _BLOCK):
        block = embedded[start : start + _BLOCK]
        cosines = block @ embedded[: start + len(block)].T
        for row, found in enumerate(cosines):
            before = found[: start + row]
            near = np.flatnonzero(before >= CLOSE)
            for earlier in near[np.argsort(-before[near], kind="stable")][:MOST].tolist():
                yield start + row, earlier


def _embedding(values: Any) -> tuple[str, Array] | None:
    """Modality, and what `bequest.hub.sketches.similarity` compares; None where it is no sketch."""
    try:
        sketch = TaskSketch.from_dict(values)
    except DataError:  # somebody else's, of another version or damaged: it says nothing
        return None
    return sketch.modality, sketch.embedding
