"""Whether two networks give the same: their outputs, and what their operations give on the way."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from bequest.mapping.tracing.running import summary

__all__ = ["outputs_difference", "same_values"]

CLOSE = 2e-3  # relative difference of two summaries that rounding explains
SAME = 1e-4  # largest difference of outputs of one function, times the outputs' spread


def outputs_difference(expected: Sequence[Tensor], actual: Sequence[Tensor]) -> float | None:
    """Largest difference of two networks' results; None where one is not the other's.

    Where one gives more than the other (a library adds what it has in memory), all that the other
    gives must be found among it, in order.
    """
    few, many = sorted((list(expected), list(actual)), key=len)
    rest = iter(many)
    worst = None
    for tensor in few:
        differences = (_close(other, tensor) for other in rest)
        found = next((value for value in differences if value is not None), None)
        if found is None:
            return None
        worst = max(found, worst or 0.0)
    return worst


def _close(one: Tensor, other: Tensor) -> float | None:
    if one.shape != other.shape:
        return None
    if not one.numel():
        return 0.0
    difference = float((one.double() - other.double()).abs().max())
    low, high = torch.aminmax(one.double())
    size = max(abs(float(low)), abs(float(high)))
    spread = max(float(high - low), 0.01 * size) if one.numel() > 1 else size
    return difference if difference <= SAME * spread else None


def same_values(one: Tensor, other: Tensor) -> bool:
    """Whether the two hold the same values, in any order, those of `one` perhaps several times."""
    first, second = summary(one), summary(other)
    if one.numel() % max(1, other.numel()):  # some more often than others: only extremes compare
        first, second = first[2:], second[2:]
    scale = first.abs().clamp_min(second.abs()).clamp_min(1e-6)
    return bool(((first - second).abs() <= CLOSE * scale.max()).all())
