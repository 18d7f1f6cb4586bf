"""Texts and labels, as lists or as two columns of a table, become a task."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bequest.core.inputs import Table
from bequest.core.metric import Kind, metric_named
from bequest.core.table import plain_array
from bequest.core.task import Task
from bequest.core.texts import Texts
from bequest.data.arrays import check_groups
from bequest.data.labels import encode_known, read_labels
from bequest.data.tables import read_columns
from bequest.errors import DataError

__all__ = ["task_from_text"]


def task_from_text(
    texts: Any,
    labels: Any = None,
    *,
    text: str = "text",
    target: str = "label",
    kind: Kind | None = None,
    metric: str | None = None,
    groups: Any = None,
    test: Any = None,
    name: str | None = None,
) -> Task:
    """Wrap texts and labels, or read them from a table; see `bequest.Task.from_text`.

    Examples
    --------
    >>> columns = {"body": ["good", "bad", "fine"], "stars": [4, 1, 5]}
    >>> task = task_from_text(columns, text="body", target="stars")
    >>> task.inputs, task.classes
    (Texts(3 texts), (1, 4, 5))
    """
    if _is_table(texts):
        _refuse_labels(labels)
        columns = [text, target, *([] if groups is None else [str(groups)])]
        texts_read, labels, *rest = read_columns(texts, columns, as_text=(text,))
        groups = rest[0] if rest else None
        name = name or (Path(texts).stem if isinstance(texts, str | Path) else None)
    else:
        texts_read = texts
    inputs = _texts(texts_read, "the inputs")
    if labels is None:
        raise DataError("labels are missing: Task.from_text(texts, labels).")
    known = read_labels(labels, kind=kind)
    _same_length(inputs, len(known.targets), "")
    task = Task(
        inputs=inputs,
        targets=known.targets,
        kind=known.kind,
        classes=known.classes,
        metric_name=metric_named(metric, known.kind).name,
        name=name or "texts",
        groups=None if groups is None else check_groups(groups, len(inputs)),
    )
    return task if test is None else _with_test(task, test, text, target)


def _with_test(task: Task, test: Any, text: str, target: str) -> Task:
    if _is_table(test):
        as_text = (text, target) if isinstance(next(iter(task.classes), 0), str) else (text,)
        test = read_columns(test, [text, target], as_text=as_text)
    try:
        held_texts, held_labels = test
    except (TypeError, ValueError) as error:
        raise DataError(
            f"test is a pair (texts, labels) or a table, not a {type(test).__name__}."
        ) from error
    inputs = _texts(held_texts, "the held-out inputs")
    targets = encode_known(held_labels, task.kind, task.classes)
    _same_length(inputs, len(targets), "held-out ")
    return task.with_test(
        Task(inputs, targets, task.kind, task.classes, task.metric_name, f"{task.name} (held out)")
    )


def _is_table(source: Any) -> bool:
    """A file, a mapping or a frame; a path is told from a text by being no list."""
    if isinstance(source, str | Path | Mapping | Table):
        return True
    frame = any(hasattr(source, name) for name in ("__dataframe__", "columns", "collect_schema"))
    return frame and not isinstance(source, Texts)


def _refuse_labels(labels: Any) -> None:
    if labels is not None:
        raise DataError(
            "texts are a table that holds its labels: name their column with target=, and the "
            "texts' with text=. One text alone is no list: put it into one."
        )


def _texts(samples: Any, what: str) -> Texts:
    if isinstance(samples, Texts):
        inputs = samples
    else:
        rows = samples if isinstance(samples, list | tuple) else plain_array(samples)
        if np.ndim(rows) != 1 and len(rows):
            raise DataError(f"texts are a list of str, shape (N,); these have {np.shape(rows)}.")
        inputs = Texts(rows if isinstance(rows, list | tuple) else rows.tolist())
    if not len(inputs):
        raise DataError(f"{what} are empty: there are no texts.")
    return inputs


def _same_length(inputs: Texts, labels: int, what: str) -> None:
    if len(inputs) != labels:
        raise DataError(
            f"{len(inputs)} {what}texts and {labels} labels were given: one label a row is wanted."
        )
