"""What a frozen source gives for a row is computed once in a run, and kept.

N samples. A row is known by the sha256 of its exact bytes, a source by the object that computes: so
ranking, folds, arms, learning curve and held-out rows share one forward pass of each row.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from threading import RLock
from typing import Any, Self, final

import numpy as np
from numpy.typing import NDArray

from bequest.core.computed_once import once
from bequest.core.inputs import Inputs, modality_of
from bequest.core.task import Task
from bequest.errors import ModelError

__all__ = ["FeatureCache", "cached", "taken", "uncached"]

Array = NDArray[Any]
IN_MEMORY = 2**30  # bytes of rows; what is beyond goes to disk
logger = logging.getLogger(__name__)


def cached(owner: object, key: str, inputs: Inputs, compute: Callable[[Inputs], Array]) -> Array:
    """What `compute` gives for these inputs, an array with N rows; kept rows are not asked again.

    Parameters
    ----------
    owner : object
        What computes: a module, an estimator, a function. Only what the owners of a run's sources
        give is kept; what others give, inside of `computed_once` only.
    key : str
        What is computed and from which preprocessing, where one owner computes several things.
    inputs : Inputs
        N samples.
    compute : callable
        Gives a row for each sample, whatever the other samples are.

    Raises
    ------
    ModelError
        `compute` gives another number of rows, or rows of another shape than before.
    """
    active = _ACTIVE.get()
    digest = None if active is None else active.cache.owner(owner)
    if active is None or digest is None:
        return once(owner, key, inputs, compute)
    return active.cache.rows((digest, key), active.digests(inputs), inputs, compute)


@contextmanager
def uncached() -> Iterator[None]:
    """Compute everything inside, also where a cache is in use: for whoever measures time."""
    before = _ACTIVE.set(None)
    try:
        yield
    finally:
        _ACTIVE.reset(before)


def taken(task: Task, rows: Array) -> Task:
    """`task.take(rows)`, whose rows need not be hashed again where a cache is in use."""
    part = task.take(rows)
    active = _ACTIVE.get()
    if active is not None and active.cache.holds_owners:
        active.known.append((part.inputs, [active.digests(task.inputs)[rows]]))
    return part


@final
@dataclass(eq=False)
class FeatureCache:
    """Rows of the sources of one run; a context manager that removes its files at the end.

    It can be pickled, with the sources in the same pickle: a copy, which writes no files, starts
    with the rows at hand. Threads may share it.

    Parameters
    ----------
    limit : int
        Bytes in memory; the oldest rows beyond it are written to disk.

    Examples
    --------
    >>> seen = []
    >>> def double(X):
    ...     seen.append(len(X))
    ...     return 2 * X
    >>> X = np.arange(4, dtype=np.float32)[:, None]
    >>> with FeatureCache() as cache, cache.used():
    ...     cache.add(double)
    ...     kept = [cached(double, "", X[rows], double)[:, 0].tolist() for rows in ([0, 1], [1, 2])]
    >>> kept, seen
    ([[0.0, 2.0], [2.0, 4.0]], [2, 1])
    """

    limit: int = IN_MEMORY
    _owners: dict[int, tuple[object, str]] = field(default_factory=dict)
    _shelves: dict[tuple[str, str], _Shelf] = field(default_factory=dict)
    _hashed: list[tuple[Inputs, list[Array]]] = field(default_factory=list)
    _folder: Path | None = None
    _full: bool = False  # no file is written: the disk is full, or this is a worker's copy
    _lock: Any = field(default_factory=RLock)

    def add(self, owner: object) -> None:
        """Keep the rows of this owner; what another one computes is never taken for them.

        Not even where both hold the same weights: what a network computes is in its code, too.
        """
        self._owners.setdefault(id(owner), (owner, f"owner {len(self._owners)}"))

    @property
    def holds_owners(self) -> bool:
        """Whether there is a source whose rows are kept."""
        return bool(self._owners)

    def owner(self, owner: object) -> str | None:
        """The name under which an owner's rows are kept; None where it was not added."""
        return self._owners.get(id(owner), (None, None))[1]

    @contextmanager
    def used(self, task: Task | None = None) -> Iterator[None]:
        """Keep rows inside, and look them up; those of `task` are hashed once in the whole run."""
        if task is not None and not any(known is task.inputs for known, _ in self._hashed):
            self._hashed.append((task.inputs, []))
        before = _ACTIVE.set(_Active(self, [*self._hashed]))
        try:
            yield
        finally:
            _ACTIVE.reset(before)

    def rows(
        self,
        shelf: tuple[str, str],
        digests: Array,
        inputs: Inputs,
        compute: Callable[[Inputs], Array],
    ) -> Array:
        """The row of each input, computed for those that are not on the shelf."""
        with self._lock:
            held = self._shelves.setdefault(shelf, _Shelf())
        with held.lock:  # one source's alone: a source that hangs must not hold up the others
            return self._rows(held, digests, inputs, compute)

    def _rows(
        self,
        held: _Shelf,
        digests: Array,
        inputs: Inputs,
        compute: Callable[[Inputs], Array],
    ) -> Array:
        names = digests.tolist()
        for _ in range(2):  # once more where a file has vanished
            first = {name: place for place, name in reversed([*enumerate(names)])}
            new = sorted(place for name, place in first.items() if name not in held.places)
            if new:
                values = np.asarray(compute(inputs if len(new) == len(names) else inputs[new]))
                held.put([names[place] for place in new], values)
            found = held.take(names)
            if found is not None:
                self._spill()
                return found
        return np.asarray(compute(inputs))

    def _spill(self) -> None:
        with self._lock:
            blocks = [block for shelf in self._shelves.values() for block in shelf.blocks]
            size = sum(block.size for block in blocks)
            for block in blocks:
                if size <= self.limit:
                    return
                size -= block.size
                self._write(block)

    def _write(self, block: _Block) -> None:
        """To disk; where that is full, the rows are forgotten and computed again when needed."""
        if block.array is None or self._full:
            block.array = None
            return
        try:
            if self._folder is None:
                self._folder = Path(tempfile.mkdtemp(prefix="bequest-features-"))
            path = self._folder / f"{os.getpid()}-{id(block)}.npy"
            np.save(path, block.array)
        except OSError as error:
            logger.warning("features are not kept, and computed again: %s.", error.strerror)
            self._full, path = True, None
        block.path, block.array = path, None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for held in (self._shelves, self._owners, self._hashed):
            held.clear()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def __getstate__(self) -> dict[str, Any]:
        owners = list(self._owners.values())
        return {"limit": self.limit, "owners": owners, "shelves": self._shelves}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.limit, self._shelves, self._folder = state["limit"], state["shelves"], None
        self._hashed, self._full, self._lock = [], True, RLock()
        self._owners = {id(owner): (owner, digest) for owner, digest in state["owners"]}


@dataclass(eq=False)
class _Block:
    """Rows that were computed together, in memory or in a file; in neither, they are lost."""

    array: Array | None
    path: Path | None = None

    @property
    def size(self) -> int:
        array = self.array  # read once: another thread may write it to disk
        return 0 if array is None else array.nbytes

    def read(self) -> Array | None:
        array = self.array
        if array is not None:
            return array
        try:
            return None if self.path is None else np.load(self.path)
        except (OSError, ValueError):
            return None


@dataclass(eq=False)
class _Shelf:
    """What one owner computes: blocks of rows, and the place of each row by its digest."""

    blocks: list[_Block] = field(default_factory=list)
    places: dict[bytes, tuple[int, int]] = field(default_factory=dict)
    shape: tuple[int, ...] | None = None
    dtype: Any = None  # that holds the values of every block
    lock: Any = field(default_factory=RLock)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "lock"}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        vars(self).update(state, lock=RLock())

    def put(self, names: list[bytes], values: Array) -> None:
        if values.ndim == 0 or len(values) != len(names):
            raise ModelError(f"the source gives shape {values.shape} for {len(names)} rows.")
        if self.shape not in (None, values.shape[1:]):
            raise ModelError(
                f"the source gives rows of shape {values.shape[1:]}, and gave {self.shape} before."
            )
        self.shape = values.shape[1:]
        self.dtype = values.dtype if self.dtype is None else np.result_type(self.dtype, values)
        self.places.update({name: (len(self.blocks), row) for row, name in enumerate(names)})
        self.blocks.append(_Block(values))

    def take(self, names: list[bytes]) -> Array | None:
        """The rows; None where some are lost, which are then no longer on the shelf."""
        at = np.array([self.places[name] for name in names]).reshape(-1, 2)
        result: Array | None = None
        for number in np.unique(at[:, 0]):
            block = self.blocks[number].read()
            if block is None:
                self.places = {k: v for k, v in self.places.items() if v[0] != number}
                result = None
                break
            wanted = at[:, 0] == number
            if result is None:
                result = np.empty((len(names), *block.shape[1:]), dtype=self.dtype)
            result[wanted] = block[at[wanted, 1]]
        return result


@dataclass(eq=False)
class _Active:
    """A cache in use, and the inputs at hand whose rows need not be hashed again."""

    cache: FeatureCache
    known: list[tuple[Inputs, list[Array]]]  # a list of one array, empty before it is asked for

    def digests(self, inputs: Inputs) -> Array:
        """The sha256 of each row, shape (N,)."""
        held = next((held for known, held in self.known if known is inputs), [])
        if not held:
            held.append(modality_of(inputs).row_digests(inputs))
        return held[0]


_ACTIVE: ContextVar[_Active | None] = ContextVar("feature_cache", default=None)
