"""Statistics of trained tensors that show whether they belong where their names put them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bequest.mapping.disambiguation.shared_axes import Axis

__all__ = ["ERRORS", "Array", "Measured", "of_the_others"]

Array = NDArray[Any]

UNITS, OTHERS, VALUES = 1024, 256, 4096  # that are sampled: on an axis, across it, of a tensor
# Standard errors of the statistics of normal values, times the root of their number.
ERRORS = np.array([0.7, 1.0, 1.6, 0.5])


class Measured:
    """Properties of tensors along axes, and statistics of their values; each is read once.

    `axes` are those that matter for each tensor: its own, and those of others of its shape.
    """

    def __init__(self, read: Callable[[str], Tensor], axes: Mapping[str, Iterable[Axis]]) -> None:
        self._along: dict[tuple[str, int, int, int], Array] = {}
        self._values: dict[str, Array] = {}
        self._sampled: dict[str, int] = {}
        for name, those in axes.items():
            tensor = read(name).detach()
            if tensor.is_meta:
                continue
            tensor = tensor.real if tensor.is_complex() else tensor
            values = _sample(tensor)
            if not np.isfinite(values).all():
                continue
            self._values[name], self._sampled[name] = _statistics(values), len(values)
            for axis in those:
                key = name, axis.axis, axis.start, axis.size
                if key not in self._along:
                    self._along[key] = _scores(torch.nan_to_num(_properties(tensor, axis)))

    def __contains__(self, name: str) -> bool:
        """Whether it was measured: what is on the meta device or not finite was not."""
        return name in self._values

    def along(self, name: str, axis: Axis) -> Array:
        """Two properties of each of D units, as normal scores of length one: (2, D)."""
        return self._along[name, axis.axis, axis.start, axis.size]

    def statistics(self, name: str) -> Array:
        """Size, mean, tails and signs of the values: (4,)."""
        return self._values[name]

    def sampled(self, name: str) -> int:
        """How many values those are of."""
        return self._sampled[name]


def _properties(tensor: Tensor, axis: Axis) -> Tensor:
    """Norm and mean of the slice of each unit; of vectors the value and how far it is out."""
    across = [place for place in range(tensor.ndim) if place != axis.axis]
    sampled = [slice(None)] * tensor.ndim
    sampled[axis.axis] = slice(axis.start, axis.start + axis.size, -(-axis.size // UNITS))
    if across:
        longest = max(across, key=lambda place: tensor.shape[place])
        others = tensor.numel() // tensor.shape[axis.axis]
        sampled[longest] = slice(None, None, max(1, others // OTHERS))
    part = tensor[tuple(sampled)].float().cpu()
    if part.numel() == part.shape[axis.axis]:
        flat = part.flatten()
        return torch.stack([flat, (flat - flat.median()).abs()])
    return torch.stack([torch.linalg.vector_norm(part, dim=across), part.mean(dim=across)])


def _scores(values: Tensor) -> Array:
    """Normal scores of the ranks of each row, equal values ranked alike, of length one.

    Examples
    --------
    >>> (10 * _scores(torch.tensor([[3.0, 3.0, 3.0], [2.0, 9.0, 2.5]]))).astype(int).tolist()
    [[0, 0, 0], [-7, 7, 0]]
    """
    ordered = values.sort(dim=1).values
    low = torch.searchsorted(ordered, values)
    ranks = (low + torch.searchsorted(ordered, values, right=True)) / (2 * values.shape[1])
    scores = torch.special.ndtri(ranks)
    scores -= scores.mean(dim=1, keepdim=True)
    unit: Array = (scores / scores.norm(dim=1, keepdim=True).clamp(min=1e-6)).numpy()
    return unit


def _sample(tensor: Tensor) -> Array:
    flat = tensor.flatten()
    some = flat[:: max(1, flat.numel() // VALUES)]
    values: Array = some.double().cpu().numpy()
    return values


def _statistics(values: Array) -> Array:
    size, spread = math.sqrt(np.mean(values**2)) + 1e-12, values.std() + 1e-12
    tails = np.mean((values - values.mean()) ** 4) / spread**4
    found = [math.log(size), values.mean() / size, math.log(tails + 1e-3), np.mean(values < 0)]
    return np.array(found)


def of_the_others(values: Array, kinds: Array) -> tuple[Array, Array, Array]:
    """For each value the median, spread and number of the others of its kind.

    Examples
    --------
    >>> of_the_others(np.array([1.0, 2.0, 9.0]), np.array([0, 0, 0]))[0]
    array([5.5, 5. , 1.5])
    """
    order = np.lexsort((values, kinds))
    sorted_ = values[order]
    starts = np.flatnonzero(np.diff(kinds[order], prepend=kinds[order][:1] - 1))
    sizes = np.diff(np.append(starts, len(values)))
    start, others = np.repeat(starts, sizes), np.repeat(sizes, sizes) - 1
    rank = np.arange(len(values)) - start

    def nth(place: Array) -> Array:
        place = np.minimum(place + (place >= rank), others)
        found: Array = sorted_[start + place]
        return found

    low, high = nth((others - 1).clip(0) // 4), nth(-(-3 * (others - 1).clip(0) // 4))
    middle = (nth((others - 1).clip(0) // 2) + nth(others // 2)) / 2
    result = np.empty((3, len(values)))
    result[:, order] = np.where(others > 0, middle, 0), (high - low) / 1.35, others
    return result[0], result[1], result[2]
