"""Who runs the jobs, one file each, and the table that names them."""

from collections.abc import Callable

from bequest.core import Executor, Registry

__all__ = ["EXECUTORS"]

EXECUTORS: Registry[Callable[[], Executor]] = Registry(
    "executor",
    {
        "local": "bequest.executors.local:LocalExecutor",
        "processes": "bequest.executors.processes:ProcessExecutor",
    },
    group="bequest.executors",
)
