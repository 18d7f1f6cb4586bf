from __future__ import annotations

import itertools
import time

import numpy as np
import pytest

from bequest.report.graph_layout import lay_out


def hubs(tasks=30, models=2000, groups=5, seed=0):
    """Models that are joined to tasks of one group; (N, edges)."""
    rng = np.random.default_rng(seed)
    edges = []
    for model in range(tasks, tasks + models):
        group = rng.integers(groups)
        near = [task for task in range(tasks) if task % groups == group]
        edges += [(model, rng.choice(near)) for _ in range(2)]
    edges += [(group, (group + 1) % groups) for group in range(groups)]
    return tasks + models, np.array(edges)


def parts(sizes):
    """Stars that nothing joins."""
    edges, first = [], 0
    for size in sizes:
        edges += [(first, first + leaf) for leaf in range(1, size)]
        first += size
    return first, np.array(edges, dtype=np.int64).reshape(-1, 2)


def lengths(places, pairs):
    return np.linalg.norm(places[pairs[:, 0]] - places[pairs[:, 1]], axis=1)


def boxes(places, sizes):
    ends = np.cumsum(sizes)
    for first, last in zip(ends - sizes, ends, strict=True):
        yield places[first:last].min(axis=0), places[first:last].max(axis=0)


@pytest.mark.parametrize("graph", [hubs(), parts([5, 5, 1, 200])], ids=["hubs", "parts"])
def test_the_same_graph_has_the_same_positions(graph):
    assert (lay_out(*graph) == lay_out(*graph)).all()


@pytest.mark.parametrize(
    "graph",
    [
        (0, []),
        (1, []),
        (3, []),
        (2, [(0, 1), (0, 1), (1, 0)]),
        (2, [(0, 0)]),
        (300, [(i, (i + 1) % 300) for i in range(300)]),
        (150, list(itertools.combinations(range(150), 2))),
        parts([500]),
    ],
    ids=["none", "one", "three", "twice", "itself", "ring", "complete", "star"],
)
def test_every_node_of_any_graph_has_a_place_of_its_own(graph):
    nodes, edges = graph
    places = lay_out(nodes, edges)
    assert places.shape == (nodes, 2)
    assert np.isfinite(places).all()
    if nodes > 1:
        far = np.linalg.norm(places[:, None] - places[None], axis=-1)
        assert far[~np.eye(nodes, dtype=bool)].min() > 1e-3


def test_what_is_joined_stands_nearer_than_any_two():
    nodes, edges = hubs()
    places = lay_out(nodes, edges)
    rng = np.random.default_rng(1)
    random = rng.integers(nodes, size=(5000, 2))
    assert np.median(lengths(places, edges)) < 0.5 * np.median(lengths(places, random))


def test_a_strong_edge_is_shorter_than_a_weak_one():
    edges = np.array([(0, 1), (1, 2), (2, 3), (3, 0)])
    places = lay_out(4, edges, np.array([1.0, 0.01, 1.0, 0.01]))
    strong, weak = lengths(places, edges)[::2], lengths(places, edges)[1::2]
    assert strong.max() < weak.min()


def test_parts_that_nothing_joins_do_not_overlap():
    sizes = np.array([300, 3, 40, 40, 1, 1, 1, 130, 7, 2] * 2)
    found = list(boxes(lay_out(*parts(sizes)), sizes))
    for (low, high), (other_low, other_high) in itertools.combinations(found, 2):
        assert (high < other_low).any() or (other_high < low).any()


def test_ten_thousand_nodes_are_placed_in_ten_seconds_of_work():
    nodes, edges = hubs(300, 9700, 12)
    start = time.process_time()
    lay_out(nodes, np.concatenate([edges, edges[:10_000]]))
    assert time.process_time() - start < 10  # 1.4 s on an idle machine
