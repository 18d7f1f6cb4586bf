"""A task: data, what to predict, and the metric.

N samples, D features, C channels, H and W pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from bequest.core.inputs import Inputs, InputSpec, fingerprint, spec_of
from bequest.core.metric import METRICS, Kind, Metric
from bequest.core.registry import Registry
from bequest.core.table import missing_cells
from bequest.core.task_summary import TaskSummary
from bequest.core.wording import counted_in, named_rows
from bequest.errors import DataError

__all__ = ["LOADERS", "Label", "Task"]

Array = NDArray[Any]
Label = str | int | float | bool

LOADERS: Registry[Callable[..., Task]] = Registry(
    "loader",
    {
        "table": "bequest.data.tables:task_from_table",
        "arrays": "bequest.data.arrays:task_from_arrays",
        "images": "bequest.data.images:task_from_images",
        "text": "bequest.data.texts:task_from_text",
        "dataset": "bequest.data.datasets:task_from_dataset",
    },
    group="bequest.loaders",
)


@final
@dataclass(frozen=True, eq=False)
class Task:
    """Data with labels, what to predict from it, and the metric that judges it.

    Made by `from_table`, `from_arrays`, `from_images`, `from_text` or `from_dataset`; knows no
    model. Without targets it is an unlabelled target, for methods that adapt a source to it.

    Parameters
    ----------
    inputs : Inputs
        N samples.
    targets : array of shape (N,) or None
        Class indices (int64, into `classes`) or values (float64); None where there are no labels.
    kind : {"classification", "regression"}
    classes : tuple
        The labels in the order of the indices; empty for regression.
    metric_name : str
        A key of `bequest.core.METRICS`.
    name : str
        What people call it.
    groups : array of shape (N,) or None
        Rows of one group (a patient, a user) are never split.
    test : Task or None
        Held-out rows that nothing is chosen or trained on.
    time : array of shape (N,) or None
        Numbers or dates that order the rows: later rows are predicted from earlier ones.
    weights : array of shape (N,) or None
        How much each row counts in the metric, above zero, of any scale.
    unlabelled : Inputs or None
        Further samples of the same form without labels, any number of them.

    Raises
    ------
    DataError
        The unlabelled samples are of another form, a time is missing, or a weight is not finite
        and above zero.
    """

    inputs: Inputs
    targets: Array  # or None, which no code behind `checked_task` meets
    kind: Kind
    classes: tuple[Label, ...]
    metric_name: str
    name: str = "task"
    groups: Array | None = None
    test: Task | None = field(default=None, repr=False)
    time: Array | None = None
    weights: Array | None = None
    unlabelled: Inputs | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.unlabelled is not None:
            refused = self.spec.accepts(spec_of(self.unlabelled))
            if refused is not None:
                raise DataError(f"the unlabelled rows do not fit the task: {refused.reason}")
        if self.time is not None:
            self._refuse("time", self.time, missing_cells(self.time), "missing")
        if self.weights is not None:
            sound = np.isfinite(self.weights) & (self.weights > 0)
            self._refuse("weights", self.weights, ~sound, "not finite and above zero")
            if not np.isfinite(self.weights.sum()):
                raise DataError(
                    "the sum of the weights is not finite: divide them all by one number."
                )
        if METRICS[self.metric_name].units == "group" and self.groups is None:
            raise DataError(f"{self.metric_name} is a mean over groups: say which with groups=.")
        if METRICS[self.metric_name].units == "group" and self.time is not None:
            raise DataError(f"{self.metric_name} is a mean over groups: not with time=.")

    def _refuse(self, name: str, column: Array, bad: Array, what: str) -> None:
        if column.shape != (len(self),):
            raise DataError(f"{name} has shape {column.shape}, ({len(self)},) is needed.")
        if bad.any():
            raise DataError(
                f"{name} is {what} in {bad.sum()} of {len(self)} rows, the first is "
                f"{named_rows([bad.argmax()])}: correct these rows, or leave them out."
            )

    def __len__(self) -> int:
        return len(self.inputs)

    def __repr__(self) -> str:
        what = f"{len(self.classes)} classes" if self.classes else self.kind
        what = f"{what}, {self.metric_name}" if self.labelled else "unlabelled"
        return f"Task({self.name!r}, {len(self)} {self.modality} rows, {what})"

    @property
    def labelled(self) -> bool:
        """Whether the rows have labels, or values to predict."""
        return self.targets is not None

    @property
    def modality(self) -> str:
        """vector, table, image or text."""
        return self.spec.modality

    @property
    def metric(self) -> Metric:
        """The metric that judges models of this task; higher is better."""
        self.require_labels()
        return METRICS[self.metric_name]

    @property
    def labels(self) -> Array:
        """The labels as they were given, shape (N,)."""
        self.require_labels()
        if self.kind == "regression":
            return self.targets
        return np.array(self.classes)[self.targets]

    def require_labels(self) -> None:
        """Raise a `DataError` where the task has no labels."""
        if not self.labelled:
            raise DataError(
                f"task {self.name!r} has {len(self)} rows and no labels: it can be adapted to, not "
                "be trained on or judged. Give it labels (y=, target=) for that."
            )

    def row_scores(self, output: Array, rows: Any = slice(None)) -> Array:
        """What each of these rows contributes to the metric; over all rows the mean is the metric.

        Parameters
        ----------
        output : array, shape (n, C) or (n,)
            Class probabilities or values that a model predicts for these rows.
        rows : int array, shape (n,), optional
            The test rows of one fold, with whole groups; all rows by default.

        Returns
        -------
        array, shape (n,)
            `Metric.linearise`; where groups contribute, their rows share what they contribute.

        Raises
        ------
        NotApplicable
            The metric is undefined on these rows.
        """
        metric, groups = self.metric, self.groups
        scores = metric.linearise(
            self.targets[rows],
            output,
            reference=self.targets,
            weights=None if self.weights is None else self.weights[rows],
            groups=None if groups is None else groups[rows],
        )
        wanted = self.targets[rows].shape if metric.units == "row" else scores.shape[:1]
        if scores.shape != wanted or not np.isfinite(scores).all():
            raise DataError(
                f"the metric {self.metric_name} gives scores of shape {scores.shape}; {wanted} "
                "finite ones are needed."
            )
        if metric.units == "row" or groups is None:
            return scores
        _, member, sizes = np.unique(groups[rows], return_inverse=True, return_counts=True)
        return np.asarray((scores / sizes)[member] * (len(self) / len(np.unique(groups))))

    @cached_property
    def spec(self) -> InputSpec:
        """What the inputs are: modality, shape of one sample, columns."""
        return spec_of(self.inputs)

    @cached_property
    def fingerprint(self) -> str:
        """Content address of inputs, targets and classes: 16 hex digits."""
        return fingerprint(self.inputs, self.targets, self.classes, self.kind)

    def describe(self) -> TaskSummary:
        """What a card or an outcome says of the task; no rows."""
        shares: tuple[float, ...] = ()
        if self.classes and self.labelled:
            counts = np.bincount(self.targets, minlength=len(self.classes))
            shares = tuple((counts / len(self)).tolist())
        return TaskSummary(
            name=self.name,
            fingerprint=self.fingerprint,
            modality=self.modality,
            kind=self.kind,
            metric=self.metric_name,
            rows=len(self),
            classes=tuple(self.classes) if shares else (),
            class_shares=shares,
        )

    def take(self, rows: Any) -> Task:
        """The same task on some of its rows; the classes stay, even those left without a row."""
        taken: dict[str, Any] = {}
        for name in ("inputs", "targets", "groups", "time", "weights"):
            column = getattr(self, name)
            taken[name] = None if column is None else column[rows]
        return replace(self, test=None, **taken)

    @classmethod
    def from_table(
        cls,
        source: Any,
        target: str | None = None,
        *,
        kind: Kind | None = None,
        metric: str | None = None,
        groups: str | None = None,
        time: str | None = None,
        weights: str | None = None,
        drop: tuple[str, ...] = (),
        unlabelled: Any = None,
        test: Any = None,
        name: str | None = None,
    ) -> Task:
        """Read a table with a label column.

        Parameters
        ----------
        source : path, DataFrame of any kind, Arrow table, mapping of columns
            A file ends in .csv, .tsv, .jsonl, .parquet, .feather or .arrow.
        target : str, optional
            The column to predict. Rows without a label are refused; without `target`, no row has
            one.
        kind : {"classification", "regression"}, optional
            Told from the labels where left out: strings, booleans and up to 20 distinct whole
            numbers are classes.
        metric : str, optional
            scikit-learn's name; accuracy or r2 where left out.
        groups : str, optional
            A column that says which rows belong together; it is not an input.
        time : str, optional
            A column of numbers or dates that orders the rows; it is not an input.
        weights : str, optional
            A column of how much each row counts, above zero; it is not an input. Held-out rows
            need it too.
        drop : tuple of str
            Columns that are no inputs, such as an identifier.
        unlabelled : like `source`, optional
            Further rows with the same columns, whose labels are missing or not looked at.
        test : like `source`, optional
            Held-out rows with the same columns.
        name : str, optional
            The file's stem where left out.

        Raises
        ------
        DataError
            The file is missing, empty, ragged or unreadable, a column is missing or doubled, a
            label is missing or not finite, or there is one class only.

        Examples
        --------
        >>> task = Task.from_table({"age": [61, 48, 70, 55], "ill": ["y", "n", "y", "n"]}, "ill")
        >>> task.classes, task.modality
        (('n', 'y'), 'table')
        """
        with counted_in(source):
            return LOADERS["table"](
                source,
                target,
                kind=kind,
                metric=metric,
                groups=groups,
                time=time,
                weights=weights,
                drop=drop,
                unlabelled=unlabelled,
                test=test,
                name=name,
            )

    @classmethod
    def from_arrays(
        cls,
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
        """Wrap two arrays.

        Parameters
        ----------
        X : array or tensor, shape (N, D) or (N, C, H, W)
            Finite numbers.
        y : array or tensor, shape (N,), optional
            Labels of any type, or values; without them the task is an unlabelled target.
        kind, metric, name
            As in `from_table`.
        groups : array of shape (N,), optional
            Rows with one value are never split.
        time, weights : array of shape (N,), optional
            An order of the rows (numbers or dates), and how much each counts (above zero).
        unlabelled : array or tensor, shape (M, D) or (M, C, H, W), optional
            Further inputs, without labels.
        test : tuple of arrays, optional
            Held-out inputs and labels, and their weights where there are weights.

        Raises
        ------
        DataError
            The lengths differ, a number is not finite, a class stands alone, or the shape is not
            one of the two.

        Examples
        --------
        >>> import numpy as np
        >>> Task.from_arrays(np.eye(4), [0, 1, 0, 1], name="corners")
        Task('corners', 4 vector rows, 2 classes, accuracy)
        """
        return LOADERS["arrays"](
            X,
            y,
            kind=kind,
            metric=metric,
            groups=groups,
            time=time,
            weights=weights,
            unlabelled=unlabelled,
            test=test,
            name=name,
        )

    @classmethod
    def from_images(
        cls,
        folder: str | Path,
        *,
        size: int | tuple[int, int] = 64,
        channels: int = 3,
        metric: str | None = None,
        skip_broken: bool = False,
        unlabelled: str | Path | None = None,
        test: str | Path | None = None,
        name: str | None = None,
    ) -> Task:
        """Read a folder with one sub-folder of images per class; pixels are read when needed.

        Parameters
        ----------
        folder : path
            Each sub-folder's name is a class.
        size : int or (height, width)
            Every image is resized to this many pixels.
        channels : {1, 3}
            Grey or colour.
        metric, name
            As in `from_table`.
        skip_broken : bool
            Leave out files that are empty, damaged or no images under an image's name, here, in
            `unlabelled` and in `test`; the log says which. Default: they are an error.
        unlabelled : path, optional
            A folder of further images, at any depth, whose classes are not known.
        test : path, optional
            A folder of the same layout with held-out images.

        Raises
        ------
        DataError
            The folder is missing, has fewer than two classes, or images cannot be read: how many,
            and the first three.
        """
        return LOADERS["images"](
            folder,
            size=size,
            channels=channels,
            metric=metric,
            skip_broken=skip_broken,
            unlabelled=unlabelled,
            test=test,
            name=name,
        )

    @classmethod
    def from_text(
        cls,
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
        """Wrap a list of texts and their labels, or read both from a table.

        Parameters
        ----------
        texts : sequence of str, or path, DataFrame of any kind, mapping of columns
            N texts with `labels` beside them, or a table that has both. A file ends in .csv,
            .tsv, .jsonl, .parquet, .feather or .arrow.
        labels : array, shape (N,), optional
            Labels of any type, or values; left out for a table.
        text, target : str
            For a table: the columns of the texts and of the labels. Without labels, in a list or
            a table, ``target=None`` makes an unlabelled target.
        kind, metric
            As in `from_table`.
        groups : array of shape (N,), or str for a table, optional
            Rows with one value are never split; a table's column is named.
        time, weights : array of shape (N,), or str for a table, optional
            An order of the rows (numbers or dates), and how much each counts (above zero).
        unlabelled : sequence of str, or table like `texts`, optional
            Further texts, without labels.
        test : tuple of texts and labels (and weights), or table like `texts`, optional
            Held-out rows.
        name : str, optional
            The file's stem where left out.

        Raises
        ------
        DataError
            The lengths differ, a text or a label is missing, a text is no string, a column or the
            file is missing, or there is one class only.

        Examples
        --------
        >>> Task.from_text(["good", "awful", "fine", "bad"], ["+", "-", "+", "-"], name="reviews")
        Task('reviews', 4 text rows, 2 classes, accuracy)
        """
        with counted_in(texts):
            return LOADERS["text"](
                texts,
                labels,
                text=text,
                target=target,
                kind=kind,
                metric=metric,
                groups=groups,
                time=time,
                weights=weights,
                unlabelled=unlabelled,
                test=test,
                name=name,
            )

    @classmethod
    def from_dataset(
        cls,
        dataset: Any,
        *,
        input: str | int | Sequence[str] | None = None,
        target: str | int | None = None,
        size: int | tuple[int, int] = 64,
        channels: int = 3,
        kind: Kind | None = None,
        metric: str | None = None,
        groups: str | int | None = None,
        drop: Sequence[str] = (),
        unlabelled: Any = None,
        test: Any = None,
        name: str = "dataset",
    ) -> Task:
        """Read a dataset of torch or of the library datasets, every row once, into memory.

        Parameters
        ----------
        dataset : torch.utils.data.Dataset or datasets.Dataset
            With a length. A row is (input, target), or named columns.
        input : str, int or sequence of str, optional
            The column to predict from, by its name, or its place in a row that is a tuple; several
            make a table. Default: the only image, the only text, or all columns of numbers and
            categories.
        target : str or int, optional
            The column to predict. Default: the second of two, the only one of class labels, or
            the one called label, labels, target, class or y.
        size, channels : int or (height, width), and 1 or 3
            What images of Pillow are resized to, as in `from_images`. Arrays (C, H, W) keep theirs;
            bytes become numbers from 0 to 1.
        kind, metric, name
            As in `from_table`.
        groups : str or int, optional
            A column that says which rows belong together; it is not an input.
        drop : sequence of str
            Columns that are no inputs.
        unlabelled : dataset, optional
            Further rows with the columns to predict from, whether or not they have a target; of one
            such column, rows may be the input alone.
        test : dataset, optional
            Held-out rows with the same columns.

        Raises
        ------
        DataError
            It is no such dataset or has no length, several columns could be meant, one is missing,
            or its values are of different types or shapes.

        Examples
        --------
        >>> rows = [([0.0, 1.0], "a"), ([1.0, 0.0], "b"), ([0.1, 0.9], "a"), ([0.9, 0.2], "b")]
        >>> import torch
        >>> class Pairs(torch.utils.data.Dataset):
        ...     def __len__(self): return len(rows)
        ...     def __getitem__(self, row): return torch.tensor(rows[row][0]), rows[row][1]
        >>> Task.from_dataset(Pairs(), name="pairs")
        Task('pairs', 4 vector rows, 2 classes, accuracy)
        """
        return LOADERS["dataset"](
            dataset,
            input=input,
            target=target,
            size=size,
            channels=channels,
            kind=kind,
            metric=metric,
            groups=groups,
            drop=drop,
            unlabelled=unlabelled,
            test=test,
            name=name,
        )

    def with_test(self, test: Task) -> Task:
        """The same task with held-out rows; they must have the same inputs and known classes."""
        test.require_labels()
        refused = self.spec.accepts(test.spec)
        if refused is not None:
            raise DataError(f"the held-out rows do not fit the task: {refused.reason}")
        if test.kind != self.kind or test.classes != self.classes:
            raise DataError("the held-out rows have other classes than the task.")
        if (test.weights is None) != (self.weights is None):
            raise DataError("weights must be given for both the task and its held-out rows.")
        return replace(self, test=test)
