"""The demo: a source that helps and sources that do not, on data that scikit-learn ships.

N samples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from bequest.api import Result, train, transfer
from bequest.core import Model, Task

__all__ = ["Chapter", "chapters"]

Array = NDArray[Any]
Progress = Callable[[str, float], None]


@final
@dataclass(frozen=True)
class Chapter:
    """One transfer of the demo.

    Parameters
    ----------
    name : str
        Lower-case words, fit for a folder and a hub.
    question : str
        What a person would ask.
    run : callable ``(budget, progress) -> Result``
        Does it, in about `budget` seconds.
    """

    name: str
    question: str
    run: Callable[[float, Progress | None], Result]


def chapters(seed: int = 0) -> Iterator[Chapter]:
    """The demo's transfers, with their sources trained as they are asked for.

    Parameters
    ----------
    seed : int
        Of the draws and of everything trained.

    Yields
    ------
    Chapter
    """
    target = _few(_digits(range(5, 10), "digits 5-9"), 10, seed)
    sources = digit_sources(seed)
    yield _chapter("digits", "Do models of the digits 0-4 help with 5-9?", target, sources, seed)
    known, few = _writers(seed)
    question = "Does a table of 1,200 digits help to read 40 by other writers?"
    yield _chapter("other-writers", question, few, (train(known, net="mlp", seed=seed),), seed)
    labels = np.random.default_rng(seed).permutation(known.targets)
    shuffled = replace(known, targets=labels, name="shuffled labels")
    question = "And the same table with its labels shuffled, used as it is?"
    useless = train(shuffled, net="mlp", seed=seed)
    yield _chapter("shuffled-labels", question, few, (useless,), seed, methods=("reuse",))


def digit_sources(seed: int) -> tuple[Model, ...]:
    """Three models of the digits 0-4: as they are, with their pixels in another order, with their
    labels shuffled."""
    rng = np.random.default_rng(seed)
    plain = _digits(range(5), "digits 0-4")
    images, labels = np.asarray(plain.inputs), plain.labels
    order = rng.permutation(images[0].size)
    scrambled = images.reshape(len(images), -1)[:, order].reshape(images.shape)
    tasks = (
        plain,
        Task.from_arrays(scrambled, labels, name="scrambled pixels"),
        Task.from_arrays(images, rng.permutation(labels), name="random labels"),
    )
    return tuple(train(task, seed=seed) for task in tasks)


def _chapter(
    name: str,
    question: str,
    target: Task,
    sources: tuple[Model, ...],
    seed: int,
    methods: Any = "auto",
) -> Chapter:
    def run(budget: float, progress: Progress | None) -> Result:
        return transfer(
            target, sources, methods=methods, budget=budget, seed=seed, progress=progress
        )

    return Chapter(name, question, run)


def _digits(labels: range, name: str) -> Task:
    images, digits = load_digits(return_X_y=True)
    chosen = np.isin(digits, labels)
    pixels = images[chosen].reshape(-1, 1, 8, 8) / 16.0
    return Task.from_arrays(pixels, digits[chosen], name=name)


def _few(task: Task, each: int, seed: int) -> Task:
    """`each` rows of every class to learn from, the others held out."""
    order = np.random.default_rng(seed).permutation(len(task))
    few = np.concatenate(
        [order[task.targets[order] == place][:each] for place in range(len(task.classes))]
    )
    return task.take(few).with_test(task.take(np.setdiff1d(order, few)))


def _writers(seed: int) -> tuple[Task, Task]:
    """The digits as a table of pixels: 1,200 rows of some writers, four a digit of others."""
    pixels, digits = load_digits(return_X_y=True)

    def part(rows: slice, name: str) -> Task:
        columns = {f"row {i // 8} column {i % 8}": pixels[rows, i] for i in range(64)}
        return Task.from_table({**columns, "digit": digits[rows]}, "digit", name=name)

    return part(slice(1200), "many digits"), _few(part(slice(1200, None), "other writers"), 4, seed)
