"""Short form of benchmarks/gain_coverage.py: models are really trained, the truth is known."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

SURE = 0.999  # that a right interval passes, cell by cell
RUNS = 100


@pytest.fixture(scope="module")
def simulation():
    root = str(Path(__file__).parents[2])
    sys.path.insert(0, root)
    yield importlib.import_module("benchmarks.gain_coverage")
    sys.path.remove(root)


def at_least(share, runs):
    return stats.binom.ppf(1 - SURE, runs, share) / runs


def at_most(share, runs):
    return stats.binom.ppf(SURE, runs, share) / runs


def test_thirty_arms_no_better_than_from_scratch_are_hardly_ever_said_to_help(simulation):
    world = simulation.World("regression", rows=30, arms=30, gain="none")
    counted = simulation.simulate(world, 60, seed=1)["neg_mean_squared_error"]
    assert counted["bequest"]["false helps"] <= at_most(0.025, 60)
    assert counted["bequest"]["coverage"] >= at_least(0.93, 60)
    assert counted["resampled rows"]["coverage"] < 0.9  # what the choice does to a naive interval


def test_the_closed_form_truth_is_what_fresh_rows_say(simulation):
    worlds = importlib.import_module("benchmarks.gain_worlds")
    rng = np.random.default_rng(0)
    weights, bias = rng.normal(size=(2, 5, 2)), rng.normal(size=2)
    centre = rng.normal(size=5) / 2
    y = rng.integers(2, size=200_000)
    X = np.where(y[:, None] == 1, centre, -centre) + rng.standard_normal((len(y), 5))
    fresh = worlds._rows(weights, bias, X, y)
    exact = worlds._exact(weights, bias, centre)
    for metric, truth in exact.items():
        np.testing.assert_allclose(fresh[metric].mean(axis=1), truth, atol=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("halving", [False, True])
@pytest.mark.parametrize("arms", [1, 30])
@pytest.mark.parametrize("gain", ["none", "large"])
@pytest.mark.parametrize("kind", ["classification", "regression"])
def test_the_interval_covers_the_gain_of_the_model_handed_over(
    simulation, kind, gain, arms, halving
):
    world = simulation.World(kind, rows=50, arms=arms, gain=gain, halving=halving)
    for counted in simulation.simulate(world, RUNS, seed=2).values():
        assert at_least(0.93, RUNS) <= counted["bequest"]["coverage"] <= at_most(0.98, RUNS)
        assert counted["bequest"]["false helps"] <= at_most(0.025, RUNS)
