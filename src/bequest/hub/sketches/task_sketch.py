"""A task without its rows: what can be compared here, and what may be shown to others.

N samples, C classes, F = 256 numbers an embedding. What leaves the machine is a `TaskSketch`, which
is differentially private by construction; a `LocalSketch` has no noise, and no way to be written.
Where a sketch stands, nothing beside it is told of the task's rows that the sketch does not tell.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, TypeVar, final

import numpy as np
from numpy.typing import NDArray

from bequest.core import Card, Outcome, Task, TaskSummary, fingerprint
from bequest.core.plain_values import quoted
from bequest.core.records import Record, read
from bequest.core.validation import validate_task
from bequest.errors import DataError
from bequest.hub.sketches.common_space import VERSION
from bequest.hub.sketches.embedding import FEATURES, task_features
from bequest.hub.sketches.noise import delta_of, gaussian_noise, sensitivity

__all__ = [
    "LocalSketch",
    "TaskSketch",
    "distance",
    "local_sketch",
    "similarity",
    "sketch",
    "with_sketch",
]

Array = NDArray[Any]
About = TypeVar("About", Card, Outcome)
_LARGEST_JSON = 4096  # classes
_LARGEST_EPSILON = 100.0
_ROUNDING = 1e-9  # share of the noise that may be lost by writing it as a number
_DECIMALS = 2  # the noise is never below 0.1: more would only show its last bits


@final
@dataclass(frozen=True, eq=False)
class LocalSketch:
    """The mean embedding of a task as it is: for this machine only, it cannot be written.

    Without noise it is no secret: who knows all rows but one computes the last one's features.
    """

    modality: str
    mean: Array

    @property
    def size(self) -> float:
        """Squared length of the mean embedding."""
        return float(self.mean @ self.mean)


@final
@dataclass(frozen=True, eq=False)
class TaskSketch(Record):
    """What of a task may be shown: noisy sums of fixed random features, and noisy counts.

    Parameters
    ----------
    modality, kind : str
        As of the task.
    classes : tuple
        Labels; empty for regression.
    columns : tuple of str
        Names of a table's columns; empty otherwise.
    counts : tuple of float
        Rows of every class, with noise; of all rows, for regression.
    whole : tuple of float
        F sums over all rows, with noise.
    sums : tuple of tuple of float
        F sums a class, with noise; empty for regression.
    epsilon, delta : float
        The differential privacy that it has, for adding or removing one row.
    noise : float
        Standard deviation of the noise in every count and sum.
    """

    versioned: ClassVar[bool] = True
    derived: ClassVar[tuple[str, ...]] = ("version",)

    modality: str
    kind: str
    classes: tuple[str | int | float | bool, ...]
    columns: tuple[str, ...]
    counts: tuple[float, ...]
    whole: tuple[float, ...]
    sums: tuple[tuple[float, ...], ...]
    epsilon: float
    delta: float
    noise: float

    @property
    def version(self) -> int:
        """Of the random features: sketches of two versions cannot be compared."""
        return VERSION

    @property
    def shares(self) -> tuple[float, ...]:
        """Share of every class, 0 to 1; they add up to 1."""
        counts = np.maximum(self.counts, 0.0)
        total = float(counts.sum())
        return tuple((counts / total if total else counts + 1 / len(counts)).tolist())

    @property
    def rows(self) -> int:
        """How many rows there are, by the noisy counts; 0 or more."""
        return max(round(float(np.sum(self.counts))), 0)

    @property
    def fingerprint(self) -> str:
        """What the task is known by where the sketch is published: 16 hex digits.

        It is made from the noisy numbers: unlike the task's own, nobody can tell by it whether the
        task holds the rows that he guesses. Two sketches of one task have two.
        """
        return fingerprint("sketch", self.counts, self.whole, self.sums)

    def describe(self) -> TaskSummary:
        """What a card or an outcome may say of the task; see `Task.describe`."""
        return TaskSummary(
            fingerprint=self.fingerprint,
            modality=self.modality,
            kind=self.kind,
            rows=self.rows,
            classes=self.classes,
            class_shares=self.shares if self.classes else (),
            sketch=self.to_dict(),
        )

    @property
    def mean(self) -> Array:
        """Mean embedding of all inputs, shape (F,)."""
        return np.asarray(self.whole) / self._rows

    @property
    def size(self) -> float:
        """Squared length of the mean embedding without what the noise adds to it.

        It is never below twice the deviation of what the noise adds, so that a sketch that is lost
        in its noise is like nothing, rather than by chance like everything.
        """
        scale = self.noise**2 / self._rows**2
        return max(
            float(self.mean @ self.mean) - FEATURES * scale,
            2.0 * float(np.sqrt(2 * FEATURES)) * scale,
        )

    @property
    def embedding(self) -> Array:
        """Mean embedding in which the cosine of two is their `similarity`, float32, shape (F,)."""
        return np.asarray(self.mean / np.sqrt(self.size), dtype=np.float32)

    @property
    def _rows(self) -> float:
        return max(float(np.sum(self.counts)), 1.0)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TaskSketch:
        """The sketch that these plain values describe; every number in it is looked at.

        Raises
        ------
        DataError
            The values describe no sketch, or one of another version, or one without privacy.
        """
        try:
            found = read(cls, values)
        except DataError as error:
            raise DataError(f"this is no sketch of a task: {error}.") from error
        if values.get("version") != VERSION:
            version = quoted(values.get("version"))
            raise DataError(f"a sketch of version {version} is not read here.")
        found._check()
        return found

    def _check(self) -> None:
        classes = len(self.classes)
        if classes > _LARGEST_JSON or (len(self.whole), len(self.counts)) != (
            FEATURES,
            max(classes, 1),
        ):
            raise DataError(f"a sketch of {classes} classes has other numbers than it should.")
        if len(self.sums) != classes or any(len(row) != FEATURES for row in self.sums):
            raise DataError(f"a sketch's sums are not {classes} rows of {FEATURES}.")
        if min(self.epsilon, self.delta, self.noise) <= 0:
            raise DataError("a sketch has no noise, or no privacy.")
        noise = self.noise * (1 + _ROUNDING)
        if self.epsilon > _LARGEST_EPSILON or self.delta < delta_of(
            self.epsilon, noise, sensitivity(classes)
        ):
            raise DataError(
                f"a sketch with noise {self.noise:.3g} has not the privacy that it claims: "
                f"epsilon {self.epsilon:.3g}, delta {self.delta:.3g}."
            )


Embedded = LocalSketch | TaskSketch


def similarity(one: Embedded, other: Embedded) -> float:
    """How alike the inputs of two tasks are: the cosine of their mean embeddings, 0 to 1.

    It is 1 for one distribution, and 0 where no row of one resembles a row of the other, and for
    tasks of two modalities.

    Parameters
    ----------
    one, other : LocalSketch or TaskSketch
    """
    if one.modality != other.modality:
        return 0.0
    cosine = float(one.mean @ other.mean) / np.sqrt(one.size * other.size)
    return float(np.clip(cosine, 0.0, 1.0))


def distance(one: Embedded, other: Embedded) -> float:
    """Maximum mean discrepancy between the inputs of two tasks, 0 to the square root of 2.

    Parameters
    ----------
    one, other : LocalSketch or TaskSketch

    Raises
    ------
    DataError
        One is of images and the other of texts, say.

    References
    ----------
    Gretton et al., JMLR 2012.
    """
    if one.modality != other.modality:
        raise DataError(f"sketches of {one.modality} and {other.modality} inputs have no distance.")
    return float(np.sqrt(max(one.size + other.size - 2 * float(one.mean @ other.mean), 0.0)))


def local_sketch(task: Task) -> LocalSketch:
    """The embedding of a task that stays here: noise has no place where nothing is published.

    Parameters
    ----------
    task : Task
    """
    return LocalSketch(validate_task(task).modality, task_features(task).mean(axis=0))


def sketch(
    task: Task,
    *,
    epsilon: float = 1.0,
    delta: float = 1e-6,
    rng: np.random.Generator | None = None,
) -> TaskSketch:
    """Describe a task without its rows, for others.

    Parameters
    ----------
    task : Task
    epsilon : float
        The sketch is (epsilon, delta)-differentially private for adding or removing one row. Two
        sketches of one task cost twice as much. Labels and the names of columns are published as
        they are: they must not be secret, nor that there is a row with each label.
    delta : float
        Between 0 and 1; below one over the number of rows.
    rng : numpy Generator, optional
        For the noise, and not to be known to anybody: left out, it comes from the system's entropy.

    Returns
    -------
    TaskSketch

    Raises
    ------
    DataError
        Epsilon or delta are out of range.

    References
    ----------
    Rahimi and Recht, NeurIPS 2007 (random features); Balle and Wang, ICML 2018 (the noise).

    Examples
    --------
    >>> import numpy as np
    >>> rows = np.random.default_rng(0).normal(size=(2000, 3))
    >>> task = Task.from_arrays(rows, rows[:, 0] > 0)
    >>> made = sketch(task, rng=np.random.default_rng(1))
    >>> made.epsilon, similarity(made, local_sketch(task)) > 0.95
    (1.0, True)
    """
    validate_task(task)
    known = isinstance(epsilon, int | float | np.number) and not isinstance(epsilon, bool)
    if not known or not 0 < epsilon <= _LARGEST_EPSILON:
        raise DataError(f"epsilon must be above 0 and at most 100, not {quoted(epsilon)}.")
    rng = np.random.default_rng() if rng is None else rng
    features, number = task_features(task), len(task.classes)
    sums = np.zeros((number, FEATURES))
    if number:
        np.add.at(sums, task.targets, features)
        counts = np.bincount(task.targets, minlength=number).astype(float)
    else:
        counts = np.array([float(len(task))])
    noise = gaussian_noise(epsilon, delta, sensitivity(number))

    def noisy(values: Array) -> Array:
        return np.round(values + rng.normal(scale=noise, size=values.shape), _DECIMALS)

    return TaskSketch(
        modality=task.modality,
        kind=task.kind,
        classes=task.classes,
        columns=task.spec.columns,
        counts=tuple(noisy(counts).tolist()),
        whole=tuple(noisy(features.sum(axis=0)).tolist()),
        sums=tuple(map(tuple, noisy(sums).tolist())),
        epsilon=float(epsilon),
        delta=float(delta),
        noise=noise,
    )


def with_sketch(about: About, made: TaskSketch) -> About:
    """A model's card, or an outcome, whose task is described by a sketch alone, for a hub.

    What the sketch does not cover goes: the task's own fingerprint, those of its rows, exact rows
    and class shares; of an outcome the fingerprints of its splits and the curve of labels as well.
    What was measured (metrics, gains, notes) stays. Under one sketch a card and an outcome are of
    one task.

    Parameters
    ----------
    about : Card or Outcome
    made : TaskSketch
        Of the task that the model was trained on, or that the outcome is about.

    Returns
    -------
    Card or Outcome

    Raises
    ------
    DataError
        `made` is no TaskSketch: without noise nothing leaves this machine.

    Examples
    --------
    >>> task = Task.from_arrays(np.eye(4), [0, 1, 0, 1])
    >>> said = with_sketch(Card(task=task.describe()), sketch(task)).task
    >>> said.name == task.name, said.fingerprint == task.fingerprint
    (True, False)
    """
    if not isinstance(made, TaskSketch):
        raise DataError(f"a {type(made).__name__} is not for others: make one by sketch(task).")
    if isinstance(about, Card):
        return replace(about, task=_told(about.task, made))
    labels = {"labels": float(made.rows)} if "labels" in about.cost else {}
    return replace(
        about,
        target=_told(about.target, made),
        splits=(),
        cost={**about.cost, **labels},
        labels_saved=None,  # it names rows of every size that from scratch was measured at
    )


def _told(said: TaskSummary, made: TaskSketch) -> TaskSummary:
    """The words of people and the metric; of the rows only what the sketch says."""
    return replace(made.describe(), name=said.name, metric=said.metric)
