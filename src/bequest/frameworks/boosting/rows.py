"""A table, or an array, as a library of trees reads it.

N rows, D columns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bequest.core import Inputs, Table
from bequest.core.table import absent_columns
from bequest.errors import DataError
from bequest.frameworks.boosting.library import Booster
from bequest.optional import need

__all__ = ["columns_in", "rows_of"]

Array = NDArray[Any]
MISSING = "nan"  # what pandas' own astype(str) makes of a missing cell


def columns_in(
    wanted: Sequence[str], offered: Sequence[str], plain_name: Callable[[str], str]
) -> list[str | None]:
    """For each column wanted the one offered: of its name, else the only one of its plain name.

    Examples
    --------
    >>> columns_in(["mean_radius"], ["id", "mean radius"], lambda name: name.replace(" ", "_"))
    ['mean radius']
    """
    plain: dict[str, list[str]] = {}
    for name in offered:
        plain.setdefault(plain_name(name), []).append(name)
    alike = (plain.get(plain_name(name), []) for name in wanted)
    exact = [name if name in offered else None for name in wanted]
    return [
        one or (found[0] if len(found) == 1 else None)
        for one, found in zip(exact, alike, strict=True)
    ]


def rows_of(booster: Booster, inputs: Inputs, plain_name: Callable[[str], str]) -> Any:
    """The inputs in the order of the trees: a matrix (N, D) float64, or a DataFrame.

    A category is the place of its level, and NaN where it is missing or not among the levels; where
    the library takes any text, it is that text, and "nan" where it is missing.

    Raises
    ------
    DataError
        A column is missing, or does not hold what it should.
    """
    if not isinstance(inputs, Table):
        return np.asarray(inputs, dtype=np.float64).reshape(len(inputs), -1)
    found = columns_in(booster.columns, inputs.names, plain_name)
    absent = [name for name, one in zip(booster.columns, found, strict=True) if one is None]
    if absent:
        named = absent_columns(absent, inputs.names)
        raise DataError(f"the table lacks columns that the model reads: {named}.")
    table = inputs.select([name for name in found if name is not None])
    coded = [name in booster.categories for name in booster.columns]
    kinds = zip(table.names, coded, strict=True)
    table = table.cast({name: "category" if code else "number" for name, code in kinds})
    cells = table.columns.values()
    columns = {
        name: _category(values, booster.categories[name]) if code else values
        for name, values, code in zip(booster.columns, cells, coded, strict=True)
    }
    if any(values.dtype == object for values in columns.values()):
        pandas = need("pandas", extra="", purpose="trees that read text")
        return pandas.DataFrame(columns)
    return np.column_stack(list(columns.values()))


def _category(values: Array, levels: Sequence[str]) -> Array:
    if not levels:
        texts = values.copy()
        texts[[cell is None for cell in values]] = MISSING
        return texts
    codes = {level: float(place) for place, level in enumerate(levels)}
    return np.array([codes.get(cell, np.nan) for cell in values], dtype=np.float64)
