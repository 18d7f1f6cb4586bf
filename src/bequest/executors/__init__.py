"""Who runs the jobs: an executor takes plain callables and gives their results."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from bequest.core import Registry

__all__ = ["EXECUTORS"]

EXECUTORS: Registry[Callable[[Iterable[Callable[[], Any]]], Iterator[Any]]] = Registry(
    "executor",
    {
        "local": "bequest.executors.local:run_local",
        "processes": "bequest.executors.processes:run_processes",
    },
    group="bequest.executors",
)
