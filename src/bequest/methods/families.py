"""Which families of models belong in the average of a task, and among which one is chosen.

N rows, D columns. A family in an equal-weight average must earn its place: a weak one costs points.
What stands here was measured on draws of 5, 20 and 50 labels a class, by benchmarks/arms.py.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any

import numpy as np

from bequest.core import MODALITIES, Task
from bequest.errors import NotApplicable

__all__ = [
    "SVM_ROWS",
    "UNIT_ROWS",
    "averaged",
    "candidates",
    "counts",
    "fits_svm",
    "narrow",
    "not_unit_rows",
    "sparse_vectors",
    "too_many_rows",
]

Settings = Mapping[str, Any]
Families = dict[str, list[Settings]]
TREE_COLUMNS = 500  # trees on more columns than that cost more time than they are worth
SVM_ROWS = 4000  # the kernel of N rows takes N² time
BOOSTING_ROWS = 300  # with 100 it costs an average a point, from 300 on nothing
STRENGTHS = (0.1, 1.0, 0.01, 10.0)  # of linear models, where one is chosen
ZEROS = 0.25  # share of zeros from which on numbers that are not negative count as counts
UNIT_ROWS = ("vector", "image")  # modalities whose rows can be brought to length one


def averaged(task: Task) -> tuple[Settings, ...]:
    """The settings of from scratch that are averaged, the most promising first.

    Examples
    --------
    >>> task = Task.from_table({"age": range(20), "ill": [0, 1] * 10}, "ill")
    >>> [settings["net"] for settings in averaged(task)]
    ['linear', 'extra-trees', 'svm', 'extra-trees']
    """
    modality = MODALITIES[task.modality]
    augmentations = (*modality.augmentations, "none")
    words = task.modality == "text" and counts(task)
    families: Families = {
        "linear": _linear(task),
        "svm": _svm(task) if fits_svm(task) else [],
        "extra-trees": [{"leaf": leaf} for leaf in (3, 1)] if narrow(task) else [],
        "boosting": [{"leaf": 10}] if _boosts(task) else [],
        "naive-bayes": [{"strength": 30.0}, {"strength": 10.0}] if words else [],
        "resnet": [{"lr": lr, "augment": augmentations[0]} for lr in (5e-3, 2e-3)],
    }
    return _in_turn(modality.networks, families)


def candidates(task: Task) -> tuple[Settings, ...]:
    """The settings among which cross-validation chooses one, the first ones where they are equal.

    Examples
    --------
    >>> task = Task.from_text(["good", "bad"] * 4, ["+", "-"] * 4)
    >>> sorted({settings["net"] for settings in candidates(task)})
    ['linear', 'naive-bayes']
    """
    ridge = task.kind == "regression"  # which picks its own strength
    linear: list[Settings] = [{"strength": c} for c in ((0.1,) if ridge else STRENGTHS)]
    svm: list[Settings] = [{"strength": c} for c in (1.0, 10.0)]
    if task.modality == "image" or sparse_vectors(task):
        unit_rows = (0.1,) if ridge else (100.0, 10.0)
        linear += [{"strength": c, "scaling": "l2"} for c in unit_rows]
        svm += [{"strength": 10.0, "scaling": "l2"}]
    families: Families = {
        "linear": linear,
        "svm": svm if fits_svm(task) else [],
        "extra-trees": [{"leaf": leaf} for leaf in (1, 3)] if narrow(task) else [],
        "boosting": [{"leaf": leaf} for leaf in (5, 20)] if _boosts(task) else [],
        "naive-bayes": [{"strength": c} for c in (30.0, 10.0)] if counts(task) else [],
    }
    return _in_turn(MODALITIES[task.modality].networks, families)


def narrow(task: Task) -> bool:
    """Whether it has few enough columns for trees."""
    return math.prod(task.spec.shape or (len(task.spec.columns),)) <= TREE_COLUMNS


def fits_svm(task: Task) -> bool:
    """Whether it has few enough rows for a support vector machine."""
    return len(task) <= SVM_ROWS


def counts(task: Task) -> bool:
    """Whether naive Bayes can read it: a classification, and no number below zero."""
    if task.kind == "regression":
        return False
    return task.modality not in UNIT_ROWS or float(np.min(np.asarray(task.inputs))) >= 0


def sparse_vectors(task: Task) -> bool:
    """Whether it is vectors of numbers above zero, and of zeros where there is nothing.

    Examples
    --------
    >>> sparse_vectors(Task.from_arrays([[3.0, 0.0], [0.0, 1.0]], ["a", "b"]))
    True
    """
    if task.modality != "vector":
        return False
    array = np.asarray(task.inputs)
    return bool(array.min() >= 0) and float((array == 0).mean()) >= ZEROS


def _linear(task: Task) -> list[Settings]:
    if task.modality == "image":
        return []  # pixels make a linear model of little worth
    if task.kind == "regression":
        return [{"strength": 0.1}]
    even: Settings = {"strength": 0.01, "calibrated": True}
    if sparse_vectors(task):
        unit_rows: list[Settings] = [{"strength": c, "scaling": "l2"} for c in (100.0, 10.0)]
        return [unit_rows[0], even, unit_rows[1]]
    if task.modality == "vector":
        return [{"strength": 1.0}, even]
    return [{"strength": 0.1}] if task.modality == "table" else [{"strength": 1.0}]


def _svm(task: Task) -> list[Settings]:
    if task.modality == "image" or (narrow(task) and sparse_vectors(task)):
        return [{"strength": 10.0, "scaling": "l2"}]
    return [{"strength": 1.0}] if task.modality == "table" else []


def _boosts(task: Task) -> bool:
    return narrow(task) and len(task) >= BOOSTING_ROWS


def _in_turn(
    networks: Sequence[str], families: Mapping[str, Sequence[Settings]]
) -> tuple[Settings, ...]:
    """The first of each family in the modality's order, then the second of each."""
    named = ([{"net": net, **one} for one in families.get(net, ())] for net in networks)
    return tuple(one for turn in zip_longest(*named) for one in turn if one is not None)


def too_many_rows(task: Task) -> NotApplicable:
    """Why a support vector machine is not fitted to a task of more than 4,000 rows."""
    return NotApplicable(
        f"a support vector machine takes time by the square of the rows: {len(task)} are more than "
        f"{SVM_ROWS}."
    )


def not_unit_rows() -> NotApplicable:
    """Why rows of other inputs are not brought to length one."""
    return NotApplicable(f"rows of length one are for {' and '.join(UNIT_ROWS)} inputs.")
