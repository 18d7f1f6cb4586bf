"""Positions for the nodes of a graph: near what they are joined to, apart from all else.

N nodes, E edges, P parts of one size, n nodes in a part, G cells along one side of the grid.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft, sparse
from scipy.sparse.csgraph import connected_components

__all__ = ["lay_out"]

Array = NDArray[Any]
FEW = 96  # nodes of a part up to which every pair is looked at
ROOM = 1.5  # between two parts, in the length of an edge
REACH = 0.1  # of a push, in the width of a part: without an end, leaves are driven to its rim
WIDE = 1.5  # width of the whole, in its height


def lay_out(nodes: int, edges: Array, weights: Array | None = None) -> Array:
    """Place the nodes of a graph by forces: edges pull, all nodes push each other away.

    `edges` (E, 2) are pairs of nodes, 0 to N - 1; `weights` (E,), above zero, how strongly each
    pulls. The places (N, 2) are in the length of a usual edge, and the same for the same graph;
    parts that nothing joins stand beside each other, and do not overlap.

    References
    ----------
    Fruchterman and Reingold, Software: Practice and Experience, 1991 (forces and cooling);
    Hockney and Eastwood, Computer Simulation Using Particles, 1981 (forces by a grid).

    Examples
    --------
    >>> places = lay_out(4, np.array([[0, 1], [1, 2]]))
    >>> places.shape, bool(np.isfinite(places).all())
    ((4, 2), True)
    """
    edges = np.asarray(edges, dtype=np.int64).reshape(-1, 2)
    pull = np.ones(len(edges)) if weights is None else np.asarray(weights, dtype=np.float64)
    joined = sparse.coo_array((pull, (edges[:, 0], edges[:, 1])), shape=(nodes, nodes)).tocsr()
    joined = (joined + joined.T).tocsr()
    joined.setdiag(0)
    joined.data = np.sqrt(joined.data)  # ten transfers do not pull as ten edges
    _, part = connected_components(joined, directed=False)
    order = np.argsort(part, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(part[order])) + 1) if nodes else []
    places = np.zeros((nodes, 2))
    for size in {len(members) for members in parts} - {1}:
        alike = np.array([members for members in parts if len(members) == size])
        if size <= FEW:
            inside = np.stack([joined[rows][:, rows].toarray() for rows in alike])
            places[alike] = _by_pairs(inside)
        else:
            for rows in alike:
                places[rows] = _by_grid(joined[rows][:, rows].tocsr())
    _pack(places, parts)
    return places


def _by_pairs(joined_Pnn: Array) -> Array:
    """Small parts, all of one size at once."""
    parts, n, _ = joined_Pnn.shape
    angle = np.arange(n) * 2.399963  # the golden angle: no two nodes start in one place
    start = np.stack([np.cos(angle), np.sin(angle)], axis=1) * np.sqrt(np.arange(n) + 0.5)[:, None]
    places = np.broadcast_to(start, (parts, n, 2)).copy()
    for heat in np.linspace(0.6, 0.02, 60 if n > 2 else 20):
        away = places[:, :, None] - places[:, None]
        far = np.maximum((away**2).sum(axis=-1), 1e-6)
        force = away * (1 / far - joined_Pnn * np.sqrt(far))[..., None]
        places += _limited(force.sum(axis=2), heat)
    return places


def _by_grid(joined: sparse.csr_array[Any]) -> Array:
    """One large part: nodes push each other through a grid, as masses do in a field."""
    n = joined.shape[0]
    places: Array = _smooth(joined) * np.sqrt(n)
    steps = int(np.clip(6e5 / n, 80, 200))
    # Attraction grows with the number of edges; a hub of thousands is not torn apart by them.
    strength = sparse.diags_array(1 / np.sqrt(np.maximum(joined.sum(axis=1), 1.0)))
    pull = (strength @ joined + joined @ strength).tocsr() / 2
    total = pull.sum(axis=1)[:, None]
    for heat in np.geomspace(0.12 * np.sqrt(n), 0.05, steps):
        force = 2.0 * _pushed(places) + pull @ places - total * places
        places += _limited(force, heat)
    return places


def _smooth(joined: sparse.csr_array[Any]) -> Array:
    """Two slow waves over the graph, by power iteration: nodes that are joined start together."""
    n = joined.shape[0]
    waves = np.random.default_rng(0).normal(size=(n, 2))
    degree = joined.sum(axis=1)[:, None]
    for _ in range(60):
        waves = 0.5 * waves + 0.5 * (joined @ waves) / degree
        waves -= (degree * waves).sum(axis=0) / degree.sum()
        waves, _ = np.linalg.qr(waves)
    ranks: Array = waves.argsort(axis=0).argsort(axis=0) / n - 0.5
    return ranks + 0.02 * np.random.default_rng(1).normal(size=(n, 2))


def _pushed(places: Array) -> Array:
    """What all other nodes do to each: a force that falls with the distance."""
    cells = int(2 ** np.ceil(np.log2(np.clip(1.5 * np.sqrt(len(places)), 16, 256))))
    low = places.min(axis=0)
    width = max(float(np.ptp(places, axis=0).max()), 1e-9) / (cells - 2)
    at = (places - low) / width
    corner = at.astype(np.int64)
    rest = at - corner
    shares, where = [], []
    for dx, dy in ((0, 0), (0, 1), (1, 0), (1, 1)):
        shares.append(np.abs(1 - dx - rest[:, 0]) * np.abs(1 - dy - rest[:, 1]))
        where.append((corner[:, 0] + dx) * cells + corner[:, 1] + dy)
    mass = np.bincount(np.concatenate(where), np.concatenate(shares), minlength=cells * cells)
    padded = (2 * cells, 2 * cells)
    spectrum = fft.rfft2(mass.reshape(cells, cells), padded)
    force = np.zeros_like(places)
    for axis, kernel in enumerate(_kernels(cells)):
        field = fft.irfft2(spectrum * kernel, padded)[:cells, :cells].ravel()
        force[:, axis] = sum(s * field[w] for s, w in zip(shares, where, strict=True)) / width
    return force


@cache
def _kernels(cells: int) -> tuple[Array, Array]:
    """The push of one mass on every cell around it, along both axes, as spectra."""
    step = fft.fftfreq(2 * cells, 1 / (2 * cells))
    x, y = np.meshgrid(step, step, indexing="ij")
    far = x**2 + y**2 + 0.5  # within one cell the push is weak: nothing is known there
    push = np.exp(-far / (REACH * cells) ** 2) / far
    return fft.rfft2(x * push), fft.rfft2(y * push)


def _limited(force: Array, heat: float) -> Array:
    """The step that a force makes: not longer than the heat allows."""
    length = np.sqrt((force**2).sum(axis=-1, keepdims=True))
    step: Array = force * (np.minimum(length, heat) / np.maximum(length, 1e-12))
    return step


def _pack(places: Array, parts: list[Array]) -> None:
    """Move the parts beside each other: in shelves of columns, the largest first."""
    boxes = []
    for rows in parts:
        places[rows] -= places[rows].min(axis=0)
        if np.ptp(places[rows, 1]) > np.ptp(places[rows, 0]):
            places[rows] = places[rows][:, ::-1]  # lie, do not stand
        boxes.append(places[rows].max(axis=0) + ROOM)
    if not boxes:
        return
    width = max(max(box[0] for box in boxes), float(np.sqrt(WIDE * sum(map(np.prod, boxes)))))
    left = top = used = column = shelf = 0.0  # used: of the column's height
    for number in sorted(range(len(parts)), key=lambda k: (-boxes[k][1], -boxes[k][0], k)):
        wide, high = boxes[number]
        if used + high > shelf * 1.0001 or wide > column * 1.0001:  # a column of its own
            left, used, column = left + column, 0.0, wide
            if left + wide > width * 1.0001 or not shelf:
                left, top, shelf = 0.0, top + shelf, high
        places[parts[number]] += (left, top + used)
        used += high
    places[:, 1] *= -1  # the first shelf on top
