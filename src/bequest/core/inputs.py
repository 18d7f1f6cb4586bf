"""What a task's samples are, and what a model wants them to be.

Shapes: N samples, D features, C channels, H and W pixels.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, final, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from bequest.core.table import ColumnKind, Table, frame_columns, plain_array
from bequest.core.texts import Texts
from bequest.core.wording import counted
from bequest.errors import DataError, NotApplicable

__all__ = [
    "InputSpec",
    "Inputs",
    "Modality",
    "Table",
    "Texts",
    "as_inputs",
    "fingerprint",
    "spec_of",
]

Modality = Literal["vector", "table", "image", "text"]


@runtime_checkable
class Inputs(Protocol):
    """Samples that can be counted and taken by row: an array, a `Table`, images, `Texts`."""

    def __len__(self) -> int: ...
    def __getitem__(self, rows: Any, /) -> Any: ...


@final
@dataclass(frozen=True)
class InputSpec:
    """What a model takes, or what a task offers.

    Parameters
    ----------
    modality : {"vector", "table", "image", "text"}
    shape : tuple of int or None
        Shape of one sample without N: ``(D,)`` or ``(C, H, W)``; None means any, or not known.
    columns : tuple of str
        For tables: the columns that a model reads, or that a task offers.
    kinds : tuple of {"number", "category", "date"}
        The kind of each of `columns`; empty where not known.
    """

    modality: Modality
    shape: tuple[int, ...] | None = None
    columns: tuple[str, ...] = ()
    kinds: tuple[ColumnKind, ...] = ()

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
            return self._accepts_columns(offered)
        if self.shape is not None and self.shape != offered.shape:
            return NotApplicable(
                f"the source takes {self.modality}s of shape {self.shape}, "
                f"the task has {offered.shape}."
            )
        return None

    def _accepts_columns(self, offered: InputSpec) -> NotApplicable | None:
        absent = [name for name in self.columns if name not in offered.columns]
        if absent:
            return NotApplicable(
                f"the source reads {counted(len(self.columns), 'column')}, "
                f"{len(absent)} of them not in the task: {', '.join(absent[:5])}"
                f"{', ...' if len(absent) > 5 else '.'}"
            )
        theirs = dict(zip(offered.columns, offered.kinds, strict=False))
        for name, kind in zip(self.columns, self.kinds, strict=False):
            if theirs.get(name, kind) != kind:
                return NotApplicable(
                    f"the source reads column {name!r} as {kind}, in the task it is {theirs[name]}."
                )
        return None


def spec_of(inputs: Inputs) -> InputSpec:
    """Describe samples: their modality, and the shape or the columns of one of them."""
    if isinstance(inputs, Table):
        return InputSpec("table", None, inputs.names, tuple(inputs.kinds.values()))
    if isinstance(inputs, Texts):
        return InputSpec("text")
    shape = tuple(getattr(inputs, "shape", ()))[1:]
    return InputSpec("image" if len(shape) == 3 else "vector", shape)


def as_inputs(samples: Any) -> Inputs:
    """Turn what a person holds into what a model reads.

    Parameters
    ----------
    samples : array, tensor, sparse matrix, Table, mapping of columns, DataFrame, list of str
        Arrays have shape (N, D) or (N, C, H, W); a list, an array or a DataFrame's column of
        strings are N texts.

    Returns
    -------
    Inputs
        A float32 array, a `Table`, `Texts`, or `samples` itself where it is lazily read already.

    Raises
    ------
    DataError
        The samples are of no known kind, or an array is not of 2 or 4 dimensions.

    Examples
    --------
    >>> as_inputs([[1, 2]]).dtype, as_inputs(["good", "bad"])
    (dtype('float32'), Texts(2 texts))
    """
    if isinstance(samples, Table | Texts):
        return samples
    if _are_texts(samples):
        return Texts(samples)
    if hasattr(samples, "read_rows"):
        lazily: Inputs = samples
        return lazily
    if isinstance(samples, Mapping):
        return Table(samples)
    if _is_column(samples) and _are_texts(column := plain_array(samples)):
        return Texts(column.tolist())
    if hasattr(samples, "__dataframe__") or hasattr(samples, "__arrow_c_stream__"):
        return Table(frame_columns(samples))
    if hasattr(samples, "collect_schema"):
        raise DataError(f"a {type(samples).__name__} holds no rows yet: call .collect() first.")
    array = _float_array(samples)
    if array.ndim == 3:
        raise DataError(
            f"inputs of shape {array.shape} lack one dimension: images have shape (N, C, H, W); "
            "for grey ones, X[:, None] adds C."
        )
    if array.ndim not in (2, 4):
        raise DataError(f"inputs must have shape (N, D) or (N, C, H, W), these have {array.shape}.")
    return array


def _are_texts(samples: Any) -> bool:
    """Whether these are N texts: a string among them suffices, the others are then looked at."""
    if isinstance(samples, str | bytes):
        kind = type(samples).__name__
        raise DataError(f"the inputs are not numbers; one {kind} is a text: put it into a list.")
    if isinstance(samples, np.ndarray):
        one_row = samples.ndim == 1
        return one_row and (
            samples.dtype.kind == "U" or (samples.dtype.kind == "O" and _any(samples))
        )
    return isinstance(samples, list | tuple) and _any(samples)


def _any(samples: Any) -> bool:
    return any(isinstance(sample, str) for sample in samples)


def _is_column(samples: Any) -> bool:
    """Whether it is one column of a DataFrame, not a frame."""
    if not (hasattr(samples, "__arrow_c_stream__") or hasattr(samples, "__arrow_c_array__")):
        return False
    return not any(hasattr(samples, name) for name in ("__dataframe__", "columns", "schema"))


def _float_array(samples: Any) -> NDArray[np.float32]:
    try:
        if hasattr(samples, "detach"):
            samples = samples.detach().cpu().numpy()
        if hasattr(samples, "toarray"):
            samples = samples.toarray()
        array = np.asarray(samples)
        if array.dtype.kind == "c":
            raise TypeError(f"they are {array.dtype}")
        with np.errstate(over="ignore"):  # beyond 3.4e38 becomes inf, which loaders refuse
            return array.astype(np.float32, copy=False)
    except (TypeError, ValueError) as error:
        raise DataError(f"the inputs are not numbers: {error}.") from error


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
    elif isinstance(part, np.ndarray):
        digest.update(f"O{part.shape}{part.tolist()!r}".encode())
    elif isinstance(part, tuple | list):
        digest.update(f"[{len(part)}".encode())
        for item in part:
            _feed(digest, item)
    else:
        digest.update(repr(part).encode())
        digest.update(b"\0")
