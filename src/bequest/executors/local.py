"""The local executor: one job after the other, here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, final

import torch
from threadpoolctl import threadpool_limits

from bequest.core.executor import Done, Executor, Job
from bequest.errors import ExecutorError

__all__ = ["LocalExecutor", "single_threaded"]


@final
class LocalExecutor(Executor):
    """Runs each job when its result is asked for, on one thread.

    The jobs are small: several threads on one of them wait for each other more than they work. A
    job cannot be stopped from outside: `timeout` is not looked at.

    Examples
    --------
    >>> with LocalExecutor() as executor:
    ...     key = executor.share(20)
    ...     list(executor.run([lambda fetch: fetch(key) + 1]))
    [Done(job=0, value=21, failure='')]
    """

    def __init__(self) -> None:
        self._values: dict[str, Any] | None = {}

    def share(self, value: Any) -> str:
        """Keep the value itself; nothing is copied."""
        values = self._open()
        key = f"value-{len(values)}"
        values[key] = value
        return key

    def run(self, jobs: Iterable[Job], *, timeout: float | None = None) -> Iterator[Done]:
        """In the order of the jobs; none is drawn before the one before it is done."""
        values = self._open()
        for place, job in enumerate(jobs):
            with single_threaded():
                value = job(values.__getitem__)
            yield Done(place, value)

    def close(self) -> None:
        """Forget the shared values."""
        self._values = None

    def _open(self) -> dict[str, Any]:
        if self._values is None:
            raise ExecutorError("the local executor is closed: make another one.")
        return self._values


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
