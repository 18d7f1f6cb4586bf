"""Train a first source; rank sources for a task."""

from __future__ import annotations

import math
from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import replace

import numpy as np

from bequest.api.seen import remember
from bequest.core import Model, Task, output_of
from bequest.core.given import checked_task
from bequest.errors import DataError
from bequest.executors.local import single_threaded
from bequest.hub import Hub
from bequest.methods.from_scratch import FromScratch, Net
from bequest.selection import Ranking
from bequest.selection import rank as rank_models

__all__ = ["Sources", "generator", "models_of", "rank", "train"]

ONE_THREAD = 2**24  # numbers in a task, below which one thread trains fastest
Sources = Hub | Iterable[Model]


def train(task: Task, *, net: Net = "auto", name: str | None = None, seed: int = 0) -> Model:
    """Train a model from scratch: a first source.

    Parameters
    ----------
    task : Task
    net : {"auto", "linear", "boosting", "mlp", "resnet"}
        auto: resnet for images, boosting for tables, linear for texts, mlp for vectors.
    name : str, optional
        What to call the model; the task's name where left out.
    seed : int

    Returns
    -------
    Model
        Its card holds the metric on the task's held-out rows, where it has some.

    Raises
    ------
    NotApplicable
        The network does not fit the inputs.

    Examples
    --------
    >>> task = Task.from_arrays([[0.0], [1.0], [2.0], [3.0]], ["a", "a", "b", "b"])
    >>> train(task, net="linear").predict([[9.0]]).tolist()
    ['b']
    """
    checked_task(task)
    with single_threaded() if _small(task) else nullcontext():
        model = FromScratch(net=net).fit(None, task, rng=generator(seed))
    model = remember(model, task)
    metrics = {}
    if task.test is not None:
        output = output_of(model, task.test.inputs)
        metrics = {f"test {task.metric_name}": float(task.test.row_scores(output).mean())}
    return model.with_card(replace(model.card, name=name or task.name, metrics=metrics))


def rank(sources: Sources, task: Task, *, seed: int = 0) -> Ranking:
    """Rank the sources for this task, before anything is trained on it.

    Parameters
    ----------
    sources : iterable of Model, or Hub
    task : Task
    seed : int
        Of the bootstrap.

    Returns
    -------
    Ranking
        Best first; those that do not apply stand last, with the reason.

    Examples
    --------
    >>> task = Task.from_arrays([[0.0], [1.0], [2.0], [3.0]] * 5, ["a", "a", "b", "b"] * 5)
    >>> [entry.source for entry in rank([train(task, name="near")], task)]
    ['near']
    """
    checked_task(task)
    models, _ = models_of(sources)
    with single_threaded():
        return rank_models(models, task, rng=generator(seed))


def models_of(sources: Sources) -> tuple[tuple[Model, ...], tuple[str, ...]]:
    """The models, each under a name of its own, and a line for each that a hub cannot read.

    Raises
    ------
    DataError
        Something among the sources is no model.
    """
    if isinstance(sources, Model) or not isinstance(sources, Iterable | Hub):
        raise DataError(
            f"sources must be a list of models, or a hub, not a {type(sources).__name__}."
        )
    if not isinstance(sources, Hub):
        return _named(sources), ()
    models, unread = [], []
    for reference, model in sources.models():
        if isinstance(model, Model):
            models.append(model.with_card(replace(model.card, name=reference)))
        else:
            unread.append(f"{reference} of the hub is left out: {model.reason}")
    return tuple(models), tuple(unread)


def generator(seed: int) -> np.random.Generator:
    """numpy's generator of this seed; a seed that is no whole number from 0 on is a `DataError`."""
    if not isinstance(seed, int | np.integer) or seed < 0:
        raise DataError(f"a seed is a whole number from 0 on, not {seed!r}.")
    return np.random.default_rng(seed)


def _small(task: Task) -> bool:
    """Whether several threads would wait for each other more than they work."""
    row = math.prod(task.spec.shape or (len(task.spec.columns),))
    return len(task) * row < ONE_THREAD


def _named(models: Iterable[Model]) -> tuple[Model, ...]:
    seen: dict[str, int] = {}
    named = []
    for model in models:
        if not isinstance(model, Model):
            raise DataError(
                f"a source must be a model, not a {type(model).__name__}: bequest.wrap makes one."
            )
        name = title = model.name or "source"
        while title in seen:
            seen[name] += 1
            title = f"{name} ({seen[name]})"
        seen[title] = 1
        named.append(
            model if title == model.name else model.with_card(replace(model.card, name=title))
        )
    return tuple(named)
