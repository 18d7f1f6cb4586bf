"""How far two networks' weights agree beyond chance.

O and I are the two sides of a weight, K what lies between (a kernel's pixels).

Two networks that were trained independently agree by chance only, since the order of their hidden
units is drawn by the initial weights: were the units of one shuffled, it would be as likely. The
mean and the variance of the agreement over all shuffles are known in closed form.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

__all__ = ["SMALLEST_SIDE", "Agreement", "agreement", "centred"]

Array = NDArray[Any]
SMALLEST_SIDE = 8  # with fewer units a side, too few shuffles differ
_LARGEST_SIDE = 512  # rows and columns that are looked at; more make the number no surer


@final
@dataclass(frozen=True)
class Agreement:
    """What two sets of weights have in common."""

    tensors: int  # that could be compared; 0: nothing can be said
    correlation: float  # of all together, without what a row or a column has on the average
    surprise: float  # standard deviations above what independent networks have


def agreement(first: Mapping[str, Array], second: Mapping[str, Array]) -> Agreement:
    """Compare the tensors that two models have under one name in one shape, two sides of 8 or more.

    References
    ----------
    Hoeffding, "A combinatorial central limit theorem", Annals of Mathematical Statistics 1951 (the
    variance over all shuffles); Zhu et al., "Independence tests for language models", ICML 2025.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> one, other = ({"w": rng.normal(size=(32, 32))} for _ in range(2))
    >>> near = {"w": one["w"] + 0.1 * other["w"]}
    >>> agreement(one, near).surprise > 20, abs(agreement(one, other).surprise) < 4
    (True, True)
    """
    inner = own = others = surprise = 0.0
    count = 0
    for name, values in first.items():
        if name not in second or np.shape(second[name]) != np.shape(values):
            continue
        one, other = centred(values), centred(second[name])
        if one is None or other is None:
            continue
        shared = float((one * other).sum())
        spread = max(_spread(one, other, side) for side in (0, 1))
        if spread <= 0:
            continue
        count += 1
        inner += shared
        own += float((one**2).sum())
        others += float((other**2).sum())
        surprise += shared / spread
    if not count:
        return Agreement(0, 0.0, 0.0)
    return Agreement(count, inner / float(np.sqrt(own * others)), surprise / float(np.sqrt(count)))


def centred(values: Array) -> Array | None:
    """A weight as (O, I, K), less the means of its rows and columns; None where it is too small."""
    array = np.asarray(values)
    if array.ndim < 2 or min(array.shape[:2]) < SMALLEST_SIDE or array.dtype.kind != "f":
        return None
    cube = array.reshape(*array.shape[:2], -1)
    steps = [-(-side // _LARGEST_SIDE) for side in cube.shape[:2]]
    cube = cube[:: steps[0], :: steps[1]].astype(np.float64)
    cube = cube - cube.mean(axis=0, keepdims=True)
    return np.asarray(cube - cube.mean(axis=1, keepdims=True))


def _spread(first: Array, second: Array, side: int) -> float:
    """Standard deviation of the inner product over all orders of one side's units."""
    units = first.shape[side]
    rows = [np.moveaxis(cube, side, 0).reshape(units, -1) for cube in (first, second)]
    return float(np.linalg.norm(rows[0] @ rows[1].T) / np.sqrt(units - 1))
