"""Texts and labels, as lists or as two columns of a table, become a task."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bequest.core.inputs import Table
from bequest.core.metric import Kind
from bequest.core.table import missing_cells, plain_array
from bequest.core.task import Task
from bequest.core.texts import Texts
from bequest.core.wording import named_rows
from bequest.data.arrays import made_task, with_held_out
from bequest.data.labels import encode_known, read_labels
from bequest.data.tables import read_columns
from bequest.errors import DataError

__all__ = ["filled_texts", "task_from_text"]

Array = NDArray[Any]
logger = logging.getLogger(__name__)


def task_from_text(
    texts: Any,
    labels: Any = None,
    *,
    text: str = "text",
    target: str | None = "label",
    kind: Kind | None = None,
    metric: str | None = None,
    groups: Any = None,
    time: Any = None,
    weights: Any = None,
    unlabelled: Any = None,
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
    columns = {"groups": groups, "time": time, "weights": weights}
    named = {"target": target, **columns} if _is_table(texts) else {}
    if named:
        if labels is not None:
            raise DataError(
                "texts are a table that holds its labels: name their column with target=, and the "
                "texts' with text=. One text alone is no list: put it into one."
            )
        name = name or (Path(texts).stem if isinstance(texts, str | Path) else None)
        columns = _named_columns(texts, text, named)
        columns["text"] = filled_texts(columns["text"])
        texts, labels = columns.pop("text"), columns.pop("target", None)
    inputs = _texts(texts, "the inputs")
    if labels is None and target is not None:
        raise DataError("labels are missing: Task.from_text(texts, labels).")
    known = None if labels is None else read_labels(labels, kind=kind)
    if known is not None:
        _same_length(inputs, len(known.targets), "")
    if unlabelled is not None:
        if _is_table(unlabelled):
            unlabelled = filled_texts(_named_columns(unlabelled, text, {})["text"])
        unlabelled = _texts(unlabelled, "the unlabelled inputs")
    task = made_task(
        inputs, known, columns, unlabelled, kind=kind, metric=metric, name=name or "texts"
    )
    return task if test is None else _with_test(task, test, text, named or {"target": target})


def _named_columns(
    source: Any,
    text: str,
    named: Mapping[str, str | None],
    as_text: tuple[str, ...] = (),
    optional: tuple[str, ...] = (),
) -> dict[str, Any]:
    """The columns of a table by what they are to the task; roles without a name are left out."""
    roles = {"text": text, **{role: str(name) for role, name in named.items() if name is not None}}
    extra = [roles[role] for role in optional if role in roles]
    read = read_columns(source, list(roles.values()), as_text=(text, *as_text), optional=extra)
    return dict(zip(roles, read, strict=True))


def filled_texts(column: Any) -> Array:
    """A table's column of texts; an empty cell is an empty text, of which the log says how many."""
    texts = plain_array(column)
    missing = missing_cells(texts)
    if missing.any() and texts.dtype.kind == "O":
        logger.warning(
            "%d of %d texts are empty (%s): they count as texts without a word.",
            missing.sum(), len(texts), named_rows(np.flatnonzero(missing)),
        )  # fmt: skip
        texts = texts.copy()
        texts[missing] = ""
    return texts


def _with_test(task: Task, test: Any, text: str, named: Mapping[str, str | None]) -> Task:
    task.require_labels()
    columns: dict[str, Any] = {}
    if _is_table(test):
        as_text = (str(named["target"]),) if isinstance(next(iter(task.classes), 0), str) else ()
        columns = _named_columns(test, text, named, as_text, optional=("groups", "time"))
        test = filled_texts(columns.pop("text")), columns.pop("target")
    try:
        held_texts, held_labels, *rest = test
    except (TypeError, ValueError) as error:
        raise DataError(
            f"test is a pair (texts, labels) or a table, not a {type(test).__name__}."
        ) from error
    inputs = _texts(held_texts, "the held-out inputs")
    targets = encode_known(held_labels, task.kind, task.classes)
    _same_length(inputs, len(targets), "held-out ")
    return with_held_out(task, inputs, targets, columns or {"weights": rest[0] if rest else None})


def _is_table(source: Any) -> bool:
    """A file, a mapping or a frame; a path is told from a text by being no list."""
    if isinstance(source, str | Path | Mapping | Table):
        return True
    frame = any(hasattr(source, name) for name in ("__dataframe__", "columns", "collect_schema"))
    return frame and not isinstance(source, Texts)


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
