"""Encoders: what turns a task's samples into numbers; fitted on training rows, part of the model.

N samples, D numbers, K categories.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self, final

import numpy as np
from numpy.typing import NDArray

from bequest.core import (
    ENCODERS,
    MODALITIES,
    Encoder,
    Inputs,
    Modality,
    Table,
    as_inputs,
    modality_of,
)
from bequest.core.table import absent_columns
from bequest.errors import DataError, ModelError, UnknownName

__all__ = [
    "Encoder",
    "Scaler",
    "TableEncoder",
    "VectorEncoder",
    "encoder_from_config",
    "fit_encoder",
    "plain_rows",
]

Array = NDArray[Any]
MAX_LEVELS = 254  # more levels make an identifier: the rarer share code 0; boosting takes 255
CLIP = 8.0  # standard deviations; a wild value in one column must not drown the others
FIT_CHUNK = 2**22  # numbers in memory at a time while a scaler is fitted
DAY = 86_400e6  # microseconds


@final
@dataclass(frozen=True)
class Scaler:
    """Standardise each feature of vectors, or each channel of images.

    A column that hardly varies in training has a tiny scale, and one row that differs in it would
    drown all other columns. So what is encoded ends at a limit: 8 standard deviations, or the
    farthest that training rows went. Training rows are never changed by it.

    Parameters
    ----------
    mean, scale : tuple of float
        One per feature or channel; a constant one has scale 1. One whose spread is below the
        precision of float32 is constant.
    limit : tuple of float
        The largest size of an encoded number, one per feature or channel; empty for none.
    """

    mean: tuple[float, ...]
    scale: tuple[float, ...]
    limit: tuple[float, ...] = ()

    @classmethod
    def fit(cls, inputs: Inputs) -> Scaler:
        """Mean, standard deviation and limit of training rows (N, D) or (N, C, H, W).

        Rows are read in chunks, so that a folder of images need not fit in memory.
        """
        step = max(1, FIT_CHUNK // max(1, math.prod(getattr(inputs, "shape", (1,))[1:])))
        rows = 0
        mean: Array = np.zeros(1)
        squares: Array = np.zeros(1)
        low, high = np.full(1, np.inf), np.full(1, -np.inf)
        for start in range(0, len(inputs), step):
            array = np.asarray(inputs[start : start + step], dtype=np.float64)
            axes = (0, 2, 3) if array.ndim == 4 else (0,)
            count = math.prod(array.shape[axis] for axis in axes)
            own = array.mean(axis=axes)
            # Chan, Golub and LeVeque, The American Statistician 1983: no sum of squares cancels
            apart, whole = own - mean, rows + count
            squares = squares + count * array.var(axis=axes) + apart**2 * (rows * count / whole)
            mean, rows = mean + apart * (count / whole), whole
            low = np.minimum(low, array.min(axis=axes))
            high = np.maximum(high, array.max(axis=axes))
        scale = np.sqrt(squares / rows)
        scale[scale < np.maximum(1e-8, np.finfo(np.float32).eps * np.abs(mean))] = 1.0
        # rounded up, so that float32 cuts nothing off the farthest training row
        limit = np.maximum(CLIP, np.ceil(np.maximum(mean - low, high - mean) / scale))
        return cls(tuple(mean.tolist()), tuple(scale.tolist()), tuple(limit.tolist()))

    def encode(self, inputs: Inputs) -> Array:
        """Standardised float32 array of the shape of `inputs`."""
        array = plain_rows(inputs)
        if array.ndim < 2 or array.shape[1] != len(self.mean):
            raise DataError(
                f"the model reads {len(self.mean)} numbers or channels a row, "
                f"these inputs have shape {array.shape}."
            )
        shape = (1, -1) + (1,) * (array.ndim - 2)
        mean = np.asarray(self.mean, dtype=np.float32).reshape(shape)
        scale = np.asarray(self.scale, dtype=np.float32).reshape(shape)
        encoded = (array - mean) / scale
        if self.limit:
            limit = np.asarray(self.limit, dtype=np.float32).reshape(shape)
            np.clip(encoded, -limit, limit, out=encoded)
        return np.asarray(encoded, dtype=np.float32)

    def to_config(self) -> dict[str, Any]:
        """Plain values."""
        fitted = {"mean": list(self.mean), "scale": list(self.scale), "limit": list(self.limit)}
        return {"encoder": "scaler", **fitted}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """The scaler that `to_config` described."""
        return cls(*(tuple(map(float, config[name])) for name in ("mean", "scale", "limit")))


@final
@dataclass(frozen=True)
class VectorEncoder:
    """The vectors of a plug-in's modality, standardised.

    Parameters
    ----------
    modality : str
    scaler : Scaler
        Of the vectors.
    """

    modality: str
    scaler: Scaler

    @classmethod
    def fit(cls, inputs: Inputs) -> Self:
        """Mean, standard deviation and limit of the vectors of training rows."""
        modality = modality_of(inputs)
        return cls(modality.name, Scaler.fit(_vectors(modality, inputs)))

    def encode(self, inputs: Inputs) -> Array:
        """Float32 array of shape (N, P)."""
        given = modality_of(inputs)
        if given.name != self.modality:
            raise DataError(f"the model reads {self.modality} inputs, these are {given.name} ones.")
        return self.scaler.encode(_vectors(given, inputs))

    def to_config(self) -> dict[str, Any]:
        """Plain values."""
        return {**self.scaler.to_config(), "encoder": "vectors", "modality": self.modality}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """The encoder that `to_config` described; its modality must be registered."""
        return cls(MODALITIES[config["modality"]].name, Scaler.from_config(config))


@final
@dataclass(frozen=True)
class TableEncoder:
    """Numbers standardised, missing ones marked, categories as codes, dates as numbers.

    The encoded columns are: every number and date standardised, 0 where missing; then a 0/1
    column for each of them that had missing values in training; then one code per category,
    0 for missing and for levels that were not seen in training.

    Parameters
    ----------
    numbers : mapping of str to (mean, scale, marked)
        `marked` tells whether missing values get a column of their own. Dates are counted in
        days since 1970.
    categories : mapping of str to tuple of str
        Levels in the order of their codes, from 1.
    """

    numbers: Mapping[str, tuple[float, float, bool]]
    categories: Mapping[str, tuple[str, ...]]

    @classmethod
    def fit(cls, inputs: Inputs) -> TableEncoder:
        """Learn scales and levels from training rows."""
        table = _as_table(inputs)
        numbers = {
            name: _scale(_as_number(table.columns[name]))
            for name, kind in table.kinds.items()
            if kind != "category"
        }
        categories = {
            name: _levels(table.columns[name])
            for name, kind in table.kinds.items()
            if kind == "category"
        }
        return cls(numbers, categories)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are read."""
        return (*self.numbers, *self.categories)

    @property
    def n_numbers(self) -> int:
        """D: encoded columns that are numbers; the codes follow them."""
        return len(self.numbers) + sum(marked for _, _, marked in self.numbers.values())

    @property
    def cardinalities(self) -> tuple[int, ...]:
        """Levels of each code column, the code 0 counted."""
        return tuple(len(levels) + 1 for levels in self.categories.values())

    def encode(self, inputs: Inputs) -> Array:
        """Float32 array of shape (N, D + K)."""
        table = _as_table(inputs)
        absent = [name for name in self.columns if name not in table.columns]
        if absent:
            named = absent_columns(absent, table.names)
            raise DataError(f"the table lacks columns that the model reads: {named}.")
        values, marks = [], []
        for name, (mean, scale, marked) in self.numbers.items():
            column = _as_number(_numeric(table, name))
            missing = np.isnan(column)
            scaled = np.clip((column - mean) / scale, -CLIP, CLIP)
            values.append(np.where(missing, 0.0, scaled))
            if marked:
                marks.append(missing.astype(np.float64))
        codes = [_codes(_text(table, name), levels) for name, levels in self.categories.items()]
        encoded = [*values, *marks, *codes]
        if not encoded:
            return np.zeros((len(table), 0), dtype=np.float32)
        return np.stack(encoded, axis=1).astype(np.float32)

    def to_config(self) -> dict[str, Any]:
        """Plain values."""
        numbers = {name: list(values) for name, values in self.numbers.items()}
        categories = {name: list(levels) for name, levels in self.categories.items()}
        return {"encoder": "table", "numbers": numbers, "categories": categories}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """The encoder that `to_config` described."""
        numbers = {
            str(name): (float(mean), float(scale), bool(marked))
            for name, (mean, scale, marked) in config["numbers"].items()
        }
        return cls(numbers, {str(n): tuple(map(str, v)) for n, v in config["categories"].items()})


def fit_encoder(inputs: Inputs) -> Encoder:
    """The encoder that suits these training rows, by their modality."""
    return modality_of(inputs).fit_encoder(inputs)


def encoder_from_config(config: Mapping[str, Any] | None) -> Encoder | None:
    """The encoder that `to_config` described, of a class in `ENCODERS`; None stays None."""
    if config is None:
        return None
    try:
        encoder: Encoder = ENCODERS[config["encoder"]].from_config(config)
    except UnknownName as error:
        raise ModelError(
            f"the model has an unknown encoder: {error} Import the plug-in that it comes from."
        ) from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ModelError(f"the model's encoder is damaged: {error!r}.") from error
    return encoder


def plain_rows(inputs: Inputs) -> Array:
    """The rows of inputs without named columns, float32 (N, D) or (N, C, H, W); else a `DataError`.

    Examples
    --------
    >>> plain_rows(Table({"a": [1.0]}))
    Traceback (most recent call last):
        ...
    bequest.errors.DataError: the model reads arrays, this is a table of 1 named columns: ...
    """
    if isinstance(inputs, Table):
        raise DataError(
            f"the model reads arrays, this is a table of {len(inputs.names)} named columns: give "
            "the numbers alone, such as frame.to_numpy(), in the order of the training."
        )
    if not hasattr(inputs, "__array__"):
        raise DataError(f"the model reads arrays, these are {modality_of(inputs).name} inputs.")
    return np.asarray(inputs, dtype=np.float32)


def _vectors(modality: Modality, inputs: Inputs) -> Array:
    given = np.asarray(modality.vectors(inputs))
    sound = given.ndim == 2 and len(given) == len(inputs) and given.dtype.kind in "fiub"
    if not sound or not np.isfinite(given).all():
        raise DataError(
            f"the modality {modality.name!r} gives vectors of shape {given.shape} and type "
            f"{given.dtype} for {len(inputs)} inputs: finite numbers (N, P) are wanted."
        )
    return given


def _as_table(inputs: Any) -> Table:
    table = as_inputs(inputs)
    if not isinstance(table, Table):
        raise DataError("the model reads a table with named columns, this is an array.")
    return table


def _as_number(column: Array) -> Array:
    if column.dtype.kind != "M":
        return column
    days = column.astype(np.int64) / DAY
    return np.where(np.isnat(column), np.nan, days)


def _numeric(table: Table, name: str) -> Array:
    column = table.columns[name]
    if column.dtype.kind == "O":
        if all(value is None for value in column):
            return np.full(len(column), np.nan)
        raise DataError(f"column {name!r} held numbers in training and holds text here.")
    return column


def _text(table: Table, name: str) -> Array:
    column = table.columns[name]
    if column.dtype.kind != "O" and not np.all(np.isnan(_as_number(column))):
        raise DataError(f"column {name!r} held text in training and holds numbers here.")
    return column if column.dtype.kind == "O" else np.full(len(column), None, dtype=object)


def _scale(column: Array) -> tuple[float, float, bool]:
    known = column[np.isfinite(column)]
    marked = len(known) < len(column)
    if len(known) == 0:
        return 0.0, 1.0, False
    scale = float(known.std())
    constant = scale <= 1e-8 * max(1.0, float(np.abs(known).max()))
    return float(known.mean()), 1.0 if constant else scale, marked


def _levels(column: Array) -> tuple[str, ...]:
    levels, counts = np.unique([v for v in column if v is not None], return_counts=True)
    if len(levels) > MAX_LEVELS:
        commonest = np.argsort(-counts, kind="stable")[:MAX_LEVELS]
        levels = levels[np.sort(commonest)]
    return tuple(str(level) for level in levels)


def _codes(column: Array, levels: tuple[str, ...]) -> Array:
    code = {level: place for place, level in enumerate(levels, start=1)}
    return np.array([code.get(value, 0) for value in column], dtype=np.float64)
