"""Every row as a point of one fixed space, whatever the task: the same for everybody.

N samples, D features, C channels, H and W pixels, L = 64 dimensions. What becomes of a row depends
on that row alone: no mean and no quantile of the data enters, nor what the other cells of a column
are, so that one row moves a sum of rows by no more than its own length.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bequest.core.inputs import Inputs, modality_of

__all__ = ["DIMENSIONS", "VERSION", "direction", "in_common_space"]

Array = NDArray[Any]
VERSION = 2  # of what is done here: sketches of two versions are not compared
_DRAWN = 1  # of the directions
DIMENSIONS = 64


@lru_cache(maxsize=2**16)
def direction(name: str) -> Array:
    """The fixed random direction of a name, shape (L,), of mean length 1."""
    seed = int.from_bytes(hashlib.sha256(f"bequest {_DRAWN} {name}".encode()).digest()[:16])
    drawn = np.random.Generator(np.random.PCG64(seed)).normal(size=DIMENSIONS)
    drawn /= np.sqrt(DIMENSIONS)
    drawn.flags.writeable = False
    return drawn


def in_common_space(inputs: Inputs) -> Array:
    """Samples of any modality as points, shape (N, L); `NotApplicable` where it has none.

    They are the modality's `points`, whose rule moves with `VERSION` too.
    """
    return modality_of(inputs).points(inputs, direction)
