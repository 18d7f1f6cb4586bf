"""Vectors: N samples of D numbers. Asked last, for any numbers could be vectors.

N samples, D features, L dimensions of the hub's common space.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from bequest.core.modality import Inputs, Modality, dense, digests
from bequest.data.near_duplicates import vector_fingerprints
from bequest.errors import DataError

__all__ = ["VECTOR", "Vector", "array_digests", "blocks", "directions", "float_array"]

Array = NDArray[Any]
CHUNK = 2**22  # numbers in memory at a time


@final
class Vector(Modality):
    """Arrays of shape (N, D), also those that are read lazily."""

    name = "vector"
    encoder = "scaler"
    networks = ("linear", "svm", "extra-trees", "boosting", "naive-bayes", "mlp")
    default_network = "linear"

    def recognise(self, samples: Any) -> Inputs | None:
        """Float32 rows of an array, tensor, sparse matrix or nested list, also of 4 dimensions."""
        if hasattr(samples, "read_rows"):
            lazily: Inputs = samples
            return lazily
        array = float_array(samples)
        if array is None:
            return None
        if array.ndim == 3:
            raise DataError(
                f"inputs of shape {array.shape} lack one dimension: images have shape "
                "(N, C, H, W); for grey ones, X[:, None] adds C."
            )
        if array.ndim not in (2, 4):
            raise DataError(
                f"inputs must have shape (N, D) or (N, C, H, W), these have {array.shape}."
            )
        return array

    def holds(self, inputs: Inputs) -> bool:
        """Whether they are an array, or have the shape of one, and are no images."""
        dimensions = len(getattr(inputs, "shape", ()))
        return dimensions != 4 and (dimensions > 1 or isinstance(inputs, np.ndarray))

    def vectors(self, inputs: Inputs) -> Array:
        """Standardised."""
        return dense(self.fit_encoder(inputs), inputs).astype(np.float64)

    def row_digests(self, inputs: Inputs) -> Array:
        """Of the numbers' bytes, their type and D."""
        return array_digests(inputs)

    def fingerprints(self, inputs: Inputs) -> NDArray[np.uint64]:
        """Of the numbers, rounded."""
        return vector_fingerprints(inputs)

    def points(self, inputs: Inputs, direction: Callable[[str], Array]) -> Array:
        """A number enters as ``asinh(x)`` along the direction of its place."""
        array = np.asarray(inputs, dtype=float)
        names = [f"place {place}" for place in range(array.shape[1])]
        return np.asarray(np.arcsinh(array) @ directions(names, direction))


def float_array(samples: Any) -> NDArray[np.float32] | None:
    """Samples of any library as float32, else a `DataError`; None for an object, no array."""
    try:
        if hasattr(samples, "detach"):
            samples = samples.detach().cpu().numpy()
        if hasattr(samples, "toarray"):
            samples = samples.toarray()
        array = np.asarray(samples)
        if array.dtype.kind == "O" and array.ndim == 0:
            return None
        if array.dtype.kind == "c":
            raise TypeError(f"they are {array.dtype}")
        with np.errstate(over="ignore"):  # beyond 3.4e38 becomes inf, which loaders refuse
            return array.astype(np.float32, copy=False)
    except (TypeError, ValueError) as error:
        raise DataError(f"the inputs are not numbers: {error}.") from error


def blocks(inputs: Inputs) -> Iterator[Array]:
    """The rows as arrays, a bounded number at a time; lazily read ones are read here."""
    step = max(1, CHUNK // max(1, math.prod(getattr(inputs, "shape", (1,))[1:])))
    for start in range(0, len(inputs), step):
        yield np.ascontiguousarray(inputs[start : start + step])


def array_digests(inputs: Inputs) -> Array:
    """`digests` of the bytes of each row, its type and shape, shape (N,)."""
    return digests(
        f"{block.dtype.str}{block.shape[1:]}".encode() + row.tobytes()
        for block in blocks(inputs)
        for row in block
    )


def directions(names: list[str], direction: Callable[[str], Array]) -> Array:
    """The directions of D names, shape (D, L), divided by the root of D."""
    return np.asarray(np.stack([direction(name) for name in names]) / np.sqrt(len(names)))


VECTOR = Vector()
