"""Arms and jobs as plain values: what an executor runs, wherever it runs it.

N samples, C classes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, final

import numpy as np
from numpy.typing import NDArray

from bequest.core import Model, Task, output_of
from bequest.errors import BequestError, ModelError

__all__ = ["Arm", "Job", "JobResult", "Side"]

Array = NDArray[Any]
Side = Literal["transfer", "from-scratch"]


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
    fit : callable ``(task, rng) -> Model``
        Trains it on all rows of the task that it is given.
    """

    source: str
    method: str
    settings: Mapping[str, Any]
    fit: Callable[[Task, np.random.Generator], Model] = field(repr=False, compare=False)


@final
@dataclass(frozen=True)
class JobResult:
    """What came of a job.

    Parameters
    ----------
    side : {"transfer", "from-scratch"}
    arm : int
        Index of the arm on its side.
    fold : int
        Index of the fold, over all rungs.
    output : array or None
        Class probabilities (n, C) or values (n,) on the n test rows; None where it failed.
    seconds : float
        Time that the job took where it ran.
    reason : str
        Why the arm does not fit the task; empty where it does.
    """

    side: Side
    arm: int
    fold: int
    output: Array | None
    seconds: float
    reason: str = ""


@final
@dataclass(frozen=True, eq=False)
class Job:
    """One arm trained on one fold; call it to run it.

    Parameters
    ----------
    side, arm, fold
        As in `JobResult`.
    candidate : Arm
    task : Task
        All rows; the job takes its own.
    train, test : int arrays
        Row numbers of the fold.
    seed : tuple of int
        Entropy of this job's generator. Both sides share it, arm by arm and fold by fold: common
        random numbers cancel in the paired difference.
    clock : callable
        Seconds, for the time that the job reports.

    Notes
    -----
    Every `BequestError` of the arm is its reason to leave the race, other exceptions propagate.
    """

    side: Side
    arm: int
    fold: int
    candidate: Arm = field(repr=False)
    task: Task = field(repr=False)
    train: Array = field(repr=False)
    test: Array = field(repr=False)
    seed: tuple[int, ...]
    clock: Callable[[], float] = field(default=time.perf_counter, repr=False)

    def __call__(self) -> JobResult:
        """Train on the training rows and predict the test rows."""
        start = self.clock()
        output, reason = None, ""
        try:
            output = self._output()
        except BequestError as error:
            reason = str(error)
        return JobResult(self.side, self.arm, self.fold, output, self.clock() - start, reason)

    def _output(self) -> Array:
        rng = np.random.default_rng(np.random.SeedSequence(self.seed))
        model = self.candidate.fit(self.task.take(self.train), rng)
        if model.classes != self.task.classes:
            raise ModelError(
                f"its model predicts the classes {model.classes}, the task has {self.task.classes}."
            )
        output = np.asarray(output_of(model, self.task.inputs[self.test]), dtype=np.float64)
        broken = ~np.isfinite(output).reshape(len(output), -1).all(axis=1)
        if broken.any():
            raise ModelError(
                f"its predictions are not finite on {broken.sum()} of {len(output)} rows: "
                "the training diverged."
            )
        return output
