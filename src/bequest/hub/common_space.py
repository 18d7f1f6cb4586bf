"""Every row as a point of one fixed space, whatever the task: the same for everybody.

N samples, D features, C channels, H and W pixels, L = 64 dimensions. What becomes of a row depends
on that row alone: no mean and no quantile of the data enters, nor what the other cells of a column
are, so that one row moves a sum of rows by no more than its own length.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import HashingVectorizer

from bequest.core.inputs import Inputs
from bequest.core.table import Table, missing_cells
from bequest.core.texts import Texts
from bequest.hub.cells import number_in, years

__all__ = ["DIMENSIONS", "VERSION", "direction", "in_common_space"]

Array = NDArray[Any]
VERSION = 2  # of what is done here: sketches of two versions are not compared
_DRAWN = 1  # of the directions
DIMENSIONS = 64
_GRID = 8  # an image becomes 8 × 8 means a channel
_WORDS = 2**12  # buckets of words and pairs of words


@lru_cache(maxsize=2**16)
def direction(name: str) -> Array:
    """The fixed random direction of a name, shape (L,), of mean length 1.

    Examples
    --------
    >>> bool((direction("age") == direction("age")).all()), direction("age").shape
    (True, (64,))
    """
    seed = int.from_bytes(hashlib.sha256(f"bequest {_DRAWN} {name}".encode()).digest()[:16])
    drawn = np.random.Generator(np.random.PCG64(seed)).normal(size=DIMENSIONS)
    drawn /= np.sqrt(DIMENSIONS)
    drawn.flags.writeable = False
    return drawn


def in_common_space(inputs: Inputs) -> Array:
    """Put samples of any modality into the common space.

    Parameters
    ----------
    inputs : Inputs
        N vectors, rows of a table, images or texts.

    Returns
    -------
    array, shape (N, L)
        A number enters as ``asinh(x)`` along the direction of its column's name (of its place,
        for vectors), a category along that of name and value; a cell of text that says a number
        or a date enters as such. An image enters as 8 × 8 means after division by its own largest
        number; a text as its hashed words and pairs of words.

    Examples
    --------
    >>> in_common_space(Table({"age": [61.0, None], "ward": ["a", "b"]})).shape
    (2, 64)
    """
    if isinstance(inputs, Table):
        return _of_table(inputs)
    if isinstance(inputs, Texts):
        return _of_texts(inputs)
    rows = inputs.read_rows(np.arange(len(inputs))) if hasattr(inputs, "read_rows") else inputs
    array = np.asarray(rows, dtype=float)
    if array.ndim == 4:
        return _of_images(array)
    names = [f"place {place}" for place in range(array.shape[1])]
    return np.asarray(np.arcsinh(array) @ _directions(names))


def _directions(names: list[str]) -> Array:
    return np.asarray(np.stack([direction(name) for name in names]) / np.sqrt(len(names)))


def _of_table(table: Table) -> Array:
    points: Array = np.zeros((len(table), DIMENSIONS))
    for name, values in table.columns.items():
        missing = missing_cells(values)
        points[missing] += direction(f"{name} is missing")
        points[~missing] += _of_column(name, values[~missing])
    return np.asarray(points / np.sqrt(max(len(table.columns), 1)))


def _of_column(name: str, known: Array) -> Array:
    if known.dtype.kind == "O":
        cells = {cell: _of_cell(name, cell) for cell in set(known)}
        return np.reshape([cells[cell] for cell in known], (len(known), DIMENSIONS))
    numbers = years(known) if known.dtype.kind == "M" else known
    points: Array = np.outer(np.arcsinh(numbers), direction(name))
    for row in np.flatnonzero(np.isinf(numbers)):  # no place is that far
        points[row] = direction(f"{name} = {numbers[row]}")
    return points


def _of_cell(name: str, text: str) -> Array:
    number = number_in(text)
    if number is None:
        return direction(f"{name} = {text}")
    return np.asarray(np.arcsinh(number) * direction(name))


def _of_images(images: Array) -> Array:
    largest = np.abs(images).max(axis=(1, 2, 3), keepdims=True)
    scaled = images / np.where(largest > 0, largest, 1.0)
    small = _block_means(_block_means(scaled, 2), 3)
    names = [f"pixel {place}" for place in np.ndindex(*small.shape[1:])]
    return np.asarray(small.reshape(len(small), -1) @ _directions(names) * 4)


def _block_means(images: Array, axis: int) -> Array:
    """Eight means along an axis; where it is shorter, pixels are repeated."""
    length = images.shape[axis]
    if length < _GRID:
        return np.asarray(np.take(images, np.arange(_GRID) * length // _GRID, axis=axis))
    starts = np.arange(_GRID) * length // _GRID
    widths: Array = np.diff(np.append(starts, length))
    shape = [1] * images.ndim
    shape[axis] = _GRID
    means: Array = np.add.reduceat(images, starts, axis=axis) / widths.reshape(shape)
    return means


def _of_texts(texts: Texts) -> Array:
    words = HashingVectorizer(n_features=_WORDS, ngram_range=(1, 2), alternate_sign=False)
    names = [f"word {bucket}" for bucket in range(_WORDS)]
    points: Array = words.transform(texts.tolist()) @ np.stack(list(map(direction, names))) * 2
    return points
