"""Hubs whose truth is known: how often the intervals of predicted gains hold the gain.

A gain is what the task gives, what the model is worth, how well the two fit, and noise; models are
tried on few tasks or on all. The target is new, or half of the models have an outcome on it; of
some models no outcome is known at all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bequest.hub.gains import GainModel
from bequest.hub.history import Outcomes, Target

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
    """

    level: float = 1.0
    tails: bool = False
    sketched: bool = False
    trained: bool = False


KINDS = {
    "tasks alike in level": Kind(level=0.0),
    "tasks of different level": Kind(),
    "heavy tails": Kind(tails=True),
    "with sketches": Kind(sketched=True),
    "with sketches and origins": Kind(sketched=True, trained=True),
}


@dataclass(frozen=True, eq=False)
class World:
    """Gains (T + 1, M), the last task's are wanted; what of them was seen; likeness of tasks."""

    gains: np.ndarray
    model: np.ndarray
    task: np.ndarray
    trained_on: np.ndarray
    alike: np.ndarray | None

    def predict(self, model: np.ndarray, task: np.ndarray, **options):
        """What is said of the last task from these outcomes."""
        tasks = len(self.gains)
        seen = Outcomes(model, task, self.gains[task, model], self.trained_on, tasks)
        alike, near = None, None
        if self.alike is not None:
            alike, near = self.alike.__getitem__, self.alike[-1]
        return GainModel(seen, alike=alike, **options).predict(Target(tasks - 1, near))


def draw(rng: np.random.Generator, kind: Kind, models: int, tasks: int, tried: int) -> World:
    """One world."""
    place, taste = rng.normal(size=(tasks + 1, 3)), rng.normal(size=(models, 3))
    origin = rng.integers(tasks + 1, size=models) if kind.trained else np.full(models, -1)
    fit = 0.7 * (place @ (place[origin] if kind.trained else taste).T) / np.sqrt(3)
    size = (tasks + 1, models)
    noise = rng.standard_t(3, size=size) / np.sqrt(3) if kind.tails else rng.normal(size=size)
    level = kind.level * rng.normal(size=(tasks + 1, 1))
    gains = level + 0.7 * rng.normal(size=models) + fit + 0.5 * noise
    model = np.concatenate([rng.choice(models, tried, replace=False) for _ in range(tasks)])
    distance = ((place[:, None] - place[None]) ** 2).sum(axis=-1)
    alike = np.exp(-distance / 2) if kind.sketched else None
    return World(gains, model, np.repeat(np.arange(tasks), tried), origin, alike)


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


def run(runs: int) -> dict[str, dict[str, dict[str, float]]]:
    """Coverage of every kind of world at every size."""
    return {
        size: {kind: coverage(how, shape, runs) for kind, how in KINDS.items()}
        for size, shape in SIZES.items()
    }
