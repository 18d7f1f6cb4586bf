"""Whether one network stands inside of a wider one: its units are some of the other's.

Layers are followed in their order: the units found in one layer are the columns of the next.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

__all__ = ["Containment", "containment"]

Array = NDArray[Any]
_SHUFFLES = 20
_CLOSE = 0.98  # cosine from which a unit counts as a repetition of another


@final
@dataclass(frozen=True)
class Containment:
    """How well a small network's units are found in a wide one."""

    tensors: int  # that could be compared with chance; 0: nothing can be said
    cosine: float  # mean over them, of a unit's weights and those found for it
    surprise: float  # standard deviations above the same search with its columns in a random order
    # Share of the wide one's other units that repeat one of the small one's, or are zero
    repeated: float
    kept_larger: float  # chance that a unit found is larger than one that is not
    prefix: bool  # the units found are the first ones, in order


@final
@dataclass(frozen=True)
class _Layer:
    """One weight of both: rows by columns, the columns being units of the layer before."""

    small: Array
    wide: Array


def containment(small: Mapping[str, Array], wide: Mapping[str, Array]) -> Containment:
    """Find the units of a small network among those of a wide one; weights are (out, in, ...).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> wide = {"a": rng.normal(size=(30, 12)), "b": rng.normal(size=(20, 30))}
    >>> kept = np.arange(3, 30, 2)
    >>> found = containment({"a": wide["a"][kept], "b": wide["b"][:, kept]}, wide)
    >>> round(found.cosine, 3), found.surprise > 6
    (1.0, True)
    """
    known: dict[tuple[int, int], list[Array]] = {}
    cosines: list[float] = []
    surprises: list[float] = []
    about: list[tuple[float, float, bool]] = []
    for first, layer in enumerate(_layers(small, wide)):
        columns = _columns(layer, known)
        if columns is None:
            continue
        cosine, rows, surprise = max(
            (_matched(layer, chosen, known) for chosen in columns), key=lambda found: found[0]
        )
        sides = (layer.small.shape[0], layer.wide.shape[0])
        if sides[0] < sides[1]:
            known.setdefault(sides, []).append(rows)
            about.append(_of_others(layer.wide, rows))
        if first and surprise is not None:
            cosines.append(cosine)
            surprises.append(surprise)
    if not surprises or not about:
        return Containment(0, 0.0, 0.0, 0.0, 0.5, False)
    repeated, larger = (float(np.mean([entry[place] for entry in about])) for place in (0, 1))
    return Containment(
        tensors=len(surprises),
        cosine=float(np.mean(cosines)),
        surprise=float(np.sum(surprises) / np.sqrt(len(surprises))),
        repeated=repeated,
        kept_larger=larger,
        prefix=all(entry[2] for entry in about),
    )


def _layers(small: Mapping[str, Array], wide: Mapping[str, Array]) -> Iterator[_Layer]:
    for name, values in small.items():
        ours, theirs = np.asarray(values), np.asarray(wide.get(name, 0.0))
        if ours.ndim < 2 or ours.ndim != theirs.ndim or ours.shape[2:] != theirs.shape[2:]:
            continue
        if any(a > b for a, b in zip(ours.shape, theirs.shape, strict=True)):
            continue
        cubes = [array.reshape(*array.shape[:2], -1).astype(np.float64) for array in (ours, theirs)]
        yield _Layer(*cubes)


def _columns(layer: _Layer, known: Mapping[tuple[int, int], list[Array]]) -> list[Array] | None:
    """Which of the wide layer's columns may be the small one's; None where nothing tells."""
    sides = (layer.small.shape[1], layer.wide.shape[1])
    if sides[0] == sides[1]:
        return [np.arange(sides[0])]
    return known.get(sides)


def _matched(
    layer: _Layer, columns: Array, known: Mapping[tuple[int, int], list[Array]]
) -> tuple[float, Array, float | None]:
    """Mean cosine of the best rows, those rows, and how far above chance the cosine is."""
    ours = _unit(layer.small.reshape(len(layer.small), -1))
    cosine, rows = _best(ours, layer.wide[:, columns], known)
    # The order of the inputs is no accident, so chance is asked only of layers behind them.
    rng = np.random.default_rng(0)
    drawn = [
        _best(ours, layer.wide[:, rng.permutation(columns)], known)[0] for _ in range(_SHUFFLES)
    ]
    spread = float(np.std(drawn))
    return cosine, rows, (cosine - float(np.mean(drawn))) / spread if spread > 0 else None


def _best(
    ours: Array, wide: Array, known: Mapping[tuple[int, int], list[Array]]
) -> tuple[float, Array]:
    table = ours @ _unit(wide.reshape(len(wide), -1)).T
    if table.shape[0] == table.shape[1]:
        rows = np.arange(len(table))  # the same units on both sides: their order stands
    else:
        rows = np.asarray(table.argmax(axis=1))
    options = [rows, *known.get((table.shape[0], table.shape[1]), [])]
    means = [float(table[np.arange(len(table)), chosen].mean()) for chosen in options]
    best = int(np.argmax(means))
    return means[best], options[best]


def _of_others(wide: Array, rows: Array) -> tuple[float, float, bool]:
    """Of the rows not found: the share that repeats; the chance that a found one is larger."""
    flat = wide.reshape(len(wide), -1)
    others = np.setdiff1d(np.arange(len(flat)), rows)
    norms = np.linalg.norm(flat, axis=1)
    closest = (_unit(flat[others]) @ _unit(flat[rows]).T).max(axis=1)
    repeated = (closest > _CLOSE) | (norms[others] < 1e-3 * norms.max())
    larger = (norms[rows][:, None] > norms[others][None]).mean()
    return float(repeated.mean()), float(larger), bool((rows == np.arange(len(rows))).all())


def _unit(rows: Array) -> Array:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(lengths > 0, lengths, 1.0))
