"""Every row of a task as fixed random features: the same for everybody, never to be published.

N samples, L = 64 dimensions of the common space, F = 256 features.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bequest.core import Task
from bequest.hub.sketches.common_space import DIMENSIONS, direction, in_common_space

__all__ = ["FEATURES", "frequencies", "random_features", "task_features"]

Array = NDArray[Any]
FEATURES = 256  # F: 128 fixed frequencies, the cosine and the sine of each


def task_features(task: Task) -> Array:
    """Random features of every row of a task, shape (N, F): never to be published.

    For regression, what is predicted enters as one more column.
    """
    points = in_common_space(task.inputs)
    if task.kind == "regression":
        points = points + np.outer(np.arcsinh(task.targets), direction("what is predicted"))
    return random_features(points)


def random_features(points: Array) -> Array:
    """Fixed random Fourier features, shape (N, F) in rows of length 1, of points, shape (N, L).

    Examples
    --------
    >>> np.round(np.linalg.norm(random_features(np.ones((2, 64))), axis=1), 9).tolist()
    [1.0, 1.0]
    """
    angles = points @ frequencies()
    both = np.concatenate([np.cos(angles), np.sin(angles)], axis=1)
    return np.asarray(both / np.sqrt(FEATURES / 2))


@cache
def frequencies() -> Array:
    """Fixed frequencies of four widths, shape (L, F / 2): a kernel that sees several scales."""
    drawn = np.stack([direction(f"frequency {place}") for place in range(FEATURES // 2)], axis=1)
    widths = np.array([0.5, 1.0, 2.0, 4.0])[np.arange(FEATURES // 2) % 4]
    return np.asarray(drawn * np.sqrt(DIMENSIONS) * widths)
