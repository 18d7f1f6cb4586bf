"""Datasets of torch and of the library datasets become tasks.

Neither library is imported: a dataset is theirs only where its library is there already.

N rows, C channels, H and W pixels.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bequest.core.plain_values import quoted
from bequest.core.task import Task
from bequest.core.wording import listed, pluralise
from bequest.data.pixels import DAMAGED, pixels_of_image
from bequest.errors import BequestError, DataError

__all__ = ["task_from_dataset"]

Array = NDArray[Any]
Column = str | int
Form = Literal["image", "text", "number", "array"]
TARGETS = ("label", "labels", "target", "class", "y")
SHOWN = 3  # rows that are named where many cannot be read
LEVELS = 255  # of what is stored as bytes
NO_LABEL = -1  # of a class label of the library datasets


@final
@dataclass(frozen=True)
class _Rows:
    """A dataset whatever its library: its columns, what one row holds, and the names of classes."""

    dataset: Any
    columns: tuple[Column, ...]
    first: Mapping[Column, Any]
    classes: Mapping[Column, Sequence[str]]
    numbered: bool  # whether columns are places in a tuple

    def values(self, columns: Sequence[Column]) -> dict[Column, list[Any]]:
        """Every row of some columns, each row asked for once."""
        found: dict[Column, list[Any]] = {column: [] for column in columns}
        for place, row in _all_rows(self.dataset):
            for column in columns:
                try:
                    found[column].append(row[column])
                except (IndexError, KeyError, TypeError) as error:
                    raise DataError(
                        f"row {place} of the dataset has no {_input(column)}."
                    ) from error
        return found


def _all_rows(dataset: Any) -> Iterator[tuple[int, Any]]:
    """Every row with its place; `DataError` that counts those whose own code fails."""
    broken: dict[int, Exception] = {}
    for place in range(len(dataset)):
        try:
            row = dataset[place]
        except BequestError:
            raise
        except Exception as error:  # of whoever wrote the dataset, or the image that it opens
            broken[place] = error
        else:
            yield place, row
    _refuse_broken(broken, len(dataset))


def _refuse_broken(broken: Mapping[int, Exception], rows: int) -> None:
    """Raise where rows cannot be read: how many, and what is wrong with the first ones."""
    if not broken:
        return
    said = "; ".join(f"row {place}: {quoted(str(e), 80)}" for place, e in [*broken.items()][:SHOWN])
    more = f"; and {len(broken) - SHOWN} more" if len(broken) > SHOWN else ""
    raise DataError(
        f"{len(broken)} of {pluralise(rows, 'row')} of the dataset cannot be read: {said}{more}. "
        "Leave them out, by torch.utils.data.Subset or dataset.select."
    ) from next(iter(broken.values()))


class _BareRowError(DataError):
    """A row of a dataset of torch is an input and no more."""


def task_from_dataset(
    dataset: Any,
    *,
    input: Any = None,
    target: Any = None,
    size: int | tuple[int, int] = 64,
    channels: int = 3,
    kind: Any = None,
    metric: str | None = None,
    groups: Any = None,
    drop: Sequence[str] = (),
    unlabelled: Any = None,
    test: Any = None,
    name: str = "dataset",
) -> Task:
    """See `Task.from_dataset`."""
    rows = _rows(dataset)
    goal = _target(rows, target)
    taken = {goal, *([] if groups is None else [_known(rows, groups, "groups")])}
    taken |= {_known(rows, column, "drop") for column in drop}
    chosen = _inputs(rows, input, taken)
    pixels = (size, size) if isinstance(size, int) else tuple(size)
    if channels not in (1, 3) or len(pixels) != 2 or not all(_is_side(side) for side in pixels):
        raise DataError(f"size={quoted(size)}, channels={quoted(channels)}: pixels, and 1 or 3.")
    about: dict[str, Any] = {"kind": kind, "metric": metric, "name": name}
    forms = [_form(rows.first[column]) for column in chosen]
    form = "table" if isinstance(input, list | tuple) or len(chosen) > 1 else forms[0]
    if form == "number":
        form = "table"

    def read(given: _Rows) -> tuple[Any, list[Any], Any]:
        more = [] if groups is None else [groups]
        found = given.values([*chosen, goal, *more])
        labels = _labels(found[goal], rows.classes.get(goal))
        inputs = _made(form, {c: found[c] for c in chosen}, rows.classes, pixels, channels)
        return inputs, labels, None if groups is None else found[groups]

    inputs, labels, apart = read(rows)
    held = None if test is None else read(_same(_rows(test), rows))[:2]
    if unlabelled is not None:
        found = _without_labels(unlabelled, chosen).values(chosen)
        about["unlabelled"] = _made(form, found, rows.classes, pixels, channels)
    if form == "table":
        return _table_task(inputs, labels, apart, held, about)
    if apart is not None:
        about["groups"] = np.asarray(apart)
    make = Task.from_text if form == "text" else Task.from_arrays
    return make(inputs, labels, test=held, **about)


def _table_task(
    columns: dict[str, Any], labels: list[Any], apart: Any, held: Any, about: dict[str, Any]
) -> Task:
    """A table whose target and groups have names that no input has."""
    goal, group = "target", "groups"
    while goal in columns or group in columns:
        goal, group = f"{goal}_", f"{group}_"
    more = {} if apart is None else {group: apart}
    test = None
    if held is not None:
        blank = {} if apart is None else {group: [""] * len(held[1])}
        test = {**held[0], goal: held[1], **blank}
    named = None if apart is None else group
    return Task.from_table(
        {**columns, goal: labels, **more}, goal, groups=named, test=test, **about
    )


def _rows(dataset: Any) -> _Rows:
    """What the dataset holds, by its first row; `DataError` where it is none."""
    theirs, torch = sys.modules.get("datasets"), sys.modules.get("torch")
    if theirs is not None and isinstance(dataset, theirs.DatasetDict):
        raise DataError(f"this is a dictionary of datasets: give one of {listed(dataset)}.")
    streamed = [theirs.IterableDataset, theirs.IterableDatasetDict] if theirs is not None else []
    streamed += [torch.utils.data.IterableDataset] if torch is not None else []
    if isinstance(dataset, tuple(streamed)):
        raise DataError("the dataset is read as a stream: give one that has a length.")
    if theirs is not None and isinstance(dataset, theirs.Dataset):
        return _of_datasets(dataset)
    if torch is None or not isinstance(dataset, torch.utils.data.Dataset):
        raise DataError(
            f"a {type(dataset).__name__} is no dataset of torch or of the library datasets: "
            "Task.from_table, from_arrays, from_text and from_images read the rest."
        )
    return _of_torch(dataset, torch)


@final
@dataclass(frozen=True)
class _Inputs:
    """A dataset whose rows are inputs, as one whose rows have that one column."""

    dataset: Any
    column: Column

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, place: int) -> Mapping[Column, Any]:
        return {self.column: self.dataset[place]}


def _without_labels(dataset: Any, chosen: Sequence[Column]) -> _Rows:
    """Rows with the columns to predict from, whatever else they have; or that one input alone."""
    try:
        rows = _rows(dataset)
    except _BareRowError as error:
        if len(chosen) > 1:
            raise DataError(f"the unlabelled rows are no named columns: {error}") from error
        alone = _Inputs(dataset, chosen[0])
        return _Rows(alone, tuple(chosen), _first(alone), {}, False)
    absent = [column for column in chosen if column not in rows.columns]
    if absent:
        raise DataError(
            f"the unlabelled rows have the columns {listed(rows.columns)}, and not {absent[0]!r}."
        )
    return rows


def _of_datasets(dataset: Any) -> _Rows:
    if not len(dataset):
        raise DataError("the dataset has no rows.")
    plain = dataset.with_format(None)
    first = _first(plain)
    named = {
        column: tuple(feature.names)
        for column, feature in dataset.features.items()
        if type(feature).__name__ == "ClassLabel"
    }
    return _Rows(plain, tuple(dataset.column_names), first, named, False)


def _first(dataset: Any) -> Any:
    """The first row; where it cannot be read, all that cannot are counted."""
    try:
        return dataset[0]
    except Exception:
        for _ in _all_rows(dataset):
            pass
        raise


def _of_torch(dataset: Any, torch: Any) -> _Rows:
    if not hasattr(dataset, "__len__"):
        raise DataError("the dataset has no length: give one that has.")
    if not len(dataset):
        raise DataError("the dataset has no rows.")
    first = _first(dataset)
    inner = dataset
    while isinstance(inner, torch.utils.data.Subset):
        inner = inner.dataset
    classes = getattr(inner, "classes", None)
    if isinstance(first, Mapping):
        columns: tuple[Column, ...] = tuple(first)
        return _Rows(dataset, columns, dict(first), {}, False)
    if not isinstance(first, tuple | list):
        raise _BareRowError(
            f"a row of the dataset is a {type(first).__name__}, not (input, target) or "
            "named columns."
        )
    last = len(first) - 1
    listed_names = isinstance(classes, Sequence) and not isinstance(classes, str)
    named: dict[Column, Sequence[str]] = {}
    if listed_names and last == 1 and classes:
        named = {1: tuple(map(str, classes))}
    return _Rows(dataset, tuple(range(len(first))), dict(enumerate(first)), named, True)


def _same(test: _Rows, rows: _Rows) -> _Rows:
    if set(test.columns) != set(rows.columns):
        raise DataError(
            f"the held-out rows have the columns {listed(test.columns)}, the dataset "
            f"{listed(rows.columns)}."
        )
    if {**test.classes} != {**rows.classes}:
        raise DataError("the held-out rows name other classes than the dataset.")
    return test


def _known(rows: _Rows, column: Any, what: str) -> Column:
    if isinstance(column, bool) or not isinstance(column, str | int) or column not in rows.columns:
        raise DataError(
            f"{what}={quoted(column)} is no column of the dataset, which has "
            f"{listed(rows.columns, 12)}."
        )
    return column


def _target(rows: _Rows, target: Any) -> Column:
    if target is not None:
        return _known(rows, target, "target")
    if rows.numbered and len(rows.columns) == 2:
        return 1
    named = [*rows.classes] or [column for column in TARGETS if column in rows.columns]
    if len(named) == 1:
        return named[0]
    raise _which("target", named or rows.columns)


def _which(what: str, columns: Sequence[Column]) -> DataError:
    return DataError(
        f"which column is the {what} is not clear: say {what}= one of {listed(columns, 12)}."
    )


def _inputs(rows: _Rows, given: Any, taken: set[Column]) -> list[Column]:
    """The columns to predict from."""
    if isinstance(given, list | tuple):
        chosen = [_known(rows, column, "input") for column in given]
        if not chosen:
            raise DataError("input names no column.")
    elif given is not None:
        chosen = [_known(rows, given, "input")]
    else:
        chosen = _guessed(rows, [column for column in rows.columns if column not in taken])
    if again := [column for column in chosen if column in taken]:
        raise DataError(f"{again[0]!r} is the target, the groups or left out, and no input.")
    if len(set(chosen)) < len(chosen):
        raise DataError(f"input names a column twice: {listed(chosen, 12)}.")
    return chosen


def _guessed(rows: _Rows, free: list[Column]) -> list[Column]:
    """The only image, text or array, or all numbers and categories; else it is asked for."""
    if len(free) == 1:
        return free
    forms = {column: _form(rows.first[column]) for column in free}
    numbers = [c for c in free if forms[c] == "number" or c in rows.classes]
    if free and len(numbers) == len(free):
        return free
    images = [c for c in free if forms[c] == "image"]
    if len(images) == 1 and len(numbers) == len(free) - 1 and not rows.numbered:
        return images
    raise _which("input", free or rows.columns)


def _form(value: Any) -> Form:
    """What a value is: an image of Pillow, a text, a number or category, or an array."""
    if isinstance(value, Image.Image):
        return "image"
    if isinstance(value, str):
        return "text"
    if isinstance(value, list | tuple) or len(getattr(value, "shape", ())):
        return "array"
    return "number"


def _is_side(side: Any) -> bool:
    return type(side) is int and side > 0


def _made(
    form: str,
    found: Mapping[Column, list[Any]],
    classes: Mapping[Column, Sequence[str]],
    size: Any,
    channels: int,
) -> Any:
    """The inputs of one column, or of several as a table."""
    if form == "table":
        return {str(c): _labels(values, classes.get(c)) for c, values in found.items()}
    [(column, values)] = found.items()
    if form == "text":
        return values
    if form == "image":
        return _images(values, size, channels)
    return _stacked(values, column)


def _images(values: Sequence[Any], size: Any, channels: int) -> Array:
    found, broken = [], dict[int, Exception]()
    for row, value in enumerate(values):
        try:
            found.append(_pixels(value, size, channels, row))
        except DataError:
            raise
        except (*DAMAGED, Image.DecompressionBombError) as error:
            broken[row] = error
    _refuse_broken(broken, len(values))
    return np.stack(found)


def _pixels(value: Any, size: Any, channels: int, row: int) -> Array:
    if not isinstance(value, Image.Image):
        raise DataError(f"row {row} holds a {type(value).__name__}, others an image.")
    return pixels_of_image(value, size, channels).astype(np.float32) / LEVELS


def _input(column: Column) -> str:
    """A column by its name; of rows that are tuples, by its place."""
    return f"part {column} of each row" if isinstance(column, int) else repr(column)


def _stacked(values: list[Any], column: Column) -> Array:
    """Arrays of one shape; grey images (H, W) get their channel, bytes become 0 to 1."""
    try:
        arrays = [np.asarray(value) for value in values]
    except (TypeError, ValueError) as error:
        said = quoted(error, 200)
        raise DataError(f"{_input(column)} holds no arrays of numbers: {said}.") from error
    shapes = sorted({array.shape for array in arrays})
    if len(shapes) > 1:
        raise DataError(
            f"{_input(column)} holds arrays of different shapes, such as {shapes[0]} and "
            f"{shapes[-1]}: bring them to one in the dataset (images: resize them there, or let it "
            "give images of Pillow and say size=)."
        )
    stacked = np.stack(arrays)
    if stacked.ndim == 3:
        stacked = stacked[:, None]
    if stacked.dtype == np.uint8 and stacked.ndim == 4:
        return stacked.astype(np.float32) / LEVELS
    return stacked


def _labels(values: list[Any], names: Sequence[str] | None) -> list[Any]:
    """Plain values; numbers of class labels become their names."""
    plain = [value.item() if hasattr(value, "item") else value for value in values]
    if names is None or all(isinstance(value, str) for value in plain):
        return plain
    for row, value in enumerate(plain):
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < len(names):
            said = "has no label" if value in (None, NO_LABEL) else f"has the label {quoted(value)}"
            raise DataError(
                f"row {row} {said}, where 0 to {len(names) - 1} are the classes {listed(names)}."
            )
    return [names[value] for value in plain]
