"""The processes executor: one job per core at a time, each in a process of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from joblib import Parallel, cpu_count, delayed

from bequest.executors.local import run_local, single_threaded

__all__ = ["run_processes"]

T = TypeVar("T")


def run_processes(jobs: Iterable[Callable[[], T]]) -> Iterator[T]:
    """Run the jobs in as many processes as this machine has cores for us.

    The first call waits some seconds for the processes to start; later calls find them running.

    Parameters
    ----------
    jobs : iterable of callables
        May be lazy: none is drawn before a process is free for it. What they hold is sent to
        the process.

    Yields
    ------
    result
        As they are done.
    """
    cores = cpu_count()
    if cores == 1:
        yield from run_local(jobs)
        return
    pool = Parallel(n_jobs=cores, return_as="generator_unordered", pre_dispatch=cores, batch_size=1)
    yield from pool(delayed(_alone)(job) for job in jobs)


def _alone(job: Callable[[], T]) -> T:
    with single_threaded():
        return job()
