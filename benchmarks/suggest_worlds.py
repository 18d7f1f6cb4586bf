"""Hubs whose truth is known: how often intervals hold the gain, and how well models are ranked.

A gain is what the task gives, what the model is worth, how well the two fit, and noise; models are
tried on few tasks or on all. The target is new, or half of the models have an outcome on it; of
some models no outcome is known at all. Scores, as transferability scores do, look at the same
features, so that they err together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import weightedtau

from bequest.hub.suggestions.gains import GainModel
from bequest.hub.suggestions.history import Outcomes, Target

SIZES = {
    "3 tasks, all 10 models tried": (10, 3, 10),
    "6 tasks, all 10 models tried": (10, 6, 10),
    "12 tasks, all 10 models tried": (10, 12, 10),
    "40 tasks, all 10 models tried": (10, 40, 10),
    "8 tasks, 3 of 30 models tried on each": (30, 8, 3),
    "40 tasks, 5 of 30 models tried on each": (30, 40, 5),
    "40 tasks, 2 of 30 models tried on each": (30, 40, 2),
    "40 tasks, 1 of 30 models tried on each": (30, 40, 1),
    "100 tasks, 6 of 60 models tried on each": (60, 100, 6),
}


@dataclass(frozen=True)
class Kind:
    """How a world is drawn.

    Parameters
    ----------
    level : float
        Standard deviation of what a task gives to all models; that of a model's worth is 0.7.
    tails : bool
        Noise with three degrees of freedom.
    sketched : bool
        Tasks have sketches, and models fit those that are alike.
    trained : bool
        Models were trained on one of the tasks, and fit those that are like it.
    told : tuple of float
        Of each score, its correlation with how well a model fits a task.
    varying : float
        Standard deviation of that correlation between tasks, of scores that tell anything.
    of_worth : float
        Correlation of every score with the model's worth.
    always : float
        Share of the scores' variance that is the same on every task, whatever the model is worth:
        0.1 to 0.9 of the published ones of `benchmarks.published`.
    """

    level: float = 1.0
    tails: bool = False
    sketched: bool = False
    trained: bool = False
    told: tuple[float, ...] = ()
    varying: float = 0.0
    of_worth: float = 0.0
    always: float = 0.0


KINDS = {
    "tasks alike in level": Kind(level=0.0),
    "tasks of different level": Kind(),
    "heavy tails": Kind(tails=True),
    "with sketches": Kind(sketched=True),
    "with sketches and origins": Kind(sketched=True, trained=True),
    "scores that tell nothing": Kind(told=(0.0, 0.0, 0.0)),
    "one of three scores tells": Kind(told=(0.6, 0.0, 0.0)),
    "scores that tell more or less": Kind(told=(0.6, 0.4, 0.2), varying=0.3),
    "scores that favour models": Kind(told=(0.6, 0.4, 0.2), varying=0.3, always=0.6),
    "scores of the worth alone": Kind(told=(0.0, 0.0), of_worth=0.5),
}
FEW = {f"{tasks} tasks, all 10 models tried": (10, tasks, 10) for tasks in (3, 5, 7, 10, 20, 40)}


@dataclass(frozen=True, eq=False)
class World:
    """Gains (T + 1, M), the last task's are wanted; what of them was seen; likeness of tasks, and
    scores (P, T + 1, M)."""

    gains: np.ndarray
    model: np.ndarray
    task: np.ndarray
    trained_on: np.ndarray
    alike: np.ndarray | None
    scores: np.ndarray

    def predict(self, model: np.ndarray, task: np.ndarray):
        """What is said of the last task from these outcomes."""
        tasks = len(self.gains)
        named = {f"score {place}": of for place, of in enumerate(self.scores)}
        own = {name: of[task, model] for name, of in named.items()}
        seen = Outcomes(model, task, self.gains[task, model], self.trained_on, tasks, own)
        alike, near = None, None
        if self.alike is not None:
            alike, near = self.alike.__getitem__, self.alike[-1]
        target = Target(tasks - 1, near, {name: of[-1] for name, of in named.items()})
        return GainModel(seen, alike=alike).predict(target)


def draw(rng: np.random.Generator, kind: Kind, models: int, tasks: int, tried: int) -> World:
    """One world."""
    place, taste = rng.normal(size=(tasks + 1, 3)), rng.normal(size=(models, 3))
    origin = rng.integers(tasks + 1, size=models) if kind.trained else np.full(models, -1)
    fit = 0.7 * (place @ (place[origin] if kind.trained else taste).T) / np.sqrt(3)
    size = (tasks + 1, models)
    noise = rng.standard_t(3, size=size) / np.sqrt(3) if kind.tails else rng.normal(size=size)
    level = kind.level * rng.normal(size=(tasks + 1, 1))
    worth = rng.normal(size=models)
    gains = level + 0.7 * worth + fit + 0.5 * noise
    model = np.concatenate([rng.choice(models, tried, replace=False) for _ in range(tasks)])
    distance = ((place[:, None] - place[None]) ** 2).sum(axis=-1)
    alike = np.exp(-distance / 2) if kind.sketched else None
    scores = _scores(rng, kind, fit / fit.std(), worth)
    return World(gains, model, np.repeat(np.arange(tasks), tried), origin, alike, scores)


def _scores(rng: np.random.Generator, kind: Kind, fit: np.ndarray, worth: np.ndarray) -> np.ndarray:
    """Scores (P, T + 1, M), standardised within each task; half of what they err is common."""
    shape = (len(kind.told), *fit.shape)
    if not kind.told:
        return np.zeros(shape)
    told = np.array(kind.told)[:, None, None]
    told = told + kind.varying * (told > 0) * rng.normal(size=(*shape[:2], 1))
    told = np.clip(told, -0.9, 0.9)
    error = (rng.normal(size=fit.shape) + rng.normal(size=shape)) / np.sqrt(2)
    said = told * fit + kind.of_worth * worth
    said += np.sqrt(np.maximum(1 - told**2 - kind.of_worth**2, 0.0)) * error
    always = (rng.normal(size=len(worth)) + rng.normal(size=(len(said), 1, len(worth)))) / np.sqrt(
        2
    )
    said = np.sqrt(1 - kind.always) * said + np.sqrt(kind.always) * always
    said -= said.mean(axis=2, keepdims=True)
    return np.asarray(said / said.std(axis=2, keepdims=True))


def coverage(kind: Kind, size: tuple[int, int, int], runs: int, seed: int = 0) -> dict[str, float]:
    """Share of the gains inside of their intervals of 95 %: of a task that is new, of one that half
    of the models have been tried on, and of models without an outcome on a new one."""
    rng = np.random.default_rng(seed)
    inside: dict[str, list[float]] = {"new task": [], "known task": [], "new model": []}
    for _ in range(runs):
        world = draw(rng, kind, *size)
        truth, last = world.gains[-1], len(world.gains) - 1
        said = world.predict(world.model, world.task)
        held = (said.low <= truth) & (truth <= said.high)
        tried = said.evidence.counts > 0
        inside["new task"].append(held[tried].mean())
        if not tried.all():
            inside["new model"].append(held[~tried].mean())
        own = rng.permutation(size[0])[: size[0] // 2]
        task = np.concatenate([world.task, np.full(len(own), last)])
        said = world.predict(np.concatenate([world.model, own]), task)
        held = (said.low <= truth) & (truth <= said.high)
        inside["known task"].append(np.delete(held, own).mean())
    return {name: float(np.mean(of)) if of else float("nan") for name, of in inside.items()}


def ranking(kind: Kind, size: tuple[int, int, int], runs: int, seed: int = 0) -> dict[str, float]:
    """Mean weighted tau on a new task: of history alone, and ours."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(runs):
        world = draw(rng, kind, *size)
        ours = world.predict(world.model, world.task)
        said = ours.evidence.values[:, 0], ours.mean
        found.append([_tau(world.gains[-1], one) for one in said])
    return dict(zip(("history", "ours"), np.mean(found, axis=0).tolist(), strict=True))


def _tau(truth: np.ndarray, said: np.ndarray) -> float:
    """Weighted tau; 0 where all models are said to be equal."""
    return float(weightedtau(truth, said, rank=None).statistic) if np.ptp(said) > 0 else 0.0


def rankings(runs: int) -> dict[str, dict[str, dict[str, float]]]:
    """`ranking` in every kind of world with scores, by the number of past tasks."""
    scored = {kind: how for kind, how in KINDS.items() if how.told}
    return {
        size: {kind: ranking(how, shape, runs) for kind, how in scored.items()}
        for size, shape in FEW.items()
    }


def run(runs: int) -> dict[str, dict[str, dict[str, float]]]:
    """Coverage of every kind of world at every size."""
    return {
        size: {kind: coverage(how, shape, runs) for kind, how in KINDS.items()}
        for size, shape in SIZES.items()
    }
