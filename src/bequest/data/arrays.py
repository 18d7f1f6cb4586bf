"""Two arrays become a task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bequest.core.inputs import Inputs, as_inputs
from bequest.core.metric import METRICS, Kind, metric_named
from bequest.core.table import Table, missing_cells, plain_array
from bequest.core.task import Task
from bequest.data.labels import Labels, encode_known, read_labels
from bequest.errors import DataError

__all__ = ["check_groups", "made_task", "task_from_arrays", "with_held_out"]

COLOURS = (1, 3, 4)  # sizes of a last axis that is rather channels than width


def task_from_arrays(
    X: Any,
    y: Any = None,
    *,
    kind: Kind | None = None,
    metric: str | None = None,
    groups: Any = None,
    time: Any = None,
    weights: Any = None,
    unlabelled: Any = None,
    test: tuple[Any, ...] | None = None,
    name: str = "arrays",
) -> Task:
    """Wrap two arrays; see `bequest.Task.from_arrays`, which calls this.

    Examples
    --------
    >>> task = task_from_arrays([[0.0, 1.0], [1.0, 0.0]], ["no", "yes"])
    >>> task.inputs.dtype, task.classes
    (dtype('float32'), ('no', 'yes'))
    """
    inputs = _finite_inputs(X, "the inputs")
    labels = None if y is None else read_labels(y, kind=kind)
    if labels is not None:
        _same_length(inputs, labels.targets, "inputs")
    further = None if unlabelled is None else _finite_inputs(unlabelled, "the unlabelled inputs")
    columns = {"groups": groups, "time": time, "weights": weights}
    task = made_task(inputs, labels, columns, further, kind=kind, metric=metric, name=name)
    return task if test is None else _with_test(task, test)


def _with_test(task: Task, test: tuple[Any, ...]) -> Task:
    task.require_labels()
    try:
        held_X, held_y, weights = (*test, None) if len(test) == 2 else test
    except (TypeError, ValueError) as error:
        raise DataError(f"test is a pair (X, y), not a {type(test).__name__}.") from error
    inputs = _finite_inputs(held_X, "the held-out inputs")
    targets = encode_known(held_y, task.kind, task.classes)
    _same_length(inputs, targets, "held-out inputs")
    return with_held_out(task, inputs, targets, {"weights": weights})


def made_task(
    inputs: Inputs,
    labels: Labels | None,
    columns: Mapping[str, Any],
    unlabelled: Inputs | None,
    *,
    kind: Kind | None,
    metric: str | None,
    name: str,
) -> Task:
    """The task of a loader; `columns` are "groups", "time" and "weights" as they were given.

    Without labels it is an unlabelled target, a classification unless `kind` says otherwise. What
    does not fit raises a `DataError`.

    Examples
    --------
    >>> made_task(np.eye(2), None, {}, None, kind=None, metric=None, name="new ward")
    Task('new ward', 2 vector rows, unlabelled)
    """
    none: Any = None
    known = labels or Labels(kind or "classification", (), none)
    return Task(
        inputs=inputs,
        targets=known.targets,
        kind=known.kind,
        classes=known.classes,
        metric_name=metric_named(metric, known.kind, len(known.classes) or 2).name,
        name=name,
        unlabelled=unlabelled,
        **_read_columns(columns, len(inputs)),
    )


def with_held_out(
    task: Task, inputs: Inputs, targets: NDArray[Any], columns: Mapping[str, Any]
) -> Task:
    """The task with these held-out rows; their groups count where the metric is one per group."""
    held = _read_columns(columns, len(inputs))
    if METRICS[task.metric_name].units == "row":
        held["groups"] = None
    name = f"{task.name} (held out)"
    return task.with_test(
        Task(inputs, targets, task.kind, task.classes, task.metric_name, name, **held)
    )


def _read_columns(columns: Mapping[str, Any], rows: int) -> dict[str, Any]:
    """Groups, time (numbers or dates, also as ISO text) and weights as arrays, where given."""
    read = {name: values for name, values in columns.items() if values is not None}
    if "groups" in read:
        read["groups"] = check_groups(read["groups"], rows)
    if "time" in read:
        table = Table({"time": read["time"]})
        is_text = table.kinds["time"] == "category"
        read["time"] = (table.cast({"time": "date"}) if is_text else table).columns["time"]
    if "weights" in read:
        table = Table({"weights": read["weights"]}).cast({"weights": "number"})
        read["weights"] = table.columns["weights"]
    return read


def _finite_inputs(samples: Any, what: str) -> Inputs:
    inputs = as_inputs(samples)
    if isinstance(inputs, np.ndarray):
        _check_array(inputs, samples, what)
    return inputs


def _check_array(array: NDArray[Any], samples: Any, what: str) -> None:
    if 0 in array.shape:
        raise DataError(f"{what} are empty: their shape is {array.shape}.")
    if array.ndim == 4 and array.shape[3] in COLOURS and array.shape[1] not in COLOURS:
        raise DataError(
            f"{what} of shape {array.shape} have their channels last; (N, C, H, W) is wanted: "
            "X.transpose(0, 3, 1, 2)."
        )
    bad = ~np.isfinite(array)
    if bad.any():
        rows = np.flatnonzero(bad.reshape(len(array), -1).any(axis=1))
        raise DataError(
            f"{what} have {int(bad.sum())} numbers that are missing, infinite or beyond float32 "
            f"(3e38), in {len(rows)} of {len(array)} rows, the first in row {rows[0]} counted from "
            "0. Fill them, leave those rows out, or use Task.from_table, which takes missing cells."
        )


def _same_length(inputs: Inputs, targets: NDArray[Any], what: str) -> None:
    if len(inputs) != len(targets):
        raise DataError(f"there are {len(inputs)} {what} and {len(targets)} labels.")


def check_groups(groups: Any, rows: int) -> NDArray[Any]:
    """Group names as an array (N,), one per row; `DataError` where a row has none.

    Examples
    --------
    >>> check_groups(["ann", "bob", "ann"], 3).tolist()
    ['ann', 'bob', 'ann']
    """
    array = plain_array(groups)
    if array.shape != (rows,):
        raise DataError(f"groups have shape {array.shape}, ({rows},) is wanted: one per row.")
    missing = np.flatnonzero(missing_cells(array))
    if len(missing):
        raise DataError(f"{len(missing)} of {rows} rows have no group, the first is {missing[0]}.")
    return array
