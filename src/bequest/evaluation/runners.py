"""One side of the race while it runs: who is alive, what they scored, what time they took.

A arms, R repeats (one rung each), K folds, N rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from bequest.core import ArmResult, Task
from bequest.errors import BequestError, BudgetTooSmall, NotApplicable
from bequest.evaluation.jobs import Arm, Job, JobResult, Side

__all__ = ["Clock", "Run", "Runners", "Track"]

Array = NDArray[Any]
Clock = Callable[[], float]
Run = Callable[[Iterable[Job]], Iterable[JobResult]]


@dataclass(frozen=True, eq=False)
class Track:
    """What both sides run on.

    Parameters
    ----------
    task : Task
    splits : sequence of (train rows, test rows)
        K folds of the first repeat, then those of the next.
    k : int
    seed : int
    share : float
        Seconds of each side.
    run, clock
        As in `race`.
    """

    task: Task
    splits: Sequence[tuple[Array, Array]]
    k: int
    seed: int
    share: float
    run: Run
    clock: Clock


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
        scores = np.full((len(arms), repeats, len(track.task)), np.nan)
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

        def elapsed() -> float:
            return before + self.track.clock() - start

        for result in self.track.run(self._jobs(rung, todo, elapsed)):
            self.seconds[result.arm] += result.seconds
            late = elapsed() > self.track.share
            if late and rung == 0:
                break
            self._record(result, rung)
            todo[result.arm] -= 1
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
            float(self.scores[arm, fold // k, test].mean())
            for fold, (_, test) in enumerate(self.track.splits[: rungs * k])
        ]
        return tuple(mean for mean in means if np.isfinite(mean))

    def _jobs(self, rung: int, todo: Mapping[int, int], elapsed: Clock) -> Iterator[Job]:
        """Jobs arm by arm; in the first rung no arm begins that would not be done in time."""
        track = self.track
        for arm in tuple(self.alive):
            done = sum(1 for left in todo.values() if left == 0)
            if rung == 0 and done and elapsed() * (done + 1) / done > track.share:
                return
            for fold in range(rung * track.k, (rung + 1) * track.k):
                if arm in self.left:
                    break
                train, test = track.splits[fold]
                seed = (track.seed, arm, fold)
                yield Job(
                    self.side, arm, fold, self.arms[arm], track.task, train, test, seed, track.clock
                )

    def _record(self, result: JobResult, rung: int) -> None:
        if result.output is None:
            self.left.add(result.arm)
            self.alive = [arm for arm in self.alive if arm != result.arm]
            self.reasons[result.arm] = result.reason
            return
        test = self.track.splits[result.fold][1]
        self.scores[result.arm, rung, test] = self.track.task.row_scores(result.output, test)

    def _stop(self, unfinished: Sequence[int], todo: Mapping[int, int], rung: int) -> None:
        for arm in unfinished:
            done = self.track.k - todo[arm]
            what = f"stopped after {done} of {self.track.k} folds of repeat {rung + 1}"
            self.reasons[arm] = f"{what if rung or done else 'not run'}: the time was used up."
            if rung == 0:
                self.left.add(arm)
            else:
                self.scores[arm, rung] = np.nan
        self.alive = [arm for arm in self.alive if arm not in unfinished]

    def _nobody(self) -> BequestError:
        refused = [self.reasons[arm] for arm in sorted(self.left)]
        late = [reason for reason in refused if reason.endswith("the time was used up.")]
        if not late:
            listed = " ".join(dict.fromkeys(refused))
            return NotApplicable(f"no arm of {self.side} fits the task: {listed}")
        return BudgetTooSmall(
            f"no arm of {self.side} was through {self.track.k} folds in {self.track.share:.3g} s, "
            f"its half of the race: {late[0]} Give it more time, fewer folds, or cheaper arms."
        )
