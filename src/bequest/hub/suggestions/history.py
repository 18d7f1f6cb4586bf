"""What recorded outcomes say of a model on a task that it has not met.

n outcomes, M models, T tasks, P columns of evidence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

__all__ = ["COLUMNS", "SHRINK", "Evidence", "History", "Outcomes", "Target"]

Array = NDArray[Any]
COLUMNS = ("history", "reciprocity", "alike", "near", "own")
SHRINK = 1.0  # a mean of n outcomes counts n / (n + 1): one outcome less than it says


@final
@dataclass(frozen=True, eq=False)
class Outcomes:
    """Outcomes as arrays, one for a pair of model and task."""

    model: Array
    task: Array
    gain: Array  # in one unit, shape (n,) as are model and task
    trained_on: Array  # the task that each model was trained on, shape (M,); -1: none of the T
    tasks: int  # T
    # Shape (n,) each, standardised within their task; NaN where not known
    scores: Mapping[str, Array] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.gain)

    @property
    def models(self) -> int:
        """M."""
        return len(self.trained_on)

    def take(self, rows: Array) -> Outcomes:
        """Only these outcomes, of the same models and tasks."""
        scores = {name: values[rows] for name, values in self.scores.items()}
        parts = (self.model[rows], self.task[rows], self.gain[rows])
        return Outcomes(*parts, self.trained_on, self.tasks, scores)


@final
@dataclass(frozen=True, eq=False)
class Target:
    """The task that gains are wanted for."""

    task: int = -1  # its number; -1 where nothing is recorded of it
    alike: Array | None = None  # similarity of every task by sketches, 0 to 1, shape (T,)
    # Shape (M,), standardised within the target; NaN where not known
    scores: Mapping[str, Array] = field(default_factory=dict)


@final
@dataclass(frozen=True, eq=False)
class Evidence:
    """What speaks for every model, column by column.

    The columns: the model's shrunken mean ("history"); how models trained on the target did on the
    task that this one was trained on ("reciprocity"); the model's outcomes on the tasks that models
    trained on the target are good at ("alike"); its outcomes on the tasks with like sketches
    ("near"); the likeness of the task that it was trained on ("own"); scores, each less what the
    model usually has of it.
    """

    values: Array  # shape (M, P)
    counts: Array  # outcomes of the model on other tasks, shape (M,)
    known: Array  # whether anything at all is known of the model here, shape (M,)


@final
class _Means:
    """Every model's shrunken mean of values, NaN where not known, with and without one task."""

    def __init__(self, seen: Outcomes, values: Array) -> None:
        there = np.isfinite(values)
        model, task, values = seen.model[there], seen.task[there], values[there]
        place, size = (task, model), (seen.tasks, seen.models)
        self.number = csr_array((np.ones(len(values)), place), shape=size)
        self.rest = csr_array((values, place), shape=size)
        self._counts = np.bincount(model, minlength=seen.models).astype(float)
        self._sums = np.bincount(model, values, minlength=seen.models).astype(float)

    def without(self, task: int) -> tuple[Array, Array]:
        """How many values every model has on the other tasks, and their shrunken mean."""
        counts, sums = self._counts, self._sums
        if task >= 0:
            models, number = _row(self.number, task)
            counts, sums = counts.copy(), sums.copy()
            counts[models] -= number
            models, rest = _row(self.rest, task)
            sums[models] -= rest
        return counts, sums / (counts + SHRINK)


@final
class History:
    """Outcomes, laid out so that what they say for one task is added up at once.

    `residual` has their gains without what all models gain on that task, shape (n,).

    Examples
    --------
    >>> seen = Outcomes(np.array([0, 1]), np.array([0, 0]), np.array([0.1, -0.1]),
    ...                 np.array([-1, -1]), 1)
    >>> History(seen, seen.gain).evidence(Target()).values[:, 0].tolist()
    [0.05, -0.05]
    """

    def __init__(self, seen: Outcomes, residual: Array) -> None:
        self._origin = seen.trained_on
        size, place = (seen.models, seen.tasks), (seen.model, seen.task)
        # How many outcomes a model has on a task, and what they add up to.
        self._number = csr_array((np.ones(len(seen)), place), shape=size)
        self._rest = csr_array((residual, place), shape=size)
        self._gains = _Means(seen, residual)
        self._scores = {name: _Means(seen, values) for name, values in seen.scores.items()}
        self._has_origin = self._origin >= 0
        self._by_origin = np.argsort(self._origin, kind="stable")
        self._origins = self._origin[self._by_origin]
        trained = self._origin[self._has_origin]
        self._trained = np.bincount(trained, minlength=seen.tasks).astype(float)

    def evidence(
        self, target: Target, names: tuple[str, ...] = (), models: Array | None = None
    ) -> Evidence:
        """What the outcomes on *other* tasks say of models on one.

        `names` are the scores that are columns; `models` has the numbers of those asked about, in
        this order (all M where left out).
        """
        chosen = slice(None) if models is None else models
        counts, history = self._gains.without(target.task)
        rest, number = self._rest, self._number
        if models is not None:
            rest, number = rest[models], number[models]
        known = counts[chosen] > 0
        liking = self._liking(target.task, history)
        own, origin = history[chosen], self._origin[chosen]
        columns = [own, *_of_models_trained_here(liking, rest, number, own, origin)]
        columns += self._of_like_tasks(target, rest, number, own, origin, known)
        for name in names:
            values = target.scores.get(name, np.full(len(history), np.nan))[chosen]
            known |= np.isfinite(values)
            # Most of what scores say is the same on every task, and history says that better.
            values = values - self._scores[name].without(target.task)[1][chosen]
            columns.append(np.nan_to_num(values, nan=0.0))
        return Evidence(np.stack(columns, axis=1), counts[chosen], known)

    def _liking(self, task: int, history: Array) -> Array | None:
        """How good models that were trained on a task are at each of the others, shape (T,)."""
        first, last = np.searchsorted(self._origins, [task, task + 1])
        here = self._by_origin[first:last]
        if task < 0 or not len(here):
            return None
        number, rest = self._number[here], self._rest[here]
        counts: Array = np.asarray(number.sum(axis=0))
        counts[task] = 0.0
        met = np.flatnonzero(counts)
        if not len(met):
            return None
        # Against the other models that were trained on one of the tasks: models of another kind
        # stand elsewhere on a task as a whole.
        sourced = self._gains.number[met] @ self._has_origin
        usual = self._gains.rest[met] @ self._has_origin
        usual -= self._gains.number[met] @ np.where(self._has_origin, history, 0.0)
        found = np.asarray(rest.sum(axis=0))[met] - (number.T @ history[here])[met]
        liking = np.zeros(len(counts))
        found -= counts[met] * usual / np.maximum(sourced, 1)
        liking[met] = found / (counts[met] + SHRINK)
        return liking

    def _of_like_tasks(
        self, target: Target, rest: Any, number: Any, history: Array, origin: Array, known: Array
    ) -> list[Array]:
        """Near and own, by the sketches; marks in `known` the models that they speak of."""
        if target.alike is None:
            return [np.zeros(len(history)), np.zeros(len(history))]
        sketched = np.isfinite(target.alike)
        similar = np.where(sketched, target.alike, 0.0)
        said = (origin >= 0) & sketched[origin]
        known |= said
        all_said = self._trained @ sketched
        usual = self._trained @ similar / all_said if all_said else 0.0
        own = np.where(said, similar[origin] - usual, 0.0)
        if target.task >= 0:
            similar[target.task] = 0.0
        total = number @ similar
        return [(rest @ similar - history * total) / (total + SHRINK), own]


def _of_models_trained_here(
    liking: Array | None, rest: Any, number: Any, history: Array, origin: Array
) -> list[Array]:
    """Reciprocity and alike: what models that were trained on the target tell of other tasks."""
    if liking is None:
        return [np.zeros(len(history)), np.zeros(len(history))]
    has = origin >= 0
    alike = rest @ liking - history * (number @ liking)
    length = np.sqrt((liking**2).sum() + SHRINK)
    return [np.where(has, liking[origin], 0.0), np.where(has, alike, 0.0) / length]


def _row(matrix: Any, place: int) -> tuple[Array, Array]:
    first, last = matrix.indptr[place], matrix.indptr[place + 1]
    return matrix.indices[first:last], matrix.data[first:last]
