"""What the arms of a race have computed so far: outputs on rows they did not train on, and seconds.

A arms, R repeats of K folds, N rows, C classes. A fold has a number that counts on through the
repeats: from 0 to R K - 1.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bequest.core import ArmResult, Executor, Task
from bequest.core.executor import Done, in_full
from bequest.core.timeout import SHORTEST
from bequest.data.splits import Split
from bequest.evaluation.jobs import Arm, ChoiceJob, FitJob, Fitted, Keys

__all__ = ["OUT_OF_TIME", "Clock", "Runs"]

Array = NDArray[Any]
Clock = Callable[[], float]
OUT_OF_TIME = "not run: the time was used up."


@dataclass(eq=False)
class Runs:
    """Runs arms on folds, and keeps what comes of it.

    Parameters
    ----------
    task : Task
    arms : tuple of Arm
    splits : sequence of (train rows, test rows)
        K folds of the first repeat, then those of the next.
    k, seed : int
    executor : Executor
    keys : Keys
        Of the task, the arms and the splits.
    clock, progress : callable
        As in `race`.
    outputs : dict of (arm, fold) to array
    folds : dict of arm to int
        Folds that the arm is through, without a gap from the first one on.
    seconds : dict of arm to list of float
        As the jobs report them.
    reasons : dict of arm to str
        Why an arm is out.
    late : set of arm
        Those that are out for want of time.
    """

    task: Task
    arms: tuple[Arm, ...]
    splits: Sequence[Split]
    k: int
    seed: int
    executor: Executor
    keys: Keys
    clock: Clock
    progress: Callable[[], None]
    outputs: dict[tuple[int, int], Array] = field(default_factory=dict)
    folds: dict[int, int] = field(default_factory=dict)
    seconds: dict[int, list[float]] = field(default_factory=dict)
    reasons: dict[int, str] = field(default_factory=dict)
    late: set[int] = field(default_factory=set)
    spent: float = 0.0  # on the race's clock, while jobs ran
    _choices: dict[tuple[int, int], Any] = field(default_factory=dict)
    _ran: set[tuple[int, int]] = field(default_factory=set)

    def run(
        self, wanted: Iterable[tuple[int, int]], until: float = math.inf, patience: float = 1.0
    ) -> None:
        """Run pairs of an arm and a fold, in their order, as long as the clock is before `until`.

        What is being run then is given up, and a single job after a share `patience` of the time.
        """
        start = self.clock()
        pairs = [pair for pair in wanted if pair[0] not in self.reasons]
        self._choose(pairs, until, patience)
        drawn: list[FitJob] = []
        for done in self._done(self._jobs(pairs, until, drawn), until, patience):
            self._record(drawn[done.job], done)
        self.spent += self.clock() - start

    def drop(self, arm: int, reason: str) -> None:
        """An arm is out for want of time."""
        if arm not in self.reasons:
            self.reasons[arm] = reason
            self.late.add(arm)

    def timed(self, arms: Sequence[int], until: float) -> dict[int, float]:
        """Seconds of a fit on the part of the rows that stands behind the splits, by arm."""
        part = len(self.splits)
        self.run(((arm, part) for arm in arms), until)
        for arm in arms:
            self.outputs.pop((arm, part), None)
        return {a: self.seconds.pop(a)[-1] for a in arms if a in self.seconds}

    def through(self, arm: int) -> int:
        """Folds that the arm is through; 0 for one that is out."""
        return 0 if arm in self.reasons else self.folds.get(arm, 0)

    def per_fold(self, arm: int) -> float:
        """Seconds of one fold, the cheapest that was seen: the first one may load libraries."""
        return min(self.seconds.get(arm, [0.0]))

    @property
    def parallel(self) -> float:
        """Seconds on the clock for a second of work, 1 at most."""
        total = sum(map(sum, self.seconds.values()))
        return min(1.0, self.spent / total) if total > 0 else 1.0

    def result(self, arm: int, used: bool) -> ArmResult:
        """The result of an arm: its metric on each fold, and the mean."""
        means = [
            float(self.task.row_scores(self.outputs[arm, fold], self.splits[fold][1]).mean())
            for fold in range(self.folds.get(arm, 0))
            if (arm, fold) in self.outputs
        ]
        return ArmResult(
            source=self.arms[arm].source,
            method=self.arms[arm].method,
            settings=dict(self.arms[arm].settings),
            score=float(np.mean(means)) if means else float("nan"),
            folds=tuple(means),
            seconds=float(sum(self.seconds.get(arm, []))),
            reason=self.reasons.get(arm, "" if means else OUT_OF_TIME),
            used=used,
        )

    def _done(self, jobs: Iterable[Any], until: float, patience: float) -> Iterator[Done]:
        left = max(SHORTEST, until - self.clock())
        timeout, end = max(SHORTEST, patience * left), time.monotonic() + left
        for done in in_full(self.executor, jobs, timeout=timeout, until=end):
            self.progress()
            yield done

    def _choose(self, pairs: Sequence[tuple[int, int]], until: float, patience: float) -> None:
        """What each arm chooses on the training rows of its fold; arms share what they share."""
        asked: dict[tuple[int, int], tuple[int, int]] = {}
        for arm, fold in pairs:
            key = (id(self.arms[arm].choose), fold)
            if self.arms[arm].choose is not None and key not in self._choices:
                asked.setdefault(key, (arm, fold))
        if not asked:
            return
        jobs = [ChoiceJob(arm, fold, self.keys) for arm, fold in asked.values()]
        names = list(asked)
        for done in self._done((j for j in jobs if self.clock() < until), until, patience):
            if not done.failure:
                self._choices[names[done.job]] = done.value

    def _jobs(
        self, pairs: Sequence[tuple[int, int]], until: float, drawn: list[FitJob]
    ) -> Iterator[FitJob]:
        for arm, fold in pairs:
            left = until - self.clock()
            if left <= 0:
                return
            if arm in self.reasons:
                continue
            choice = self._choices.get((id(self.arms[arm].choose), fold))
            job = FitJob(arm, fold, (self.seed, fold), self.keys, choice, left)
            drawn.append(job)
            yield job

    def _record(self, job: FitJob, done: Done) -> None:
        fitted, reason = done.value, done.failure
        if (done.late or (isinstance(fitted, Fitted) and fitted.late)) and self.through(job.arm):
            return  # what it has run counts: this fold was begun too late
        if not reason and not isinstance(fitted, Fitted):
            reason = "the executor gave no result of its job."
        if not reason:
            self.seconds.setdefault(job.arm, []).append(fitted.seconds)
            if fitted.output is not None:
                self.outputs[job.arm, job.fold] = fitted.output
            elif not fitted.skipped:
                reason = fitted.reason
        if reason:
            self.reasons.setdefault(job.arm, reason)
            if done.late or (isinstance(fitted, Fitted) and fitted.late):
                self.late.add(job.arm)
        else:
            self._ran.add((job.arm, job.fold))
            while (job.arm, self.folds.get(job.arm, 0)) in self._ran:
                self.folds[job.arm] = self.folds.get(job.arm, 0) + 1
