"""Rows of length one: what linear models and kernels read of counts and of pixels.

N samples, D numbers, C channels, H and W pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self, final

import numpy as np
from numpy.typing import NDArray

from bequest.core import Inputs
from bequest.errors import DataError
from bequest.frameworks.encoders.encoder import plain_rows

__all__ = ["UnitRows", "averaged_down"]

Array = NDArray[Any]
PIXELS = 32  # a side of an image, to which larger ones are averaged down, or somewhat more
CHUNK = 2**24  # numbers in memory at a time


@final
@dataclass(frozen=True)
class UnitRows:
    """Divide each row of vectors or images by its length: its direction is left.

    Counts of a long text and of a short one, and a bright photo and a dark one, become alike.
    Images are averaged down to about 32 pixels a side first. Nothing but the shape of a row is
    learned from the training rows; a row of zeros stays one.

    Parameters
    ----------
    shape : tuple of int
        Of one row: ``(D,)`` or ``(C, H, W)``.

    References
    ----------
    Salton, Wong and Yang, A Vector Space Model for Automatic Indexing, CACM 1975.

    Examples
    --------
    >>> rows = np.array([[3.0, 4.0], [0.0, 0.0]])
    >>> UnitRows.fit(rows).encode(rows).round(1).tolist()
    [[0.6000000238418579, 0.800000011920929], [0.0, 0.0]]
    """

    shape: tuple[int, ...]

    @classmethod
    def fit(cls, inputs: Inputs) -> Self:
        """The shape of these rows; `DataError` where they are no arrays."""
        return cls(plain_rows(inputs[np.arange(min(1, len(inputs)))]).shape[1:])

    def encode(self, inputs: Inputs) -> Array:
        """Float32 array (N, D), each row of length one or zero; read in chunks."""
        step = max(1, CHUNK // max(1, int(np.prod(self.shape))))
        parts = [
            self._unit(plain_rows(inputs[start : start + step]))
            for start in range(0, len(inputs), step)
        ]
        return np.concatenate(parts)

    def _unit(self, rows: Array) -> Array:
        if rows.shape[1:] != self.shape:
            raise DataError(
                f"the model reads rows of shape {self.shape}, these have {rows.shape[1:]}."
            )
        flat = (averaged_down(rows) if rows.ndim == 4 else rows).reshape(len(rows), -1)
        length = np.linalg.norm(flat, axis=1, keepdims=True)
        return np.asarray(flat / np.where(length > 0, length, 1.0), dtype=np.float32)

    def to_config(self) -> dict[str, Any]:
        """Plain values."""
        return {"encoder": "unit-rows", "shape": list(self.shape)}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """The encoder that `to_config` described."""
        return cls(tuple(map(int, config["shape"])))


def averaged_down(images: Array) -> Array:
    """Images (N, C, H, W) as means of whole blocks of pixels, some 32 to 63 of them a side.

    Examples
    --------
    >>> averaged_down(np.ones((1, 3, 224, 40))).shape
    (1, 3, 32, 40)
    """
    down, across = (max(1, size // PIXELS) for size in images.shape[2:])
    height, width = images.shape[2] // down, images.shape[3] // across
    cut = images[:, :, : height * down, : width * across]
    parts = cut.reshape(*images.shape[:2], height, down, width, across)
    return np.asarray(parts.mean(axis=(3, 5)))
