"""Choose, move, verify: the main job."""

from __future__ import annotations

import math
import platform
import resource
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Literal, final

import numpy as np

from bequest.api.arms import Methods, check_methods, scratch_arms, transfer_arms
from bequest.api.result import Result
from bequest.api.seen import overlap_notes, remember
from bequest.api.verbs import Sources, generator, models_of
from bequest.core import LabelsSaved, Model, Outcome, Task, TestResult, Verdict
from bequest.core.given import checked_task
from bequest.errors import BudgetTooSmall, NotApplicable
from bequest.evaluation import Arm, RaceResult, compare_on_test, judge, labels_saved, race
from bequest.executors import EXECUTORS
from bequest.executors.local import single_threaded
from bequest.methods.from_scratch import FromScratch
from bequest.selection import rank

__all__ = ["transfer"]

Progress = Callable[[str, float], None]
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
    budget: float = 120.0,
    test: Task | None = None,
    seed: int = 0,
    executor: str = "local",
    progress: Progress | None = None,
) -> Result:
    """Choose a source, move what fits of it, and verify the gain over from scratch.

    Parameters
    ----------
    task : Task
        The target, with its few labels.
    sources : iterable of Model, or Hub
    methods : "auto" or sequence of names and methods
        ``["probe", FineTune(lr=1e-3)]``: a name stands for all of its settings worth racing.
    budget : float
        Seconds, above zero; from scratch gets as much of it as transfer.
    test : Task, optional
        Held-out rows; they choose nothing. ``task.test`` where left out.
    seed : int
        Same seed, machine and versions, and a budget that is not used up: same numbers.
    executor : str
        A name of `bequest.executors.EXECUTORS`.
    progress : callable ``(what, share)``, optional
        Called as the work goes on, share from 0 to 1.

    Returns
    -------
    Result

    Raises
    ------
    BudgetTooSmall
        Not even one arm of each side could be judged in the time.
    DataError
        The task cannot be split, or the methods are not known.

    Examples
    --------
    >>> import bequest as bq, numpy as np
    >>> X = np.random.default_rng(0).normal(size=(40, 3))
    >>> task = bq.Task.from_arrays(X, X[:, 0] > 0, name="sign")
    >>> source = bq.wrap(lambda x: x[:, 0] > 0, classes=[False, True], name="knows")
    >>> result = bq.transfer(task, [source], methods=["reuse"], budget=30)
    >>> result.verdict.metric, result.outcome.method
    ('accuracy', 'reuse')
    """
    if not isinstance(budget, int | float | np.number) or not 0 < budget < math.inf:
        raise BudgetTooSmall(f"the budget must be a number of seconds above zero, not {budget!r}.")
    checked_task(task)
    check_methods(methods)
    run = EXECUTORS[executor]
    clock = _Clock(time.perf_counter(), budget, progress or (lambda what, share: None))
    task = task if test is None else task.with_test(checked_task(test, "test"))
    models, unread = models_of(sources)
    clock.tell("ranking the sources")
    with single_threaded():
        ranking = rank(models, task, rng=generator(seed))
    usable = [model for model in models if model.applies(task) is None]
    arms, refused = transfer_arms(usable, task, methods)
    scratch = scratch_arms(task)
    if clock.left() <= 0:
        raise BudgetTooSmall(
            f"reading and ranking the sources took {clock.elapsed():.0f} s, the budget is "
            f"{budget:g} s: nothing is left to race. Give it more time, or fewer sources."
        )
    judged = (
        _against_scratch(task, arms, scratch, clock.watched(run), seed, clock)
        if arms
        else _scratch_only(task, seed)
    )
    outcome = Outcome(
        target=task.describe(),
        ranking=tuple(ranking),
        seed=seed,
        cost={
            "seconds": clock.elapsed(),
            "peak_memory_mb": _peak_memory(),
            "labels": float(len(task)),
        },
        versions=_versions(),
        **{
            **judged.said,
            "notes": (*unread, *overlap_notes(usable, task), *refused, *judged.said["notes"]),
        },
    )
    clock.progress("done", 1.0)
    return Result(judged.model, outcome, ranking)


@final
@dataclass(frozen=True)
class _Clock:
    """What has been used of the budget, told as the work goes on."""

    start: float
    budget: float
    progress: Progress

    def elapsed(self) -> float:
        return time.perf_counter() - self.start

    def left(self) -> float:
        return self.budget - self.elapsed()

    def tell(self, what: str) -> None:
        self.progress(what, min(0.99, self.elapsed() / max(self.budget, 1e-9)))

    def watched(self, run: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
        """`run`, telling of each job that is done."""

        def watching(jobs: Iterable[Any]) -> Iterator[Any]:
            for result in run(jobs):
                self.tell("racing against from scratch")
                yield result

        return watching


@final
@dataclass(frozen=True)
class _Judged:
    """The model handed over, and the outcome's fields that the race fills."""

    model: Model
    said: dict[str, Any]


def _against_scratch(
    task: Task,
    arms: tuple[Arm, ...],
    scratch: tuple[Arm, ...],
    run: Callable[..., Iterator[Any]],
    seed: int,
    clock: _Clock,
) -> _Judged:
    found = _raced(arms, scratch, task, run, seed, clock)
    verdict = judge(found, rng=np.random.default_rng(seed))
    clock.tell("fitting the chosen models on all rows")
    chosen, baseline = arms[found.transfer_index], scratch[found.scratch_index]
    with single_threaded():
        moved = chosen.fit(task, np.random.default_rng(seed))
        plain = baseline.fit(task, np.random.default_rng(seed))
    handed = _handed_over(found, seed)
    curve, note = _curve(task, baseline, found, run, seed, clock)
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
        "test": _on_test(task, moved, plain, seed),
        "moved": moved.card.moved,
        "parameter_map": moved.card.parameter_map,
        "notes": (*found.notes, *note),
    }
    return _Judged(remember(moved if handed == "transfer" else plain, task), said)


def _raced(
    arms: tuple[Arm, ...],
    scratch: tuple[Arm, ...],
    task: Task,
    run: Callable[..., Iterator[Any]],
    seed: int,
    clock: _Clock,
) -> RaceResult:
    """The race in its share of the time that is left; where it is too little, what took it."""
    ranked = clock.elapsed()
    share = RACE * clock.left()
    try:
        return race(arms, scratch, task, budget=share, seed=seed, run=run)
    except BudgetTooSmall as error:
        raise BudgetTooSmall(
            f"{error} Of the budget of {clock.budget:g} s, reading and ranking the sources took "
            f"{ranked:.2g} s and the race had {share:.2g} s; the rest is kept for the last fits."
        ) from error


def _handed_over(found: RaceResult, seed: int) -> Literal["transfer", "from-scratch"]:
    """Transfer where it helps, or where it is better by over one standard error."""
    likely = judge(found, rng=np.random.default_rng(seed), level=HAND_OVER)
    return "transfer" if likely.kind == "helps" else "from-scratch"


def _scratch_only(task: Task, seed: int) -> _Judged:
    """No source fits: there is nothing to race, and the gain of nothing is nothing."""
    with single_threaded():
        model = FromScratch().fit(None, task, rng=np.random.default_rng(seed))
    said = {
        "source": "",
        "method": "",
        "settings": {},
        "handed_over": "from-scratch",
        "verdict": Verdict(0.0, 0.0, 0.0, task.metric_name),
        "folds": {},
        "splits": (),
        "arms": (),
        "notes": ("No source applies to this task: the model is trained from scratch.",),
    }
    return _Judged(remember(model, task), said)


def _curve(
    task: Task,
    baseline: Arm,
    found: RaceResult,
    run: Callable[..., Iterator[Any]],
    seed: int,
    clock: _Clock,
) -> tuple[LabelsSaved | None, tuple[str, ...]]:
    """Labels saved, where the time that is left suffices for the learning curve."""
    per_fold = found.scratch_arms[found.scratch_index].seconds / max(1, len(found.splits))
    needed = CURVE_FITS * found.k * per_fold
    if needed > clock.left():
        return None, (f"No learning curve: it needs about {needed:.0f} s more.",)
    clock.tell("measuring the learning curve from scratch")
    rows = np.nanmean(found.transfer[found.transfer_index], axis=0)
    rng = np.random.default_rng(seed)
    try:
        return labels_saved(baseline, task, rows, run=run, rng=rng, k=found.k), ()
    except NotApplicable as reason:
        return None, (f"No learning curve: {reason}",)


def _on_test(task: Task, moved: Model, plain: Model, seed: int) -> TestResult | None:
    if task.test is None or len(task.test) < 2:
        return None
    return compare_on_test(task.test, moved, plain, rng=np.random.default_rng(seed))


def _peak_memory() -> float:
    """Largest resident memory of this process so far, in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def _versions() -> dict[str, str]:
    names = ("bequest", "numpy", "scipy", "scikit-learn", "torch")
    return {"python": platform.python_version(), **{name: version(name) for name in names}}
