"""Averages of transfer arms against the average of from-scratch arms, in one time budget.

A arms, R repeats of K folds, N rows.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from bequest.core import ArmResult, Executor, Task, fingerprint
from bequest.core.feature_cache import FeatureCache
from bequest.core.wording import pluralise
from bequest.data.splits import MANY_FOLDS, Split, folds, folds_for, judged_rows, resampling_units
from bequest.errors import BequestError, CannotSplit, DataError, NotApplicable
from bequest.evaluation.candidates import Candidate, candidate
from bequest.evaluation.jobs import Arm, Entrants, Keys
from bequest.evaluation.runs import OUT_OF_TIME, Clock, Runs
from bequest.evaluation.score import score_name

__all__ = ["FEWEST", "RaceResult", "race"]

Array = NDArray[Any]
LARGE = 4000  # rows of training, from which on a fit is first timed on a part of them
SAMPLE = 1000  # rows of that part
PATIENCE = 0.25  # of the time that is left, after which a fit in another process is stopped
FEWEST = 10  # rows of a part of a repeat, below which they judge nothing
LAST_FIT = 1.5  # what a fit on all rows costs, in fits of a fold: more rows, and some room
ONE_NETWORK = "not run: an average holds one network at most."


@final
@dataclass(frozen=True, eq=False)
class RaceResult:
    """What the race measured, and whom it chose.

    Parameters
    ----------
    transfer, scratch : tuple of Candidate
        The averages; from scratch there is one, and of transfer one a source, or without averages
        every arm alone. Empty where none was through a fold.
    transfer_index, scratch_index : int
        The candidate of each side with the best score.
    arms : tuple of ArmResult
        Every arm that was given, those of transfer first, with its score, or the reason why it
        left.
    metric, score : str
        The task's metric, and what the verdict is judged by.
    k : int
        Folds per repeat.
    splits : tuple of str
        Fingerprint of each fold's test rows.
    groups : array, shape (N,), or None
        Rows that a bootstrap draws together: those of a group, or of a block of time.
    blocks : int or None
        Blocks of time that were tested, for a task with time.
    seconds : mapping of int to float
        Of each arm that ran, of one fold.
    notes : tuple of str
        What a reader must know: time that ran out.
    late : frozenset of int
        Arms that are out for want of time.
    """

    transfer: tuple[Candidate, ...]
    scratch: tuple[Candidate, ...]
    transfer_index: int
    scratch_index: int
    arms: tuple[ArmResult, ...]
    metric: str
    score: str
    k: int
    splits: tuple[str, ...]
    groups: Array | None = None
    blocks: int | None = None
    seconds: Mapping[int, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    late: frozenset[int] = frozenset()

    @property
    def judged(self) -> bool:
        """Whether both sides have a candidate."""
        return bool(self.transfer and self.scratch)


def race(
    transfer: Sequence[Arm],
    scratch: Sequence[Arm],
    task: Task,
    *,
    budget: float | None,
    seed: int,
    executor: Executor,
    cache: FeatureCache | None = None,
    k: int | None = None,
    repeats: int | None = None,
    ensemble: bool = True,
    again: Sequence[int] | None = None,
    unjudged: Sequence[int] | Array = (),
    clock: Clock = time.perf_counter,
    progress: Callable[[], None] = lambda: None,
) -> RaceResult:
    """Run the arms of both sides on the same folds, and average those of each source.

    The folds are run one after the other, each by all arms that train no network, as many as there
    is time for: up to R repeats of K. Then networks run one repeat, where a timed part of their
    training says that it fits: half of what is left is for those from scratch.

    Parameters
    ----------
    transfer, scratch : sequence of Arm
        The most promising first. Those of one source are averaged.
    task : Task
        Its rows are split, and all of them are judged where the time suffices for a repeat.
    budget : float or None
        Seconds for the whole race and for fitting the averages on all rows; None for no limit.
    seed : int
        Of the splits and of every job: the seed of a job derives from it and the fold, so that
        results depend neither on the order in which jobs run nor on which other arms there are.
    executor : Executor
        Runs the jobs. Where it is lazy, none is drawn after the time is up.
    cache : FeatureCache, optional
        Keeps what the arms' frozen sources give for each row.
    k : int, optional
        Folds per repeat; `bequest.data.splits.folds_for` the task by default.
    repeats : int, optional
        At most; two of ten folds or more and three of fewer by default. A task with times has one.
    ensemble : bool
        Average the arms of each side. Otherwise each arm is a candidate of its own.
    again : sequence of int, optional
        For each arm, those of transfer first, the folds that it runs: to run an earlier race
        again, whatever the time says.
    unjudged : sequence of int
        Rows that train and do not judge: a source has seen them.
    clock : callable
        Seconds.
    progress : callable
        Called whenever a job is done.

    Returns
    -------
    RaceResult
        Without candidates on a side that had no time, or whose arms all failed.

    Raises
    ------
    NotApplicable
        No arm of either side fits the task; the reasons are listed.
    CannotSplit
        The task cannot be split into folds on which the metric is defined.
    DataError
        A side has no arm, or the metric fails.

    Examples
    --------
    >>> from bequest.core import Card
    >>> from bequest.frameworks.combined.function_model import FunctionModel
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
    >>> result.transfer[0].metric.shape, result.arms[0].score
    ((2, 40), 1.0)
    """
    if not transfer or not scratch:
        raise DataError(
            f"a race needs an arm on each side, it got {len(transfer)} of transfer and "
            f"{len(scratch)} from scratch."
        )
    rng = np.random.default_rng(np.random.SeedSequence(seed))
    by_repeat = _dealt(task, k, repeats, unjudged, rng)
    splits = [pair for repeat in by_repeat for pair in repeat]
    arms = (*transfer, *scratch)
    part = _part_of(splits[0], rng)
    keys = Keys.share(executor, task, Entrants(arms, cache, clock), [*splits, part])
    runs = Runs(task, arms, splits, len(by_repeat[0]), seed, executor, keys, clock, progress)
    until = math.inf if budget is None else clock() + budget
    run = _Race(runs, range(len(transfer)), range(len(transfer), len(arms)), ensemble, until)
    if again is None:
        run.folds()
        run.networks()
    else:
        runs.run((arm, fold) for arm, count in enumerate(again) for fold in range(count))
    return run.result()


@final
@dataclass(eq=False)
class _Race:
    """What runs next, and the results so far."""

    runs: Runs
    transfer: range  # places of its arms
    scratch: range
    ensemble: bool
    until: float

    def folds(self) -> None:
        """All arms without networks, fold by fold, as long as the next one fits."""
        runs = self.runs
        arms = [arm for arm in self._in_turn() if not runs.arms[arm].trains_network]
        if len(runs.splits[0][0]) > LARGE and self.until < math.inf:
            arms = self._affordable(arms)
        for fold in range(len(runs.splits)):
            alive = [arm for arm in arms if arm not in runs.reasons]
            ahead = runs.parallel * sum(map(runs.per_fold, alive))
            if not alive or (fold and ahead > self._left()):
                return
            runs.run(((arm, fold) for arm in alive), self._end(), PATIENCE)
            for arm in alive:
                if not fold and not runs.through(arm):
                    runs.drop(arm, OUT_OF_TIME)

    def networks(self) -> None:
        """Networks, one after the other: the side from scratch has half of the time that is left.

        In an average of transfer there is one at most, the first that fits.
        """
        runs = self.runs
        waiting = [a for a in (*self.scratch, *self.transfer) if runs.arms[a].trains_network]
        half = self._left() / 2
        for arm in waiting:
            own = [a for a in waiting if runs.arms[a].source == runs.arms[arm].source]
            if self.ensemble and arm in self.transfer and any(map(runs.through, own)):
                runs.reasons[arm] = ONE_NETWORK
            else:
                before = self._left()
                self._network(arm, half if arm in self.scratch else before)
                if arm in self.scratch and half < math.inf:  # without a limit nothing is used up
                    half -= before - self._left()

    def _network(self, arm: int, seconds: float) -> None:
        """The first repeat of a network, or as many folds as the others are through."""
        runs = self.runs
        rounds = min(runs.k, self._rounds() or runs.k)
        fits = rounds * runs.parallel + LAST_FIT
        if runs.arms[arm].least > seconds / fits:
            needed = runs.arms[arm].least
            runs.drop(arm, f"not run: it takes {max(needed, 1):,.0f} s a fit at least.")
            return
        runs.run([(arm, 0)], runs.clock() + seconds / fits)
        if runs.through(arm):
            runs.run([(arm, fold) for fold in range(1, rounds)], runs.clock() + self._left())
        if runs.through(arm) < rounds:
            runs.drop(arm, OUT_OF_TIME)

    def result(self) -> RaceResult:
        """The candidates of both sides."""
        runs, task = self.runs, self.runs.task
        whole = self._rounds()
        rounds = whole // runs.k * runs.k or whole
        if self._too_few(rounds):
            rounds = 0
        if len(runs.reasons) == len(runs.arms) and not runs.late:
            why = " ".join(dict.fromkeys(runs.reasons.values()))
            raise NotApplicable(f"no arm fits the task: {why}")
        judged = judged_rows(runs.splits[: min(rounds, runs.k)]) if rounds else np.zeros(0, int)
        scratch = self._candidates(self.scratch, rounds, judged)
        transfer = self._candidates(self.transfer, rounds, judged)
        used = {arm for one in (*scratch, *transfer) for arm in one.members}
        units = resampling_units(task, runs.k)
        repeats = len(runs.splits) // runs.k
        notes: tuple[str, ...] = ()
        if rounds < runs.k:
            notes = (
                f"{pluralise(rounds, 'fold')} of {runs.k} ran: the time did not suffice for more, "
                f"and {pluralise(len(judged), 'row')} of {len(task)} judge.",
            )
        elif rounds // runs.k < repeats:
            notes = (
                f"{rounds // runs.k} of {repeats} repeats ran: the time did not suffice for more.",
            )
        arms = tuple(runs.result(arm, arm in used) for arm in range(len(runs.arms)))
        unrun = {arm for arm, one in enumerate(arms) if one.reason == OUT_OF_TIME}
        return RaceResult(
            transfer=transfer,
            scratch=scratch,
            transfer_index=_best(transfer),
            scratch_index=_best(scratch),
            arms=arms,
            metric=task.metric_name,
            score=score_name(task),
            k=runs.k,
            splits=tuple(fingerprint(np.sort(test)) for _, test in runs.splits[:rounds]),
            groups=None if units is None else units[judged],
            blocks=None if task.time is None else min(rounds, runs.k),
            seconds={arm: runs.per_fold(arm) for arm in runs.seconds},
            notes=notes if scratch and transfer else (),
            late=frozenset(runs.late | unrun),
        )

    def _too_few(self, rounds: int) -> bool:
        """Whether a part of a repeat tests too few rows, or one group only, to judge by."""
        runs = self.runs
        if not rounds:
            return False
        rows = judged_rows(runs.splits[: min(rounds, runs.k)])
        units = resampling_units(runs.task, runs.k)
        apart = len(rows) if units is None else len(np.unique(units[rows]))
        if apart < 2 <= runs.k <= rounds:
            raise CannotSplit("the rows that judge are all of one group.")
        return apart < 2 or (rounds < runs.k and len(rows) < FEWEST)

    def _candidates(self, arms: Sequence[int], rounds: int, judged: Array) -> tuple[Candidate, ...]:
        runs = self.runs
        able = [arm for arm in arms if rounds and runs.through(arm) >= min(rounds, runs.k)]
        if not self.ensemble:
            teams = [(runs.arms[arm].source, [arm]) for arm in able]
        else:
            names = dict.fromkeys(runs.arms[arm].source for arm in able)
            teams = [(n, [a for a in able if runs.arms[a].source == n]) for n in names]
        made = (
            candidate(runs, name, members, rounds, judged, calibrate=self.ensemble)
            for name, members in teams
        )
        return tuple(one for one in made if one is not None)

    def _rounds(self) -> int:
        """Folds that every arm is through which is not out; of networks, where there are others."""
        runs = self.runs
        some = [arm for arm in range(len(runs.arms)) if runs.through(arm)]
        plain = [arm for arm in some if not runs.arms[arm].trains_network]
        sides = [
            min([a for a in side if a in plain] or side, key=runs.through)
            for side in (
                [arm for arm in some if arm in self.scratch],
                [arm for arm in some if arm in self.transfer],
            )
            if side
        ]
        return min(map(runs.through, sides), default=0)

    def _affordable(self, arms: Sequence[int]) -> list[int]:
        """Of many rows: the arms whose fit, timed on a part of the rows, fits once and at the end.

        The cheapest first on each side, which has half of the time.
        """
        runs = self.runs
        larger = len(runs.splits[0][0]) / SAMPLE
        cost = {arm: larger * seconds for arm, seconds in runs.timed(arms, self.until).items()}
        kept = []
        for own in (self.scratch, self.transfer):
            left = self._left() / 2
            for arm in sorted((arm for arm in own if arm in cost), key=cost.__getitem__):
                left -= (runs.parallel + LAST_FIT) * cost[arm]
                if left > 0:
                    kept.append(arm)
                else:
                    runs.drop(arm, f"not run: it takes about {cost[arm]:,.0f} s a fit.")
        return [arm for arm in arms if arm in kept]

    def _left(self) -> float:
        """Seconds before the last fits must begin."""
        return self._end() - self.runs.clock()

    def _end(self) -> float:
        """When the last fits must begin: from scratch's, and those of the dearest source."""
        if self.until == math.inf:
            return math.inf
        runs = self.runs
        cost: dict[str, float] = {}
        for arm in range(len(runs.arms)):
            if runs.through(arm):
                source = runs.arms[arm].source
                cost[source] = cost.get(source, 0.0) + LAST_FIT * runs.per_fold(arm)
        of_scratch = cost.pop("", 0.0)
        return self.until - of_scratch - max(cost.values(), default=0.0)

    def _in_turn(self) -> list[int]:
        """The first arm of each side, then the second of each."""
        pairs = zip_longest(self.scratch, self.transfer)
        return [arm for pair in pairs for arm in pair if arm is not None]


def _best(candidates: Sequence[Candidate]) -> int:
    """The one with the best score over the repeats that it ran, the first of equal ones."""
    means = [float(np.nanmean(one.score)) for one in candidates]
    return int(np.argmax(means)) if means else 0


def _dealt(
    task: Task,
    k: int | None,
    repeats: int | None,
    unjudged: Sequence[int] | Array,
    rng: np.random.Generator,
) -> list[list[Split]]:
    """The folds: of few rows ten a repeat, or fewer where the metric is undefined on so small ones.

    Five folds train on a fifth fewer rows than the model that is handed over, which overstates the
    gain where from scratch still learns fast.
    """
    most = folds_for(task)
    counts = [k] if k else [most, *(fewer for fewer in (5, 4, 3, 2) if fewer < most)]
    for count in counts:
        often = repeats or (2 if count >= MANY_FOLDS else 3)
        whole = folds(task, count, often, rng=np.random.default_rng(rng.integers(2**63)))
        by_repeat = [[(a, b[~np.isin(b, unjudged)]) for a, b in pairs] for pairs in whole]
        if not all(len(test) for pairs in by_repeat for _, test in pairs):
            raise CannotSplit(f"{len(unjudged)} of {len(task)} rows do not judge: no fold is left.")
        try:
            _check_metric(task, by_repeat)
        except CannotSplit:
            if count == counts[-1]:
                raise
        else:
            break
    return by_repeat


def _part_of(split: Split, rng: np.random.Generator) -> Split:
    """Some of a split's training rows, to time a fit on, and one row to test."""
    train, test = split
    rows = rng.choice(len(train), min(SAMPLE, len(train)), replace=False)
    return np.sort(train[rows]), test[:1]


def _check_metric(task: Task, by_repeat: Sequence[Sequence[Split]]) -> None:
    """Raise `CannotSplit` where the metric is undefined on a fold, whatever is predicted there."""
    for repeat in by_repeat:
        for _, test in repeat:
            width = len(task.classes)
            even = np.full((len(test), width), 1 / width) if width else np.zeros(len(test))
            try:
                task.row_scores(even, test)
            except NotApplicable as reason:
                raise CannotSplit(
                    f"{task.metric_name} cannot judge {len(repeat)} folds: {reason} "
                    "Take another metric, or label more rows of that class."
                ) from reason
            except BequestError:
                raise
            except (ArithmeticError, LookupError, TypeError, ValueError) as error:
                raise DataError(f"the metric {task.metric_name} fails: {error!r}.") from error
