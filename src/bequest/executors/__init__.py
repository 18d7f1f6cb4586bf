"""Who runs the jobs, one file each, and the table that names them."""

from typing import Any

from bequest.core import Executor, Registry

__all__ = ["EXECUTORS"]

EXECUTORS: Registry[Any] = Registry(
    "executor",
    {
        "local": "bequest.executors.local:LocalExecutor",
        "processes": "bequest.executors.processes:ProcessExecutor",
    },
    group="bequest.executors",
    of=Executor,
    classes=True,
)
