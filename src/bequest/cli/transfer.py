"""`bequest transfer`: choose, move, verify."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

from cyclopts import Parameter

import bequest as bq
from bequest.api.result_folder import write_result
from bequest.api.sources import as_sources, opened
from bequest.cli._console import line, print_json
from bequest.cli._options import COMMON, Common, command
from bequest.cli._outcome import print_result
from bequest.cli._paths import is_result, new_folder
from bequest.cli._progress import progress
from bequest.cli._settings import check_options
from bequest.cli._sources import (
    SOURCES,
    SourceOptions,
    check_readable,
    check_sources,
    image_side,
    read_sources,
)
from bequest.cli._task import DATA, TASK, TaskOptions, read_task
from bequest.core.deadline import since_start
from bequest.errors import NotApplicable
from bequest.methods import METHODS

if TYPE_CHECKING:
    from bequest.methods.parameters import Parameters

__all__ = ["app"]

app = command(
    "transfer",
    "bequest transfer ward7.csv --target outcome --source ward3/ --source ward5/ --out ward7/",
    "bequest transfer photos/ --size 32 --hub ~/.bequest --budget 300 --out birds/",
    "bequest transfer digits.npz --test digits-test.npz --source old/ --method probe --out new/",
)


@app.default
def transfer(
    data: Annotated[Path, Parameter(help=DATA)],
    /,
    *,
    task: TaskOptions = TASK,
    sources: SourceOptions = SOURCES,
    method: Annotated[tuple[str, ...], Parameter(show_default=False)] = (),
    budget: float = 120.0,
    ensemble: bool = True,
    seed: int = 0,
    executor: Annotated[str, Parameter(show=False)] = "local",
    allow_overlap: Annotated[bool, Parameter(show_default=False)] = False,
    out: Path,
    common: Common = COMMON,
) -> None:
    """Transfer from the sources that help.

    Parameters
    ----------
    method
        Such as probe or fine-tune; may be given several times. All that fit where left out.
    budget
        Seconds from the command's start, in which all is done. A model is always written.
    ensemble
        Average the methods that fit; without, the single best one is chosen.
    seed
        Same seed, machine and versions: same numbers.
    allow_overlap
        Also run sources that have seen rows of the data; there is no verdict then.
    out
        The folder to write: model/, outcome.json, report.html and best_single.json.
    """
    methods: Literal["auto"] | list[str] = list(method) or "auto"
    check_options(methods=methods, executor=executor, budget=budget, seed=seed)
    check_sources(sources)
    result, written = None, False
    try:
        with new_folder(out, ours=is_result) as folder:
            with progress("reading the data") as tell, since_start():
                found = read_sources(sources)
                read = read_task(data, task, image_side(found))
                check_readable(found, read)
                if "parameters" in methods and not common.json:
                    _print_maps(opened(as_sources(found))[0], read)
                result = bq.transfer(
                    read,
                    found,
                    methods=methods,
                    budget=budget,
                    ensemble=ensemble,
                    seed=seed,
                    executor=executor,
                    allow_overlap=allow_overlap,
                    progress=tell,
                )
            write_result(result, folder)
        written = True
    finally:  # a disk that is full loses the folder, not the verdict
        if result is not None:
            _print(result, out if written else None, common)


def _print(result: bq.Result, out: Path | None, common: Common) -> None:
    if common.json:
        print_json({**json.loads(result.outcome.to_json()), "written": out})
        return
    print_result(result)
    if out is not None:
        line()
        line(f"Written: {out / 'model'}, {out / 'outcome.json'}, {out / 'report.html'}")


def _print_maps(sources: Sequence[bq.Source], task: bq.Task) -> None:
    """What of each source would go where, before anything trains."""
    method = cast("Parameters", METHODS["parameters"]())
    for source in sources:
        try:
            plan = method.map([source], task)
        except NotApplicable as refused:
            line(f"The parameters of {source.name} are not mapped: {refused}")
            continue
        line(f"The parameters of {source.name}, mapped:")
        line(plan)
        refusal = method.applies([source], task)
        line(f"Refused: {refusal}" if refusal else "")
