"""From DATA to the rows that a model reads, without labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bequest.cli._task import read_arrays
from bequest.core import InputSpec, Texts, spec_of
from bequest.core.given import as_text
from bequest.data.images import ImageFolder
from bequest.data.pixels import SUFFIXES
from bequest.data.tables import read_columns, read_table
from bequest.errors import DataError

__all__ = ["read_inputs"]


ANY_SIZE = (3, 224, 224)  # for networks that make images as large as they want them


def read_inputs(data: Path, spec: InputSpec, text: str | None = None) -> tuple[Sequence[str], Any]:
    """Names of image files (none for other data), and rows as a model wants them.

    `data` is a table, an .npz file with an array X, or a folder of images, sub-folders included;
    `text` the column that a model of texts reads, told where only one can be.
    """
    place = data.expanduser()
    if not place.exists():
        raise DataError(f"there is no file or folder {data}.")
    if place.is_dir():
        return _images(place, spec)
    if place.suffix.lower() == ".npz":
        inputs = read_arrays(place, "X")[0]
        _check(spec, spec_of(inputs))
        return (), inputs
    if spec.modality == "text":
        return (), _texts(place, text)
    table = read_table(place, kinds=dict(zip(spec.columns, spec.kinds, strict=False)))
    _check(spec, spec_of(table))
    return (), table


def _texts(path: Path, text: str | None) -> Texts:
    """The column named, the one named "text", or the only one that holds text."""
    name = text
    if name is None:
        kinds = read_table(path).kinds
        columns = [column for column, kind in kinds.items() if kind == "category"]
        name = "text" if "text" in kinds else columns[0] if len(columns) == 1 else None
    if name is None:
        raise DataError(f"{path} has {len(columns)} columns of text: name one with --text.")
    [column] = read_columns(path, [name], as_text=(name,))
    return Texts(column.tolist())


def _images(folder: Path, spec: InputSpec) -> tuple[Sequence[str], Any]:
    if spec.modality != "image":
        raise DataError(f"{folder} is a folder of images, the model takes {spec.modality} inputs.")
    files = sorted(f for f in folder.rglob("*") if f.suffix.lower() in SUFFIXES and f.is_file())
    if not files:
        raise DataError(f"{folder} holds no images ({', '.join(sorted(SUFFIXES))}).")
    channels, height, width = spec.shape or ANY_SIZE
    names = [as_text(file.relative_to(folder).as_posix()) for file in files]
    return names, ImageFolder(files, size=(height, width), channels=channels)


def _check(wanted: InputSpec, offered: InputSpec) -> None:
    refused = wanted.accepts(offered)
    if refused is not None:
        raise DataError(refused.reason.replace("the source", "the model").replace("task", "data"))
