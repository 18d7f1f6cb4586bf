"""From DATA to the rows that a model reads, without labels; from a file to what a network takes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bequest.cli._paths import existing
from bequest.cli._task import arrays_in, read_arrays
from bequest.core import InputSpec, Texts, spec_of
from bequest.core.validation import as_text
from bequest.core.wording import counted_in
from bequest.data.images import ANY_SIZE, ImageFolder
from bequest.data.pixels import SUFFIXES
from bequest.data.tables import read_columns, read_table
from bequest.data.texts import filled_texts
from bequest.errors import DataError
from bequest.frameworks.files.weights import read_weights

__all__ = ["read_example", "read_inputs"]

LIMIT = 2**30  # bytes of an example; a few rows are enough to see what reads what


def read_inputs(
    data: Sequence[Path], spec: InputSpec, text: str | None = None, *, skip_broken: bool = False
) -> tuple[Sequence[str], Any]:
    """Names of image files (none for other data), and rows as a model wants them.

    `data` is a table, an .npz file with an array X, a folder of images, sub-folders included, or
    any number of image files; `text` is the column that a model of texts reads, told where only one
    can be. `skip_broken` leaves out images that cannot be read.
    """
    places = [existing(one) for one in data]
    if len(places) > 1 or places[0].suffix.lower() in SUFFIXES:
        return _files(places, spec, skip_broken)
    [place] = places
    if place.is_dir():
        return _images(place, spec, skip_broken)
    if spec.modality == "image" and place.suffix.lower() != ".npz":
        raise DataError(
            f"{place} is no image: the model reads a folder of images, image files "
            f"({', '.join(sorted(SUFFIXES))}), or an .npz file with an array X."
        )
    if place.suffix.lower() == ".npz":
        inputs = read_arrays(place, "X")[0]
        _check(spec, spec_of(inputs))
        return (), inputs
    if spec.modality == "text":
        with counted_in(place):
            return (), _texts(place, text)
    with counted_in(place):
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
    return Texts(filled_texts(column).tolist())


def _images(folder: Path, spec: InputSpec, skip_broken: bool) -> tuple[Sequence[str], Any]:
    if spec.modality != "image":
        raise DataError(f"{folder} is a folder of images, the model takes {spec.modality} inputs.")
    files = sorted(f for f in folder.rglob("*") if f.suffix.lower() in SUFFIXES and f.is_file())
    if not files:
        raise DataError(f"{folder} holds no images ({', '.join(sorted(SUFFIXES))}).")
    images = _read(files, spec, skip_broken)
    return [as_text(file.relative_to(folder).as_posix()) for file in images.paths], images


def _files(files: Sequence[Path], spec: InputSpec, skip_broken: bool) -> tuple[Sequence[str], Any]:
    """Image files that are named one by one."""
    if spec.modality != "image":
        raise DataError(f"{files[0]} is an image, the model takes {spec.modality} inputs.")
    other = next(
        (file for file in files if file.is_dir() or file.suffix.lower() not in SUFFIXES), None
    )
    if other is not None:
        raise DataError(
            f"{other} is no image file: give one folder of images, or image files "
            f"({', '.join(sorted(SUFFIXES))})."
        )
    images = _read(files, spec, skip_broken)
    return [as_text(str(file)) for file in images.paths], images


def _read(files: Sequence[Path], spec: InputSpec, skip_broken: bool) -> ImageFolder:
    channels, height, width = spec.shape or ANY_SIZE
    return ImageFolder(files, size=(height, width), channels=channels, skip_broken=skip_broken)


def _check(wanted: InputSpec, offered: InputSpec) -> None:
    refused = wanted.accepts(offered)
    if refused is not None:
        raise DataError(refused.reason.replace("the source", "the model").replace("task", "data"))


def read_example(path: Path) -> Any:
    """One tensor, or several by the names under which the networks take them.

    Numbers with a point become single precision.
    """
    if not path.is_file():
        raise DataError(f"there is no file {path}, which --example names.")
    if path.stat().st_size > LIMIT:
        raise DataError(f"{path} has {path.stat().st_size} bytes: a few rows are enough.")
    suffix = path.suffix.lower()
    if suffix not in (".npy", ".npz", ".safetensors"):
        raise DataError(f"{path}: an example is an .npy, .npz or .safetensors file.")
    found = read_weights(path) if suffix == ".safetensors" else _arrays(path)
    if not found:
        raise DataError(f"{path} has no arrays in it.")
    tensors = {n: t.float() if t.is_floating_point() else t for n, t in found.items()}
    return tensors if len(tensors) > 1 else next(iter(tensors.values()))


def _arrays(path: Path) -> dict[str, torch.Tensor]:
    with arrays_in(path) as found:
        arrays = {"": found} if isinstance(found, np.ndarray) else dict(found)
        return {name: torch.from_numpy(array) for name, array in arrays.items()}
