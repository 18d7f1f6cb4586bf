"""A task without its rows: what can be compared, published, and made differentially private.

N samples, C classes, F = 256 numbers a class.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import norm

from bequest.core import Task
from bequest.core.given import checked_task
from bequest.errors import DataError
from bequest.hub.common_space import DIMENSIONS, VERSION, direction, in_common_space

__all__ = ["FEATURES", "TaskSketch", "gaussian_noise", "random_features", "sketch", "task_features"]

Array = NDArray[Any]
FEATURES = 256  # F: 128 fixed frequencies, the cosine and the sine of each
SENSITIVITY = float(np.sqrt(2.0))  # one row: a vector of length 1, and 1 in the count of its class
SMALLEST = 16  # rows of a class below which it is not published without noise
_LARGEST_JSON = 4096  # classes


@final
@dataclass(frozen=True, eq=False)
class TaskSketch:
    """What of a task may be shown: sums of fixed random features a class, and counts.

    Parameters
    ----------
    modality, kind : str
        As of the task.
    classes : tuple
        Labels; empty for regression, which has one row of sums.
    columns : tuple of str
        Names of a table's columns; empty otherwise.
    counts : tuple of float
        Rows of every class; with noise where `epsilon` is given.
    sums : tuple of tuple of float
        F numbers a class; with noise where `epsilon` is given.
    epsilon, delta : float or None
        The differential privacy that it has, for adding or removing one row; None: none.
    noise : float
        Standard deviation of the noise in every count and sum.
    """

    modality: str
    kind: str
    classes: tuple[Any, ...]
    columns: tuple[str, ...]
    counts: tuple[float, ...]
    sums: tuple[tuple[float, ...], ...]
    epsilon: float | None = None
    delta: float | None = None
    noise: float = 0.0

    @property
    def private(self) -> bool:
        """Whether it is differentially private."""
        return self.epsilon is not None

    @property
    def shares(self) -> tuple[float, ...]:
        """Share of every class, 0 to 1; they add up to 1."""
        counts = np.maximum(self.counts, 0.0)
        total = float(counts.sum())
        return tuple((counts / total if total else counts + 1 / len(counts)).tolist())

    @property
    def mean(self) -> Array:
        """Mean embedding of all inputs, shape (F,)."""
        return np.asarray(np.sum(self.sums, axis=0) / max(float(np.sum(self.counts)), 1.0))

    @property
    def size(self) -> float:
        """Squared length of the mean embedding without what the noise adds to it."""
        rows = max(float(np.sum(self.counts)), 1.0)
        noise = FEATURES * len(self.sums) * self.noise**2 / rows**2
        return max(float(self.mean @ self.mean) - noise, 1e-9)

    def distance(self, other: TaskSketch) -> float:
        """Maximum mean discrepancy between the inputs of two tasks, 0 to the square root of 2.

        Raises
        ------
        DataError
            One is of images and the other of texts, say.
        """
        self._check(other)
        between = float(self.mean @ other.mean)
        return float(np.sqrt(max(self.size + other.size - 2 * between, 0.0)))

    def similarity(self, other: TaskSketch) -> float:
        """How alike the inputs of two tasks are: the cosine of their mean embeddings, 0 to 1.

        It is 1 for one distribution, and 0 where no row of one resembles a row of the other, and
        for tasks of two modalities.
        """
        if self.modality != other.modality:
            return 0.0
        cosine = float(self.mean @ other.mean) / np.sqrt(self.size * other.size)
        return float(np.clip(cosine, 0.0, 1.0))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON; the key ``sketch`` of a card's or an outcome's task."""
        return {
            "version": VERSION,
            "modality": self.modality,
            "kind": self.kind,
            "classes": list(self.classes),
            "columns": list(self.columns),
            "counts": list(self.counts),
            "sums": [list(row) for row in self.sums],
            "epsilon": self.epsilon,
            "delta": self.delta,
            "noise": self.noise,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TaskSketch:
        """The sketch that `to_dict` described; every number in it is looked at.

        Raises
        ------
        DataError
            The values describe no sketch, or one of another version.
        """
        try:
            if values["version"] != VERSION:
                raise DataError(f"a sketch of version {values['version']} is not read here.")
            rest = {key: value for key, value in values.items() if key != "version"}
            for key in ("classes", "columns", "counts"):
                rest[key] = tuple(rest[key])
            rest["sums"] = tuple(tuple(map(float, row)) for row in rest["sums"])
            found = cls(**rest)
            sums, counts = np.asarray(found.sums, float), np.asarray(found.counts, float)
            noise = float(found.noise)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise DataError(f"this is no sketch of a task: {error}.") from error
        wanted = (max(len(found.classes), 1), FEATURES)
        if sums.shape != wanted or counts.shape != wanted[:1] or wanted[0] > _LARGEST_JSON:
            raise DataError(f"a sketch's sums have shape {sums.shape} where {wanted} is wanted.")
        if not (np.isfinite(sums).all() and np.isfinite(counts).all() and noise >= 0):
            raise DataError("a sketch holds numbers that are not finite.")
        return found

    def _check(self, other: TaskSketch) -> None:
        if self.modality != other.modality:
            raise DataError(
                f"a sketch of {self.modality} inputs and one of {other.modality} inputs have no "
                "distance."
            )


def sketch(
    task: Task,
    *,
    epsilon: float | None = None,
    delta: float = 1e-6,
    rng: np.random.Generator | None = None,
) -> TaskSketch:
    """Describe a task without its rows.

    Parameters
    ----------
    task : Task
    epsilon : float, optional
        With it, the sketch is (epsilon, delta)-differentially private for adding or removing one
        row. Two sketches of one task cost twice as much. Labels and the names of columns are
        published as they are: they must not be secret.
    delta : float
        Between 0 and 1; below one over the number of rows.
    rng : numpy Generator
        For the noise; needed with `epsilon`, and not to be known to anybody.

    Returns
    -------
    TaskSketch

    Raises
    ------
    DataError
        Without noise, a class has fewer than 16 rows: its mean would be (close to) a row.

    References
    ----------
    Rahimi and Recht, NeurIPS 2007 (random features); Balle and Wang, ICML 2018 (the noise).

    Examples
    --------
    >>> import numpy as np
    >>> rows = np.random.default_rng(0).normal(size=(60, 3))
    >>> task = Task.from_arrays(rows, rows[:, 0] > 0)
    >>> made = sketch(task)
    >>> round(made.similarity(made), 3), made.private
    (1.0, False)
    """
    checked_task(task)
    features = task_features(task)
    classes = task.targets if task.classes else np.zeros(len(task), dtype=int)
    number = max(len(task.classes), 1)
    sums = np.zeros((number, FEATURES))
    np.add.at(sums, classes, features)
    counts = np.bincount(classes, minlength=number).astype(float)
    noise = 0.0
    if epsilon is None:
        _refuse_small(task, counts)
    else:
        if rng is None:
            raise DataError("noise needs a generator: sketch(task, epsilon=..., rng=...).")
        noise = gaussian_noise(epsilon, delta, SENSITIVITY)
        sums += rng.normal(scale=noise, size=sums.shape)
        counts += rng.normal(scale=noise, size=counts.shape)
    return TaskSketch(
        modality=task.modality,
        kind=task.kind,
        classes=task.classes,
        columns=task.spec.columns,
        counts=tuple(counts.tolist()),
        sums=tuple(map(tuple, np.round(sums, 6).tolist())),
        epsilon=epsilon,
        delta=None if epsilon is None else delta,
        noise=noise,
    )


def random_features(points: Array) -> Array:
    """Fixed random Fourier features of points in the common space.

    Parameters
    ----------
    points : array, shape (N, L)

    Returns
    -------
    array, shape (N, F)
        Rows of length 1.

    Examples
    --------
    >>> np.round(np.linalg.norm(random_features(np.ones((2, 64))), axis=1), 9).tolist()
    [1.0, 1.0]
    """
    angles = points @ _frequencies()
    both = np.concatenate([np.cos(angles), np.sin(angles)], axis=1)
    return np.asarray(both / np.sqrt(FEATURES / 2))


@cache
def _frequencies() -> Array:
    """Fixed frequencies, shape (L, F / 2), of four widths: a kernel that sees several scales."""
    drawn = np.stack([direction(f"frequency {place}") for place in range(FEATURES // 2)], axis=1)
    widths = np.array([0.5, 1.0, 2.0, 4.0])[np.arange(FEATURES // 2) % 4]
    return np.asarray(drawn * np.sqrt(DIMENSIONS) * widths)


def gaussian_noise(epsilon: float, delta: float, sensitivity: float) -> float:
    """Standard deviation that makes a sum (epsilon, delta)-differentially private.

    Parameters
    ----------
    epsilon : float
        Above zero.
    delta : float
        Between 0 and 1.
    sensitivity : float
        The most that one row moves the sum, as Euclidean length.

    Returns
    -------
    float
        The smallest that suffices, in the unit of `sensitivity`.

    Raises
    ------
    DataError
        Epsilon or delta are out of range.

    References
    ----------
    Balle and Wang, "Improving the Gaussian mechanism", ICML 2018, theorem 8.

    Examples
    --------
    >>> round(gaussian_noise(1.0, 1e-5, 1.0), 2)
    3.73
    """
    if not (0 < epsilon < np.inf and 0 < delta < 1):
        raise DataError(f"epsilon {epsilon} must be above 0, delta {delta} between 0 and 1.")

    def excess(log_noise: float) -> float:
        half, rest = sensitivity / np.exp(log_noise) / 2, epsilon * np.exp(log_noise) / sensitivity
        # exp(epsilon) may overflow where the tail beside it is nothing.
        tail = np.exp(epsilon + norm.logcdf(-half - rest))
        return float(norm.cdf(half - rest) - tail - delta)

    return float(np.exp(brentq(excess, -20.0 + np.log(sensitivity), 30.0 + np.log(sensitivity))))


def task_features(task: Task) -> Array:
    """Random features of every row of a task, shape (N, F): never to be published.

    For regression, what is predicted enters as one more column.
    """
    points = in_common_space(task.inputs)
    if task.kind == "regression":
        points = points + np.outer(np.arcsinh(task.targets), direction("what is predicted"))
    return random_features(points)


def _refuse_small(task: Task, counts: Array) -> None:
    few = int(counts.argmin())
    if counts[few] < SMALLEST:
        what = f"class {task.classes[few]!r}" if task.classes else "the task"
        raise DataError(
            f"{what} has {int(counts[few])} rows, {SMALLEST} are the least for a sketch without "
            "noise: its mean would be close to a row. Give epsilon=... and rng=...."
        )
