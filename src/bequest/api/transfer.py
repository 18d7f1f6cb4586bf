"""Choose, move, verify: the main job."""

from __future__ import annotations

import math
import platform
import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from typing import Any, Self, TypeVar, final

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
from bequest.api.last_fits import ROOM, Fits, LastFits
from bequest.api.misfits import misfits
from bequest.api.narrow import narrowed
from bequest.api.overlap import Overlap, overlap, with_row_fingerprints
from bequest.api.result import Result
from bequest.api.sources import Sources, ask, digests, keep, opened, seconds_a_row
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
    due_in,
)
from bequest.core.deadline import counted_from
from bequest.core.feature_cache import FeatureCache
from bequest.core.outcome import TOO_SHORT
from bequest.core.timeout import with_timeout, without_timeouts
from bequest.core.validation import is_seconds, validate_task
from bequest.data.repeats import with_repeats_together
from bequest.errors import (
    BequestError,
    BudgetTooSmall,
    CannotSplit,
    DataError,
    ModelError,
    NotApplicable,
    OutOfTime,
)
from bequest.evaluation import (
    Arm,
    RaceResult,
    Until,
    compare_on_test,
    judge,
    labels_needed,
    labels_saved,
    race,
)
from bequest.evaluation.race import FEWEST
from bequest.executors import EXECUTORS
from bequest.executors.local import alone
from bequest.frameworks.encoders.pixels import Pixels
from bequest.frameworks.torch.cost import cost_of
from bequest.selection import Ranking

__all__ = ["transfer"]

T = TypeVar("T")
Progress = Callable[[str, float], None]
CURVE = 2.15  # fits of all training rows that a learning curve costs a fold
OPENING = 0.25  # share of the budget, at most, for opening the sources
HELD_OUT = 0.1  # share of the budget, at least, for asking both models for the held-out rows
MEASURING = 0.05  # of what is left, for measuring what a held-out row takes
FEATURES = 0.75  # share of the budget, at most, for what the sources give for all rows
PASSES = 20  # over all rows that tuning a network takes, at least, back and forth
JUDGING = 5e-5  # seconds a row that the verdict takes, about
RANKING = 0.2  # of what is then left, for the ranking
MEASURED = 16  # rows that the model handed over is timed on
BUDGET = 120.0  # seconds where none are given
NO_SOURCE = "No source applies to this task."
NOTHING = Verdict(0.0, -math.inf, math.inf, "")


def transfer(
    task: Task,
    sources: Sources,
    *,
    methods: Methods = "auto",
    budget: float | None = BUDGET,
    ensemble: bool = True,
    allow_overlap: bool = False,
    test: Task | None = None,
    seed: int = 0,
    executor: str | Executor = "local",
    arms: Sequence[ArmResult] | None = None,
    progress: Progress | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Result:
    """Choose a source, move what fits of it, and verify the gain over from scratch.

    From scratch is the equal-weight average of what suits the task's kind of data. Transfer is, for
    each source, the average of the methods that suit it; among at most three sources the best is
    chosen. The model handed over is the one that `Verdict.favours`: transfer's where its
    estimated gain is above zero, else the one from scratch.

    Parameters
    ----------
    task : Task
        The target, with its few labels.
    sources : Hub, or iterable of Model, Task, Source, path and Hub
        A Task is the data of a source for methods that train on it too, a path that of a model
        folder, or the name of a model on the Hugging Face Hub (``"hf://org/name"``), and every
        model of a hub is a source. Of more than 16 those are opened that promise most by a hub's
        outcomes and sketches, and by their cards.
    methods : "auto" or sequence of names and methods
        ``["probe", FineTune(lr=1e-3)]``: a name stands for all of its settings worth racing.
    budget : float or None
        Seconds, above zero, in which all is done: with less time fewer repeats and methods run. A
        model is always handed over, without a verdict where there was no time for one. None: no
        limit, but of an hour for one fit in another process. What hangs is given up.
    ensemble : bool
        False: the single best method is chosen on each side instead of an average.
    allow_overlap : bool
        Also run sources that have seen rows of the task, without a verdict. By default a source
        leaves that has seen a third of them, beyond chance, and of fewer rows none judges.
    test : Task, optional
        Held-out rows; they choose nothing. ``task.test`` by default.
    seed : int
        Same seed, machine and versions, and a budget that is not used up, or none: same result.
    executor : str or Executor
        A name of `bequest.executors.EXECUTORS`, or one of your own, which is not closed.
    arms : sequence of ArmResult, optional
        ``outcome.arms`` of an earlier transfer: those that were judged then run again, on as many
        folds as they did then, whatever the clock says; with its task, sources and seed the verdict
        and the model are the same. A learning curve that had no time then is measured now.
    progress : callable ``(what, share)``, optional
        Called as the work goes on, share from 0 to 1.
    clock : callable
        Seconds. On another clock than the machine's own nothing that hangs is abandoned.

    Returns
    -------
    Result

    Raises
    ------
    BudgetTooSmall
        The budget is no time at all.
    DataError
        The methods are not known, the metric fails, or `arms` cannot be run again.
    ModelError
        A source cannot be opened.
    Examples
    --------
    >>> import bequest as bq, numpy as np
    >>> X = np.random.default_rng(0).normal(size=(40, 3))
    >>> task = bq.Task.from_arrays(X, X[:, 0] > 0, name="sign")
    >>> source = bq.wrap(lambda x: x[:, 0] > 0, classes=[False, True], name="knows")
    >>> result = bq.transfer(task, [source], methods=["reuse"], budget=None)
    >>> result.verdict.metric, result.outcome.source
    ('accuracy', 'knows')
    """
    if not (budget is None or is_seconds(budget)):
        raise BudgetTooSmall(
            f"the budget must be None or a number of seconds above zero, not {budget!r}."
        )
    time_left = _Clock(
        clock, counted_from(clock), budget or math.inf, progress or (lambda what, share: None)
    )
    task = validate_task(task)
    again = None if arms is None else checked_arms(arms)
    if again is not None and methods == "auto":
        methods = named_methods(again)
    check_methods(methods)
    runner = EXECUTORS[executor]() if isinstance(executor, str) else executor
    if not isinstance(runner, Executor):
        raise DataError(f"an executor is a name or an Executor, not a {type(runner).__name__}.")
    task = task if test is None else task.with_test(validate_task(test, "test"))
    task, repeats = with_repeats_together(task)
    with FeatureCache() as cache, ExitStack() as stack:
        if isinstance(executor, str):
            stack.enter_context(runner)
        if clock is not time.perf_counter:
            stack.enter_context(without_timeouts())
        run = _Run(task, seed, runner, cache, time_left, ensemble, allow_overlap, again)
        given, narrowing = narrowed(sources, task)
        return run.result(given, (*repeats, *narrowing), methods)


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

    def limit(self, call: Callable[[], T], what: str) -> T:
        """What a call gives that may take half of the time that is left; else `OutOfTime`."""
        return with_timeout(call, self.left() / 2, what)

    def tell(self, what: str) -> None:
        self.progress(what, min(0.99, self.elapsed() / max(self.budget, 1e-9)))


@final
@dataclass(frozen=True)
class _Judged:
    """The models, and what of the outcome the race tells."""

    model: Model
    best_single: Model
    outcome: Outcome

    @classmethod
    def of(cls, fits: Fits, outcome: Outcome) -> Self:
        """What the last fits gave."""
        return cls(fits.model, fits.best, outcome)

    def remembering(self, task: Task, sources: Sequence[Source]) -> tuple[Model, Model]:
        """The two, with the rows that they, and the sources that they are of, were trained on."""
        model = with_row_fingerprints(self.model, task, sources)
        alone = self.best_single is self.model
        return model, model if alone else with_row_fingerprints(self.best_single, task, sources)


@final
@dataclass(frozen=True, eq=False)
class _Run:
    """One transfer: what all of its steps work with."""

    task: Task
    seed: int
    executor: Executor
    cache: FeatureCache
    clock: _Clock
    ensemble: bool
    allow_overlap: bool
    again: tuple[ArmResult, ...] | None

    def result(
        self, sources: tuple[Source, ...], known: tuple[str, ...], methods: Methods
    ) -> Result:
        """Open, rank, race, judge; what is `known` of the rows and the sources becomes notes."""
        task = self.task
        self.clock.tell("opening the sources")
        with due_in(OPENING * self.clock.left(), self.clock.read):
            sources, unread = opened(sources)
        seen = overlap([s for s in sources if s.model is None or not s.model.applies(task)], task)
        if not self.allow_overlap:
            sources = tuple(source for source in sources if source.name not in seen.left_out)
            unread |= seen.left_out
        self.clock.tell("ranking the sources")
        keep(self.cache, sources)
        before = digests(sources)
        time_for_it = FEATURES * self.clock.left()
        late, took = ask(self.cache, sources, task, time_for_it, self.clock.read)
        per_row = sum(took.values()) / len(task)
        unread |= {name: self._why_late(reason) for name, reason in late.items()}
        sources = tuple(source for source in sources if source.name not in late)
        scratch = scratch_arms(task)
        most = len(scratch) if self.ensemble and methods == "auto" else None
        with self.cache.used(task):
            ranking, unranked = self._ranking(sources, unread)
            usable = [s for s in sources if s.model is None or s.model.applies(task) is None]
            try:
                arms, refused, unsuited = self.clock.limit(
                    partial(transfer_arms, usable, task, methods, most), "asking the sources"
                )
            except OutOfTime as reason:
                arms, refused, unsuited = (), (), (f"No source is used: {reason}",)
            arms = tuple(replace(a, least=PASSES * took.get(a.source, 0.0)) for a in arms)
        if self.again is not None and not arms:
            raise DataError("these arms cannot be run again: no source fits the task now.")
        run = self if self.allow_overlap else self._without(seen)
        none = self._no_answer(late) if late else NO_SOURCE
        limit = MEASURING * self.clock.left()
        held_out = (
            seconds_a_row(usable, run.task, limit, self.clock.read) if limit < math.inf else 0
        )
        places = {entry.source: entry.score for entry in ranking}
        judged = run._judged(arms, scratch, held_out, seen, places, none)
        said_once = none.startswith(TOO_SHORT) and not arms
        lost = (
            f"{name} is left out: {why}"
            for name, why in unread.items()
            if not (said_once and name in late)
        )
        changed = (
            f"{name} changed while it was used: its features are those of before."
            for name, digest in digests(sources).items()
            if digest != before[name]
        )
        said = judged.outcome
        running_cost, fails = self._running_cost(judged.model, per_row)
        more = (*fails, *lost, *seen.notes, *unranked, *unsuited, *changed)
        outcome = replace(
            said,
            ranking=tuple(ranking),
            arms=(*said.arms, *refused),
            seed=self.seed,
            cost={
                "peak_memory_mb": _peak_memory(),
                "labels": float(len(task)),
                **running_cost,
                "seconds": self.clock.elapsed(),
            },
            versions=_versions(),
            notes=(*known, *said.notes, *more, *_too_small(usable, task), *misfits(usable, task)),
        )
        self.clock.progress("done", 1.0)
        model, best_single = judged.remembering(task, usable)
        return Result(model, outcome, ranking, best_single)

    def _ranking(
        self, sources: Sequence[Source], unread: Mapping[str, str]
    ) -> tuple[Ranking, tuple[str, ...]]:
        """The ranking, and a note where it took too long: then every source is without a place."""
        task, seed, seconds = self.task, self.seed, RANKING * self.clock.left()
        try:
            rank = partial(ranked, sources, unread, task, seed, seconds)
            return self.clock.limit(rank, "ranking the sources"), ()
        except OutOfTime as reason:
            unranked = {source.name: str(reason) for source in sources}
            return ranked((), {**unranked, **unread}, task, seed), (f"No ranking: {reason}",)

    def _why_late(self, reason: OutOfTime) -> str:
        """Why a source that was asked for all rows is left out."""
        if math.isfinite(reason.waited):
            return f"it did not answer for the {len(self.task)} rows within {reason.waited:.3g} s."
        return f"what it gives for the {len(self.task)} rows {reason.said}{self._enough(reason)}."

    def _no_answer(self, late: Mapping[str, OutOfTime]) -> str:
        """Why there is no verdict where sources were given up, and the budget that allows one."""
        short = [reason for reason in late.values() if not math.isfinite(reason.waited)]
        if not short:
            return "No verdict: no source answered in time."
        budgets = [self._needed_budget(reason) for reason in short if reason.needed > 0]
        give = f"about {min(budgets):,.0f} s" if budgets else f"more, such as {BUDGET:.0f} s"
        return f"{TOO_SHORT} to ask {' or '.join(late)} for {len(self.task)} rows: give {give}."

    def _needed_budget(self, reason: OutOfTime) -> float:
        return self.clock.elapsed() + reason.needed / FEATURES * 1.2

    def _running_cost(
        self, model: Model, per_row: float
    ) -> tuple[dict[str, float], tuple[str, ...]]:
        """Milliseconds a row and megabytes of the model, where there is time to measure them.

        A source that has begun to fail since it was asked is found here: a note says so.
        """
        rows = self.task.inputs[np.arange(min(MEASURED, len(self.task)))]
        if 3 * per_row * len(rows) > self.clock.left():
            return {}, ()
        try:
            cost = alone(partial(cost_of, model, rows), self.clock.left(), "measuring its cost")
        except OutOfTime:
            return {}, ()
        except BequestError as error:
            return {}, (f"The model that is handed over does not run any more: {error}",)
        found = {"milliseconds_per_row": cost.milliseconds, "model_megabytes": cost.megabytes}
        return {name: value for name, value in found.items() if math.isfinite(value)}, ()

    def _enough(self, reason: OutOfTime) -> str:
        """The budget in which a source could be asked."""
        if not reason.needed > 0:
            return ""
        return f": a budget of {self._needed_budget(reason):,.0f} s allows that"

    def _without(self, seen: Overlap) -> _Run:
        """The same without the held-out rows that a source has seen."""
        test = self.task.test
        if test is None or not len(seen.held_out):
            return self
        unseen = np.delete(np.arange(len(test)), seen.held_out)
        return replace(self, task=self.task.with_test(test.take(unseen)))

    def _judged(
        self,
        arms: tuple[Arm, ...],
        scratch: tuple[Arm, ...],
        per_row: float,
        seen: Overlap,
        places: Mapping[str, float],
        none: str,
    ) -> _Judged:
        """The verdict where both sides could be judged, and a model in any case.

        `places` are the sources' scores in the ranking. Where there is no source at all, `none`
        says why.
        """
        if not arms:
            return self._alone(scratch, none, ())
        held_out = 0 if self.task.test is None else len(self.task.test)
        share = self.clock.left() - JUDGING * len(self.task)
        asking = 0.0
        if held_out and share < math.inf:
            asking = max(HELD_OUT * self.clock.budget, min(1.5 * per_row * held_out, share / 2))
            share -= asking
        if self.again is None and share <= 0:
            why = f"{TOO_SHORT} to compare anything: give more, such as {BUDGET:.0f} s."
            return self._alone(scratch, why, ())
        try:
            arms, scratch, found = self._raced(arms, scratch, share, seen)
        except (CannotSplit, NotApplicable) as reason:
            return self._alone(scratch, f"No verdict: {reason}", ())
        if not found.judged:
            return self._unjudged(arms, scratch, found, share)
        tainted = seen.seen and self.allow_overlap
        return self._against_scratch(arms, scratch, found, places, tainted, asking)

    def _raced(
        self, arms: tuple[Arm, ...], scratch: tuple[Arm, ...], share: float, seen: Overlap
    ) -> tuple[tuple[Arm, ...], tuple[Arm, ...], RaceResult]:
        folds = None
        if self.again is not None:
            arms, scratch, folds = replayed(arms, scratch, self.again)
        found = race(
            arms,
            scratch,
            self.task,
            budget=None if folds is not None or share == math.inf else share,
            seed=self.seed,
            executor=self.executor,
            cache=self.cache,
            ensemble=self.ensemble,
            again=folds,
            unjudged=() if self.allow_overlap else seen.unjudged,
            clock=self.clock.read,
            progress=lambda: self.clock.tell("comparing with from scratch"),
        )
        return arms, scratch, found

    def _against_scratch(
        self,
        arms: tuple[Arm, ...],
        scratch: tuple[Arm, ...],
        found: RaceResult,
        places: Mapping[str, float],
        seen: bool,
        asking: float,
    ) -> _Judged:
        """The verdict; `asking` seconds are kept for asking both models for held-out rows."""
        task, seed = self.task, self.seed
        verdict, gains = judge(found, rng=np.random.default_rng(seed))
        place = places.get(found.transfer[found.transfer_index].name, math.nan)
        handed = verdict.favours(place)
        self.clock.tell("fitting the chosen models on all rows")
        every = (*arms, *scratch)
        chosen = found.transfer[found.transfer_index], found.scratch[found.scratch_index]
        kept = min(asking, max(0.0, self.clock.left() / 3))  # a model and a verdict come first
        last = LastFits(every, found, task, seed, self._until(kept))
        with self.cache.used(task):
            moved, plain = last.both(*chosen, first=handed)
            if isinstance(moved, NotApplicable) or isinstance(plain, NotApplicable):
                return self._unfitted(last, moved, plain)
            test, untested = self._on_test(moved.model, plain.model)
        saved, verdict, missing = self._curves(every, found, verdict)
        if seen:
            verdict, gains = replace(NOTHING, metric=task.metric_name), ()
            missing = (*missing, "No verdict: a source has seen rows of this task.")
        fits = moved if handed == "transfer" else plain
        card = moved.model.card
        outcome = Outcome(
            target=task.describe(),
            source=card.parents[0] if card.parents else chosen[0].name,
            method=card.method,
            settings=card.settings,
            selected=handed,
            verdict=verdict,
            gains=gains,
            folds={"transfer": chosen[0].folds, "from-scratch": chosen[1].folds},
            splits=found.splits,
            arms=found.arms,
            labels_saved=saved,
            test=test,
            transferred=card.transferred,
            parameter_map=card.parameter_map,
            notes=(*found.notes, *moved.notes, *plain.notes, *missing, *untested),
        )
        return _Judged.of(fits, outcome)

    def _unjudged(
        self, arms: tuple[Arm, ...], scratch: tuple[Arm, ...], found: RaceResult, had: float
    ) -> _Judged:
        """One side has no candidate: the other side's model, and no verdict."""
        without = range(len(arms), len(found.arms)) if found.transfer else range(len(arms))
        failed = [found.arms[arm].reason for arm in without if found.arms[arm].reason]
        why = f"{failed[0].rstrip('.')}." if failed else "the time was used up."
        if found.scratch or not found.transfer:
            longer = ""
            if not failed or found.late.intersection(without):
                more = max(1.0, self._needed(arms, scratch, found) - had)
                longer = f" About {math.ceil(more):,} s more would allow one."
            return self._alone(scratch, f"No verdict: {why}{longer}", found.arms)
        best = found.transfer[found.transfer_index]
        last = LastFits((*arms, *scratch), found, self.task, self.seed, self._until())
        with self.cache.used(self.task):
            try:
                fits = last.averaged(best)
            except NotApplicable as reason:
                return self._unfitted(last, reason, NotApplicable(why))
        return self._only(fits, found, f"nothing could be trained from scratch: {why}")

    def _unfitted(
        self, last: LastFits, moved: Fits | NotApplicable, plain: Fits | NotApplicable
    ) -> _Judged:
        """The chosen average of a side could not be fitted on all rows: any other model instead."""
        lost = [
            f"{side} could not be fitted on all rows: {fits.reason}"
            for side, fits in (("transfer", moved), ("from scratch", plain))
            if isinstance(fits, NotApplicable)
        ]
        fits = next((one for one in (moved, plain) if isinstance(one, Fits)), None)
        if fits is None:
            with self.cache.used(self.task):
                fits = last.any()
        return self._only(fits, last.found, " ".join(lost))

    def _only(self, fits: Fits, found: RaceResult, why: str) -> _Judged:
        """A model that nothing can be compared with."""
        card = fits.model.card
        notes = (f"No verdict: {why}", f"The model handed over: {card.name}.", *fits.notes)
        outcome = replace(self._nothing(*notes), arms=found.arms)
        if card.parents:
            outcome = replace(
                outcome,
                source=card.parents[0],
                method=card.method,
                settings=card.settings,
                selected="transfer",
                transferred=card.transferred,
                parameter_map=card.parameter_map,
            )
        return _Judged.of(fits, outcome)

    def _until(self, kept: float = 0.0) -> Until:
        """When the budget but for `kept` s is used up; never where a transfer is run again."""
        end = math.inf if self.again else self.clock.start + self.clock.budget - kept
        return Until(end, self.clock.read, self.cache)

    def _needed(self, arms: tuple[Arm, ...], scratch: tuple[Arm, ...], found: RaceResult) -> float:
        """Seconds of a race that judges, about: each side's arms on a few folds and on all rows.

        An arm that never ran is taken to cost what the others of its side do.
        """
        folds = min(found.k, math.ceil(FEWEST * found.k / len(self.task)))
        needed, every = 0.0, [*found.seconds.values()] or [1.0]
        for side, start in ((arms, 0), (scratch, len(arms))):
            plain = [start + place for place, arm in enumerate(side) if not arm.trains_network]
            own = [found.seconds[arm] for arm in plain if arm in found.seconds] or every
            needed += (folds + ROOM) * max(1, len(plain)) * float(np.mean(own))
        return needed

    def _alone(self, scratch: tuple[Arm, ...], why: str, arms: tuple[ArmResult, ...]) -> _Judged:
        """From scratch without a race: as many arms as there is time for, one at least."""
        with self.cache.used(self.task):
            fits = Fits.in_time(scratch, self.task, self.seed, self._until())
        why = why if fits.notes else f"{why} The model is trained from scratch."
        return _Judged.of(fits, replace(self._nothing(why, *fits.notes), arms=arms))

    def _nothing(self, *notes: str) -> Outcome:
        """The outcome where there is no verdict."""
        return Outcome(
            target=self.task.describe(),
            source="",
            method="",
            selected="from-scratch",
            verdict=replace(NOTHING, metric=self.task.metric_name),
            notes=notes,
        )

    def _on_test(self, moved: Model, plain: Model) -> tuple[TestResult | None, tuple[str, ...]]:
        """Both on the held-out rows; a note where the metric says nothing of these."""
        test, rng = self.task.test, np.random.default_rng(self.seed)
        if test is None or len(test) < 2:
            return None, ()
        try:
            compare = partial(compare_on_test, test, moved, plain, rng=rng)
            seconds = max(self._until().left, HELD_OUT / 2 * self.clock.budget)
            return alone(compare, seconds, "asking both models"), ()
        except (DataError, ModelError, NotApplicable, OutOfTime) as error:
            return None, (f"No comparison on the held-out rows: {error}",)

    def _curves(
        self, every: tuple[Arm, ...], found: RaceResult, verdict: Verdict
    ) -> tuple[LabelsSaved | None, Verdict, tuple[str, ...]]:
        """Labels saved, and labels that would decide, where the time that is left suffices."""
        if self.task.time is not None:
            return None, verdict, ("No learning curve: the rows have an order in time.",)
        better, base = found.transfer[found.transfer_index], found.scratch[found.scratch_index]
        seconds = [sum(found.seconds[arm] for arm in side.members) for side in (better, base)]
        needed = CURVE * found.k * seconds[1]
        if self.again is None and needed > self.clock.left():
            why = f"No learning curve: it needs about {max(needed, 1):.0f} s more."
            return None, verdict, (why,)
        if better.metric.shape[1] < len(self.task):
            return None, verdict, ("No learning curve: not all rows were judged.",)
        self.clock.tell("measuring the learning curve from scratch")
        options: dict[str, Any] = {
            "executor": self.executor,
            "k": found.k,  # as many rows to train on as transfer had
            "until": self._until(),
        }
        sides = [[every[arm] for arm in side.members] for side in (better, base)]
        rows, saved = np.nanmean(better.metric, axis=0), None
        notes: tuple[str, ...] = ()
        try:
            rng = np.random.default_rng(self.seed)
            saved = labels_saved(sides[1], self.task, rows, rng=rng, **options)
            if verdict.kind == "undecided" and 1.5 / CURVE * sum(seconds) < self.clock.left():
                rng = np.random.default_rng(self.seed)
                warm = better.temperature, base.temperature
                labels = labels_needed(
                    sides[0], sides[1], self.task, verdict, rng=rng, temperatures=warm, **options
                )
                verdict = replace(verdict, labels=labels)
        except NotApplicable as reason:
            notes = (f"No learning curve: {reason}",) if saved is None else ()
        return saved, verdict, notes


def _too_small(sources: Sequence[Source], task: Task) -> tuple[str, ...]:
    """Sources that read larger images than the task has: somebody may have made these small."""
    if task.modality != "image":
        return ()
    side = min(task.spec.shape[1:]) if task.spec.shape else 0
    return tuple(
        f"{source.name} reads images of {reader.side} pixels, these have {side}: where yours are "
        f"larger, size={reader.side} shows it more of them."
        for source in sources
        if isinstance(reader := getattr(source.model, "encoder", None), Pixels)
        and 0 < side < reader.side
    )


def _peak_memory() -> float:
    """Largest resident memory of this process so far, in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def _versions() -> dict[str, str]:
    names = ("bequest", "numpy", "scipy", "scikit-learn", "torch")
    return {"python": platform.python_version(), **{name: version(name) for name in names}}
