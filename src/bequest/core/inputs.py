"""What a task's samples are, and what a model wants them to be.

Shapes: N samples, D features, C channels, H and W pixels.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, final, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from bequest.errors import DataError, NotApplicable
from bequest.optional import need

__all__ = ["InputSpec", "Inputs", "Modality", "Table", "as_inputs", "fingerprint", "spec_of"]

Modality = Literal["vector", "table", "image"]
ColumnKind = Literal["number", "category", "date"]


@runtime_checkable
class Inputs(Protocol):
    """Samples that can be counted and taken by row: an array, a `Table`, a folder of images."""

    def __len__(self) -> int: ...
    def __getitem__(self, rows: Any, /) -> Any: ...


@final
class Table:
    """Named columns of one length.

    Parameters
    ----------
    columns : mapping of str to array, each of shape (N,)
        Numbers (and booleans) become float64 with NaN where missing; dates become
        ``datetime64[us]`` with NaT; everything else becomes strings in an object array with None.

    Raises
    ------
    DataError
        The columns differ in length.

    Examples
    --------
    >>> table = Table({"age": [61, None], "ward": ["a", "b"]})
    >>> table.kinds
    {'age': 'number', 'ward': 'category'}
    >>> table[[1]].columns["ward"].tolist()
    ['b']
    """

    __slots__ = ("columns",)

    def __init__(self, columns: Mapping[str, Any]) -> None:
        self.columns: dict[str, NDArray[Any]] = {
            str(name): _column(values) for name, values in columns.items()
        }
        lengths = {name: len(values) for name, values in self.columns.items()}
        if len(set(lengths.values())) > 1:
            raise DataError(f"the columns of a table differ in length: {lengths}.")

    @property
    def names(self) -> tuple[str, ...]:
        """The columns' names, in order."""
        return tuple(self.columns)

    @property
    def kinds(self) -> dict[str, ColumnKind]:
        """Each column's kind: number, category or date."""
        kinds: dict[str, ColumnKind] = {"f": "number", "M": "date", "O": "category"}
        return {name: kinds[values.dtype.kind] for name, values in self.columns.items()}

    def select(self, names: Sequence[str]) -> Table:
        """The same rows, only these columns, in this order."""
        return Table({name: self.columns[name] for name in names})

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()))) if self.columns else 0

    def __getitem__(self, rows: Any) -> Table:
        return Table({name: values[rows] for name, values in self.columns.items()})

    def __repr__(self) -> str:
        return f"Table({len(self)} rows, {', '.join(self.names)})"


def _column(values: Any) -> NDArray[Any]:
    array = np.asarray(values)
    if array.dtype.kind in "fiub":
        return array.astype(np.float64)
    if array.dtype.kind == "M":
        return array.astype("datetime64[us]")
    objects = array.astype(object)
    known = [value for value in objects if not _missing(value)]
    if known and all(isinstance(v, int | float | np.number | np.bool_) for v in known):
        return np.array([np.nan if _missing(v) else float(v) for v in objects], dtype=np.float64)
    return np.array([None if _missing(v) else str(v) for v in objects], dtype=object)


def _missing(value: Any) -> bool:
    return value is None or (isinstance(value, float | np.floating) and bool(np.isnan(value)))


@final
@dataclass(frozen=True)
class InputSpec:
    """What a model takes, or what a task offers.

    Parameters
    ----------
    modality : {"vector", "table", "image"}
    shape : tuple of int or None
        Shape of one sample without N: ``(D,)`` or ``(C, H, W)``; None means any, or not known.
    columns : tuple of str
        For tables: the columns that a model reads, or that a task offers.
    """

    modality: Modality
    shape: tuple[int, ...] | None = None
    columns: tuple[str, ...] = ()

    def accepts(self, offered: InputSpec) -> NotApplicable | None:
        """None where a model with this spec can read `offered`, else the reason why not.

        Examples
        --------
        >>> model = InputSpec("vector", (64,))
        >>> model.accepts(InputSpec("vector", (30,))).reason
        'the source takes vectors of shape (64,), the task has (30,).'
        """
        if self.modality != offered.modality:
            return NotApplicable(
                f"the source takes {self.modality} inputs, the task has {offered.modality} inputs."
            )
        if self.modality == "table":
            absent = [name for name in self.columns if name not in offered.columns]
            if absent:
                return NotApplicable(
                    f"the source reads {len(self.columns)} columns, "
                    f"{len(absent)} of them not in the task: {', '.join(absent[:5])}"
                    f"{', ...' if len(absent) > 5 else '.'}"
                )
        elif self.shape is not None and self.shape != offered.shape:
            return NotApplicable(
                f"the source takes {self.modality}s of shape {self.shape}, "
                f"the task has {offered.shape}."
            )
        return None


def spec_of(inputs: Inputs) -> InputSpec:
    """Describe samples: their modality, and the shape or the columns of one of them."""
    if isinstance(inputs, Table):
        return InputSpec("table", None, inputs.names)
    shape = tuple(getattr(inputs, "shape", ()))[1:]
    return InputSpec("image" if len(shape) == 3 else "vector", shape)


def as_inputs(samples: Any) -> Inputs:
    """Turn what a person holds into what a model reads.

    Parameters
    ----------
    samples : array, tensor, sparse matrix, Table, mapping of columns, DataFrame of any kind
        Arrays have shape (N, D) or (N, C, H, W).

    Returns
    -------
    Inputs
        A float32 array, a `Table`, or `samples` itself where it is lazily read already.

    Raises
    ------
    DataError
        The samples are of no known kind, or an array is not of 2 or 4 dimensions.
    """
    if isinstance(samples, Table):
        return samples
    if hasattr(samples, "read_rows"):
        lazily: Inputs = samples
        return lazily
    if isinstance(samples, Mapping):
        return Table(samples)
    if hasattr(samples, "__dataframe__") or hasattr(samples, "__arrow_c_stream__"):
        return _table_from_frame(samples)
    if hasattr(samples, "detach"):
        samples = samples.detach().cpu().numpy()
    if hasattr(samples, "toarray"):
        samples = samples.toarray()
    try:
        array = np.asarray(samples, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise DataError(f"the inputs are not numbers: {error}.") from error
    if array.ndim not in (2, 4):
        raise DataError(f"inputs must have shape (N, D) or (N, C, H, W), these have {array.shape}.")
    return array


def _table_from_frame(frame: Any) -> Table:
    narwhals = need("narwhals", extra="", purpose="reading DataFrames")
    native = narwhals.from_native(frame, eager_only=True)
    names = list(native.columns)
    return Table({name: native[name].to_numpy() for name in names})


def fingerprint(*parts: Any) -> str:
    """Content address of arrays, tables and plain values: the first 16 hex digits of a sha256.

    Examples
    --------
    >>> fingerprint(np.arange(3)) == fingerprint(np.arange(3))
    True
    """
    digest = hashlib.sha256()
    for part in parts:
        _feed(digest, part)
    return digest.hexdigest()[:16]


def _feed(digest: Any, part: Any) -> None:
    if isinstance(part, Table):
        for name, values in part.columns.items():
            _feed(digest, name)
            _feed(digest, values)
    elif hasattr(part, "content_digest"):
        digest.update(part.content_digest().encode())
    elif isinstance(part, np.ndarray) and part.dtype.kind != "O":
        digest.update(f"{part.dtype.str}{part.shape}".encode())
        digest.update(np.ascontiguousarray(part).tobytes())
    elif isinstance(part, np.ndarray | tuple | list):
        digest.update(f"[{len(part)}".encode())
        for item in part:
            _feed(digest, item)
    else:
        digest.update(repr(part).encode())
        digest.update(b"\0")
