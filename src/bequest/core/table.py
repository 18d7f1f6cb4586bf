"""Named columns, and how one column of any library becomes a numpy array.

N rows.
"""

from __future__ import annotations

import datetime
import decimal
import difflib
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, final

import numpy as np
from numpy.typing import NDArray

from bequest.core.wording import named_rows, pluralise
from bequest.errors import DataError
from bequest.optional import need

__all__ = [
    "ColumnKind",
    "Table",
    "absent_columns",
    "frame_columns",
    "is_missing",
    "missing_cells",
    "plain_array",
]

ColumnKind = Literal["number", "category", "date"]
KINDS: Mapping[str, ColumnKind] = {"f": "number", "M": "date", "O": "category"}
NUMBERS = (int, float, np.number, np.bool_, decimal.Decimal)
DATES = (datetime.date, np.datetime64)  # datetime.datetime and pandas.Timestamp are dates
TIMES = (datetime.timedelta, datetime.time, np.timedelta64)  # np.timedelta64 is an np.number, too
SHOWN = 5  # columns that a message names
CLOSE = 0.8  # likeness of two names, as difflib measures it
NESTED = (list, tuple, dict, set, bytes, np.ndarray)


@final
class Table:
    """Named columns of one length.

    Parameters
    ----------
    columns : mapping of str to array, each of shape (N,)
        Arrays, lists, tensors, Arrow arrays or a DataFrame's columns. Numbers and booleans become
        float64 with NaN where missing, durations and times of day float64 seconds; dates become
        ``datetime64[us]`` (UTC) with NaT; everything else becomes strings in an object array with
        None. A column without any value is one of numbers.

    Raises
    ------
    DataError
        The columns differ in length, a name is doubled, or a column holds lists.

    Examples
    --------
    >>> table = Table({"age": [61, None], "ward": ["a", "b"]})
    >>> table.kinds
    {'age': 'number', 'ward': 'category'}
    >>> table[[1]].columns["ward"].tolist()
    ['b']
    """

    __slots__ = ("columns",)

    columns: dict[str, NDArray[Any]]

    def __init__(self, columns: Mapping[str, Any]) -> None:
        self.columns = {}
        for name, values in columns.items():
            if str(name) in self.columns:
                raise DataError(f"two columns are named {str(name)!r}: rename one of them.")
            self.columns[str(name)] = _column(str(name), values)
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
        return {name: KINDS[values.dtype.kind] for name, values in self.columns.items()}

    def select(self, names: Sequence[str]) -> Table:
        """The same rows, only these columns, in this order."""
        return _trusted({name: self.columns[name] for name in names})

    def cast(self, kinds: Mapping[str, ColumnKind]) -> Table:
        """The same table with these columns turned into these kinds.

        A file with few rows can look as if it had other kinds of columns than the one that a
        model was trained on. Whole numbers become categories without a decimal point.

        Parameters
        ----------
        kinds : mapping of str to {"number", "category", "date"}
            Columns that the table lacks are passed over; columns not named stay as they are.

        Raises
        ------
        DataError
            A value does not read as that kind.

        Examples
        --------
        >>> Table({"floor": [3, None]}).cast({"floor": "category"}).columns["floor"].tolist()
        ['3', None]
        """
        changed = {
            name: _cast(name, values, kinds.get(name, KINDS[values.dtype.kind]))
            for name, values in self.columns.items()
        }
        return _trusted(changed)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()))) if self.columns else 0

    def __getitem__(self, rows: Any) -> Table:
        rows = [rows] if isinstance(rows, int | np.integer) else rows
        return _trusted({name: values[rows] for name, values in self.columns.items()})

    def __repr__(self) -> str:
        return f"Table({pluralise(len(self), 'row')}, {', '.join(self.names)})"


def _trusted(columns: dict[str, NDArray[Any]]) -> Table:
    """A table of columns that one already held: looking at every cell again would be slow."""
    table = Table.__new__(Table)
    table.columns = columns
    return table


def _column(name: str, values: Any) -> NDArray[Any]:
    try:
        array = plain_array(values)
        if array.ndim != 1:
            raise DataError(f"it has shape {array.shape} where (N,) is wanted.")
        return _typed(array)
    except DataError as error:
        raise DataError(f"column {name!r} cannot be used: {error}") from error


def _typed(array: NDArray[Any]) -> NDArray[Any]:
    kind = array.dtype.kind
    if kind in "fiub":
        return array.astype(np.float64)
    if kind == "M":
        return array.astype("datetime64[us]")
    if kind == "m":
        seconds = array.astype("timedelta64[us]").astype(np.float64) / 1e6
        return np.where(np.isnat(array), np.nan, seconds)
    if kind == "U":
        return array.astype(object)
    if kind != "O":
        raise DataError(f"it holds {array.dtype} values; numbers, text and dates are known.")
    return _typed_objects(array)


def _typed_objects(objects: NDArray[Any]) -> NDArray[Any]:
    missing = missing_cells(objects)
    if _only_text(objects) and not missing.all():
        return objects.copy()
    known = objects[~missing]
    for place, value in enumerate(known):
        if isinstance(value, TIMES):
            known[place] = _seconds(value)
    if all(isinstance(v, NUMBERS) for v in known):
        numbers = np.full(len(objects), np.nan)
        numbers[~missing] = known.astype(np.float64)
        return numbers
    if all(isinstance(v, DATES) for v in known):
        dates = np.full(len(objects), np.datetime64("NaT"), dtype="datetime64[us]")
        dates[~missing] = [_utc(v) for v in known]
        return dates
    for value in known:
        if isinstance(value, NESTED):
            raise DataError(f"it holds {type(value).__name__} values; numbers, text and dates fit.")
    texts = np.full(len(objects), None, dtype=object)
    texts[~missing] = [_text(value) for value in known]
    return texts


def _text(value: Any) -> str:
    """A cell among others of other kinds; a number or a date reads back as what it would be."""
    if isinstance(value, np.floating):
        return str(float(value))  # all digits: 0.1 of 32 bits is another number than 0.1
    if isinstance(value, np.datetime64):
        return str(value.astype("datetime64[us]"))
    return str(_utc(value))


def _seconds(value: Any) -> float:
    if isinstance(value, datetime.time):
        seconds = 60 * (60 * value.hour + value.minute) + value.second
        return (1_000_000 * seconds + value.microsecond) / 1e6
    return float(np.timedelta64(value).astype("timedelta64[us]").astype(np.int64)) / 1e6


def _utc(value: Any) -> Any:
    zone = getattr(value, "tzinfo", None)
    return value if zone is None else value.astimezone(datetime.UTC).replace(tzinfo=None)


def is_missing(value: Any) -> bool:
    """Whether a cell says that its value is not known: None, NaN, NaT, pandas' NA.

    Examples
    --------
    >>> [is_missing(value) for value in (None, float("nan"), "", 0)]
    [True, True, False, False]
    """
    if isinstance(value, float | np.floating | decimal.Decimal):
        return math.isnan(value)
    if isinstance(value, np.datetime64 | np.timedelta64):
        return bool(np.isnat(value))
    return value is None or type(value).__name__ in ("NAType", "NaTType")


def missing_cells(array: NDArray[Any]) -> NDArray[np.bool_]:
    """Which cells of an array `is_missing`, shape (N,).

    Examples
    --------
    >>> missing_cells(np.array(["a", None], dtype=object)).tolist()
    [False, True]
    """
    if array.dtype.kind == "f":
        return np.asarray(np.isnan(array))
    if array.dtype.kind in "mM":
        return np.asarray(np.isnat(array))
    if array.dtype.kind != "O":
        return np.zeros(len(array), dtype=bool)
    if _only_text(array):
        return np.array([cell is None for cell in array.tolist()], dtype=bool)
    return np.fromiter(map(is_missing, array), dtype=bool, count=len(array))


def _only_text(objects: NDArray[Any]) -> bool:
    """Most columns are; knowing it spares looking at every cell in Python."""
    return set(map(type, objects.tolist())) <= {str, type(None)}


def plain_array(values: Any) -> NDArray[Any]:
    """Turn a list, a tensor, an Arrow array or a DataFrame's column into a numpy array.

    Parameters
    ----------
    values : array-like, shape (N, ...)

    Returns
    -------
    array, shape (N, ...)
        Text, and whatever has missing values that its type cannot hold, has dtype object.

    Raises
    ------
    DataError
        Rows of different lengths, or an Arrow type that is no number, text or date.

    Examples
    --------
    >>> plain_array(["a", float("nan")]).tolist()
    ['a', nan]
    """
    if hasattr(values, "__arrow_c_stream__") or hasattr(values, "__arrow_c_array__"):
        return _from_arrow_library(values)
    try:
        if hasattr(values, "detach"):
            values = values.detach().cpu().numpy()
        array = np.asarray(values)
        # numpy turns ["a", nan] into two strings; what the list held is what counts.
        if array.dtype.kind in "US" and not isinstance(values, np.ndarray):
            array = np.asarray(values, dtype=object)
    except (TypeError, ValueError) as error:
        raise DataError(f"the values are not one array: {error}.") from error
    return array


def _from_arrow_library(values: Any) -> NDArray[Any]:
    arrow = need("pyarrow", extra="", purpose="reading columns")
    objects = _of_many_types(values)
    if objects is not None:
        return objects
    try:
        if hasattr(values, "__arrow_c_stream__"):
            column = arrow.chunked_array(values)
        else:
            column = arrow.chunked_array([arrow.array(values)])
    except (arrow.ArrowInvalid, arrow.ArrowTypeError, OverflowError):  # Python objects, unlike
        return np.asarray(values, dtype=object)
    return _from_arrow(column, arrow)


def _of_many_types(values: Any) -> NDArray[Any] | None:
    """A column of Python objects of several types, which Arrow would bend to that of one of them.

    Beside a duration a number becomes a duration to it: one cell would change all the others.
    """
    native = values.to_native() if hasattr(values, "to_native") else values
    if getattr(native, "dtype", None) != np.dtype(object):
        return None
    objects = np.asarray(native, dtype=object)
    types = {
        type(cell) for cell in objects.tolist() if isinstance(cell, str) or not is_missing(cell)
    }
    return objects if len(types) > 1 else None


def _from_arrow(column: Any, arrow: Any) -> NDArray[Any]:
    kind, types = column.type, arrow.types
    if types.is_dictionary(kind):
        return _from_arrow(column.cast(kind.value_type), arrow)
    if types.is_null(kind):
        array = np.full(len(column), np.nan)
    elif types.is_decimal(kind):
        array = column.cast(arrow.float64()).to_numpy()
    elif types.is_date(kind) or types.is_timestamp(kind):
        zone = getattr(kind, "tz", None)
        array = column.cast(arrow.timestamp("us", zone), safe=False).to_numpy()
    elif types.is_time(kind):
        microseconds = column.cast(arrow.time64("us")).cast(arrow.int64())
        array = microseconds.to_numpy() / 1e6
    elif types.is_nested(kind) or types.is_binary(kind) or types.is_large_binary(kind):
        raise DataError(f"it holds {kind} values; numbers, text and dates fit.")
    else:
        array = column.to_numpy()
    plain: NDArray[Any] = array
    return plain


def frame_columns(frame: Any) -> dict[str, Any]:
    """The columns of a DataFrame of any library, by name, as they are.

    Parameters
    ----------
    frame : pandas, polars, Arrow or other DataFrame that narwhals knows

    Returns
    -------
    dict of str to column
        Each fits `plain_array`.

    Raises
    ------
    DataError
        Two columns have one name, or it is a single column or a lazy frame.
    """
    narwhals = need("narwhals", extra="", purpose="reading DataFrames")
    try:
        native = narwhals.from_native(frame, eager_only=True)
        names = list(native.columns)
    except narwhals.exceptions.DuplicateError as error:
        raise DataError(f"the DataFrame has doubled column names: {error}") from error
    except TypeError as error:
        raise DataError(f"a {type(frame).__name__} is not a DataFrame in memory.") from error
    if len({str(name) for name in names}) < len(names):
        raise DataError(f"the DataFrame has doubled column names: {names}.")
    return {str(name): native.get_column(name) for name in names}


def _cast(name: str, values: NDArray[Any], kind: ColumnKind) -> NDArray[Any]:
    if KINDS[values.dtype.kind] == kind:
        return values
    missing = missing_cells(values)
    known = values[~missing]
    empty: dict[ColumnKind, Any] = {
        "number": np.full(len(values), np.nan),
        "category": np.full(len(values), None, dtype=object),
        "date": np.full(len(values), np.datetime64("NaT"), dtype="datetime64[us]"),
    }
    cast: NDArray[Any] = empty[kind]
    if kind == "category":
        cast[~missing] = [_said(value) for value in known]
        return cast
    for row, value in zip(np.flatnonzero(~missing), known, strict=True):
        try:
            if not isinstance(value, str):
                raise ValueError(f"{value} is none")
            cast[row] = value  # numpy reads text as a number, or as an ISO date
        except ValueError as error:
            raise DataError(
                f"column {name!r} should hold {kind}s, but holds {str(value)!r} in "
                f"{named_rows([row])}."
            ) from error
    return cast


def _said(value: Any) -> str:
    whole = isinstance(value, float) and np.isfinite(value) and value == int(value)
    return str(int(value)) if whole else str(value)


def absent_columns(absent: Sequence[str], offered: Sequence[str]) -> str:
    """The first columns that are lacking, each with one that is there and written nearly so.

    Examples
    --------
    >>> absent_columns(["MEAN_RADIUS", "age"], ["mean radius", "site"])
    "MEAN_RADIUS (there is 'mean radius': rename it), age"
    """
    shown = []
    for name in absent[:SHOWN]:
        alike = [other for other in offered if _plain_name(other) == _plain_name(name)]
        near = alike or difflib.get_close_matches(name, offered, n=1, cutoff=CLOSE)
        shown.append(f"{name} (there is {near[0]!r}: rename it)" if near else name)
    return ", ".join(shown) + (", ..." if len(absent) > SHOWN else "")


def _plain_name(name: str) -> str:
    """Without case, spaces, and what stands between words."""
    return "".join(sign for sign in name.casefold() if sign.isalnum()) or name
