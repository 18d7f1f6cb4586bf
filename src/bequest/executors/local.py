"""The local executor: one job after the other, here."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar, final

import torch
from threadpoolctl import threadpool_limits

from bequest.core.executor import Done, Executor, Job
from bequest.core.timeout import SHORTEST, with_timeout
from bequest.errors import ExecutorError, OutOfTime

__all__ = ["LocalExecutor", "alone", "single_threaded"]

T = TypeVar("T")


@final
class LocalExecutor(Executor):
    """Runs each job when its result is asked for, on one thread.

    The jobs are small: several threads on one of them wait for each other more than they work. A
    job that takes too long is abandoned: see `bequest.core.timeout`.

    Examples
    --------
    >>> with LocalExecutor() as executor:
    ...     key = executor.share(20)
    ...     list(executor.run([lambda fetch: fetch(key) + 1]))
    [Done(job=0, value=21, failure='', late=False)]
    """

    def __init__(self) -> None:
        self._values: dict[str, Any] | None = {}

    def share(self, value: Any) -> str:
        """Keep the value itself; nothing is copied."""
        values = self._open()
        key = f"value-{len(values)}"
        values[key] = value
        return key

    def run(
        self, jobs: Iterable[Job], *, timeout: float = math.inf, until: float = math.inf
    ) -> Iterator[Done]:
        """In the order of the jobs; none is drawn before the one before it is done."""
        values = self._open()
        for place, job in enumerate(jobs):
            left = until - time.monotonic()
            limit = max(SHORTEST, min(timeout, left))
            try:
                value = alone(partial(job, values.__getitem__), limit, "the job")
            except OutOfTime as error:
                if error.waited != limit:  # the job's own, which it raises as it would elsewhere
                    raise
                yield Done(place, None, f"it was stopped after {limit:.3g} s.", left < timeout)
            else:
                yield Done(place, value)

    def close(self) -> None:
        """Forget the shared values."""
        self._values = None

    def _open(self) -> dict[str, Any]:
        if self._values is None:
            raise ExecutorError("the local executor is closed: make another one.")
        return self._values


def alone(call: Callable[[], T], seconds: float, what: str) -> T:
    """What a call gives on one thread, that of `with_timeout` where there is a limit."""

    def on_one() -> T:
        # How many threads OpenMP takes is asked of each thread, and a new one takes all cores.
        threadpool_limits(limits=1, user_api="openmp")
        return call()

    with single_threaded():
        return with_timeout(call if seconds == math.inf else on_one, seconds, what)


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
