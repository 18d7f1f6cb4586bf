"""What the demo transfers, on photos that come with it and on data that scikit-learn ships.

N samples.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from bequest.api import Result, train, transfer
from bequest.core import Model, Task
from bequest.frameworks.pretrained.catalogue import pretrained
from bequest.hub import Hub

__all__ = ["PHOTOS", "Chapter", "chapters", "new_task", "remember"]

Array = NDArray[Any]
Progress = Callable[[str, float | None], None]
PHOTOS = Path(__file__).parent / "photos"  # of trashnet, one folder per material
SIDE = 224  # pixels
NETWORK = "efficientnet-lite0"
DIGITS = "CC-BY-4.0"  # the licence of scikit-learn's copy
WRITERS = {"writers A": slice(900, 1000), "writers B": slice(1000, 1100)}
SHORT = 5.0  # CPU seconds


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
    task : callable ``() -> Task``
        Makes the target.
    source : callable ``() -> (Model, Task or None)``
        Makes the source, and the task that it was trained on where that is at hand.
    licence : str
        Of the source and of what comes out.
    methods : str or tuple of str
        As `bequest.transfer` takes them.
    missing : str
        Why it cannot run here; empty where it can.
    """

    name: str
    question: str
    task: Callable[[], Task]
    source: Callable[[], tuple[Model, Task | None]]
    licence: str
    methods: str | tuple[str, ...] = "auto"
    missing: str = ""

    def run(self, hub: Hub, budget: float, seed: int, progress: Progress) -> Result:
        """Publish the source, transfer from it in about `budget` seconds, publish what came out."""
        progress("making the source", None)
        model, known = self.source()
        place = f"demo/{model.name.replace(' ', '-')}"
        hub.publish(model, place, licence=self.licence, task=known)
        result = transfer(
            self.task(),
            [hub.pull(place)],
            methods=self.methods,
            budget=budget,
            seed=seed,
            progress=progress,
        )
        hub.publish(result.model, f"demo/{self.name}", licence=self.licence)
        hub.record(result.outcome)
        return result


def chapters(seed: int = 0) -> Iterator[Chapter]:
    """The demo's transfers; nothing is trained before one runs.

    Parameters
    ----------
    seed : int
        Of the draws and of everything trained.

    Yields
    ------
    Chapter
    """
    yield Chapter(
        "photos",
        "100 photos of five materials, and a network that knows ImageNet: does it help?",
        partial(_photos, seed),
        lambda: (pretrained()[NETWORK].load(), None),
        "Apache-2.0",
        missing=_missing(NETWORK),
    )
    yield Chapter(
        "other-writers",
        "A table of 40 digits, and a model of 900 by other writers: does it help?",
        lambda: _few(_digits(slice(1200, None), "other writers"), 4, seed),
        partial(_source, seed),
        DIGITS,
    )
    yield Chapter(
        "shuffled-labels",
        "The same table, and a model whose labels were mixed up, used as it is?",
        lambda: _few(_digits(slice(1200, None), "other writers"), 4, seed),
        partial(_source, seed, shuffled=True),
        DIGITS,
        methods=("reuse",),
    )


def remember(hub: Hub, seed: int, progress: Progress) -> None:
    """Two more tasks, each with both models of digits as they are; the hub keeps what came."""
    for name, rows in WRITERS.items():
        task = _few(_digits(rows, name), 4, seed)
        for source in ("demo/many-digits", "demo/mixed-up-labels"):
            progress(f"{source} for {name}", None)
            known = [hub.pull(source)]
            clock = time.process_time  # a busy machine changes nothing
            result = transfer(task, known, methods=("reuse",), budget=SHORT, seed=seed, clock=clock)
            hub.record(result.outcome)


def new_task(seed: int = 0) -> Task:
    """Digits of still other writers: what does the hub suggest for them?"""
    return _few(_digits(slice(1100, 1200), "a new task"), 4, seed)


def _missing(name: str) -> str:
    one = pretrained()[name]
    return "" if one.installed else f"it needs {name}: pip install '{one.install}'"


def _photos(seed: int) -> Task:
    """20 photos of each material to learn from, 10 held out."""
    return _few(Task.from_images(PHOTOS, size=SIDE, name="photos of rubbish"), 20, seed)


def _source(seed: int, shuffled: bool = False) -> tuple[Model, Task]:
    known = _digits(slice(900), "many digits")
    if shuffled:
        labels = np.random.default_rng(seed).permutation(known.targets)
        known = replace(known, targets=labels, name="mixed-up labels")
    return train(known, net="mlp", seed=seed, name=known.name), known


def _digits(rows: slice, name: str) -> Task:
    """The digits as a table of pixels; the rows follow the writers."""
    pixels, digits = load_digits(return_X_y=True)
    columns = {f"row {i // 8} column {i % 8}": pixels[rows, i] for i in range(64)}
    return Task.from_table({**columns, "digit": digits[rows]}, "digit", name=name)


def _few(task: Task, each: int, seed: int) -> Task:
    """`each` rows of every class to learn from, the others held out."""
    order = np.random.default_rng(seed).permutation(len(task))
    few = np.concatenate(
        [order[task.targets[order] == place][:each] for place in range(len(task.classes))]
    )
    return task.take(few).with_test(task.take(np.setdiff1d(order, few)))
