"""From DATA and its options to a task."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, final

import numpy as np
from cyclopts import CycloptsError, Parameter
from numpy.lib.npyio import NpzFile

import bequest as bq
from bequest.cli._early import check_held_out
from bequest.cli._paths import existing
from bequest.core import METRICS
from bequest.core.validation import as_text
from bequest.errors import DataError

__all__ = ["DATA", "TASK", "TaskOptions", "arrays_in", "read_arrays", "read_task"]

DATA = (
    "A table (.csv, .tsv, .csv.gz, .jsonl, .parquet, .feather, .arrow; give --target, and --text "
    "where one column holds texts to learn from), a folder with one sub-folder of images per "
    "class, or an .npz file with arrays X and y."
)
_OF_ALL = ("kind", "metric")
_COLUMNS = ("groups", "time", "weights")
SIDE = 64  # pixels of an image, where nobody says more
_OF_IMAGES = ("size", "channels", "skip_broken")
_NOT_OF_IMAGES = ("target", "text", *_COLUMNS, "drop", "kind")
_NOT_OF_ARRAYS = ("drop", "text", *_OF_IMAGES)


@final
@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class TaskOptions:
    """What to predict from the data, and how it is judged."""

    target: str | None = None
    """Column to predict, of a table; array of labels, of an .npz (y where left out)."""

    text: str | None = None
    """Column of texts, the one input to learn from; without it every column is an input."""

    groups: str | None = None
    """Column, or array, that says which rows are never split, such as the patient."""

    time: str | None = None
    """Column, or array, of numbers or dates: rows are predicted from earlier ones only."""

    weights: str | None = None
    """Column, or array, of how much each row counts in the metric, above zero."""

    drop: Annotated[tuple[str, ...], Parameter(show_default=False)] = ()
    """Column that is no input, such as an identifier; may be given several times."""

    unlabelled: Path | None = None
    """Further data of the same form without labels; of images, a folder of any depth."""

    test: Path | None = None
    """Held-out data of the same form, which nothing is chosen or trained on."""

    kind: Literal["classification", "regression"] | None = None
    """Told from the labels where left out."""

    metric: str | None = None
    """scikit-learn's name of a metric; accuracy or r2 where left out."""

    size: int | None = None
    """Pixels that images are resized to, in height and width: by default what the largest --source
    reads, or 64."""

    channels: Literal[1, 3] | None = None
    """Grey or colour images: 3 where left out."""

    skip_broken: Annotated[bool, Parameter(show_default=False)] = False
    """Leave out images that cannot be read; else they are an error."""


TASK = TaskOptions()


def read_task(data: Path, options: TaskOptions, side: int | None = None) -> bq.Task:
    """Read the target; images in `side` pixels, or 64, where the options name no size."""
    if options.metric is not None:
        METRICS[options.metric]  # says which there are where there is no such one
    for name, path in (("test", options.test), ("unlabelled", options.unlabelled)):
        if path is not None:
            check_held_out(name, path)
    place = existing(data)
    if place.is_dir():
        return _images(place, options, side or SIDE)
    if place.suffix.lower() == ".npz":
        return _arrays(place, options)
    return _table(place, options)


def read_arrays(path: Path, *names: str) -> list[Any]:
    """Arrays of these names out of an .npz file; pickled ones are refused."""
    with arrays_in(path) as archive:
        if not isinstance(archive, NpzFile):
            raise DataError(f"{path} holds one array, not X and y: write it with numpy.savez.")
        absent = [name for name in names if name not in archive]
        if absent:
            raise DataError(
                f"{path} has no array {absent[0]!r}. It has: {', '.join(archive.files)}."
            )
        return [archive[name] for name in names]


@contextmanager
def arrays_in(path: Path) -> Iterator[Any]:
    """What numpy finds in a file that anybody may have written; pickles are refused."""
    with path.open("rb") as file:
        try:
            yield np.load(file, allow_pickle=False)
        except DataError:
            raise
        except (
            ValueError, TypeError, EOFError, OSError, MemoryError, zipfile.BadZipFile, zlib.error
        ) as error:  # fmt: skip
            raise DataError(f"{path} cannot be read as plain arrays: {error}.") from error


def _table(path: Path, options: TaskOptions) -> bq.Task:
    _refuse(options, _OF_IMAGES, "a table")
    if options.target is None:
        raise CycloptsError(msg=f"{path} is a table: say which column to predict with --target.")
    if options.text is not None:
        _refuse(options, ("drop",), "--text, which is the only input")
    given = _given(options, *_OF_ALL, *_COLUMNS, "unlabelled", "test", "target")
    if options.text is not None:
        return bq.Task.from_text(path, text=options.text, **given)
    return bq.Task.from_table(path, drop=options.drop, **given)


def _arrays(path: Path, options: TaskOptions) -> bq.Task:
    _refuse(options, _NOT_OF_ARRAYS, "an .npz file")
    target = options.target or "y"
    X, y = read_arrays(path, "X", target)
    columns = {
        name: read_arrays(path, column)[0]
        for name, column in _given(options, *_COLUMNS).items()
        if column is not None
    }
    if options.unlabelled is not None:
        columns["unlabelled"] = read_arrays(options.unlabelled.expanduser(), "X")[0]
    test = None
    if options.test is not None:
        held = ("X", target, *([] if options.weights is None else [options.weights]))
        test = tuple(read_arrays(options.test.expanduser(), *held))
    given = _given(options, *_OF_ALL) | columns
    return bq.Task.from_arrays(X, y, test=test, name=as_text(path.stem), **given)


def _images(path: Path, options: TaskOptions, side: int) -> bq.Task:
    _refuse(options, _NOT_OF_IMAGES, "a folder of images")
    return bq.Task.from_images(
        path,
        size=side if options.size is None else options.size,
        channels=options.channels or 3,
        **_given(options, "metric", "skip_broken", "unlabelled", "test"),
    )


def _given(options: TaskOptions, *names: str) -> dict[str, Any]:
    return {name: getattr(options, name) for name in names}


def _refuse(options: TaskOptions, names: tuple[str, ...], what: str) -> None:
    for name in names:
        if getattr(options, name) not in (None, (), False):
            raise CycloptsError(msg=f"--{name.replace('_', '-')} does not go with {what}.")
