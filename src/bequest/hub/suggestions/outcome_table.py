"""What a store says of models, tasks and gains, in a few bytes a row."""

from __future__ import annotations

import logging
import math
import sys
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from bequest.core import TaskSummary
from bequest.errors import Damaged, DataError
from bequest.hub.records.names import name_and_version
from bequest.hub.sketches.task_sketch import TaskSketch
from bequest.hub.storage.row_hash import UNSOUND, Altered
from bequest.hub.storage.store import Snapshot

__all__ = ["Gains", "Kept", "Key", "key_of", "standard"]

logger = logging.getLogger(__name__)

Array = NDArray[Any]
Key = tuple[str, str, str]  # modality, kind and metric of a task
_ABSENT = -1
_LARGEST = 1e12  # gain; beyond it squares of gains lose all that others say


@final
@dataclass
class Gains:
    """The outcomes of one kind of task and one metric: numbers of models and tasks, and gains."""

    model: array[int] = field(default_factory=lambda: array("l"))
    task: array[int] = field(default_factory=lambda: array("l"))
    gain: array[float] = field(default_factory=lambda: array("d"))
    # By name of the score: rows that have it, and what it says, standardised within the task.
    scores: dict[str, tuple[array[int], array[float]]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.gain)

    def score(self, name: str) -> Array:
        """One score of every outcome; NaN where not known."""
        values = np.full(len(self), np.nan)
        places, known = self.scores[name]
        values[np.array(places, dtype=int)] = known
        return values


@final
class Kept:
    """What is kept of entries and outcomes; models and tasks are numbers in order of appearance.

    Examples
    --------
    >>> kept = Kept()
    >>> kept.learn_entry({"name": "a", "version": 1, "card": {"licence": "MIT", "task": {}}})
    >>> kept.names, kept.candidates("vector", "classification").tolist()
    (['a'], [0])
    """

    def __init__(self) -> None:
        self.models: dict[str, int] = {}
        self.names: list[str] = []
        self.version = array("l")  # -1 where an outcome speaks of it, but no entry
        self.licence: list[str] = []
        self.origin = array("l")  # the task that it was trained on, or -1
        self.tasks: dict[str, int] = {}
        self.sketches: dict[int, Array] = {}  # by task: mean embedding of length 1
        self.gains: dict[Key, Gains] = {}
        self.entries = 0  # counts up with every entry that was learned
        self.read = [0, 0]  # the last rows of entries and of outcomes
        self.kind = array("l")  # by model: a number of `kinds`, or -1
        self.kinds: dict[tuple[Any, Any], int] = {}  # modality and kind of the task trained on

    def catch_up(self, state: Snapshot) -> None:
        """Take in what is new in a store; `Damaged` where an outcome was altered.

        Entries that were are left out, and so are rows of others that hold values of another kind.
        """
        last = state.newest()
        if last.entries < self.read[0] or last.outcomes < self.read[1]:
            vars(self).update(vars(Kept()))  # rows are never removed: it is another store
        self._read_entries(state)
        self._read_outcomes(state)

    def learn_entry(self, entry: Mapping[str, Any]) -> None:
        """Take in an entry, as plain values; the latest version of a name stands for it."""
        card = entry["card"]
        task, number = TaskSummary.from_dict(card["task"]), self._model(entry["name"])
        if entry["version"] < self.version[number]:
            return
        self.entries += 1
        self.version[number] = entry["version"]
        self.licence[number] = sys.intern(card["licence"])
        kind = (task.modality, task.kind)
        self.kind[number] = self.kinds.setdefault(kind, len(self.kinds))
        self.origin[number] = self._task(task) if task.fingerprint else _ABSENT

    def learn_outcome(self, outcome: Mapping[str, Any]) -> None:
        """Take in an outcome, as plain values; one without a source or a gain says nothing."""
        target, source = TaskSummary.from_dict(outcome["target"]), outcome["source"]
        gain = outcome["verdict"]["gain"]
        if not target.fingerprint:
            return
        task = self._task(target)
        if not source or not _finite(gain) or abs(gain) > _LARGEST:
            return
        # Read whole before anything is kept: it may be unsound at its end.
        model, standing = name_and_version(source)[0], list(_standing(source, outcome["ranking"]))
        kept = self.gains.setdefault(key_of(target), Gains())
        row = len(kept)
        kept.model.append(self._model(model))
        kept.task.append(task)
        kept.gain.append(float(gain))
        for name, value in standing:
            places, values = kept.scores.setdefault(name, (array("l"), array("d")))
            places.append(row)
            values.append(value)

    def candidates(self, modality: str, kind: str) -> Array:
        """Numbers of the models whose cards say nothing against such a task."""
        fits = [
            place
            for (its_modality, its_kind), place in self.kinds.items()
            if its_modality in ("", modality) and its_kind in ("", kind)
        ]
        return np.flatnonzero(np.isin(np.array(self.kind, dtype=int), fits))

    def _read_entries(self, state: Snapshot) -> None:
        for row in state.entries_after(self.read[0]):
            self.read[0] = row.number
            try:
                entry = row.values("the row")
                if (entry["name"], entry["version"]) != (row.name, row.version):
                    raise ValueError("the row is that of another entry")
                self.learn_entry(entry)
            except UNSOUND as error:
                logger.warning("%s@%s of the hub is left out: %s.", row.name, row.version, error)
                self._forget(str(row.name), row.version)

    def _read_outcomes(self, state: Snapshot) -> None:
        for row in state.outcomes_after(self.read[1]):
            what = f"the outcome {row.hash[:12]} in the registry"
            try:
                self.learn_outcome(row.values(what))
            except Altered as error:
                raise Damaged(f"{error}.") from error
            except UNSOUND as error:
                logger.warning("%s is left out: %r.", what, error)
            self.read[1] = row.number

    def _forget(self, name: str, version: Any) -> None:
        number = self._model(name)
        if isinstance(version, int) and version >= self.version[number]:
            self.version[number], self.kind[number] = version, _ABSENT
            self.entries += 1

    def _model(self, name: str) -> int:
        number = self.models.setdefault(name, len(self.models))
        if number == len(self.names):
            self.names.append(name)
            self.licence.append("")
            for column in (self.version, self.origin, self.kind):
                column.append(_ABSENT)
        return number

    def _task(self, about: TaskSummary) -> int:
        number = self.tasks.setdefault(about.fingerprint, len(self.tasks))
        if about.sketch and number not in self.sketches:
            try:
                found = TaskSketch.from_dict(about.sketch)
            except DataError:  # somebody else's, of another version or damaged: it says nothing
                return number
            self.sketches[number] = found.embedding
        return number


def key_of(about: TaskSummary) -> Key:
    """Outcomes of tasks with another key say nothing of this one."""
    return (about.modality, about.kind, about.metric)


def standard(values: Array) -> Array:
    """Mean 0 and deviation 1; NaN throughout where fewer than two are known, or all are equal."""
    known = np.isfinite(values)
    if known.sum() < 2 or values[known].std() == 0:
        return np.full(len(values), np.nan)
    return np.asarray(
        (np.where(known, values, np.nan) - values[known].mean()) / values[known].std()
    )


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _standing(source: str, ranked: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, float]]:
    """The scores of the source that was used, standardised among those ranked beside it."""
    for one in ranked:
        if one["source"] != source:
            continue
        for name, value in one["scores"].items():
            values = [other["scores"].get(name) for other in ranked]
            known = [float(value) for value in values if _finite(value)]
            # Plain Python: this is done for every outcome, and numpy takes ten times as long.
            mean = sum(known) / max(len(known), 1)
            spread = math.sqrt(sum((v - mean) ** 2 for v in known) / max(len(known), 1))
            if _finite(value) and spread > 0:
                yield str(name), (value - mean) / spread
