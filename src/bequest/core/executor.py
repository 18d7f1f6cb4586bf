"""An executor: who runs the jobs of a race, and where.

A job is small data. What it works on, tasks and models, is shared once, and the job holds its key.
"""

from __future__ import annotations

import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Self, final

from bequest.core.wording import pluralise

__all__ = ["Done", "Executor", "Fetch", "Job", "in_full"]

Fetch = Callable[[str], Any]
Job = Callable[[Fetch], Any]  # takes what looks shared values up by their keys
logger = logging.getLogger(__name__)


@final
@dataclass(frozen=True)
class Done:
    """The end of one job.

    Parameters
    ----------
    job : int
        Its place among the jobs that were given, from 0.
    value : object
        What it returned.
    failure : str
        Why there is no value: its worker died twice, or it ran for too long; empty where it ran.
    late : bool
        Whether it was stopped because the time of all jobs was up.
    """

    job: int
    value: Any = None
    failure: str = ""
    late: bool = False


class Executor(ABC):
    """Runs jobs and gives their results as they are done; a context manager that closes itself.

    Implementations are final. A job that raises raises from `run`, whatever the executor.
    """

    @abstractmethod
    def share(self, value: Any) -> str:
        """Make a value known to all jobs, once.

        Returns
        -------
        str
            The key under which a job fetches it.

        Raises
        ------
        ExecutorError
            The value cannot be sent to where the jobs run.
        """

    @abstractmethod
    def run(
        self, jobs: Iterable[Job], *, timeout: float = math.inf, until: float = math.inf
    ) -> Iterator[Done]:
        """Run the jobs; no more of them are drawn than can run at that time.

        Parameters
        ----------
        jobs : iterable of callables ``(fetch) -> value``
            May be lazy, and may look at earlier results before it gives the next one.
        timeout : float
            Seconds after which a job is given up: its process is ended, or its thread abandoned.
        until : float
            On `time.monotonic`, when the time of all jobs is up: those that run then are given up
            as well, and so are workers that are not ready.

        Yields
        ------
        Done
            In any order. Closing the iterator stops what is still running.

        Raises
        ------
        ExecutorError
            The executor is closed.
        """

    @abstractmethod
    def close(self) -> None:
        """Forget all shared values; calling it twice is fine."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def in_full(
    executor: Executor,
    jobs: Iterable[Job],
    *,
    timeout: float = math.inf,
    until: float = math.inf,
) -> Iterator[Done]:
    """`executor.run`, with exactly one result a job: a lost job is a failure, a second one dropped.

    Examples
    --------
    >>> from bequest.executors.local import LocalExecutor
    >>> with LocalExecutor() as executor:
    ...     key = executor.share([3, 4])
    ...     [done.value for done in in_full(executor, [lambda fetch: sum(fetch(key))])]
    [7]
    """
    waiting: dict[int, None] = {}

    def drawn() -> Iterator[Job]:
        for place, job in enumerate(jobs):
            waiting[place] = None
            yield job

    results = executor.run(drawn(), timeout=timeout, until=until)
    try:
        for done in results:
            if isinstance(done, Done) and done.job in waiting:
                del waiting[done.job]
                yield done
            else:
                logger.warning("the executor gave %s, which nobody waits for: dropped.", done)
    finally:
        if hasattr(results, "close"):
            results.close()
    if waiting:
        logger.warning("the executor lost %s.", pluralise(len(waiting), "job"))
    for place in waiting:
        yield Done(place, failure="the executor lost its job.")
