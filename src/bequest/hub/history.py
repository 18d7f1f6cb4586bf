"""What recorded outcomes say of a model on a task that it has not met.

n outcomes, M models, T tasks, P columns of evidence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls
from scipy.stats import t as student

__all__ = ["COLUMNS", "Evidence", "GainModel", "Outcomes", "Prediction", "Target", "evidence"]

Array = NDArray[Any]
COLUMNS = ("history", "reciprocity", "alike", "near", "own")
_STRENGTHS = (1.0, 10.0, 100.0, 1000.0)  # ridges to choose from, in rows of outcomes
_TASKS = 200  # tasks that the weights are learned on; more change nothing but the time
_FOLDS = 30
_SHRINK = 1.0  # a mean of n outcomes counts n / (n + 1): one outcome less than it says


@final
@dataclass(frozen=True, eq=False)
class Outcomes:
    """Outcomes as arrays, one for a pair of model and task.

    Parameters
    ----------
    model, task : int arrays, shape (n,)
    gain : float array, shape (n,)
        In one unit.
    trained_on : int array, shape (M,)
        The task that each model was trained on; -1 where it is none of the T.
    tasks : int
        T.
    scores : mapping of str to array, shape (n,)
        Transferability scores, standardised within their task; NaN where not known.
    """

    model: Array
    task: Array
    gain: Array
    trained_on: Array
    tasks: int
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
    """The task that gains are wanted for.

    Parameters
    ----------
    task : int
        Its number; -1 where nothing is recorded of it.
    alike : array of shape (T,) or None
        Similarity of every task to it by their sketches, 0 to 1; NaN where not known.
    scores : mapping of str to array, shape (M,)
        Standardised within the target; NaN where not known.
    """

    task: int = -1
    alike: Array | None = None
    scores: Mapping[str, Array] = field(default_factory=dict)


@final
@dataclass(frozen=True, eq=False)
class Evidence:
    """What speaks for every model, column by column.

    Parameters
    ----------
    values : array, shape (M, P)
    counts : array, shape (M,)
        Outcomes of the model on other tasks.
    known : bool array, shape (M,)
        Whether anything at all is known of the model here.
    """

    values: Array
    counts: Array
    known: Array


@final
@dataclass(frozen=True, eq=False)
class Prediction:
    """Predicted gains of every model.

    Parameters
    ----------
    mean, low, high : arrays, shape (M,)
    parts : array, shape (M, P)
        What each column adds to the mean.
    evidence : Evidence
    """

    mean: Array
    low: Array
    high: Array
    parts: Array
    evidence: Evidence


def evidence(
    seen: Outcomes, residual: Array, target: Target, names: tuple[str, ...] = ()
) -> Evidence:
    """What the outcomes on *other* tasks say of every model on one.

    Parameters
    ----------
    seen : Outcomes
    residual : array, shape (n,)
        Their gains without what all models gain on that task.
    target : Target
        Outcomes on it are not looked at.
    names : tuple of str
        The scores that are columns.

    Returns
    -------
    Evidence
        Columns: the model's shrunken mean ("history"); how models trained on the target did on
        the task that this one was trained on ("reciprocity"); the model's outcomes on the tasks
        that models trained on the target are good at ("alike"); its outcomes on the tasks with
        like sketches ("near"); the likeness of the task that it was trained on ("own"); scores.

    Examples
    --------
    >>> seen = Outcomes(np.array([0, 1]), np.array([0, 0]), np.array([0.1, -0.1]),
    ...                 np.array([-1, -1]), 1)
    >>> evidence(seen, seen.gain, Target()).values[:, 0].tolist()
    [0.05, -0.05]
    """
    weight = (seen.task != target.task).astype(float)
    counts = np.bincount(seen.model, weight, minlength=seen.models)
    sums = np.bincount(seen.model, weight * residual, minlength=seen.models)
    history = sums / (counts + _SHRINK)
    over = weight * (residual - history[seen.model])
    known = counts > 0
    columns = [history, *_of_models_trained_here(seen, over, weight, target.task)]
    columns += _of_like_tasks(seen, over, weight, target, known)
    for name in names:
        values = target.scores.get(name, np.full(seen.models, np.nan))
        known |= np.isfinite(values)
        columns.append(np.nan_to_num(values, nan=0.0))
    return Evidence(np.stack(columns, axis=1), counts, known)


def _of_models_trained_here(seen: Outcomes, over: Array, weight: Array, task: int) -> list[Array]:
    """Reciprocity and alike: what models that were trained on the target tell of other tasks."""
    origin = seen.trained_on[seen.model]
    nothing = np.zeros(seen.models)
    here = (origin == task) & (task >= 0) & (weight > 0)
    if not here.any():
        return [nothing, nothing]
    # Against the other models that were trained on one of the tasks: models of another kind
    # stand elsewhere on a task as a whole.
    sourced = (origin >= 0) * weight
    number = np.maximum(np.bincount(seen.task, sourced, minlength=seen.tasks), 1)
    usual = np.bincount(seen.task, sourced * over, minlength=seen.tasks) / number
    found = np.bincount(seen.task[here], (over - usual[seen.task])[here], minlength=seen.tasks)
    liking = found / (np.bincount(seen.task[here], minlength=seen.tasks) + _SHRINK)
    liking[task] = 0.0
    has = seen.trained_on >= 0
    reciprocity = np.where(has, liking[seen.trained_on], 0.0)
    alike = np.bincount(seen.model, liking[seen.task] * over, minlength=seen.models)
    return [reciprocity, np.where(has, alike, 0.0) / np.sqrt((liking**2).sum() + _SHRINK)]


def _of_like_tasks(
    seen: Outcomes, over: Array, weight: Array, target: Target, known: Array
) -> list[Array]:
    """Near and own, by the sketches; marks in `known` the models that they speak of."""
    nothing = np.zeros(seen.models)
    if target.alike is None:
        return [nothing, nothing]
    similar = np.nan_to_num(target.alike, nan=0.0)
    near = weight * similar[seen.task]
    total = np.bincount(seen.model, near, minlength=seen.models)
    pulled = np.bincount(seen.model, near * over, minlength=seen.models)
    said = (seen.trained_on >= 0) & np.isfinite(target.alike)[seen.trained_on]
    own = np.where(said, similar[seen.trained_on], 0.0)
    own = np.where(said, own - own[said].mean() if said.any() else 0.0, 0.0)
    known |= said
    return [pulled / (total + _SHRINK), own]


@final
class GainModel:
    """Gains from the hub's own history: columns of evidence, weighed by what they were worth.

    Each past task is held out in turn, the evidence for its models is computed from the others,
    and one weight per column, none negative, is learned by ridge regression; the strength of the
    ridge, and the interval's width, come from the tasks held out.

    Parameters
    ----------
    outcomes : Outcomes
    alike : callable or None
        ``alike(task) -> array of shape (T,)``, as in `Target`.
    level : float
        Coverage of the intervals, 0 to 1.
    """

    def __init__(self, outcomes: Outcomes, *, alike: Any = None, level: float = 0.95) -> None:
        self.outcomes = outcomes
        self.level = level
        self.names = tuple(sorted(outcomes.scores))
        self.offset, self.effects, self.residual = _task_effects(outcomes)
        rows = [self._rows(task, alike) for task in _some_tasks(outcomes)]
        design = np.concatenate([values for values, _, _ in rows])
        wanted = np.concatenate([self.residual[where] for _, _, where in rows])
        counts = np.concatenate([number for _, number, _ in rows])
        tasks = outcomes.task[np.concatenate([where for _, _, where in rows])]
        spread = design.std(axis=0)
        self._scale = np.where(spread > 1e-9, spread, np.inf)
        self.weights, self.errors = _weigh(design / self._scale, wanted, tasks)
        self._noise, self._quantile = _width(self.errors, counts, len(set(tasks)), level)

    def predict(self, target: Target) -> Prediction:
        """The gain of every model on a task, with an interval."""
        found = evidence(self.outcomes, self.residual, target, self.names)
        parts = found.values / self._scale * self.weights
        common, doubt = self._common(target)
        mean = common + parts.sum(axis=1)
        spread = np.sqrt(self._noise[0] + self._noise[1] / (found.counts + 1) + doubt)
        half = self._quantile * spread
        return Prediction(mean, mean - half, mean + half, parts, found)

    def _rows(self, task: int, alike: Any) -> tuple[Array, Array, Array]:
        where = np.flatnonzero(self.outcomes.task == task)
        models = self.outcomes.model[where]
        scores = {}
        for name, values in self.outcomes.scores.items():
            scores[name] = np.full(self.outcomes.models, np.nan)
            scores[name][models] = values[where]
        near = None if alike is None else alike(task)
        target = Target(task, near, scores)
        found = evidence(self.outcomes, self.residual, target, self.names)
        return found.values[models], found.counts[models], where

    def _common(self, target: Target) -> tuple[float, float]:
        """What all models gain on this task, and the variance of not knowing it."""
        spread = float(self.effects.var()) if self.outcomes.tasks > 1 else 0.0
        if target.task >= 0 and (self.outcomes.task == target.task).any():
            return self.offset + float(self.effects[target.task]), spread / 2
        if target.alike is None:
            return self.offset, spread
        near = np.nan_to_num(target.alike, nan=0.0)
        return self.offset + float(near @ self.effects / (near.sum() + _SHRINK)), spread


def _task_effects(outcomes: Outcomes) -> tuple[float, Array, Array]:
    """The mean, what every task adds to it (shrunken), and what is left of each outcome."""
    offset = float(outcomes.gain.mean())
    rest = outcomes.gain - offset
    models = np.bincount(outcomes.model, minlength=outcomes.models) + _SHRINK
    tasks = np.bincount(outcomes.task, minlength=outcomes.tasks) + _SHRINK
    effects = np.zeros(outcomes.tasks)
    for _ in range(5):  # in turn, which settles at once where every task saw many models
        over = rest - effects[outcomes.task]
        quality = np.bincount(outcomes.model, over, minlength=outcomes.models) / models
        over = rest - quality[outcomes.model]
        effects = np.bincount(outcomes.task, over, minlength=outcomes.tasks) / tasks
    return offset, effects, rest - effects[outcomes.task]


def _some_tasks(outcomes: Outcomes) -> list[int]:
    """The tasks to learn on: all, or those with the most outcomes."""
    counts = np.bincount(outcomes.task, minlength=outcomes.tasks)
    order = np.argsort(-counts, kind="stable")[:_TASKS]
    return [int(task) for task in order if counts[task]]


def _weigh(design: Array, wanted: Array, tasks: Array) -> tuple[Array, Array]:
    """Weights of the columns, and the errors on tasks that were held out."""
    groups = np.unique(tasks, return_inverse=True)[1] % _FOLDS
    best: tuple[float, Array, float] | None = None
    for strength in _STRENGTHS:
        errors = wanted.copy()
        for fold in np.unique(groups):
            held = groups == fold
            if held.all():  # one task only: what it says of itself is all there is
                continue
            errors[held] -= design[held] @ _ridge(design[~held], wanted[~held], strength)
        loss = float(np.mean(errors**2))
        if best is None or loss < best[0]:
            best = (loss, errors, strength)
    assert best is not None
    weights = _ridge(design, wanted, best[2]) if groups.any() else np.zeros(design.shape[1])
    return weights, best[1]


def _ridge(design: Array, wanted: Array, strength: float) -> Array:
    """Ridge regression without negative weights."""
    size = design.shape[1]
    lower = np.linalg.cholesky(design.T @ design + strength * np.eye(size))
    weights: Array = nnls(lower.T, np.linalg.solve(lower, design.T @ wanted))[0]
    return weights


def _width(errors: Array, counts: Array, tasks: int, level: float) -> tuple[Array, float]:
    """Variance as ``a + b / (outcomes + 1)``, and how many deviations the interval takes."""
    terms = np.stack([np.ones(len(counts)), 1 / (counts + 1)], axis=1)
    noise: Array = nnls(terms, errors**2)[0]
    deviations = np.abs(errors) / np.sqrt(np.maximum(terms @ noise, 1e-300))
    bound = float(student.ppf((1 + level) / 2, max(tasks - 1, 1)))
    if len(errors) < 20:
        return noise, bound
    place = min(np.ceil((len(errors) + 1) * level) / len(errors), 1.0)
    return noise, float(np.quantile(deviations, place))
