"""Gains predicted from a hub's own history, with intervals that say what they promise.

n outcomes, M models, T tasks, P columns of evidence, r rows of tasks that were held out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls
from scipy.stats import norm
from scipy.stats import t as student

from bequest.hub.suggestions.history import COLUMNS, SHRINK, Evidence, History, Outcomes, Target

__all__ = ["GainModel", "Prediction"]

Array = NDArray[Any]
_STRENGTHS = (1.0, 10.0, 100.0, 1000.0)  # ridges to choose from, in rows of outcomes
_TASKS = 200  # tasks that the weights are learned on; more change nothing but the time
_FOLDS = 30
_OF_OUTCOMES = [COLUMNS.index(name) for name in ("history", "alike", "near")]


@final
@dataclass(frozen=True, eq=False)
class Prediction:
    """Predicted gains of every model."""

    mean: Array  # shape (M,), as are low and high
    low: Array
    high: Array
    parts: Array  # what each column adds to the mean, shape (M, P)
    evidence: Evidence


@final
@dataclass(frozen=True, eq=False)
class _Held:
    """Every outcome of the tasks that were held out in turn, r rows."""

    place: Array  # which outcome it is
    task: Array
    design: Array  # the evidence from the other tasks, shape (r, P)
    counts: Array  # outcomes of its model on other tasks
    near: Array  # what the sketches foretell of the task as a whole


@final
class GainModel:
    """Gains from the hub's own history: columns of evidence, weighed by what they were worth.

    Each past task is held out in turn, the evidence for its models is computed from the others, and
    one weight per column, none negative, is learned by ridge regression towards history alone: the
    other columns count as far as they show that they add to it. The strength of the ridge and the
    interval's width come from the tasks held out.

    `names` are the scores to learn with (all where left out), ``alike(tasks)`` is the similarity of
    tasks by their sketches, shape (len(tasks), T), and `level` the coverage of the intervals.

    References
    ----------
    Hoerl and Kennard, "Ridge regression", Technometrics, 1970 (with a prior mean that is not zero:
    Lindley and Smith, "Bayes estimates for the linear model", 1972);
    Satterthwaite, 1946 (the degrees of freedom of two variances).
    """

    def __init__(
        self,
        outcomes: Outcomes,
        *,
        names: tuple[str, ...] | None = None,
        alike: Callable[[Array], Array] | None = None,
        level: float = 0.95,
    ) -> None:
        self.names = tuple(sorted(outcomes.scores)) if names is None else names
        self._effects = _TaskEffects(outcomes)
        self._history = History(outcomes, self._effects.residual)
        held = self._hold_out(outcomes, alike)
        wanted = self._effects.residual[held.place]
        spread = held.design.std(axis=0)
        self._scale = np.where(spread > 1e-9, spread, np.inf)
        self._reach = np.abs(held.design).max(axis=0)
        self._reach[0] = np.inf
        alone = np.zeros(len(spread))
        alone[0] = spread[0]  # the model's shrunken mean, as it is
        folds = np.unique(held.task, return_inverse=True)[1] % _FOLDS
        self.weights, errors = _learned(held.design / self._scale, wanted, folds, alone)
        own = (held.design / self._scale * self.weights)[:, _OF_OUTCOMES].sum(axis=1)
        new = errors + self._effects.unforeseen(held)
        met = errors + self._effects.unforeseen_by_others(held.place, outcomes)
        self._width = _Width(held, self._effects.counts[held.task], new, met, new + own, level)

    def predict(self, target: Target) -> Prediction:
        """The gain of every model on a task, with an interval."""
        found = self._history.evidence(target, self.names)
        # With few tasks a column may reach far beyond all that its weight was learned on.
        values = np.clip(found.values, -self._reach, self._reach)
        parts = values / self._scale * self.weights
        common = self._effects.of(target)
        number = int(self._effects.counts[target.task]) if target.task >= 0 else 0
        mean = common + parts.sum(axis=1)
        half = self._width.half(found.counts, number)
        return Prediction(mean, mean - half, mean + half, parts, found)

    def _hold_out(self, outcomes: Outcomes, alike: Callable[[Array], Array] | None) -> _Held:
        chosen = _some_tasks(self._effects.counts)
        similar = None if alike is None else alike(chosen)
        order = np.argsort(outcomes.task, kind="stable")
        starts = np.searchsorted(outcomes.task[order], [chosen, chosen + 1])
        found = []
        for row, task in enumerate(chosen):
            place = order[starts[0, row] : starts[1, row]]
            models, near = outcomes.model[place], None if similar is None else similar[row]
            scores = {name: np.full(outcomes.models, np.nan) for name in self.names}
            for name, values in scores.items():
                values[models] = outcomes.scores[name][place]
            target = Target(int(task), near, scores)
            said = self._history.evidence(target, self.names, models)
            level = self._effects.near(target)
            found.append((place, said.values, said.counts, np.full(len(place), level)))
        place, design, counts, near = map(np.concatenate, zip(*found, strict=True))
        return _Held(place, outcomes.task[place], design, counts, near)


@final
class _TaskEffects:
    """The mean gain, what every task adds to it (shrunken), and what is left of each outcome."""

    def __init__(self, outcomes: Outcomes) -> None:
        self.offset = float(outcomes.gain.mean())
        rest = outcomes.gain - self.offset
        models = np.bincount(outcomes.model, minlength=outcomes.models) + SHRINK
        self.counts = np.bincount(outcomes.task, minlength=outcomes.tasks)
        effects = np.zeros(outcomes.tasks)
        for _ in range(5):  # in turn, which settles at once where every task saw many models
            over = rest - effects[outcomes.task]
            quality = np.bincount(outcomes.model, over, minlength=outcomes.models) / models
            self._over = rest - quality[outcomes.model]
            sums = np.bincount(outcomes.task, self._over, minlength=outcomes.tasks)
            effects = sums / (self.counts + SHRINK)
        self._sums, self._effects = sums, effects
        gains = np.bincount(outcomes.task, outcomes.gain, minlength=outcomes.tasks)
        others = np.maximum(len(outcomes) - self.counts, 1)
        without = (gains.sum() - gains) / others
        self._offset_without = np.where(self.counts < len(outcomes), without, self.offset)
        self.residual = rest - effects[outcomes.task]

    def of(self, target: Target) -> float:
        """What all models gain on a task."""
        if target.task >= 0 and self.counts[target.task]:
            return self.offset + float(self._effects[target.task])
        return self.offset + self.near(target)

    def near(self, target: Target) -> float:
        """What all models gain on tasks with like sketches, above the mean."""
        if target.alike is None:
            return 0.0
        similar = np.nan_to_num(target.alike, nan=0.0)
        if target.task >= 0:
            similar[target.task] = 0.0
        return float(similar @ self._effects / (similar.sum() + SHRINK))

    def unforeseen(self, held: _Held) -> Array:
        """What a task adds that nobody knew who had no outcome on it."""
        mean = self._offset_without[held.task]
        return np.asarray(self.offset - mean + self._effects[held.task] - held.near)

    def unforeseen_by_others(self, place: Array, outcomes: Outcomes) -> Array:
        """What it adds that its other outcomes did not tell."""
        task = outcomes.task[place]
        others = (self._sums[task] - self._over[place]) / (self.counts[task] - 1 + SHRINK)
        return np.asarray(self._effects[task] - others)


@final
class _Width:
    """Half the width of an interval, by how much is known; from errors on tasks held out.

    The variance is ``a + b / (outcomes of the model + 1) + c / (outcomes on the task + 1)``. How
    many deviations the interval takes is the quantile of the errors in units of their deviation,
    every task counting the same, times what Student's t takes more than the normal law: errors on
    one task go together, so that few tasks say less than their many rows seem to.

    For each of r rows: `number` has the outcomes on its task; `new` and `met` what predictions
    missed where no outcome on the task was known, and where the others were; `blind` what they
    would have missed without the model's own outcomes on a new task.
    """

    def __init__(
        self, held: _Held, number: Array, new: Array, met: Array, blind: Array, level: float
    ) -> None:
        weight = 1.0 / np.bincount(held.task)[held.task]
        several, one = number > 1, np.ones(len(number))
        model, task = 1 / (held.counts + 1), (1 / number)[several]
        of_new, of_blind = np.stack([one, model, one], 1), np.stack([one, one, one], 1)
        of_met = np.stack([one[several], model[several], task], 1)
        by = np.sqrt(np.concatenate([weight, weight, weight[several]]))
        squares = np.concatenate([new, blind, met[several]]) ** 2
        terms = np.concatenate([of_new, of_blind, of_met])
        self._noise: Array = nnls(terms * by[:, None], squares * by)[0]
        self._new = _deviations(self._scaled(new, of_new), held.task, weight, level)
        self._met = self._new
        if several.sum() > 1:
            scaled = self._scaled(met[several], of_met)
            self._met = _deviations(scaled, held.task[several], weight[several], level)

    def half(self, counts: Array, met: int) -> Array:
        """Half the width for models with so many outcomes, on a task with `met` of them."""
        common, model, task = self._noise
        variance = common + model / (counts + 1) + task / (met + 1)
        return np.asarray((self._met if met else self._new) * np.sqrt(variance))

    def _scaled(self, errors: Array, terms: Array) -> Array:
        return np.asarray(errors / np.sqrt(np.maximum(terms @ self._noise, 1e-300)))


def _deviations(scaled: Array, task: Array, weight: Array, level: float) -> float:
    freedom = _freedom(scaled, task)
    bound = float(student.ppf((1 + level) / 2, freedom))
    if len(scaled) < 20:
        return bound
    size, weight = np.abs(scaled), weight / weight.sum()
    order = np.argsort(size)
    reached = np.cumsum(weight[order]) >= min(level * (1 + 1 / len(size)), 1.0) - 1e-12
    return float(size[order][reached.argmax()] * bound / norm.ppf((1 + level) / 2))


def _freedom(scaled: Array, task: Array) -> float:
    """Degrees of freedom of the errors' variance: between tasks and within (Satterthwaite)."""
    groups, inside = np.unique(task, return_inverse=True)
    rows = np.bincount(inside)
    number, size = len(groups), len(scaled)
    if number == 1:
        return 1.0
    means = np.bincount(inside, scaled) / rows
    # Each task's own mean carries part of what is left within it.
    within = float(((scaled - means[inside]) ** 2).sum() / max(size - number, 1))
    typical = (size - (rows**2).sum() / size) / (number - 1)
    spread = float((rows * (means - scaled.mean()) ** 2).sum() / (number - 1))
    if size == number:
        return number - 1.0
    between = max((spread - within) / typical, 0.0)
    whole = between + within
    if whole == 0:  # nothing was missed anywhere
        return number - 1.0
    return float(whole**2 / (between**2 / (number - 1) + within**2 / (size - number)))


def _some_tasks(counts: Array) -> Array:
    """The tasks to learn on: all, or as many of each number of outcomes as there are in all."""
    order = np.argsort(-counts, kind="stable")[: np.count_nonzero(counts)]
    places = np.linspace(0, len(order) - 1, min(len(order), _TASKS)).round().astype(int)
    return np.asarray(order[places])


def _learned(design: Array, wanted: Array, groups: Array, start: Array) -> tuple[Array, Array]:
    """Weights at the strength that is best on tasks held out, and the errors there."""
    best: tuple[float, Array, float] | None = None
    for strength in _STRENGTHS:
        errors = wanted.copy()
        for fold in np.unique(groups):
            held = groups == fold
            if held.all():  # one task only: what it says of itself is all there is
                continue
            weights = _ridge(design[~held], wanted[~held], strength, start)
            errors[held] -= design[held] @ weights
        loss = float(np.mean(errors**2))
        if best is None or loss < best[0]:
            best = (loss, errors, strength)
    assert best is not None
    weights = _ridge(design, wanted, best[2], start) if groups.any() else np.zeros(len(start))
    return weights, best[1]


def _ridge(design: Array, wanted: Array, strength: float, start: Array) -> Array:
    """Ridge regression towards `start`, without negative weights."""
    lower = np.linalg.cholesky(design.T @ design + strength * np.eye(len(start)))
    pulled = design.T @ wanted + strength * start
    weights: Array = nnls(lower.T, np.linalg.solve(lower, pulled))[0]
    return weights
