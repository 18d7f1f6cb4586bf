"""Successive halving of transfer arms and from-scratch arms, side by side in one time budget.

A arms, R repeats (one rung each), K folds, N rows.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from bequest.core import ArmResult, Executor, Task, fingerprint
from bequest.core.feature_cache import FeatureCache
from bequest.core.wording import counted
from bequest.data.splits import Split, folds, judged_rows, resampling_units
from bequest.errors import BequestError, BudgetTooSmall, DataError, NotApplicable
from bequest.evaluation.jobs import Arm, Entrants, Keys
from bequest.evaluation.runners import Clock, Runners, Track

__all__ = ["RaceResult", "race"]

Array = NDArray[Any]


@final
@dataclass(frozen=True, eq=False)
class RaceResult:
    """What the race measured, and whom it chose.

    Parameters
    ----------
    transfer, scratch : array, shape (A, R, N)
        Out-of-fold score of each row; NaN where an arm was eliminated before that repeat, and
        everywhere where it left for another reason than its scores.
    transfer_index, scratch_index : int
        The chosen arm of each side.
    transfer_arms, scratch_arms : tuple of ArmResult
        Every arm that was given, with its score, or the reason why it left.
    metric : str
    k : int
        Folds per repeat.
    folds : mapping of str to tuple of float
        ``{"transfer", "from-scratch"}``: the metric per fold of the chosen arms.
    splits : tuple of str
        Fingerprint of each fold's test rows.
    groups : array, shape (N,), or None
        Rows that a bootstrap draws together: those of a group, or of a block of time.
    blocks : int or None
        Blocks of time that were tested, for a task with time.
    seconds : mapping of str to float
        Time that each side took.
    notes : tuple of str
        What a reader must know: arms trimmed, time that ran out.
    """

    transfer: Array
    scratch: Array
    transfer_index: int
    scratch_index: int
    transfer_arms: tuple[ArmResult, ...]
    scratch_arms: tuple[ArmResult, ...]
    metric: str
    k: int
    folds: Mapping[str, tuple[float, ...]]
    splits: tuple[str, ...]
    groups: Array | None = None
    blocks: int | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def race(
    transfer: Sequence[Arm],
    scratch: Sequence[Arm],
    task: Task,
    *,
    budget: float | None,
    seed: int,
    executor: Executor,
    cache: FeatureCache | None = None,
    k: int = 5,
    repeats: int = 3,
    rungs: tuple[Sequence[int], Sequence[int]] | None = None,
    clock: Clock = time.perf_counter,
    progress: Callable[[], None] = lambda: None,
) -> RaceResult:
    """Race the arms of both sides under the same number of settings and the same time.

    Each rung is one repeat of K-fold cross-validation over all rows. After each rung the better
    half of each side goes on, never under one arm. In the first rung, arms from the back are left
    out where the side's time does not suffice; later the worst are eliminated. Where not even one
    arm of a side has time for another rung, the race ends for both.

    Parameters
    ----------
    transfer, scratch : sequence of Arm
        The most promising first. The longer side is trimmed to the shorter.
    task : Task
        Its rows are split, and all of them are judged.
    budget : float or None
        Seconds for the whole race, half for each side; None for no limit.
    seed : int
        Of the splits and of every job: the seed of a job derives from it and the fold, so that
        results depend neither on the order in which jobs run nor on which other arms there are.
    executor : Executor
        Runs the jobs. Where it is lazy, none is drawn after the time is up.
    cache : FeatureCache, optional
        Keeps what the arms' frozen sources give for each row.
    k, repeats : int
        Folds per repeat, and rungs at most; a task with times has one repeat.
    rungs : pair of sequences of int, optional
        For each arm of transfer, and of from scratch, the repeats that it runs: to run an earlier
        race again, whatever the time and the scores say.
    clock : callable
        Seconds.
    progress : callable
        Called whenever a job is done.

    Returns
    -------
    RaceResult

    Raises
    ------
    BudgetTooSmall
        Not even one arm of each side was through the first rung in half of the budget.
    NotApplicable
        No arm of a side fits the task; the reasons are listed.
    DataError
        A side has no arm, or the task cannot be split into K folds.

    Examples
    --------
    >>> from bequest.core import Card
    >>> from bequest.frameworks.function_model import FunctionModel
    >>> def above(threshold):
    ...     return lambda task, rng: FunctionModel(
    ...         lambda X: X[:, 0] > threshold,
    ...         spec=task.spec, classes=task.classes, card=Card(),
    ...     )
    >>> X = np.random.default_rng(0).normal(size=(40, 1))
    >>> task = Task.from_arrays(X, X[:, 0] > 0)
    >>> from bequest.executors.local import LocalExecutor
    >>> with LocalExecutor() as executor:
    ...     result = race(
    ...         [Arm("sign", "reuse", {}, above(0.0))], [Arm("", "guess", {}, above(1.0))], task,
    ...         budget=60, seed=0, executor=executor,
    ...     )
    >>> result.transfer.shape, result.transfer_arms[0].score
    ((1, 3, 40), 1.0)
    """
    if not transfer or not scratch:
        raise DataError(
            f"a race needs an arm on each side, it got {len(transfer)} of transfer and "
            f"{len(scratch)} from scratch."
        )
    if budget is not None and not budget > 0:
        raise BudgetTooSmall(f"a budget of {budget} s is no time.")
    count = max(len(transfer), len(scratch)) if rungs else min(len(transfer), len(scratch))
    rng = np.random.default_rng(np.random.SeedSequence(seed))
    by_repeat = folds(task, k, repeats, rng=rng)
    splits = [pair for repeat in by_repeat for pair in repeat]
    _check_metric(task, by_repeat)
    entrants = Entrants(tuple(transfer[:count]), tuple(scratch[:count]), cache, clock)
    keys = Keys.share(executor, task, entrants, splits)
    share = np.inf if budget is None else budget / 2
    judged = judged_rows(by_repeat[0])
    track = Track(
        task, splits, judged, len(by_repeat[0]), seed, share, executor, keys, clock, progress
    )
    sides = (
        Runners.at_start("transfer", entrants.transfer, track),
        Runners.at_start("from-scratch", entrants.scratch, track),
    )
    done = 0
    while done < len(by_repeat) and _run_rung(sides, done, rungs):
        done += 1
    notes = () if rungs else _trimmed(transfer, scratch, count)
    if done < len(by_repeat) and rungs is None:
        notes += (f"{done} of {len(by_repeat)} repeats ran: the time did not suffice for more.",)
    return _result(sides, done, track, notes)


def _check_metric(task: Task, by_repeat: Sequence[Sequence[Split]]) -> None:
    """Raise `DataError` where the metric is undefined on a fold's rows, whatever is predicted."""
    for repeat in by_repeat:
        for _, test in repeat:
            width = len(task.classes)
            even = np.full((len(test), width), 1 / width) if width else np.zeros(len(test))
            try:
                task.row_scores(even, test)
            except NotApplicable as reason:
                raise DataError(
                    f"{task.metric_name} cannot judge {len(repeat)} folds: {reason} "
                    "Take another metric, or label more rows of that class."
                ) from reason
            except BequestError:
                raise
            except (ArithmeticError, LookupError, TypeError, ValueError) as error:
                raise DataError(f"the metric {task.metric_name} fails: {error!r}.") from error


def _run_rung(
    sides: tuple[Runners, Runners],
    rung: int,
    planned: tuple[Sequence[int], Sequence[int]] | None,
) -> bool:
    """Run one repeat on both sides; False where the time does not allow it for both."""
    if planned is not None:
        if not all(max(runs) > rung for runs in planned):
            return False
        for side, runs in zip(sides, planned, strict=True):
            side.keep_those(runs, rung)
    elif rung and not all(_thin_out(side, rung) for side in sides):
        return False
    before = [tuple(side.alive) for side in sides]
    for side in sides:
        side.run(rung)
    if all(side.alive for side in sides):
        return True
    for side, alive in zip(sides, before, strict=True):
        side.back_to(alive, rung)
    return False


def _thin_out(side: Runners, rung: int) -> bool:
    """Keep the better half, or fewer where the time is short; False where it is for none."""
    side.rank(rung)
    side.keep((len(side.alive) + 1) // 2, f"eliminated after repeat {rung}")
    fitting = side.fitting(rung)
    side.keep(max(fitting, 1), f"eliminated after repeat {rung}, as time was short")
    return fitting > 0


def _trimmed(transfer: Sequence[Arm], scratch: Sequence[Arm], count: int) -> tuple[str, ...]:
    if len(transfer) == len(scratch):
        return ()
    return (
        f"{counted(len(transfer), 'arm')} of transfer and {len(scratch)} from scratch were given: "
        f"the first {count} of each ran.",
    )


def _result(
    sides: tuple[Runners, Runners], rungs: int, track: Track, notes: tuple[str, ...]
) -> RaceResult:
    transfer, scratch = (side.eligible(rungs) for side in sides)
    for side in sides:
        side.rank(rungs)
    chosen = [side.alive[0] for side in sides]
    units = resampling_units(track.task, track.k)
    return RaceResult(
        transfer=transfer,
        scratch=scratch,
        transfer_index=chosen[0],
        scratch_index=chosen[1],
        transfer_arms=sides[0].results(rungs),
        scratch_arms=sides[1].results(rungs),
        metric=track.task.metric_name,
        k=track.k,
        folds={
            side.side: side.per_fold(arm, rungs) for side, arm in zip(sides, chosen, strict=True)
        },
        splits=tuple(fingerprint(np.sort(test)) for _, test in track.splits[: rungs * track.k]),
        groups=None if units is None else units[track.judged],
        blocks=None if track.task.time is None else track.k,
        seconds={side.side: side.spent for side in sides},
        notes=notes,
    )
