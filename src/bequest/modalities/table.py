"""Tables: N rows of named columns of numbers, categories and dates."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from bequest.core.modality import Inputs, InputSpec, Modality, dense, digests
from bequest.core.table import Table, absent_columns, frame_columns, missing_cells
from bequest.core.wording import pluralise
from bequest.data.cells import number_in, years
from bequest.data.near_duplicates import table_fingerprints
from bequest.errors import DataError, NotApplicable

__all__ = ["TABLE", "Tables"]

Array = NDArray[Any]


@final
class Tables(Modality):
    """`Table`, made of a mapping of columns or a DataFrame of any library."""

    name = "table"
    encoder = "table"
    networks = ("linear", "extra-trees", "svm", "boosting", "mlp")
    default_network = "extra-trees"

    def recognise(self, samples: Any) -> Inputs | None:
        """A `Table`; `DataError` where a column cannot be used or a lazy frame has no rows yet."""
        if isinstance(samples, Table):
            return samples
        if isinstance(samples, Mapping):
            return Table(samples)
        if hasattr(samples, "__dataframe__") or hasattr(samples, "__arrow_c_stream__"):
            return Table(frame_columns(samples))
        if hasattr(samples, "collect_schema"):
            raise DataError(f"a {type(samples).__name__} holds no rows yet: call .collect() first.")
        return None

    def holds(self, inputs: Inputs) -> bool:
        """Whether it is a `Table`."""
        return isinstance(inputs, Table)

    def describe(self, inputs: Any) -> InputSpec:
        """With columns and kinds."""
        return InputSpec(self.name, None, inputs.names, tuple(inputs.kinds.values()))

    def accepts(self, wanted: InputSpec, offered: InputSpec) -> NotApplicable | None:
        """All columns that are read must be there, and of their kinds; others may be, too."""
        absent = [name for name in wanted.columns if name not in offered.columns]
        if absent:
            return NotApplicable(
                f"the source reads {pluralise(len(wanted.columns), 'column')}, "
                f"{len(absent)} of them not in the task: {absent_columns(absent, offered.columns)}."
            )
        theirs = dict(zip(offered.columns, offered.kinds, strict=False))
        for name, kind in zip(wanted.columns, wanted.kinds, strict=False):
            if theirs.get(name, kind) != kind:
                return NotApplicable(
                    f"the source reads column {name!r} as {kind}, in the task it is {theirs[name]}."
                )
        return None

    def vectors(self, inputs: Inputs) -> Array:
        """Numbers and dates standardised, categories as zeros and ones; a zero without columns."""
        found = dense(self.fit_encoder(inputs), inputs).astype(np.float64)
        return found if found.shape[1] else np.zeros((len(inputs), 1))

    def row_digests(self, inputs: Any) -> Array:
        """Of the cells, and of the columns' names and kinds."""
        head = repr(inputs.kinds)
        cells = (column.tolist() for column in inputs.columns.values())
        return digests(f"{head}{row!r}".encode() for row in zip(*cells, strict=True))

    def fingerprints(self, inputs: Any) -> NDArray[np.uint64]:
        """Of the cells, rounded, the columns in any order."""
        return table_fingerprints(inputs)

    def points(self, inputs: Any, direction: Callable[[str], Array]) -> Array:
        """Numbers along the direction of their column's name, categories along name and value.

        A number enters as ``asinh(x)``; a cell of text that says a number or a date as such.
        """
        points: Array = np.zeros((len(inputs), len(direction(""))))
        for name, values in inputs.columns.items():
            missing = missing_cells(values)
            points[missing] += direction(f"{name} is missing")
            points[~missing] += _of_column(name, values[~missing], direction)
        return np.asarray(points / np.sqrt(max(len(inputs.columns), 1)))


def _of_column(name: str, known: Array, direction: Callable[[str], Array]) -> Array:
    along = direction(name)
    if known.dtype.kind == "O":
        cells = {cell: _of_cell(name, cell, direction) for cell in set(known)}
        return np.reshape([cells[cell] for cell in known], (len(known), len(along)))
    numbers = years(known) if known.dtype.kind == "M" else known
    points: Array = np.outer(np.arcsinh(numbers), along)
    for row in np.flatnonzero(np.isinf(numbers)):  # no place is that far
        points[row] = direction(f"{name} = {numbers[row]}")
    return points


def _of_cell(name: str, text: str, direction: Callable[[str], Array]) -> Array:
    number = number_in(text)
    if number is None:
        return direction(f"{name} = {text}")
    return np.asarray(np.arcsinh(number) * direction(name))


TABLE = Tables()
