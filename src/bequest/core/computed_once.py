"""Inside one call, what several models ask of the same part is computed once.

N samples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, final

from numpy.typing import NDArray

from bequest.core.inputs import Inputs, fingerprint

__all__ = ["computed_once", "once"]

Array = NDArray[Any]


@contextmanager
def computed_once(owners: Iterable[object]) -> Iterator[None]:
    """Compute inside what these owners give for the same samples once, and forget it at the end.

    For models that are asked one after the other and share a part. It does not look at single rows
    as a `FeatureCache` does: that pays over many calls, this within one.

    Parameters
    ----------
    owners : iterable of object
        Modules, estimators, functions; those of a block around this one stay.

    Examples
    --------
    >>> import numpy as np
    >>> seen = []
    >>> def double(X):
    ...     seen.append(len(X))
    ...     return 2 * X
    >>> X = np.ones((3, 1), dtype=np.float32)
    >>> with computed_once([double]):
    ...     _ = once(double, "", X, double), once(double, "", X.copy(), double)
    >>> seen
    [3]
    """
    before = _HELD.get()
    known: Mapping[int, object] = {} if before is None else before.owners
    results = {} if before is None else before.results
    active = _HELD.set(_Held({**known, **{id(owner): owner for owner in owners}}, results))
    try:
        yield
    finally:
        _HELD.reset(active)


def once(owner: object, key: str, inputs: Inputs, compute: Callable[[Inputs], Array]) -> Array:
    """What `compute` gives for these inputs, as in `bequest.core.feature_cache.cached`."""
    held = _HELD.get()
    if held is None or id(owner) not in held.owners:
        return compute(inputs)
    # By content: each model turns what a person gave into inputs of its own.
    place = (id(owner), key, fingerprint(inputs))
    if place not in held.results:
        held.results[place] = compute(inputs)
    return held.results[place].copy()


@final
@dataclass(frozen=True, eq=False)
class _Held:
    """Owners by their id, kept so that no id is given to another object, and what they gave."""

    owners: Mapping[int, object]
    results: dict[tuple[int, str, str], Array] = field(default_factory=dict)


_HELD: ContextVar[_Held | None] = ContextVar("computed_once", default=None)
