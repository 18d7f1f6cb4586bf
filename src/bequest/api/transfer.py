"""Choose, move, verify: the main job."""

from __future__ import annotations

import math
import platform
import resource
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Literal, final

import numpy as np

from bequest.api.arms import (
    Methods,
    check_methods,
    checked_arms,
    named_methods,
    replayed,
    scratch_arms,
    transfer_arms,
)
from bequest.api.result import Result
from bequest.api.seen import overlap_notes, remember
from bequest.api.sources import Sources, as_sources, ask, digests, keep, opened
from bequest.api.verbs import ranked
from bequest.core import (
    ArmResult,
    Executor,
    LabelsSaved,
    Model,
    Outcome,
    Source,
    Task,
    TestResult,
    Verdict,
)
from bequest.core.feature_cache import FeatureCache
from bequest.core.given import checked_task
from bequest.errors import BudgetTooSmall, DataError, NotApplicable
from bequest.evaluation import Arm, RaceResult, compare_on_test, judge, labels_saved, race
from bequest.evaluation.runners import LONGEST
from bequest.executors import EXECUTORS
from bequest.executors.local import single_threaded
from bequest.methods.from_scratch import FromScratch

__all__ = ["transfer"]

Progress = Callable[[str, float], None]
K = 5  # folds a repeat
CURVE_FITS = 4  # fits per fold: one at each fraction of the curve
HAND_OVER = 0.68  # level of the interval that must lie above zero: the gain is over one standard
# error. From scratch is the simpler model, and kept where transfer is not better by as much: the
# one-standard-error rule of Breiman et al., Classification and Regression Trees, 1984.
RACE = 0.75  # share of the budget; the rest is for the last fits and the learning curve


def transfer(
    task: Task,
    sources: Sources,
    *,
    methods: Methods = "auto",
    budget: float | None = 120.0,
    test: Task | None = None,
    seed: int = 0,
    executor: str | Executor = "local",
    arms: Sequence[ArmResult] | None = None,
    progress: Progress | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Result:
    """Choose a source, move what fits of it, and verify the gain over from scratch.

    Parameters
    ----------
    task : Task
        The target, with its few labels.
    sources : Hub, or iterable of Model, Task, Source, path and Hub
        A Task is the data of a source for methods that train on it too, a path that of a model
        folder, and every model of a hub is a source.
    methods : "auto" or sequence of names and methods
        ``["probe", FineTune(lr=1e-3)]``: a name stands for all of its settings worth racing.
    budget : float or None
        Seconds, above zero; from scratch gets as much of it as transfer. None: no limit, but of an
        hour for one fit in another process.
    test : Task, optional
        Held-out rows; they choose nothing. ``task.test`` by default.
    seed : int
        Same seed, machine and versions, and a budget that is not used up, or none: same result.
    executor : str or Executor
        A name of `bequest.executors.EXECUTORS`, or one of your own, which is not closed.
    arms : sequence of ArmResult, optional
        ``outcome.arms`` of an earlier transfer: those that ran then run again, as many repeats as
        they did then, whatever the clock says; with its task, sources and seed the verdict and the
        model are the same. A learning curve that had no time then is measured now.
    progress : callable ``(what, share)``, optional
        Called as the work goes on, share from 0 to 1.
    clock : callable
        Seconds.

    Returns
    -------
    Result

    Raises
    ------
    BudgetTooSmall
        Not even one arm of each side could be judged in the time.
    DataError
        The task cannot be split, the methods are not known, or `arms` cannot be run again.
    ModelError
        A source cannot be opened.

    Examples
    --------
    >>> import bequest as bq, numpy as np
    >>> X = np.random.default_rng(0).normal(size=(40, 3))
    >>> task = bq.Task.from_arrays(X, X[:, 0] > 0, name="sign")
    >>> source = bq.wrap(lambda x: x[:, 0] > 0, classes=[False, True], name="knows")
    >>> result = bq.transfer(task, [source], methods=["reuse"], budget=None)
    >>> result.verdict.metric, result.outcome.method
    ('accuracy', 'reuse')
    """
    timed = isinstance(budget, int | float | np.number) and 0 < budget < math.inf
    if not (budget is None or timed):
        raise BudgetTooSmall(
            f"the budget must be None or a number of seconds above zero, not {budget!r}."
        )
    task = checked_task(task)
    again = None if arms is None else checked_arms(arms)
    if again is not None and methods == "auto":
        methods = named_methods(again)
    check_methods(methods)
    runner = EXECUTORS[executor]() if isinstance(executor, str) else executor
    if not isinstance(runner, Executor):
        raise DataError(f"an executor is a name or an Executor, not a {type(runner).__name__}.")
    time_left = _Clock(clock, clock(), budget or math.inf, progress or (lambda what, share: None))
    task = task if test is None else task.with_test(checked_task(test, "test"))
    with FeatureCache() as cache, ExitStack() as stack:
        if isinstance(executor, str):
            stack.enter_context(runner)
        run = _Run(task, seed, runner, cache, time_left, again)
        return run.result(as_sources(sources), methods)


@final
@dataclass(frozen=True)
class _Clock:
    """What has been used of the budget, said as the work goes on."""

    read: Callable[[], float]
    start: float
    budget: float
    progress: Progress

    def elapsed(self) -> float:
        return self.read() - self.start

    def left(self) -> float:
        return self.budget - self.elapsed()

    def tell(self, what: str) -> None:
        self.progress(what, min(0.99, self.elapsed() / max(self.budget, 1e-9)))


@final
@dataclass(frozen=True)
class _Judged:
    """The model handed over, and the outcome's fields that the race fills."""

    model: Model
    said: dict[str, Any]


@final
@dataclass(frozen=True, eq=False)
class _Run:
    """One transfer: what all of its steps work with."""

    task: Task
    seed: int
    executor: Executor
    cache: FeatureCache
    clock: _Clock
    again: tuple[ArmResult, ...] | None

    def result(self, sources: tuple[Source, ...], methods: Methods) -> Result:
        """Rank, race, judge."""
        task = self.task
        sources, unread = opened(sources)
        self.clock.tell("ranking the sources")
        keep(self.cache, sources)
        before = digests(sources)
        with self.cache.used(task):
            ranking = ranked(sources, unread, task, self.seed)
        usable = [s for s in sources if s.model is None or s.model.applies(task) is None]
        ask(self.cache, usable, task)
        with self.cache.used(task):
            arms, refused = transfer_arms(usable, task, methods)
        if self.again is not None and not arms:
            raise DataError("these arms cannot be run again: no source fits the task now.")
        if self.again is None and self.clock.left() <= 0:
            raise BudgetTooSmall(
                f"reading and ranking the sources took {self.clock.elapsed():.0f} s, the budget is "
                f"{self.clock.budget:g} s: nothing is left to race. Give it more time, or fewer "
                "sources."
            )
        judged = self._against_scratch(arms, scratch_arms(task)) if arms else self._scratch_only()
        seen = overlap_notes(usable, task)
        lost = (f"{name} is left out: {why}" for name, why in unread.items())
        changed = (
            f"{name} changed while it was used: its features are those of before."
            for name, digest in digests(sources).items()
            if digest != before[name]
        )
        notes = (*lost, *seen, *refused, *changed, *judged.said.pop("notes"))
        outcome = Outcome(
            target=task.describe(),
            ranking=tuple(ranking),
            seed=self.seed,
            cost={
                "seconds": self.clock.elapsed(),
                "peak_memory_mb": _peak_memory(),
                "labels": float(len(task)),
            },
            versions=_versions(),
            notes=notes,
            **judged.said,
        )
        self.clock.progress("done", 1.0)
        return Result(judged.model, outcome, ranking)

    def _against_scratch(self, arms: tuple[Arm, ...], scratch: tuple[Arm, ...]) -> _Judged:
        task, seed = self.task, self.seed
        arms, scratch, found = self._raced(arms, scratch)
        verdict = judge(found, rng=np.random.default_rng(seed))
        self.clock.tell("fitting the chosen models on all rows")
        chosen, baseline = arms[found.transfer_index], scratch[found.scratch_index]
        with single_threaded(), self.cache.used(task):
            moved = chosen.fitted(task, np.random.default_rng(seed))
            plain = baseline.fitted(task, np.random.default_rng(seed))
            test, untested = _on_test(task, moved, plain, seed)
        handed = _handed_over(found, seed)
        curve, note = self._curve(baseline, found)
        said = {
            "source": moved.card.parents[0] if moved.card.parents else chosen.source,
            "method": chosen.method,
            "settings": chosen.settings,
            "handed_over": handed,
            "verdict": verdict,
            "folds": found.folds,
            "splits": found.splits,
            "arms": (*found.transfer_arms, *found.scratch_arms),
            "labels_saved": curve,
            "test": test,
            "moved": moved.card.moved,
            "parameter_map": moved.card.parameter_map,
            "notes": (*found.notes, *note, *untested),
        }
        return _Judged(remember(moved if handed == "transfer" else plain, task), said)

    def _raced(
        self, arms: tuple[Arm, ...], scratch: tuple[Arm, ...]
    ) -> tuple[tuple[Arm, ...], tuple[Arm, ...], RaceResult]:
        """The race in its share of the time that is left; where it is too little, what took it."""
        before = self.clock.elapsed()
        share: float | None = RACE * self.clock.left()
        rungs = None
        if self.again is not None:
            arms, scratch, rungs = replayed((arms, scratch), self.again, K)
        if rungs is not None or share == math.inf:
            share = None
        try:
            found = race(
                arms,
                scratch,
                self.task,
                budget=share,
                seed=self.seed,
                executor=self.executor,
                cache=self.cache,
                k=K,
                rungs=rungs,
                clock=self.clock.read,
                progress=lambda: self.clock.tell("racing against from scratch"),
            )
        except BudgetTooSmall as error:
            raise BudgetTooSmall(
                f"{error} Of the budget of {self.clock.budget:g} s, reading and ranking the "
                f"sources took {before:.2g} s and the race had {share or 0:.2g} s; the rest is "
                "kept for the last fits."
            ) from error
        return arms, scratch, found

    def _scratch_only(self) -> _Judged:
        """No source fits: there is nothing to race, and the gain of nothing is nothing."""
        with single_threaded():
            model = FromScratch().fit(self.task, rng=np.random.default_rng(self.seed))
        said = {
            "source": "",
            "method": "",
            "settings": {},
            "handed_over": "from-scratch",
            "verdict": Verdict(0.0, 0.0, 0.0, self.task.metric_name),
            "folds": {},
            "splits": (),
            "arms": (),
            "notes": ("No source applies to this task: the model is trained from scratch.",),
        }
        return _Judged(remember(model, self.task), said)

    def _curve(
        self, baseline: Arm, found: RaceResult
    ) -> tuple[LabelsSaved | None, tuple[str, ...]]:
        """Labels saved, where the time that is left suffices for the learning curve."""
        per_fold = found.scratch_arms[found.scratch_index].seconds / max(1, len(found.splits))
        needed = CURVE_FITS * found.k * per_fold
        if self.again is None and needed > self.clock.left():
            return None, (f"No learning curve: it needs about {needed:.0f} s more.",)
        if self.task.time is not None:
            return None, ("No learning curve: the rows have an order in time.",)
        self.clock.tell("measuring the learning curve from scratch")
        rows = np.nanmean(found.transfer[found.transfer_index], axis=0)
        rng = np.random.default_rng(self.seed)
        try:
            saved = labels_saved(
                baseline,
                self.task,
                rows,
                executor=self.executor,
                rng=rng,
                k=found.k,
                timeout=LONGEST if self.again else min(LONGEST, self.clock.left()),
            )
        except NotApplicable as reason:
            return None, (f"No learning curve: {reason}",)
        return saved, ()


def _handed_over(found: RaceResult, seed: int) -> Literal["transfer", "from-scratch"]:
    """Transfer where it helps, or where it is better by over one standard error."""
    likely = judge(found, rng=np.random.default_rng(seed), level=HAND_OVER)
    return "transfer" if likely.kind == "helps" else "from-scratch"


def _on_test(
    task: Task, moved: Model, plain: Model, seed: int
) -> tuple[TestResult | None, tuple[str, ...]]:
    """Both on the held-out rows; a note where the metric says nothing of these."""
    if task.test is None or len(task.test) < 2:
        return None, ()
    try:
        return compare_on_test(task.test, moved, plain, rng=np.random.default_rng(seed)), ()
    except (DataError, NotApplicable) as error:
        return None, (f"No comparison on the held-out rows: {error}",)


def _peak_memory() -> float:
    """Largest resident memory of this process so far, in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def _versions() -> dict[str, str]:
    names = ("bequest", "numpy", "scipy", "scikit-learn", "torch")
    return {"python": platform.python_version(), **{name: version(name) for name in names}}
