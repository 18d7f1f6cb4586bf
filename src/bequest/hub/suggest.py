"""Which models of a hub are likely to help a task, before any of them is opened.

n outcomes, M models, T tasks, F numbers a sketch.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from bequest.core import Outcome, Task
from bequest.core.wording import counted
from bequest.errors import Damaged, DataError, HubError
from bequest.hub import rows
from bequest.hub.entry import Entry
from bequest.hub.history import COLUMNS, GainModel, Outcomes, Prediction, Target
from bequest.hub.sketch import TaskSketch, task_features

__all__ = ["Memory", "Suggestion"]

Array = NDArray[Any]
_SAID = {
    "reciprocity": "models trained on this task helped the task that it was trained on",
    "alike": "it did well on tasks that models trained on this task are good at",
    "near": "it did well on tasks with like sketches",
    "own": "it was trained on a task with a like sketch",
}


@final
@dataclass(frozen=True)
class Suggestion:
    """A model of the hub, and what it is expected to gain on a task.

    Parameters
    ----------
    name : str
        ``name@version``.
    gain : float
        Predicted gain over from scratch in the task's metric; NaN where nothing is known.
    low, high : float
        Ends of the 95 % interval; infinite where nothing is known.
    why : str
        What the prediction rests on.
    licence : str
        SPDX identifier.
    known : bool
        False where neither outcomes, nor a sketch, nor a score speak of this model.
    """

    name: str
    gain: float
    low: float
    high: float
    why: str
    licence: str
    known: bool = True


@final
@dataclass
class _Metric:
    """The outcomes of one kind of task and one metric, as they come in."""

    source: list[str] = field(default_factory=list)
    task: list[str] = field(default_factory=list)
    gain: list[float] = field(default_factory=list)
    scores: list[Mapping[str, float]] = field(default_factory=list)


@final
class Memory:
    """What a hub remembers for suggestions; told of entries and outcomes once, asked often.

    Examples
    --------
    >>> Memory().suggest(Task.from_arrays(np.eye(4), [0, 1, 0, 1]))
    []
    """

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._metrics: dict[tuple[str, str, str], _Metric] = {}
        self._sketches: dict[str, TaskSketch] = {}
        self._fitted: dict[tuple[str, str, str], _Fitted] = {}
        self._state: tuple[int, int | None] = (0, None)  # of the table of entries
        self._read = 0  # the last outcome that was read

    def catch_up(self, db: sqlite3.Connection) -> None:
        """Take in what the registry holds and this memory does not yet.

        Raises
        ------
        Damaged
            An outcome was altered; entries that were are left out.
        """
        state = db.execute("SELECT count(*), max(rowid) FROM entries").fetchone()
        if state != self._state:
            found = rows.entries(db, "", every=False)
            self.learn(entry for entry in found if isinstance(entry, Entry))
            self._state = state
        new = db.execute(
            "SELECT number, digest, record FROM outcomes WHERE number > ? ORDER BY number",
            (self._read,),
        )
        for number, digest, record in new:
            if hashlib.sha256(record.encode()).hexdigest() != digest:
                raise Damaged(f"the outcome {digest[:12]} in the registry was altered.")
            self.learn(outcomes=[Outcome.from_json(record)])
            self._read = number

    def learn(self, entries: Iterable[Entry] = (), outcomes: Iterable[Outcome] = ()) -> None:
        """Take in entries (the latest version of a name stands for it) and outcomes."""
        for entry in entries:
            self._entries[entry.name] = entry
            self._keep_sketch(entry.card.task)
            self._fitted.clear()
        for outcome in outcomes:
            self._keep_sketch(outcome.target)
            key, fingerprint = _key(outcome.target), outcome.target.get("fingerprint")
            if not (outcome.source and fingerprint and np.isfinite(outcome.verdict.gain)):
                continue
            kept = self._metrics.setdefault(key, _Metric())
            kept.source.append(outcome.source.split("@")[0])
            kept.task.append(str(fingerprint))
            kept.gain.append(outcome.verdict.gain)
            kept.scores.append(_standing(outcome))
            self._fitted.pop(key, None)

    def suggest(
        self, task: Task, k: int = 10, *, scores: Mapping[str, Mapping[str, float]] | None = None
    ) -> list[Suggestion]:
        """The k models with the highest predicted gain, those of which nothing is known last.

        Parameters
        ----------
        task : Task
        k : int
            At least 1.
        scores : mapping of str to mapping, optional
            Transferability scores by name of the model where they are at hand.

        Returns
        -------
        list of Suggestion
        """
        if not isinstance(k, int) or k < 1:
            raise HubError(f"k must be a whole number from 1, not {k!r}.")
        said = task.describe()
        key = _key(said)
        if key not in self._fitted:
            self._fitted[key] = _Fitted(self._candidates(said), self._metrics.get(key), self)
        return self._fitted[key].suggest(task, said, k, scores or {})

    def _candidates(self, said: Mapping[str, Any]) -> list[Entry]:
        return [
            entry
            for entry in self._entries.values()
            if entry.card.task.get("modality", said["modality"]) == said["modality"]
            and entry.card.task.get("kind", said["kind"]) == said["kind"]
        ]

    def _keep_sketch(self, about: Mapping[str, Any]) -> None:
        if "sketch" not in about or "fingerprint" not in about:
            return
        try:
            found = TaskSketch.from_dict(about["sketch"])
        except DataError:  # somebody else's, of another version or damaged: it says nothing
            return
        self._sketches.setdefault(str(about["fingerprint"]), found)


class _Fitted:
    """The candidates for one kind of task, and the model of their gains."""

    def __init__(self, entries: list[Entry], seen: _Metric | None, memory: Memory) -> None:
        self.entries = entries
        seen = seen or _Metric()
        models = dict.fromkeys([entry.name for entry in entries])
        models.update(dict.fromkeys(seen.source))
        origins = [str(entry.card.task.get("fingerprint", "")) for entry in entries]
        tasks = dict.fromkeys([*seen.task, *filter(None, origins)])
        self.models = {name: place for place, name in enumerate(models)}
        self.tasks = {name: place for place, name in enumerate(tasks)}
        self.trained_on = np.full(len(models), -1)
        self.trained_on[: len(entries)] = [self.tasks.get(name, -1) for name in origins]
        self._keep_sketches(memory._sketches)
        self.model = self._fit(seen) if seen.gain else None

    def suggest(
        self, task: Task, said: Mapping[str, Any], k: int, scores: Mapping[str, Mapping[str, float]]
    ) -> list[Suggestion]:
        if self.model is None:
            return [_unknown(entry) for entry in self.entries[:k]]
        number = self.tasks.get(str(said["fingerprint"]), -1)
        alike = self._alike(_embedding(task)) if self.sketched.any() else None
        found = self.model.predict(Target(number, alike, self._columns(scores)))
        size = len(self.entries)
        order = np.lexsort((-found.mean[:size], ~found.evidence.known[:size]))[:k]
        return [self._said(int(place), found) for place in order]

    def _said(self, place: int, found: Prediction) -> Suggestion:
        entry = self.entries[place]
        if not found.evidence.known[place] or self.model is None:
            return _unknown(entry)
        mean, low, high = (float(end[place]) for end in (found.mean, found.low, found.high))
        why = _why(found.parts[place], int(found.evidence.counts[place]), self.model.names)
        return Suggestion(str(entry), mean, low, high, why, entry.licence)

    def _fit(self, seen: _Metric) -> GainModel:
        model = np.array([self.models[name] for name in seen.source])
        task = np.array([self.tasks[name] for name in seen.task])
        # Several outcomes of one pair are one, their mean: a race that was run twice says no more.
        pairs, place = np.unique(model * len(self.tasks) + task, return_inverse=True)
        names = sorted(set().union(*seen.scores))
        gain = np.bincount(place, seen.gain) / np.bincount(place)
        scores = {}
        for name in names:
            values = np.full(len(pairs), np.nan)
            values[place] = [own.get(name, np.nan) for own in seen.scores]
            scores[name] = values
        pair = divmod(pairs, len(self.tasks))
        outcomes = Outcomes(*pair, gain, self.trained_on, len(self.tasks), scores)
        return GainModel(outcomes, alike=self._alike_task if self.sketched.any() else None)

    def _keep_sketches(self, known: Mapping[str, TaskSketch]) -> None:
        self.embedded: Array = np.zeros((len(self.tasks), 0), dtype=np.float32)
        found = [known.get(name) for name in self.tasks]
        self.sketched = np.array([one is not None for one in found], dtype=bool)
        if self.sketched.any():
            rows = [None if one is None else _unit(one) for one in found]
            width = next(len(row) for row in rows if row is not None)
            blank = np.zeros(width)
            self.embedded = np.array([blank if r is None else r for r in rows], dtype=np.float32)

    def _alike(self, row: Array) -> Array:
        near = np.clip(self.embedded @ row.astype(np.float32), 0.0, 1.0).astype(float)
        return np.where(self.sketched, near, np.nan)

    def _alike_task(self, task: int) -> Array | None:
        return self._alike(self.embedded[task]) if self.sketched[task] else None

    def _columns(self, scores: Mapping[str, Mapping[str, float]]) -> dict[str, Array]:
        columns: dict[str, Array] = {}
        names = self.model.names if self.model is not None else ()
        for score in names:
            values = np.full(len(self.models), np.nan)
            for name, own in scores.items():
                place = self.models.get(name.split("@")[0])
                if place is not None:
                    values[place] = own.get(score, np.nan)
            columns[score] = _standard(values)
        return columns


def _embedding(task: Task) -> Array:
    """The embedding of a task that stays here: noise has no place where nothing is published."""
    features = task_features(task).mean(axis=0)
    return np.asarray(features / np.linalg.norm(features))


def _unit(found: TaskSketch) -> Array:
    return np.asarray(found.mean / np.sqrt(found.size))


def _key(about: Mapping[str, Any]) -> tuple[str, str, str]:
    return (str(about.get("modality")), str(about.get("kind")), str(about.get("metric")))


def _standing(outcome: Outcome) -> dict[str, float]:
    """The scores of the source that was used, standardised among those ranked beside it."""
    found: dict[str, float] = {}
    ranked = outcome.ranking
    for place, entry in enumerate(ranked):
        if entry.source == outcome.source:
            for name in entry.scores:
                values = np.array([other.scores.get(name, np.nan) for other in ranked], float)
                found[name] = float(_standard(values)[place])
    return found


def _standard(values: Array) -> Array:
    known = np.isfinite(values)
    if known.sum() < 2 or values[known].std() == 0:
        return np.full(len(values), np.nan)
    return np.asarray(
        (np.where(known, values, np.nan) - values[known].mean()) / values[known].std()
    )


def _why(parts: Array, count: int, scores: tuple[str, ...]) -> str:
    """The evidence that moved the prediction, the strongest first."""
    names = (*COLUMNS, *scores)
    said = [f"{counted(count, 'outcome')} on other tasks"] if count else []
    for place in np.argsort(-np.abs(parts), kind="stable"):
        name, part = names[place], float(parts[place])
        if part == 0.0 or name == "history":
            continue
        said.append(f"{_SAID.get(name, f'its {name}')} ({part:+.2g})")
    return "; ".join(said) if said else "nothing beyond what models gain on average"


def _unknown(entry: Entry) -> Suggestion:
    nan, far = float("nan"), float("inf")
    why = "nothing is known: no outcome, no sketch and no score speaks of it"
    return Suggestion(str(entry), nan, -far, far, why, entry.licence, known=False)
