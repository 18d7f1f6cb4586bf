"""`bequest suggest`: which models of a hub are likely to help, before any is opened."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

import bequest as bq
from bequest.cli._console import line, print_json
from bequest.cli._options import COMMON, HUB, Common, HubPlace, command
from bequest.cli._outcome import print_suggestions
from bequest.cli._progress import progress
from bequest.cli._task import DATA, TASK, TaskOptions, read_task
from bequest.errors import DataError
from bequest.hub import checked_licence

__all__ = ["app"]

app = command(
    "suggest",
    "bequest suggest ward7.csv --target outcome",
    "bequest suggest photos/ --size 32 --hub /team/hub -k 5 --licence Apache-2.0 --json",
)


@app.default
def suggest(
    data: Annotated[Path, Parameter(help=DATA)],
    /,
    *,
    task: TaskOptions = TASK,
    most: Annotated[int, Parameter(name=("-k", "--most"))] = 10,
    licence: Annotated[str | None, Parameter(show_default=False)] = None,
    hub: HubPlace = HUB,
    common: Common = COMMON,
) -> None:
    """Name the models of a hub that are likely to help a task, before any is opened.

    The gain over from scratch is predicted from the hub's recorded outcomes and sketches of tasks.
    Models of which nothing is known stand last and say so.

    Parameters
    ----------
    most
        How many models to name.
    licence
        Only models of which something under this licence may be made, such as Apache-2.0.
    """
    if most < 1:
        raise DataError(f"-k must be 1 or more, not {most}.")
    if licence is not None:
        licence = checked_licence(licence)
    store = bq.Hub(hub)
    store.check()
    read = read_task(data, task)
    with progress("asking the hub"):
        found = store.suggest(read, most, licence=licence)
    if common.json:
        print_json([asdict(one) for one in found])
    elif found:
        print_suggestions(found, read.metric_name)
    else:
        line(f"No model in {hub} {f'allows {licence}' if licence else 'takes such a task'}.")
