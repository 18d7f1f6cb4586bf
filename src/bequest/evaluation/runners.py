"""One side of the race while it runs: who is alive, what they scored, what time they took.

A arms, R repeats (one rung each), K folds, N rows that are judged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from bequest.core import ArmResult, Executor, Task
from bequest.core.executor import Done, in_full
from bequest.errors import BequestError, BudgetTooSmall, NotApplicable
from bequest.evaluation.jobs import Arm, ChoiceJob, FitJob, Fitted, Keys, Side

__all__ = ["LONGEST", "Clock", "Runners", "Track", "ran"]

Array = NDArray[Any]
Clock = Callable[[], float]
LONGEST = 3600.0  # seconds of one job where nothing limits them
OUT_OF_TIME = "the time was used up."
BY_SCORE = ("", "eliminated", "stopped")  # how the reasons of arms begin that could be chosen


@dataclass(frozen=True, eq=False)
class Track:
    """What both sides run on.

    Parameters
    ----------
    task : Task
    splits : sequence of (train rows, test rows)
        K folds of the first repeat, then those of the next.
    judged : int array, shape (N,)
        The rows that are tested; with time, not those of the first block.
    k : int
    seed : int
    share : float
        Seconds of each side; infinite for no limit.
    executor : Executor
    keys : Keys
        Of the task, the arms and the splits.
    clock, progress : callable
        As in `race`.
    """

    task: Task
    splits: Sequence[tuple[Array, Array]]
    judged: Array
    k: int
    seed: int
    share: float
    executor: Executor
    keys: Keys
    clock: Clock
    progress: Callable[[], None]

    @cached_property
    def place(self) -> Array:
        """The place of each row among those that are judged, -1 for the others."""
        place = np.full(len(self.task), -1)
        place[self.judged] = np.arange(len(self.judged))
        return place

    def run(self, jobs: Iterable[Any]) -> Iterator[Done]:
        """Run jobs; one that takes half of a side's time is stopped, where it can be."""
        for done in in_full(self.executor, jobs, timeout=min(self.share / 2, LONGEST)):
            self.progress()
            yield done


@dataclass(eq=False)
class Runners:
    """The arms of one side.

    Parameters
    ----------
    side : {"transfer", "from-scratch"}
    arms : tuple of Arm
    track : Track
    scores : array, shape (A, R, N)
        NaN where not run.
    seconds : array, shape (A,)
        As the jobs report them.
    alive : list of int
        Best first.
    reasons : dict of int to str
        Why an arm is alive no more.
    left : set of int
        Arms that are out for another reason than their scores: they could not have been chosen.
    spent : float
        Seconds on the clock of the race.
    """

    side: Side
    arms: tuple[Arm, ...]
    track: Track
    scores: Array
    seconds: Array
    alive: list[int]
    reasons: dict[int, str] = field(default_factory=dict)
    left: set[int] = field(default_factory=set)
    spent: float = 0.0

    @classmethod
    def at_start(cls, side: Side, arms: Sequence[Arm], track: Track) -> Self:
        """All arms alive, nothing run."""
        repeats = len(track.splits) // track.k
        scores = np.full((len(arms), repeats, len(track.judged)), np.nan)
        return cls(side, tuple(arms), track, scores, np.zeros(len(arms)), list(range(len(arms))))

    def rank(self, rung: int) -> None:
        """Order those alive by their mean over the first `rung` rungs; ties to the earlier arm."""
        means = self.scores[:, :rung].mean(axis=(1, 2))
        self.alive.sort(key=lambda arm: (-means[arm], arm))

    def keep(self, count: int, why: str) -> None:
        """Eliminate all but the first `count` of those alive."""
        everyone = len(self.alive)
        for place, arm in enumerate(self.alive[count:], start=count + 1):
            self.reasons[arm] = f"{why}: place {place} of {everyone}."
        self.alive = self.alive[:count]

    def keep_those(self, planned: Sequence[int], rung: int) -> None:
        """Eliminate those alive that were planned for no more than `rung` rungs."""
        for arm in [arm for arm in self.alive if planned[arm] <= rung]:
            self.reasons[arm] = f"eliminated after repeat {rung}, as planned."
        self.alive = [arm for arm in self.alive if planned[arm] > rung]

    def fitting(self, rung: int) -> int:
        """How many of those alive should be through one more rung within the side's time."""
        total = self.seconds.sum()
        parallel = self.spent / total if total > 0 else 0.0
        ahead = self.spent + parallel * self.seconds[self.alive].cumsum() / rung
        return int((ahead <= self.track.share).sum())

    def run(self, rung: int) -> None:
        """Run one rung; arms that it leaves unfinished are out.

        Raises
        ------
        BudgetTooSmall
            The time was up before one arm was through the first rung.
        NotApplicable
            No arm fits the task.
        """
        start, before = self.track.clock(), self.spent
        todo = dict.fromkeys(self.alive, self.track.k)
        drawn: list[FitJob] = []

        def elapsed() -> float:
            return before + self.track.clock() - start

        choices = self._choices(rung)
        for done in self.track.run(self._jobs(rung, todo, elapsed, choices, drawn)):
            job = drawn[done.job]
            late = elapsed() > self.track.share
            if late and rung == 0:
                break
            self._record(job, done, rung)
            todo[job.arm] -= 1
            if late:  # a later rung was planned to fit: its last job may end a little late
                break
        self.spent = elapsed()
        self._stop([arm for arm in self.alive if todo[arm]], todo, rung)
        if not self.alive and (rung == 0 or self.left >= set(todo)):
            raise self._nobody()

    def back_to(self, alive: Sequence[int], rung: int) -> None:
        """Undo a rung that no arm got through: those alive before it are alive again."""
        self.alive = [arm for arm in alive if arm not in self.left]
        self.scores[:, rung] = np.nan
        for arm in self.alive:
            self.reasons.pop(arm, None)

    def eligible(self, rungs: int) -> Array:
        """Scores of the first rungs, shape (A, rungs, N), NaN for arms that left."""
        scores = self.scores[:, :rungs].copy()
        scores[sorted(self.left)] = np.nan
        return scores

    def results(self, rungs: int) -> tuple[ArmResult, ...]:
        """What came of every arm."""
        results = []
        for index, arm in enumerate(self.arms):
            scores = self.scores[index, :rungs]
            known = scores[np.isfinite(scores)]
            results.append(
                ArmResult(
                    source=arm.source,
                    method=arm.method,
                    settings=dict(arm.settings),
                    score=float(known.mean()) if len(known) else float("nan"),
                    folds=self.per_fold(index, rungs),
                    seconds=float(self.seconds[index]),
                    reason=self.reasons.get(index, ""),
                )
            )
        return tuple(results)

    def per_fold(self, arm: int, rungs: int) -> tuple[float, ...]:
        """The metric of each fold that the arm ran."""
        k = self.track.k
        means = [
            float(self.scores[arm, fold // k, self.track.place[test]].mean())
            for fold, (_, test) in enumerate(self.track.splits[: rungs * k])
        ]
        return tuple(mean for mean in means if np.isfinite(mean))

    def _choices(self, rung: int) -> dict[tuple[int, int], Any]:
        """What each arm has chosen on each fold of this rung; arms share what they share."""
        track = self.track
        asked = {id(choose): arm for arm in self.alive if (choose := self.arms[arm].choose)}
        folds = range(rung * track.k, (rung + 1) * track.k)
        jobs = [ChoiceJob(self.side, arm, f, track.keys) for arm in asked.values() for f in folds]
        made: dict[tuple[int, int], Any] = {}
        for done in track.run(jobs):
            if not done.failure:
                made[id(self.arms[jobs[done.job].arm].choose), jobs[done.job].fold] = done.value
        return made

    def _jobs(
        self,
        rung: int,
        todo: Mapping[int, int],
        elapsed: Clock,
        choices: Mapping[tuple[int, int], Any],
        drawn: list[FitJob],
    ) -> Iterator[FitJob]:
        """Jobs arm by arm; in the first rung no arm begins that would not be done in time."""
        track = self.track
        for arm in tuple(self.alive):
            done = sum(1 for left in todo.values() if left == 0)
            if rung == 0 and done and elapsed() * (done + 1) / done > track.share:
                return
            for fold in range(rung * track.k, (rung + 1) * track.k):
                if arm in self.left:
                    break
                choice = choices.get((id(self.arms[arm].choose), fold))
                job = FitJob(self.side, arm, fold, (track.seed, fold), track.keys, choice)
                drawn.append(job)
                yield job

    def _record(self, job: FitJob, done: Done, rung: int) -> None:
        fitted, reason = done.value, done.failure
        if not reason and not isinstance(fitted, Fitted):
            reason = "the executor gave no result of its job."
        if not reason:
            self.seconds[job.arm] += fitted.seconds
            reason = fitted.reason
        if reason:
            self.left.add(job.arm)
            self.alive = [arm for arm in self.alive if arm != job.arm]
            self.reasons[job.arm] = reason
            return
        test = self.track.splits[job.fold][1]
        scores = self.track.task.row_scores(fitted.output, test)
        self.scores[job.arm, rung, self.track.place[test]] = scores

    def _stop(self, unfinished: Sequence[int], todo: Mapping[int, int], rung: int) -> None:
        for arm in unfinished:
            done = self.track.k - todo[arm]
            what = f"stopped after {done} of {self.track.k} folds of repeat {rung + 1}"
            self.reasons[arm] = f"{what if rung or done else 'not run'}: {OUT_OF_TIME}"
            if rung == 0:
                self.left.add(arm)
            else:
                self.scores[arm, rung] = np.nan
        self.alive = [arm for arm in self.alive if arm not in unfinished]

    def _nobody(self) -> BequestError:
        refused = [self.reasons[arm] for arm in sorted(self.left)]
        late = [reason for reason in refused if reason.endswith(OUT_OF_TIME)]
        if not late:
            listed = " ".join(dict.fromkeys(refused))
            return NotApplicable(f"no arm of {self.side} fits the task: {listed}")
        return BudgetTooSmall(
            f"no arm of {self.side} was through {self.track.k} folds in {self.track.share:.3g} s, "
            f"its half of the race: {late[0]} Give it more time, fewer folds, or cheaper arms."
        )


def ran(arm: ArmResult) -> bool:
    """Whether the arm ran a fold, and did not leave for another reason than score or time."""
    return bool(arm.folds) and arm.reason.partition(" ")[0] in BY_SCORE
