"""Metrics: a value on weighted rows, or groups of rows, and what each of them contributes to it.

Names and signs are scikit-learn's: higher is better, so errors are negative. N rows, C classes,
G groups, U units (rows or groups).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, final

import numpy as np
from numpy.typing import NDArray

from bequest.core.registry import Registry
from bequest.errors import DataError, NotApplicable

__all__ = ["METRICS", "Metric", "PerGroup", "metric_named"]

Array = NDArray[Any]
Kind = Literal["classification", "regression"]
Unit = Literal["row", "group"]

_MEANS = "bequest.core.mean_metrics:"
_JACKKNIFE = "bequest.core.jackknife_metrics:"


class Metric(ABC):
    """One metric: its value on some rows, and the contribution of each unit to it.

    Attributes
    ----------
    name : str
        The key in `METRICS`; scikit-learn's scorer name where it has one.
    kind : {"classification", "regression"}
    unit : str
        How a difference of it reads in a sentence: ``"points"`` are hundredths.
    units : {"row", "group"}
        What contributes: each row, or each group of rows, groups having equal weight.
    two_classes : bool
        Whether it judges tasks of two classes only, of which the second is the positive one.
    loss : bool
        Whether each contribution is a loss of its own unit, which a verdict can be judged by.
    """

    name: str
    kind: Kind
    unit: str
    units: ClassVar[Unit] = "row"
    two_classes: bool = False
    loss: bool = False

    @abstractmethod
    def linearise(
        self,
        y: Array,
        prediction: Array,
        *,
        reference: Array | None = None,
        weights: Array | None = None,
        groups: Array | None = None,
    ) -> Array:
        """What each unit contributes: an array (U,), float64, whose mean is the `value`.

        To be computed on the rows of one fold of one repeat. Its spread over the units is that of
        the value: ``std / sqrt(U)`` is the standard error.

        Parameters
        ----------
        y : array, shape (N,)
            Class indices, or values.
        prediction : array, shape (N, C) or (N,)
            Class probabilities, or values.
        reference : array, shape (M,), optional
            Labels of the whole task, which fix the class frequencies of balanced accuracy (where
            rows have equal weight) and the variance of r2, so that the mean over all folds is the
            value on all rows.
        weights : array, shape (N,), optional
            Above zero, of any scale; equal by default.
        groups : array, shape (N,), optional
            Needed where `units` is ``"group"``; these contribute in the order of `numpy.unique`.

        Raises
        ------
        NotApplicable
            The metric is undefined on these rows, such as an AUC on rows of one class.
        DataError
            It is a metric per group and no groups are given.
        """

    def value(
        self,
        y: Array,
        prediction: Array,
        *,
        weights: Array | None = None,
        groups: Array | None = None,
    ) -> float:
        """The metric on these rows: the mean of what `linearise` gives for them."""
        return float(self.linearise(y, prediction, weights=weights, groups=groups).mean())


METRICS: Registry[Metric] = Registry(
    "metric",
    {
        "accuracy": _MEANS + "ACCURACY",
        "balanced_accuracy": _MEANS + "BALANCED_ACCURACY",
        "neg_log_loss": _MEANS + "LOG_LOSS",
        "neg_brier_score": _MEANS + "BRIER",
        "roc_auc": _JACKKNIFE + "ROC_AUC",
        "roc_auc_ovr": _JACKKNIFE + "ROC_AUC_OVR",
        "average_precision": _JACKKNIFE + "AVERAGE_PRECISION",
        "f1": _JACKKNIFE + "F1",
        "f1_macro": _JACKKNIFE + "F1_MACRO",
        "matthews_corrcoef": _JACKKNIFE + "MATTHEWS",
        "r2": _MEANS + "R2",
        "neg_mean_squared_error": _MEANS + "SQUARED_ERROR",
        "neg_root_mean_squared_error": _JACKKNIFE + "ROOT_MEAN_SQUARED_ERROR",
        "neg_mean_absolute_error": _MEANS + "ABSOLUTE_ERROR",
        "per_group_accuracy": _MEANS + "PER_GROUP_ACCURACY",
        "per_group_neg_mean_absolute_error": _MEANS + "PER_GROUP_ABSOLUTE_ERROR",
    },
    group="bequest.metrics",
    of=Metric,
)


@final
@dataclass(frozen=True)
class PerGroup(Metric):
    """The mean over groups of another metric on each group's rows: a metric per user.

    Parameters
    ----------
    name : str
        The key that it is registered by.
    inner : Metric
        Judges the rows of one group.

    Examples
    --------
    One user of three rows, all right, and one of a single row, wrong:

    >>> metric = PerGroup("per_user_accuracy", METRICS["accuracy"])
    >>> y, prediction = np.array([0, 0, 0, 1]), np.tile([0.9, 0.1], (4, 1))
    >>> metric.value(y, prediction, groups=np.array(["ann", "ann", "ann", "bob"]))
    0.5
    """

    name: str
    inner: Metric
    units: ClassVar[Unit] = "group"

    def __post_init__(self) -> None:
        for said in ("kind", "unit", "two_classes", "loss"):
            object.__setattr__(self, said, getattr(self.inner, said))

    def linearise(
        self,
        y: Array,
        prediction: Array,
        *,
        reference: Array | None = None,
        weights: Array | None = None,
        groups: Array | None = None,
    ) -> Array:
        """See `Metric.linearise`; G values, of which each is that of one group."""
        if groups is None:
            raise DataError(
                f"{self.name} is a mean over groups, and the task has none: give it groups=."
            )
        names, member = np.unique(groups, return_inverse=True)
        values = np.empty(len(names))
        for place, name in enumerate(names):
            rows = member == place
            part = None if weights is None else weights[rows]
            try:
                values[place] = self.inner.value(y[rows], prediction[rows], weights=part)
            except NotApplicable as error:
                raise NotApplicable(f"{self.name} in group {name!s}: {error.reason}") from error
        return values


def metric_named(name: str | None, kind: Kind, classes: int = 2) -> Metric:
    """The metric of this name, or the default of this kind of task.

    Parameters
    ----------
    name : str or None
    kind : {"classification", "regression"}
    classes : int
        How many classes the task has.

    Raises
    ------
    DataError
        No such metric, it belongs to the other kind of task, or the task has more classes than it
        can judge.

    Examples
    --------
    >>> metric_named(None, "regression").name
    'r2'
    """
    if name is None:
        name = "accuracy" if kind == "classification" else "r2"
    metric = METRICS[name] if isinstance(name, str) and name in METRICS else None
    if metric is not None and metric.kind == kind and (classes == 2 or not metric.two_classes):
        return metric
    fitting = {key: other for key, other in METRICS.items() if other.kind == kind}
    if metric is None or metric.kind != kind:
        raise DataError(f"no metric named {name!r} for {kind}. Known: {', '.join(fitting)}.")
    others = ", ".join(key for key, other in fitting.items() if not other.two_classes)
    raise DataError(f"{name} judges two classes, the task has {classes}. Others: {others}.")
