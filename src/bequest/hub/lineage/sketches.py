"""Short sketches of weights, so that a parent is found among thousands without loading them.

A sketch keeps the inner product of two weights: each number is added, with a random sign, to one
of 256 sums, which number goes where being the same for all weights of one shape.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
import tempfile
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from bequest.hub.lineage.correlate import centred
from bequest.hub.storage.files.fork_safety import unforked

__all__ = ["SUMS", "SketchIndex", "index_in", "sketches", "weight_sketch"]

Array = NDArray[Any]
Sketches = Sequence[tuple[str, int, bytes]]  # shape of a weight, its place among those, its sums
NAME = "sketches.sqlite"
SUMS = 256  # two unrelated weights of one shape have a cosine of 0 ± 1/16
_SCHEMA = """CREATE TABLE IF NOT EXISTS sketches (
    shape TEXT NOT NULL, place INTEGER NOT NULL, model TEXT NOT NULL, sums BLOB NOT NULL,
    PRIMARY KEY (shape, place, model)) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS models (model TEXT PRIMARY KEY) WITHOUT ROWID;"""


def weight_sketch(values: Array) -> Array | None:
    """The sketch of one weight, float16 of shape (256,) and length 1; None where it is too small.

    References
    ----------
    Charikar, Chen and Farach-Colton, "Finding frequent items in data streams", ICALP 2002.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> weight = rng.normal(size=(40, 40))
    >>> near = weight_sketch(weight + 0.1 * rng.normal(size=(40, 40)))
    >>> round(float(near.astype(float) @ weight_sketch(weight)), 1)
    1.0
    """
    cube = centred(values)
    if cube is None:
        return None
    bins, signs = _places(cube.shape)
    sums = np.bincount(bins, weights=signs * cube.ravel(), minlength=SUMS)
    length = float(np.linalg.norm(sums))
    return np.asarray(sums / length, dtype=np.float16) if length > 0 else None


@lru_cache(maxsize=64)
def _places(shape: tuple[int, ...]) -> tuple[Array, Array]:
    seed = int.from_bytes(hashlib.sha256(f"bequest sketch {shape}".encode()).digest()[:16])
    rng = np.random.Generator(np.random.PCG64(seed))
    count = int(np.prod(shape))
    return rng.integers(SUMS, size=count), rng.choice([-1.0, 1.0], size=count)


@final
class SketchIndex:
    """A file of sketches, by the shape of the weight; derived from the models, and rebuilt at will.

    Examples
    --------
    >>> import tempfile
    >>> index = SketchIndex(Path(tempfile.mkdtemp()) / "lineage.sqlite")
    >>> rng = np.random.default_rng(0)
    >>> parent = {"w": rng.normal(size=(40, 40))}
    >>> with index.writing() as db:
    ...     index.add(db, "parent", parent)
    ...     index.add(db, "other", {"w": rng.normal(size=(40, 40))})
    >>> index.nearest({"w": parent["w"] + 0.1})[0][0]
    'parent'
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction, to be short; what is lost with the power is built again."""
        with unforked(), closing(sqlite3.connect(self.path, timeout=30.0)) as db:
            db.executescript(_SCHEMA)
            with db:
                yield db

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection that writes nothing, not even where there is nothing yet."""
        with unforked(), closing(self._readable()) as db:
            yield db

    def add(self, db: sqlite3.Connection, model: str, weights: Mapping[str, Array]) -> None:
        """Keep the sketches of a model under a key of the caller's."""
        self.keep(db, {model: sketches(weights)})

    def keep(self, db: sqlite3.Connection, made: Mapping[str, Sketches]) -> None:
        """Keep the sketches of several models, by keys of the caller's."""
        rows = [(*row[:2], model, row[2]) for model, rows in made.items() for row in rows]
        db.executemany("INSERT OR REPLACE INTO sketches VALUES (?, ?, ?, ?)", rows)
        db.executemany("INSERT OR REPLACE INTO models VALUES (?)", [(model,) for model in made])

    def discard_damaged(self) -> None:
        """Remove the file where it is no sound database: all in it is derived."""
        if not self.path.exists():
            return
        try:
            with closing(sqlite3.connect(self.path, timeout=30.0)) as db:
                sound = db.execute("PRAGMA quick_check").fetchone()[0] == "ok"
        except sqlite3.OperationalError:  # held by another process, or not to be read
            raise
        except sqlite3.DatabaseError:
            sound = False
        if not sound:
            self.path.unlink()

    def known(self) -> frozenset[str]:
        """Every model that was looked at, those without any weight to sketch too."""
        with self.reading() as db:
            return frozenset(row[0] for row in db.execute("SELECT model FROM models"))

    def forget(self, db: sqlite3.Connection, models: Iterable[str]) -> None:
        """Drop models from the index."""
        gone = [(model,) for model in models]
        db.executemany("DELETE FROM sketches WHERE model = ?", gone)
        db.executemany("DELETE FROM models WHERE model = ?", gone)

    def _readable(self) -> sqlite3.Connection:
        if self.path.exists():
            place = f"{self.path.absolute().as_uri()}?mode=ro"
            db = sqlite3.connect(place, timeout=30.0, uri=True)
            try:
                if db.execute("SELECT 1 FROM sqlite_schema WHERE name = 'models'").fetchone():
                    return db
            except BaseException:
                db.close()
                raise
            db.close()
        db = sqlite3.connect(":memory:")  # nothing is kept yet
        db.executescript(_SCHEMA)
        return db

    def nearest(self, weights: Mapping[str, Array], k: int = 10) -> list[tuple[str, float]]:
        """The k models whose weights look most like these, the surest first: candidates, no proof.

        Each has its key, and the mean cosine over the weights that both have, in the same place of
        the same shape, times the root of their number.
        """
        totals: dict[str, float] = {}
        counts: dict[str, int] = {}
        with self.reading() as db:
            for *where, kept in sketches(weights):
                sums = np.frombuffer(kept, dtype=np.float16)
                rows = db.execute(
                    "SELECT model, sums FROM sketches WHERE shape = ? AND place = ?", where
                ).fetchall()
                table = np.frombuffer(b"".join(row[1] for row in rows), dtype=np.float16)
                cosines = table.reshape(-1, SUMS).astype(np.float32) @ sums.astype(np.float32)
                for (model, _), cosine in zip(rows, cosines.tolist(), strict=True):
                    totals[model] = totals.get(model, 0.0) + cosine
                    counts[model] = counts.get(model, 0) + 1
        scores = {model: total / counts[model] ** 0.5 for model, total in totals.items()}
        return sorted(scores.items(), key=lambda pair: -pair[1])[:k]


def sketches(weights: Mapping[str, Array]) -> Sketches:
    """Every sketch, behind its shape and its place among the weights of that shape."""
    found = []
    seen: dict[str, int] = {}
    for values in weights.values():
        sums = weight_sketch(np.asarray(values))
        shape = json.dumps(list(np.shape(values)))
        place = seen.get(shape, 0)
        seen[shape] = place + 1
        if sums is not None:
            found.append((shape, place, sums.tobytes()))
    return found


def index_in(folder: Path) -> SketchIndex:
    """The index of a hub; where the hub may not be written, a copy that goes with the object."""
    place = folder / NAME
    if os.access(folder, os.W_OK) and (os.access(place, os.W_OK) or not place.exists()):
        return SketchIndex(place)
    work = Path(tempfile.mkdtemp(prefix="bequest-sketches-"))
    with suppress(OSError):  # there is none yet, or it may not be read
        shutil.copyfile(place, work / NAME)
    index = SketchIndex(work / NAME)
    weakref.finalize(index, shutil.rmtree, work, ignore_errors=True)
    return index
