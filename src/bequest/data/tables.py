"""Files, DataFrames and mappings of columns become tables, and a table with labels a task."""

from __future__ import annotations

import difflib
import io
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.json
import pyarrow.parquet

from bequest.core.metric import Kind
from bequest.core.table import ColumnKind, Table, frame_columns, plain_array
from bequest.core.task import Task
from bequest.core.validation import as_text, validate_path
from bequest.core.wording import named_rows
from bequest.data.arrays import made_task, with_held_out
from bequest.data.csv_files import read_csv
from bequest.data.labels import encode_known, read_labels
from bequest.errors import DataError

__all__ = ["SUFFIXES", "read_columns", "read_table", "task_from_table"]

SUFFIXES = (".csv", ".tsv", ".parquet", ".feather", ".arrow", ".jsonl")
PACKED = (".csv.gz", ".tsv.gz")
Columns = dict[str, Any]
Loose = Callable[[str], bool]

logger = logging.getLogger(__name__)


def read_table(
    source: Any, *, kinds: Mapping[str, ColumnKind] | None = None, drop: Collection[str] = ()
) -> Table:
    """Read named columns from whatever holds them.

    Parameters
    ----------
    source : path, DataFrame of any kind, Arrow table, mapping of columns, Table
        A file ends in .csv, .tsv, .csv.gz, .tsv.gz, .jsonl, .parquet, .feather or .arrow. A column
        without a name that only counts the rows is left out.
    kinds : mapping of str to {"number", "category", "date"}, optional
        The kinds that a model was trained on: columns of these names are read as such. Told from
        the values where left out.
    drop : names
        Columns to leave out, where there are such.

    Returns
    -------
    Table

    Raises
    ------
    DataError
        The file is missing, empty or unreadable, a column name is doubled, or a value does not
        read as its kind.

    Examples
    --------
    >>> read_table({"age": [61, 48], "ward": ["a", None]}).kinds
    {'age': 'number', 'ward': 'category'}
    """
    known = kinds or {}
    columns = _columns(
        source, known, lambda name: name in drop or (name not in known and bool(known))
    )
    return Table({n: values for n, values in columns.items() if n not in drop}).cast(known)


def read_columns(
    source: Any,
    names: Sequence[str],
    *,
    as_text: Collection[str] = (),
    optional: Collection[str] = (),
) -> list[Any]:
    """These columns of a table as in `read_table`, in this order, as arrays of shape (N,).

    `as_text` names columns that hold text even where it looks like numbers; None stands for an
    `optional` one that is missing.

    Examples
    --------
    >>> [ages] = read_columns({"age": [61, 48], "ward": ["a", "b"]}, ["age"])
    >>> ages.tolist()
    [61, 48]
    """
    if len(set(names)) < len(names):
        raise DataError(f"one column is named twice: {', '.join(names)}.")
    kinds: dict[str, ColumnKind] = dict.fromkeys(as_text, "category")
    columns = _columns(source, kinds, lambda name: name not in names)
    for name in names:
        if name not in columns and name not in optional:
            raise DataError(_no_column(name, columns))
    return [plain_array(columns[name]) if name in columns else None for name in names]


def task_from_table(
    source: Any,
    target: str | None = None,
    *,
    kind: Kind | None = None,
    metric: str | None = None,
    groups: str | None = None,
    time: str | None = None,
    weights: str | None = None,
    drop: str | tuple[str, ...] = (),
    unlabelled: Any = None,
    test: Any = None,
    name: str | None = None,
) -> Task:
    """Read a table with a label column; see `bequest.Task.from_table`, which calls this.

    Examples
    --------
    >>> task_from_table({"age": [61, 48, 70], "cost": [1.5, 2.0, 9.1]}, "cost")
    Task('table', 3 table rows, regression, r2)
    """
    drop = (drop,) if isinstance(drop, str) else tuple(drop)
    columns = _columns(source, {}, lambda name: name in drop)
    roles = {"target": target, "groups": groups, "time": time, "weights": weights}
    named = {role: column for role, column in roles.items() if column is not None}
    _check_names(columns, named, drop)
    for name_dropped in drop:
        columns.pop(name_dropped)
    raw = {role: columns.pop(column) for role, column in named.items()}
    if len(next(iter((raw or columns).values()))) == 0:
        raise DataError("the table has no rows.")
    labels = read_labels(raw.pop("target"), kind=kind) if "target" in raw else None
    inputs = _finite(Table(columns))
    further = None if unlabelled is None else _like(inputs, unlabelled, "unlabelled", {})[0]
    name = name or (as_text(Path(source).stem) if isinstance(source, str | Path) else "table")
    task = made_task(inputs, labels, raw, further, kind=kind, metric=metric, name=name)
    return task if test is None else _with_test(task, test, named)


def _with_test(task: Task, source: Any, named: Mapping[str, str]) -> Task:
    task.require_labels()
    assert isinstance(task.inputs, Table)
    needed = {role: name for role, name in named.items() if role in ("target", "weights")}
    is_text = bool(task.classes) and isinstance(task.classes[0], str)
    inputs, columns = _like(task.inputs, source, "held-out", needed, text_target=is_text)
    targets = encode_known(columns[named["target"]], task.kind, task.classes)
    held = {role: columns.get(name) for role, name in named.items() if role != "target"}
    return with_held_out(task, inputs, targets, held)


def _like(
    inputs: Table, source: Any, what: str, needed: Mapping[str, str], *, text_target: bool = False
) -> tuple[Table, Columns]:
    """Further rows with the columns of `inputs`, and all columns of their table."""
    kinds = inputs.kinds
    if text_target:
        kinds = {**kinds, needed["target"]: "category"}
    columns = _columns(source, kinds, lambda name: name not in (needed.get("target"), *kinds))
    for column in (*needed.values(), *inputs.names):
        if column not in columns:
            raise DataError(f"the {what} rows lack a column. {_no_column(column, columns)}")
    table = Table({column: columns[column] for column in inputs.names})
    return _finite(table.cast(kinds)), columns


def _check_names(columns: Columns, named: Mapping[str, str], drop: tuple[str, ...]) -> None:
    used = [*named.values(), *drop]
    for name in used:
        if name not in columns:
            raise DataError(_no_column(name, columns))
    if len(set(used)) < len(used):
        roles = ", ".join([*named, "drop"])
        raise DataError(f"{roles} name one column twice: {', '.join(used)}.")
    if not set(columns) - set(used):
        beside = f"beside {named['target']!r} " if "target" in named else ""
        raise DataError(f"{beside}there is no column to predict from.")


def _no_column(name: str, columns: Columns) -> str:
    close = difflib.get_close_matches(str(name), columns, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    shown = ", ".join(list(columns)[:20]) + (", ..." if len(columns) > 20 else "")
    return f"no column {name!r}.{hint} Columns: {shown}."


def _finite(table: Table) -> Table:
    for name, values in table.columns.items():
        if values.dtype.kind == "f" and np.isinf(values).any():
            rows = np.flatnonzero(np.isinf(values))
            raise DataError(
                f"column {name!r} is infinite in {len(rows)} of {len(values)} rows, the first is "
                f"{named_rows(rows[:1])}. Empty those cells, or leave the column out."
            )
    return table


def _columns(source: Any, kinds: Mapping[str, ColumnKind], loose: Loose) -> Columns:
    """Columns as the source holds them; `loose` says where text among numbers is no error."""
    if isinstance(source, str | Path):
        return _named(_file_columns(validate_path(source, "a table").expanduser(), kinds, loose))
    if isinstance(source, Table):
        return dict(source.columns)
    if isinstance(source, Mapping):
        return _mapped(source)
    if hasattr(source, "__arrow_c_stream__") or hasattr(source, "__dataframe__"):
        return _named(frame_columns(source))
    if hasattr(source, "collect_schema"):
        raise DataError(f"a {type(source).__name__} holds no rows yet: call .collect() first.")
    raise DataError(
        f"a table is a file, a DataFrame or a mapping of columns, not a {type(source).__name__}; "
        "for an array, use Task.from_arrays."
    )


def _mapped(source: Mapping[Any, Any]) -> Columns:
    columns = {str(name): plain_array(values) for name, values in source.items()}
    lengths = {name: array.shape[0] if array.ndim else 0 for name, array in columns.items()}
    if len(set(lengths.values())) > 1 or len(columns) < len(source):
        raise DataError(f"the columns differ in length, or not in name: {lengths}.")
    return columns


def _file_columns(path: Path, kinds: Mapping[str, ColumnKind], loose: Loose) -> Columns:
    suffix, packed = path.suffix.lower(), path.name.lower().endswith(PACKED)
    if not path.exists():
        raise DataError(f"there is no file {path}.")
    if not path.is_file() or not (packed or suffix in SUFFIXES):
        known = ", ".join((*SUFFIXES, *PACKED))
        raise DataError(f"{path} is no file that ends in {known}.{_conversion(suffix)}")
    try:
        if packed or suffix in (".csv", ".tsv"):
            text = {name for name, kind in kinds.items() if kind == "category"}
            return read_csv(path, text=text, loose=loose)
        table = _arrow_file(path, suffix)
    except (pa.ArrowException, OSError, EOFError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    names = table.column_names
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise DataError(f"{path} has doubled column names: {', '.join(map(repr, doubled))}.")
    return dict(zip(names, table.columns, strict=True))


def _conversion(suffix: str) -> str:
    """What makes a table of a file of another form."""
    if suffix in (".xlsx", ".xls", ".ods"):
        return (
            " Save its sheet as CSV in the spreadsheet, or: "
            'pandas.read_excel(path).to_csv("table.csv", index=False).'
        )
    if suffix in (".zip", ".gz", ".7z", ".tar", ".tgz", ".bz2", ".xz", ".zst"):
        return " Unpack it, and give the table that is inside."
    if suffix in (".json", ".pkl", ".dta", ".sav", ".rds"):
        return (
            ' Read it where it was made, and write a CSV: frame.to_csv("table.csv", index=False).'
        )
    return ""


def _arrow_file(path: Path, suffix: str) -> pa.Table:
    # Nothing is memory-mapped: cutting a mapped file short kills the process that reads it.
    if suffix == ".parquet":
        with pyarrow.parquet.ParquetFile(path, memory_map=False) as file:
            return file.read()
    if suffix == ".jsonl":
        return pyarrow.json.read_json(io.BytesIO(path.read_bytes()))
    data = pa.py_buffer(path.read_bytes())
    try:
        return pa.ipc.open_file(data).read_all()
    except pa.ArrowInvalid:
        return pa.ipc.open_stream(data).read_all()


def _named(columns: Columns) -> Columns:
    named = {}
    for place, (name, values) in enumerate(columns.items()):
        if name and not name.startswith("__index_level_"):
            named[name] = values
        elif _counts_rows(values):
            logger.warning("column %d only counts the rows: it is left out.", place + 1)
        else:
            named[name or f"column {place + 1}"] = values
    return named


def _counts_rows(values: Any) -> bool:
    array = plain_array(values)
    if array.dtype.kind not in "iu" or not len(array):
        return False
    return bool(array[0] in (0, 1) and (np.diff(array) == 1).all())
