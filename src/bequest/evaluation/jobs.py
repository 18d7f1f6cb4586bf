"""Arms and jobs: what an executor runs, wherever it runs it.

N samples, C classes. A job is small data: which arm, which fold, which seed, and the keys of what
all jobs share.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from bequest.core import Executor, Model, Task, due_in, output_of
from bequest.core.executor import Fetch
from bequest.core.feature_cache import FeatureCache, taken
from bequest.data.splits import Split
from bequest.errors import BequestError, ModelError, NotApplicable, OutOfTime

__all__ = ["Arm", "ChoiceJob", "Entrants", "FitJob", "Fitted", "Keys"]

Array = NDArray[Any]
NO_MEMORY = "it ran out of memory."


@final
@dataclass(frozen=True)
class Arm:
    """One candidate of the race.

    Parameters
    ----------
    source : str
        The source's name; empty for from scratch.
    method : str
        The method's name.
    settings : mapping
        The method's settings as plain values.
    fit : callable ``(task, rng) -> Model``, or ``(task, rng, choice) -> Model``
        Trains it on all rows of the task that it is given.
    choose : callable ``(task) -> choice``, optional
        What must be decided on the training rows of each fold before the arm is fitted there: a
        ranking of the sources. Arms with the same one share its result.
    trains_network : bool
        Whether it runs after the others, where its time suffices.
    least : float
        Seconds that training a network takes at least, where that is known beforehand.
    """

    source: str
    method: str
    settings: Mapping[str, Any]
    fit: Callable[..., Model] = field(repr=False, compare=False)
    choose: Callable[[Task], Any] | None = field(default=None, repr=False, compare=False)
    trains_network: bool = False
    least: float = 0.0

    def fitted(self, task: Task, rng: np.random.Generator, choice: Any = None) -> Model:
        """The arm's model of these rows, with its choice; made here where none is given."""
        if self.choose is None:
            return self.fit(task, rng)
        return self.fit(task, rng, self.choose(task) if choice is None else choice)


@final
@dataclass(frozen=True)
class Entrants:
    """What the jobs of a race share beside the task: the arms, and what they have computed.

    Parameters
    ----------
    arms : tuple of Arm
    cache : FeatureCache or None
        Rows of frozen sources. In one pickle with the arms, whose sources it knows by identity.
    clock : callable
        Seconds, for the time that a job reports.
    """

    arms: tuple[Arm, ...]
    cache: FeatureCache | None = None
    clock: Callable[[], float] = time.perf_counter


@final
@dataclass(frozen=True)
class Keys:
    """Keys of the shared values: a task, the entrants, and splits of the task's rows."""

    task: str
    entrants: str
    splits: str

    @classmethod
    def share(
        cls, executor: Executor, task: Task, entrants: Entrants, splits: Sequence[Split]
    ) -> Keys:
        """Share all three, each once."""
        return cls(*(executor.share(value) for value in (task, entrants, splits)))


@final
@dataclass(frozen=True)
class Fitted:
    """The result of a job.

    Parameters
    ----------
    output : array or None
        Class probabilities (n, C) or values (n,) on the n test rows; None where it failed.
    seconds : float
        Time that the job took where it ran.
    reason : str
        Why there is no output; empty where there is.
    skipped : bool
        Whether the source that was chosen for this fold does not fit the arm: another fold's may.
    late : bool
        Whether it was given up for want of time.
    """

    output: Array | None
    seconds: float
    reason: str = ""
    skipped: bool = False
    late: bool = False


@final
@dataclass(frozen=True)
class FitJob:
    """One arm trained on one fold, and asked for the fold's test rows.

    Parameters
    ----------
    arm, fold : int
        Which of the arms, and which of the splits.
    seed : tuple of int
        Entropy of this job's generator. All arms of a fold share it: common random numbers cancel
        in the paired difference, and an arm's result does not depend on which others run.
    keys : Keys
    choice : object
        Of the arm's `choose` on this fold's training rows.
    allowance : float
        Seconds after which it gives up, where it can.

    Notes
    -----
    Every `BequestError` of the arm, and want of memory, is its reason to leave the race; other
    exceptions propagate.
    """

    arm: int
    fold: int
    seed: tuple[int, ...]
    keys: Keys
    choice: Any = None
    allowance: float = math.inf

    def __call__(self, fetch: Fetch) -> Fitted:
        """Train on the training rows and predict the test rows."""
        entrants: Entrants = fetch(self.keys.entrants)
        start = entrants.clock()
        output, reason, skipped, late = None, "", False, False
        arm = entrants.arms[self.arm]
        try:
            with due_in(self.allowance, entrants.clock):
                output = self._output(fetch, entrants)
        except BequestError as error:
            reason = str(error)
            skipped = arm.choose is not None and isinstance(error, NotApplicable)
            late = isinstance(error, OutOfTime)
        except MemoryError:
            reason = NO_MEMORY
        except RuntimeError as error:  # torch's allocator has no class of its own
            if "allocate memory" not in str(error):
                raise
            reason = NO_MEMORY
        return Fitted(output, entrants.clock() - start, reason, skipped, late)

    def _output(self, fetch: Fetch, entrants: Entrants) -> Array:
        task: Task = fetch(self.keys.task)
        train, test = fetch(self.keys.splits)[self.fold]
        arm = entrants.arms[self.arm]
        rng = np.random.default_rng(np.random.SeedSequence(self.seed))
        with entrants.cache.used(task) if entrants.cache else nullcontext():
            model = arm.fitted(taken(task, train), rng, self.choice)
            if not isinstance(model, Model):
                raise ModelError(f"its fit gives a {type(model).__name__}, not a Model.")
            if model.classes != task.classes:
                raise ModelError(
                    f"its model predicts the classes {model.classes}, the task has {task.classes}."
                )
            output = np.asarray(output_of(model, taken(task, test).inputs), dtype=np.float64)
        return _checked(output, (len(test), len(task.classes)) if task.classes else (len(test),))


@final
@dataclass(frozen=True)
class ChoiceJob:
    """What an arm chooses on the training rows of one fold; the result is data for its jobs."""

    arm: int
    fold: int
    keys: Keys

    def __call__(self, fetch: Fetch) -> Any:
        """The arm's choice."""
        entrants: Entrants = fetch(self.keys.entrants)
        task: Task = fetch(self.keys.task)
        choose = entrants.arms[self.arm].choose
        with entrants.cache.used(task) if entrants.cache else nullcontext():
            try:
                return choose and choose(taken(task, fetch(self.keys.splits)[self.fold][0]))
            except BequestError:
                return None  # the arms that need it make it themselves, and say why they cannot


def _checked(output: Array, shape: tuple[int, ...]) -> Array:
    if output.shape != shape:
        raise ModelError(f"its predictions have shape {output.shape}, {shape} is wanted.")
    broken = ~np.isfinite(output).reshape(len(output), -1).all(axis=1)
    if broken.any():
        raise ModelError(
            f"its predictions are not finite on {broken.sum()} of {len(output)} rows: "
            "the training diverged."
        )
    return output
