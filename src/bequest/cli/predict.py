"""`bequest predict`: labels or values for new rows."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

import bequest as bq
from bequest.cli._console import line, plain, print_json, print_rows
from bequest.cli._early import check_model
from bequest.cli._inputs import read_inputs
from bequest.cli._options import COMMON, Common, command
from bequest.cli._paths import new_file
from bequest.cli._progress import progress
from bequest.cli._sources import model_folder
from bequest.core.wording import pluralise
from bequest.errors import DataError

__all__ = ["app"]

ROWS = "Rows as the model was trained on, labels may be there; of photos a folder or files."

app = command(
    "predict",
    "bequest predict ward7/ new-patients.csv --out predictions.csv",
    "bequest predict birds/model new-photos/ --proba | head",
    "bequest predict birds/model new.jpg other.jpg",
)


@app.default
def predict(
    model: Path,
    data: Annotated[
        Path,
        Parameter(help=ROWS),
    ],
    /,
    *more: Annotated[Path, Parameter(help="Further image files.")],
    text: str | None = None,
    proba: Annotated[bool, Parameter(show_default=False)] = False,
    skip_broken: Annotated[bool, Parameter(show_default=False)] = False,
    out: Path | None = None,
    common: Common = COMMON,
) -> None:
    """Predict with a model folder.

    Parameters
    ----------
    model
        A model folder, or what transfer left.
    text
        Column of the texts, for a model of texts; told where only one column can be.
    proba
        The probability of each class, too.
    skip_broken
        Leave out images that cannot be read; else they are an error.
    out
        The .csv file to write; printed where left out.
    """
    if (
        out is not None
        and out.exists()
        and any(out.samefile(one) for one in (data, *more) if one.exists())
    ):
        raise DataError(f"--out {out} is the data itself: name another file.")
    with nullcontext() if out is None else new_file(out) as place:
        columns = _predicted(model, (data, *more), text, proba, skip_broken)
        if place is not None:
            with place.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
                csv.writer(file, lineterminator="\n").writerows(_rows(columns))
    rows = len(columns["prediction"])
    if common.json:
        print_json(columns if out is None else {"rows": rows, "written": out})
    elif out is None:
        print_rows(_rows(columns))
    else:
        line(f"Written: {out} ({pluralise(rows, 'row')})")


def _predicted(
    model: Path, data: Sequence[Path], text: str | None, proba: bool, skip_broken: bool
) -> dict[str, Sequence[Any]]:
    loaded = bq.load(model_folder(check_model(model)))
    names, inputs = read_inputs(data, loaded.spec, text, skip_broken=skip_broken)
    columns: dict[str, Sequence[Any]] = {"file": names} if names else {}
    with progress(f"predicting {pluralise(len(inputs), 'row')}"):
        columns["prediction"] = loaded.predict(inputs).tolist()
        if proba:
            chances = loaded.predict_proba(inputs)
            for place, label in enumerate(loaded.classes):
                columns[f"probability of {label}"] = chances[:, place].tolist()
    return columns


def _rows(columns: dict[str, Sequence[Any]]) -> Iterator[Sequence[Any]]:
    yield tuple(columns)
    yield from zip(*(plain(column) for column in columns.values()), strict=True)
