"""Train a first source; rank sources for a task."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace

import numpy as np

from bequest.api.overlap import with_row_fingerprints
from bequest.api.sources import Sources, as_sources, keep, opened
from bequest.core import Model, RankedSource, Source, Task, output_of
from bequest.core.feature_cache import FeatureCache
from bequest.core.validation import validate_task
from bequest.errors import DataError, NotApplicable
from bequest.executors.local import single_threaded
from bequest.methods.choice import chosen
from bequest.methods.from_scratch import FromScratch, Net
from bequest.selection import Ranking
from bequest.selection import rank as rank_models

__all__ = ["generator", "rank", "ranked", "train"]

logger = logging.getLogger(__name__)
DRAWS = 100  # of the intervals of a ranking
FEWEST_DRAWS = 16
ONE_THREAD = 2**24  # numbers in a task, below which one thread trains fastest


def train(task: Task, *, net: Net = "auto", name: str | None = None, seed: int = 0) -> Model:
    """Train a model from scratch: a first source.

    Parameters
    ----------
    task : Task
    net : {"auto", "linear", "svm", "extra-trees", "boosting", "naive-bayes", "mlp", "resnet"}
        auto: a residual network for images; for other inputs the family and its strength are chosen
        by cross-validation, and the card's settings say which.
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
    validate_task(task)
    with single_threaded() if _small(task) else nullcontext():
        rng = generator(seed)
        method = chosen(task, rng=rng) if net == "auto" and task.labelled else FromScratch(net=net)
        model = method.fit(task, rng=rng)
    model = with_row_fingerprints(model, task)
    metrics = {}
    if task.test is not None:
        output = output_of(model, task.test.inputs)
        try:
            metrics = {f"test {task.metric_name}": float(task.test.row_scores(output).mean())}
        except NotApplicable as reason:  # the model is worth having all the same
            logger.warning("no metric on the held-out rows: %s", reason)
    return model.with_card(replace(model.card, name=name or task.name, metrics=metrics))


def rank(sources: Sources, task: Task, *, seed: int = 0) -> Ranking:
    """Rank the sources for this task, before anything is trained on it.

    Parameters
    ----------
    sources : Hub, or iterable of Model, Task, Source, path and Hub
        As in `transfer`.
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
    validate_task(task)
    readable, unread = opened(as_sources(sources))
    with FeatureCache() as cache:
        keep(cache, readable)
        with cache.used(task):
            return ranked(readable, unread, task, seed)


def ranked(
    sources: Sequence[Source],
    unread: Mapping[str, str],
    task: Task,
    seed: int,
    seconds: float = math.inf,
) -> Ranking:
    """The ranking of opened sources; those without a model to score come last, with the reason.

    Where all 100 draws of the intervals would take more than some seconds there are fewer, down to
    16: the intervals are wider by Student's factor.
    """
    models = [source.model for source in sources if source.model is not None]
    rng = generator(seed)
    with single_threaded():
        draws = _draws_in(seconds, models, task) if seconds < math.inf else DRAWS
        found = rank_models(models, task, n_boot=draws, rng=rng)
    reasons = {
        s.name: "it brings data only, and no model to score." for s in sources if s.model is None
    }
    nan = float("nan")
    last = (RankedSource(n, nan, nan, nan, reason=why) for n, why in (reasons | {**unread}).items())
    return Ranking((*found, *last))


def _draws_in(seconds: float, models: Sequence[Model], task: Task) -> int:
    """For how many draws there is time: one source is ranked without any, and again if it is slow.

    A source costs as much as either of two references, and 38 draws as much as what is done once.
    """
    until, fit = time.perf_counter() + seconds, DRAWS
    for _ in range(2 if models else 0):  # the first time loads libraries
        start = time.perf_counter()
        rank_models(models[:1], task, n_boot=0, rng=generator(0))
        end = time.perf_counter()
        once = (len(models) + 2) * (end - start) / 3
        fit = min(DRAWS, int(38 * ((until - end) / once - 1)))
        if fit == DRAWS:
            break
    return max(fit, FEWEST_DRAWS)


def generator(seed: int) -> np.random.Generator:
    """numpy's generator of this seed; a seed that is no whole number from 0 on is a `DataError`."""
    if not isinstance(seed, int | np.integer) or isinstance(seed, bool) or seed < 0:
        raise DataError(f"a seed is a whole number from 0 on, not {seed!r}.")
    return np.random.default_rng(seed)


def _small(task: Task) -> bool:
    """Whether several threads would wait for each other more than they work."""
    row = math.prod(task.spec.shape or (len(task.spec.columns),))
    return len(task) * row < ONE_THREAD
