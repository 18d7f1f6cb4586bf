"""`bequest rank`: which source looks best."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

import bequest as bq
from bequest.cli._options import COMMON, Common, command
from bequest.cli._progress import progress
from bequest.cli._settings import check_options
from bequest.cli._sources import SOURCES, SourceOptions, check_sources, image_side, read_sources
from bequest.cli._task import DATA, TASK, TaskOptions, read_task

__all__ = ["app"]

app = command(
    "rank",
    "bequest rank ward7.csv --target outcome --source ward3/ --source ward5/",
    "bequest rank photos/ --size 32 --hub ~/.bequest --json",
)


@app.default
def rank(
    data: Annotated[Path, Parameter(help=DATA)],
    /,
    *,
    task: TaskOptions = TASK,
    sources: SourceOptions = SOURCES,
    seed: int = 0,
    common: Common = COMMON,
) -> None:
    """Rank sources for a task.

    Parameters
    ----------
    seed
        Of the bootstrap.
    """
    check_options(seed=seed)
    check_sources(sources)
    models = read_sources(sources)
    read = read_task(data, task, image_side(models))
    with progress("ranking the sources"):
        ranking = bq.rank(models, read, seed=seed)
    common.answer([asdict(entry) for entry in ranking], ranking)
