"""`bequest publish`: a model into a hub."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

import bequest as bq
from bequest.cli._options import COMMON, HUB, Common, HubPlace, command
from bequest.cli._outcome import read_outcome
from bequest.cli._paths import is_result
from bequest.cli._sources import model_folder
from bequest.cli._task import TASK, TaskOptions, read_task
from bequest.errors import DataError
from bequest.hub.sketches import TaskSketch, with_sketch

__all__ = ["app"]

app = command(
    "publish",
    "bequest publish ward3/ wards/ward3 --licence Apache-2.0",
    "bequest publish ward7/ wards/ward7 --licence MIT --parent wards/ward3@1 --hub /team/hub",
    "bequest publish ward3/ wards/ward3 --licence MIT --data ward3.csv --target out --epsilon 1",
)


@app.default
def publish(
    model: Path,
    name: str,
    /,
    *,
    licence: str,
    parent: Annotated[tuple[str, ...], Parameter(show_default=False)] = (),
    expect: int | None = None,
    data: Path | None = None,
    task: TaskOptions = TASK,
    epsilon: float | None = None,
    hub: HubPlace = HUB,
    common: Common = COMMON,
) -> None:
    """Put a model into a hub.

    Parameters
    ----------
    model
        A model folder, or what transfer left: then its outcome is recorded in the hub, too.
    name
        One to three parts joined by '/', such as wards/ward7.
    licence
        SPDX identifier, such as Apache-2.0, or LicenseRef-NAME.
    parent
        What it was made from, beside what its card says: a name, NAME@VERSION or a digest; may be
        given several times.
    expect
        Publish only if this is the latest version now (0: if the name is new).
    data
        What it was trained on, where its card does not say so, or for --epsilon.
    epsilon
        Also publish a differentially private sketch of the data, by which bequest suggest finds the
        model for tasks like it: 1 is strict, 10 is lax. No row leaves this machine, no fingerprint
        and no exact count; weights and metrics do.
    """
    if data is None and (epsilon is not None or task != TASK):
        raise DataError("--epsilon and what describes the data need --data.")
    store = bq.Hub(hub)
    about = None if data is None else read_task(data, task)
    outcome = read_outcome(model) if model.is_dir() and is_result(model) else None
    if outcome is not None and about is not None and epsilon is not None:
        _check_same(outcome, about, model)
    entry = store.publish(
        model_folder(model),
        name,
        licence=licence,
        task=about,
        epsilon=epsilon,
        parents=parent,
        expect=expect,
    )
    if outcome is not None and epsilon is not None:
        outcome = with_sketch(outcome, TaskSketch.from_dict(entry.card.task.sketch))
    recorded = None if outcome is None else store.record(outcome)
    common.answer(
        {**entry.to_dict(), "outcome": recorded},
        f"Published {entry} ({entry.licence}, {entry.digest[:12]}) in {hub}",
        *([f"Recorded its outcome ({recorded[:12]})."] if recorded else []),
    )


def _check_same(outcome: bq.Outcome, task: bq.Task, place: Path) -> None:
    """An outcome of other rows would tell of them exactly, and a sketch of these says nothing."""
    if outcome.target.fingerprint != task.fingerprint:
        raise DataError(
            f"the outcome in {place} is about other data than --data: with --epsilon, give the "
            f"data and the options that transfer had, or publish {place / 'model'} without it."
        )
