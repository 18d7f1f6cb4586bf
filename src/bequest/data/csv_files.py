"""Comma-separated files become Arrow columns, and whatever is wrong with one becomes one line.

What Arrow's own reader does not say, or does silently, is told here: the row of a ragged line,
a missing header, a quote that never closes, a column of numbers that a few typing errors would
turn into text.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from bequest.data.encoding import utf8_bytes
from bequest.errors import DataError

__all__ = ["MISSING", "read_csv"]

MISSING = ("", "?", "NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "-nan", "NULL", "null")
DELIMITERS = ",;\t|"
NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
COMMA_NUMBER = r"^[+-]?[0-9]+(,[0-9]+)?$"
NUMBER_SHARE = 0.9  # beyond this share of numbers, a column was meant to hold numbers
NUMBER_COUNT = 20  # up to so many different ones may well be codes, such as 1, 2, 3A


def read_csv(
    path: Path, *, text: Collection[str] = (), loose: Callable[[str], bool] = lambda name: False
) -> dict[str, pa.ChunkedArray]:
    """Read a file of separated values as Arrow columns by name.

    The file is UTF-8, or UTF-16 with a byte-order mark; the first row names the columns. The
    delimiter is a tab in a .tsv file; else the one of ``, ; tab |`` that splits the first row into
    most names. Blank lines are passed over. Numbers, booleans, ISO dates and times are told from
    the text; the rest is text without the blanks around it. Cells that are one of `MISSING`, quoted
    or not, are null. Where ``;`` delimits, a comma may be the decimal point.

    `text` names the columns that hold text even where it looks like numbers; `loose` says of a name
    whether text among its column's numbers is no error. Elsewhere it is one where more than 90 % of
    the cells, and more than 20 different ones, are numbers.
    """
    data = utf8_bytes(path) + b"\n"  # without it, Arrow takes a header alone for an empty file
    delimiter, names = _header(path, data)
    table = _parse(path, data, delimiter, [i for i, name in enumerate(names) if name in text])
    if table.num_columns != len(names):
        raise DataError(f"{path} has a first row that cannot be read: a quote may be missing.")
    _check_quotes(path, data, table)
    columns = {}
    for name, column in zip(names, table.columns, strict=True):
        if pa.types.is_string(column.type):
            column = _without_blanks(column)
            if name not in text:
                column = _told(column, f"column {name!r} of {path}", delimiter, loose(name))
        columns[name] = column
    return columns


def _header(path: Path, data: bytes) -> tuple[str, list[str]]:
    head = data[: 2**20].decode("utf-8", errors="ignore").lstrip("\r\n")
    if not head.strip():
        raise DataError(f"{path} is empty.")
    delimiters = "\t" if ".tsv" in path.name.lower()[-7:] else DELIMITERS
    try:
        rows = [
            (d, next(csv.reader(io.StringIO(head, newline=""), delimiter=d))) for d in delimiters
        ]
    except csv.Error as error:
        raise DataError(f"{path} has a first row that cannot be read: {error}.") from error
    delimiter, cells = max(rows, key=lambda pair: len(pair[1]))
    if data.count(b'"') % 2 and "\n" in cells[-1]:
        raise DataError(f"{path} has a quote in its first row that never closes.")
    names = [name.strip() for name in cells]
    if all(name in MISSING or _is_number(name) for name in names):
        raise DataError(
            f"{path} has no header: its first row holds {', '.join(names[:4])}"
            f"{', ...' if len(names) > 4 else ''}. Add a first row with the columns' names."
        )
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        hint = " Is its first row one of data?" if any(map(_is_number, doubled)) else ""
        raise DataError(f"{path} has doubled column names: {', '.join(map(repr, doubled))}.{hint}")
    return delimiter, names


def _is_number(name: str) -> bool:
    try:
        float(name)
    except ValueError:
        return False
    return True


def _parse(path: Path, data: bytes, delimiter: str, text: list[int]) -> pa.Table:
    found: list[Any] = []
    try:
        return _arrow_table(data, delimiter, text)
    except pa.ArrowInvalid as error:
        _find_ragged(data, delimiter, found)
        if not found:
            raise DataError(f"{path} cannot be read: {error}.") from error
        row = found[0]
        raise DataError(
            f"row {row.number} of {path} has {row.actual_columns} values, the header (row 1) has "
            f"{row.expected_columns} names: {row.text[:60]!r}."
            f"{f' So it is in {len(found)} rows.' if len(found) > 1 else ''}"
        ) from error


def _arrow_table(data: bytes, delimiter: str, text: list[int]) -> pa.Table:
    # Arrow wants the names as the file has them, blanks and all: its first block tells them.
    with pyarrow.csv.open_csv(io.BytesIO(data), parse_options=_parsing(delimiter)) as reader:
        names = reader.schema.names
    return pyarrow.csv.read_csv(
        io.BytesIO(data),
        parse_options=_parsing(delimiter),
        convert_options=pyarrow.csv.ConvertOptions(
            null_values=MISSING, column_types={names[place]: pa.string() for place in text}
        ),
    )


def _find_ragged(data: bytes, delimiter: str, found: list[Any]) -> None:
    def note(row: Any) -> str:
        found.append(row)
        return "skip"  # all of them are counted

    with suppress(pa.ArrowInvalid):
        pyarrow.csv.read_csv(
            io.BytesIO(data),
            parse_options=_parsing(delimiter, handler=note),
            read_options=pyarrow.csv.ReadOptions(use_threads=False),  # else rows have no number
        )


def _parsing(delimiter: str, *, handler: Any = None) -> Any:
    return pyarrow.csv.ParseOptions(
        delimiter=delimiter,
        newlines_in_values=True,
        invalid_row_handler=handler,
    )


def _check_quotes(path: Path, data: bytes, table: pa.Table) -> None:
    # Arrow takes a quote that never closes to reach to the end of the file, and says nothing.
    if data.count(b'"') % 2 == 0:
        return
    for column in table.columns if table.num_rows else ():
        cell = column[-1].as_py()
        if isinstance(cell, str) and "\n" in cell:
            raise DataError(f"{path} has a quote that never closes: {cell[:60]!r}.")


def _without_blanks(column: Any) -> Any:
    column = pc.utf8_trim_whitespace(column)
    missing = pc.is_in(column, value_set=pa.array(MISSING))
    return pc.if_else(missing, pa.scalar(None, pa.string()), column)


def _told(column: Any, what: str, delimiter: str, loose: bool) -> Any:
    """Numbers where all known cells are numbers once blanks are gone, else text."""
    known = len(column) - column.null_count
    if delimiter == ";" and pc.all(pc.match_substring_regex(column, COMMA_NUMBER)).as_py():
        column = pc.replace_substring(column, ",", ".")
    numeric = pc.fill_null(pc.match_substring_regex(column, NUMBER), False)
    count = pc.sum(numeric).as_py()
    if count == known:
        return column.cast(pa.float64())
    numbers = pc.count_distinct(column.filter(numeric)).as_py()
    if not loose and count > NUMBER_SHARE * known and numbers > NUMBER_COUNT:
        bad = pc.and_(pc.invert(numeric), pc.is_valid(column))
        row = pc.index(bad, True).as_py()
        raise DataError(
            f"{what} holds numbers, but text in {known - count} of {len(column)} rows: "
            f"{column[row].as_py()[:40]!r} in row {row + 2}, the header being row 1. Empty those "
            "cells, drop the column, or give a DataFrame in which it is text."
        )
    return column
