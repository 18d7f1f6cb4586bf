"""The local executor: one job after the other, here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
from threadpoolctl import threadpool_limits

__all__ = ["run_local", "single_threaded"]

T = TypeVar("T")


def run_local(jobs: Iterable[Callable[[], T]]) -> Iterator[T]:
    """Run each job when its result is asked for, on one thread.

    The jobs are small: several threads on one of them wait for each other more than they work.

    Parameters
    ----------
    jobs : iterable of callables
        May be lazy: none is drawn before the one before it is done.

    Yields
    ------
    result
        In the order of the jobs.

    Examples
    --------
    >>> list(run_local([lambda: 1, lambda: 2]))
    [1, 2]
    """
    for job in jobs:
        with single_threaded():
            result = job()
        yield result


@contextmanager
def single_threaded() -> Iterator[None]:
    """One thread for torch and for the linear algebra inside, as many as before outside."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(limits=1):
            yield
    finally:
        torch.set_num_threads(threads)
