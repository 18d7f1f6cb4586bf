"""Columns of a table in the places of an array, for a model that was fitted on one.

N rows, D columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, final

import numpy as np
from numpy.typing import NDArray

from bequest.core import Encoder, Inputs, InputSpec, Table, as_inputs
from bequest.core.table import ColumnKind, absent_columns
from bequest.errors import DataError, ModelError
from bequest.frameworks.encoders.encoder import encoder_from_config

__all__ = ["Columns", "table_spec"]

Array = NDArray[Any]


@final
@dataclass(frozen=True)
class Columns:
    """The numbers of named columns, side by side in this order.

    Parameters
    ----------
    names : sequence of str
        D of them.
    then : Encoder or None
        What reads the array (N, D).

    Examples
    --------
    >>> Columns(("b", "a")).encode(Table({"a": [1.0], "b": [2.0], "c": ["x"]})).tolist()
    [[2.0, 1.0]]
    """

    names: tuple[str, ...]
    then: Encoder | None = None

    @classmethod
    def fit(cls, inputs: Inputs) -> Self:
        """All columns of a table."""
        return cls(_table(inputs).names)

    def encode(self, inputs: Inputs) -> Array:
        """Float64 array (N, D), NaN where a cell is empty, or what `then` makes of it.

        Raises
        ------
        DataError
            It is no table, a column is missing, or holds no numbers.
        """
        table = _table(inputs)
        absent = [name for name in self.names if name not in table.columns]
        if absent:
            raise DataError(
                f"the table lacks columns that the model reads: "
                f"{absent_columns(absent, table.names)}."
            )
        numbers = table.select(self.names).cast(dict.fromkeys(self.names, "number"))
        rows = np.column_stack(list(numbers.columns.values())).astype(np.float64)
        return rows if self.then is None else np.asarray(self.then.encode(rows))

    def to_config(self) -> dict[str, Any]:
        """Plain values."""
        then = None if self.then is None else self.then.to_config()
        return {"encoder": "columns", "names": list(self.names), "then": then}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """The encoder that `to_config` described."""
        return cls(tuple(map(str, config["names"])), encoder_from_config(config["then"]))


def table_spec(columns: Any, width: int | None, title: str) -> InputSpec:
    """What a model takes whose D places are these columns of numbers.

    Raises
    ------
    ModelError
        They are no list of different names, or not as many as the model reads (`width`).
    """
    listed = isinstance(columns, Sequence | np.ndarray) or hasattr(columns, "tolist")
    if isinstance(columns, str) or not listed or not all(isinstance(c, str) for c in columns):
        raise ModelError(f"columns is a list of names, in the order of the array, not {columns!r}.")
    names = tuple(map(str, columns))
    if len(set(names)) < len(names):
        raise ModelError(f"columns names one column twice: {list(names)[:10]}.")
    if width is not None and width != len(names):
        raise ModelError(f"columns names {len(names)} columns, {title} reads {width}.")
    kinds: list[ColumnKind] = ["number"] * len(names)
    return InputSpec("table", None, names, tuple(kinds))


def _table(inputs: Inputs) -> Table:
    table = as_inputs(inputs)
    if not isinstance(table, Table):
        raise DataError("the model reads a table with named columns, this is an array.")
    return table
