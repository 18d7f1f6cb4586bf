"""Which models of a hub are likely to help a task, before any of them is opened.

n outcomes, M models, the first C of them candidates, T tasks, F numbers a sketch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from bequest.core import Outcome, Task
from bequest.core.wording import pluralise
from bequest.errors import HubError
from bequest.hub.records.compatibility import may_become
from bequest.hub.records.entry import Entry
from bequest.hub.records.licences import checked_licence
from bequest.hub.records.names import name_and_version
from bequest.hub.sketches.task_sketch import local_sketch
from bequest.hub.storage.store import Snapshot
from bequest.hub.suggestions.gains import GainModel, Prediction
from bequest.hub.suggestions.history import COLUMNS, Outcomes, Target
from bequest.hub.suggestions.index_cache import NAME, load, save
from bequest.hub.suggestions.outcome_table import Gains, Kept, Key, key_of, standard

__all__ = ["Memory", "Suggestion"]

Array = NDArray[Any]
_LEAST_TASKS = 3  # with outcomes: how much tasks differ, nobody can tell from fewer
_WORTH_KEEPING = 5000  # rows that were read, from which on the next process is spared them
# The task's own embedding is taken from so many rows or numbers: the mean of more is the same.
_ROWS, _FEWEST, _NUMBERS = 2000, 200, 2**21
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
        Predicted gain over from scratch in the task's metric; NaN where none can be told.
    low, high : float
        Ends of the 95 % interval; infinite where no gain can be told.
    why : str
        What the prediction rests on.
    licence : str
        SPDX identifier.
    known : bool
        False where nothing tells its gain: no outcome, no score, and no outcome of others that
        would say what a like sketch is worth.
    likeness : float or None
        Cosine, from 0 to 1, of this task's sketch and that of the task it was trained on; None
        where there is none, and where gains are told.
    """

    name: str
    gain: float
    low: float
    high: float
    why: str
    licence: str
    known: bool = True
    likeness: float | None = None


@final
class Memory:
    """What a hub remembers for suggestions; told of entries and outcomes once, asked often."""

    def __init__(self) -> None:
        self._kept = Kept()
        self._fitted: dict[Key, _Fitted] = {}

    def catch_up(self, state: Snapshot, folder: Path) -> None:
        """Take in what a store holds and this memory does not yet, as `Kept.catch_up` does.

        What was read of a large one is kept in a folder, for the next process.
        """
        before, place = sum(self._kept.read), folder / NAME
        if not before:
            self._kept = load(place, state) or self._kept
            before = sum(self._kept.read)
        self._kept.catch_up(state)
        if sum(self._kept.read) - before >= _WORTH_KEEPING:
            save(self._kept, place, state)

    def learn(self, entries: Iterable[Entry] = (), outcomes: Iterable[Outcome] = ()) -> None:
        """Take in entries (the latest version of a name stands for it) and outcomes."""
        for entry in entries:
            self._kept.learn_entry(entry.to_dict())
        for outcome in outcomes:
            self._kept.learn_outcome(outcome.to_dict())

    def suggest(
        self,
        task: Task,
        k: int = 10,
        *,
        scores: Mapping[str, Mapping[str, float]] | None = None,
        licence: str | None = None,
    ) -> list[Suggestion]:
        """As `bequest.hub.Hub.suggest`."""
        if not isinstance(k, int) or k < 1:
            raise HubError(f"k must be a whole number from 1, not {k!r}.")
        wanted = None if licence is None else checked_licence(licence)
        said = task.describe()
        key, kept = key_of(said), self._kept
        fitted = self._fitted.get(key)
        if fitted is None or not fitted.holds(kept):
            fitted = self._fitted[key] = _Fitted(kept, key)
        return fitted.suggest(task, said.fingerprint, k, scores or {}, wanted)


class _Fitted:
    """The candidates for one kind of task, and the model of their gains."""

    def __init__(self, kept: Kept, key: Key) -> None:
        seen = kept.gains.get(key, Gains())
        self._kept, self._key, self._state = kept, key, (kept.entries, len(seen))
        candidates = kept.candidates(*key[:2])
        self.size = len(candidates)
        used = np.array(seen.model, dtype=int)
        others = np.unique(used)
        self.models = np.concatenate([candidates, others[~np.isin(others, candidates)]])
        self._place = np.full(len(kept.names), -1)
        self._place[self.models] = np.arange(len(self.models))
        origin = np.array(kept.origin, dtype=int)[self.models]
        tasks = np.unique(np.concatenate([np.array(seen.task, dtype=int), origin[origin >= 0]]))
        self._task = np.full(len(kept.tasks), -1)
        self._task[tasks] = np.arange(len(tasks))
        self._keep_sketches(tasks)
        on = np.where(origin >= 0, self._task[origin], -1) if len(tasks) else origin
        self._on = on
        self._met = len(set(seen.task))
        self._outcomes = self._pairs(seen, on, len(tasks)) if self._met >= _LEAST_TASKS else None
        self._fits: dict[tuple[str, ...], GainModel] = {}

    def holds(self, kept: Kept) -> bool:
        """Whether nothing has come since."""
        return self._state == (kept.entries, len(kept.gains.get(self._key, ())))

    def suggest(
        self,
        task: Task,
        fingerprint: str,
        k: int,
        scores: Mapping[str, Mapping[str, float]],
        licence: str | None,
    ) -> list[Suggestion]:
        allowed = self._allowed(licence)
        alike = self._alike(_embedding(task)[None])[0] if self._sketched.any() else None
        if self._outcomes is None:
            return self._without_outcomes(alike, np.flatnonzero(allowed), k)
        columns = self._columns(scores)
        model = self._fit(tuple(columns))
        known = self._kept.tasks.get(fingerprint, -1)
        number = int(self._task[known]) if 0 <= known < len(self._task) else -1
        found = model.predict(Target(number, alike, columns))
        order = _best(found, allowed, k)
        return [self._said(int(place), found, model.names) for place in order]

    def _without_outcomes(self, alike: Array | None, places: Array, k: int) -> list[Suggestion]:
        """Too few gains were seen to tell any: those trained on a like task stand first."""
        likeness = np.full(len(places), -np.inf)
        if alike is not None:
            on = self._on[places]
            likeness = np.where((on >= 0) & np.isfinite(alike[on]), alike[on], -np.inf)
        order = np.argsort(-likeness, kind="stable")[:k]
        return [self._unknown(int(places[n]), float(likeness[n])) for n in order]

    def _said(self, place: int, found: Prediction, names: tuple[str, ...]) -> Suggestion:
        if not found.evidence.known[place]:
            return self._unknown(place)
        mean, low, high = (float(end[place]) for end in (found.mean, found.low, found.high))
        why = _why(found.parts[place], int(found.evidence.counts[place]), names)
        return Suggestion(self._name(place), mean, low, high, why, self._licence(place))

    def _unknown(self, place: int, likeness: float = -np.inf) -> Suggestion:
        nan, far = float("nan"), float("inf")
        why = "nothing is known: no outcome, no sketch and no score speaks of it"
        if self._outcomes is None and (self._met or likeness >= 0):
            few = f"{pluralise(self._met, 'task')} of {_LEAST_TASKS}" if self._met else "no task"
            why = f"no gain is told: {few} with outcomes"
            if likeness >= 0:
                why += f"; the sketch of its own task is {likeness:.0%} like this one"
        licence = self._licence(place)
        alike = likeness if likeness >= 0 else None
        return Suggestion(self._name(place), nan, -far, far, why, licence, False, alike)

    def _name(self, place: int) -> str:
        number = int(self.models[place])
        return f"{self._kept.names[number]}@{self._kept.version[number]}"

    def _licence(self, place: int) -> str:
        return self._kept.licence[int(self.models[place])]

    def _allowed(self, licence: str | None) -> Array:
        """Which candidates' licences allow this one for what is made from them, shape (C,)."""
        if licence is None:
            return np.ones(self.size, dtype=bool)
        held = [self._licence(place) for place in range(self.size)]
        allows = {one: _allows(one, licence) for one in set(held)}
        return np.array([allows[one] for one in held], dtype=bool)

    def _pairs(self, seen: Gains, trained_on: Array, tasks: int) -> Outcomes:
        model, task = self._place[np.array(seen.model)], self._task[np.array(seen.task)]
        # Several outcomes of one pair are one, their mean: a race that was run twice says no more.
        pairs, place = np.unique(model * tasks + task, return_inverse=True)
        gain = np.bincount(place, seen.gain) / np.bincount(place)
        scores = {}
        for name in sorted(seen.scores):
            own, scores[name] = seen.score(name), np.full(len(pairs), np.nan)
            known = np.isfinite(own)
            scores[name][place[known]] = own[known]
        return Outcomes(*divmod(pairs, tasks), gain, trained_on, tasks, scores)

    def _fit(self, names: tuple[str, ...]) -> GainModel:
        """The model that was learned with these scores: without one, others weigh differently."""
        if names not in self._fits:
            assert self._outcomes is not None
            alike = self._alike_tasks if self._sketched.any() else None
            self._fits[names] = GainModel(self._outcomes, names=names, alike=alike)
        return self._fits[names]

    def _keep_sketches(self, tasks: Array) -> None:
        known = self._kept.sketches
        self._sketched = np.array([number in known for number in tasks.tolist()], dtype=bool)
        if self._sketched.any():
            rows = np.stack([known[number] for number in tasks[self._sketched].tolist()])
            self._embedded = np.zeros((len(tasks), rows.shape[1]), dtype=np.float32)
            self._embedded[self._sketched] = rows

    def _alike(self, rows: Array) -> Array:
        near: Array = np.clip(rows.astype(np.float32) @ self._embedded.T, 0.0, 1.0)
        near[:, ~self._sketched] = np.nan
        return near

    def _alike_tasks(self, tasks: Array) -> Array:
        near = self._alike(self._embedded[tasks])
        near[~self._sketched[tasks]] = np.nan
        return near

    def _columns(self, scores: Mapping[str, Mapping[str, float]]) -> dict[str, Array]:
        """The scores that are given here and that outcomes had, standardised."""
        columns: dict[str, Array] = {}
        known = self._kept.models
        places = {name: known.get(name_and_version(name)[0], -1) for name in scores}
        for score in self._outcomes.scores if self._outcomes is not None else ():
            values = np.full(len(self.models), np.nan)
            for name, own in scores.items():
                if 0 <= places[name] < len(self._place) and self._place[places[name]] >= 0:
                    values[self._place[places[name]]] = own.get(score, np.nan)
            values = standard(values)
            if np.isfinite(values).any():
                columns[score] = values
        return columns


def _best(found: Prediction, allowed: Array, k: int) -> Array:
    """The k candidates with the highest gain; those of which nothing is known last."""
    size = len(allowed)
    value = np.where(found.evidence.known[:size], found.mean[:size], -np.inf)
    places = np.flatnonzero(allowed)
    if k < len(places):
        least = np.partition(value[places], -k)[-k]
        above = places[value[places] > least]
        level = places[value[places] == least]
        places = np.concatenate([above, level[: k - len(above)]])
    return places[np.argsort(-value[places], kind="stable")]


def _embedding(task: Task) -> Array:
    """The `local_sketch` of a task, of length 1."""
    rows = min(_ROWS, max(_FEWEST, _NUMBERS // int(np.prod(task.spec.shape or (1,)))))
    if len(task) > rows:
        task = task.take(np.linspace(0, len(task) - 1, rows).astype(int))
    found = local_sketch(task)
    return np.asarray(found.mean / np.sqrt(found.size))


def _allows(held: str, licence: str) -> bool:
    try:
        return may_become(held, licence)
    except HubError:  # a licence that is none, from an older or another hub
        return False


def _why(parts: Array, count: int, scores: tuple[str, ...]) -> str:
    """The evidence that moved the prediction, the strongest first."""
    names = (*COLUMNS, *scores)
    said = [f"{pluralise(count, 'outcome')} on other tasks"] if count else []
    for place in np.argsort(-np.abs(parts), kind="stable"):
        name, part = names[place], float(parts[place])
        if part == 0.0 or name == "history":
            continue
        said.append(f"{_SAID.get(name, f'its {name}')} ({part:+.2g})")
    return "; ".join(said) if said else "nothing beyond what models gain on average"
