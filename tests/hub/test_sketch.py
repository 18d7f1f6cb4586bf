import json

import numpy as np
import pytest
import torch
from scipy.stats import beta
from sklearn.cluster import KMeans
from sklearn.datasets import load_iris

from bequest.core import Task
from bequest.errors import DataError
from bequest.hub.common_space import direction
from bequest.hub.sketch import (
    FEATURES,
    SENSITIVITY,
    TaskSketch,
    _frequencies,
    gaussian_noise,
    sketch,
    task_features,
)


@pytest.fixture(scope="module")
def iris():
    return Task.from_arrays(*load_iris(return_X_y=True), name="iris")


def nearest(rows, points):
    return np.sqrt(((rows[:, None] - points[None]) ** 2).sum(-1)).min(1)


def test_a_sketch_survives_json_and_is_like_itself(iris):
    made = sketch(iris)
    read = TaskSketch.from_dict(json.loads(json.dumps(made.to_dict())))
    assert read == made or read.sums == made.sums
    assert made.similarity(read) == pytest.approx(1.0)
    assert made.distance(read) == pytest.approx(0.0, abs=1e-6)


def test_halves_of_one_task_are_more_alike_than_two_tasks(iris):
    rows = np.random.default_rng(0).permutation(150)
    one, two = sketch(iris.take(rows[:75])), sketch(iris.take(rows[75:]))
    X = np.asarray(iris.inputs)
    other = sketch(Task.from_arrays(X[:, ::-1] * 5, iris.targets))
    assert one.similarity(two) > 0.95 > one.similarity(other)


def test_one_row_moves_sums_and_count_by_the_stated_sensitivity(iris):
    length = np.linalg.norm(np.append(task_features(iris)[7], 1.0))
    assert length == pytest.approx(SENSITIVITY)


def test_the_noise_has_the_stated_scale(iris):
    rng = np.random.default_rng(0)
    clean = np.asarray(sketch(iris).sums)
    errors = [np.asarray(sketch(iris, epsilon=1.0, rng=rng).sums) - clean for _ in range(20)]
    assert np.std(errors) == pytest.approx(gaussian_noise(1.0, 1e-6, SENSITIVITY), rel=0.02)


@pytest.mark.parametrize("epsilon", [0.5, 2.0, 8.0])
def test_a_membership_attack_proves_less_than_the_stated_epsilon(epsilon):
    # The strongest attacker: knows every other row and looks along the one in question.
    rng, delta, runs = np.random.default_rng(0), 1e-6, 200_000
    noise = gaussian_noise(epsilon, delta, SENSITIVITY)
    without, with_it = rng.normal(size=runs) * noise, rng.normal(size=runs) * noise + SENSITIVITY
    cut = np.quantile(without, 0.99)
    true = beta.ppf(0.025, (with_it > cut).sum(), (with_it <= cut).sum() + 1)
    false = beta.ppf(0.975, (without > cut).sum() + 1, (without <= cut).sum())
    proved = np.log((true - delta) / false)
    assert 0 < proved < epsilon


def test_k_means_embeddings_give_rows_away(iris):
    X = np.asarray(iris.inputs, dtype=float)
    centres = KMeans(100, n_init=1, random_state=0).fit(X).cluster_centers_
    assert np.mean(nearest(X, centres) < 1e-5) > 0.35


def test_without_noise_the_last_row_is_no_secret_to_who_knows_the_others(iris):
    left = (
        np.asarray(sketch(iris).sums)[0] - np.asarray(sketch(iris.take(np.arange(1, 150))).sums)[0]
    )
    assert np.abs(left - task_features(iris)[0]).max() < 1e-5


def test_a_class_of_few_rows_is_not_published_without_noise(iris):
    few = iris.take(np.r_[0:5, 50:150])
    with pytest.raises(DataError, match="has 5 rows, 16 are the least"):
        sketch(few)
    assert sketch(few, epsilon=1.0, rng=np.random.default_rng(0)).private


@pytest.mark.parametrize("damage", [{"version": 9}, {"sums": [[1.0]]}, {"noise": -1.0}])
def test_damaged_sketches_are_refused(iris, damage):
    with pytest.raises(DataError):
        TaskSketch.from_dict({**sketch(iris).to_dict(), **damage})


def test_tables_and_texts_have_sketches():
    rng = np.random.default_rng(0)
    table = {"age": rng.normal(60, 9, 60), "ward": list("ab" * 30), "ill": list("ynny" * 15)}
    assert len(sketch(Task.from_table(table, "ill")).sums[0]) == FEATURES
    texts = Task.from_text(
        [f"good film {i}" for i in range(20)] + ["dull"] * 20, [1] * 20 + [0] * 20
    )
    assert sketch(texts).similarity(sketch(texts)) == pytest.approx(1.0)


def test_rows_made_to_fit_the_sums_are_no_closer_to_the_rows_than_a_fresh_sample(iris):
    for label in range(3):
        rows = np.asarray(iris.inputs, dtype=float)[iris.targets == label]
        wanted = torch.tensor(sketch(iris).sums[label], dtype=torch.float64)
        generator = np.random.default_rng(label)
        fresh = generator.multivariate_normal(rows.mean(0), np.cov(rows.T), len(rows))
        made = fitted(wanted, generator.uniform(rows.min(0), rows.max(0), size=rows.shape))
        assert nearest(rows, made).min() > 1e-2
        assert np.mean(nearest(rows, made) < nearest(rows, fresh)) < 0.55


def fitted(wanted, start):
    """The attack: as many rows as there are, moved until their features add up to the sums."""
    names = np.stack([direction(f"place {place}") for place in range(start.shape[1])])
    maps = torch.tensor(names / np.sqrt(start.shape[1]) @ _frequencies())
    guess = torch.tensor(start, requires_grad=True)
    steps = torch.optim.Adam([guess], lr=0.05)
    slower = torch.optim.lr_scheduler.CosineAnnealingLR(steps, 1500)
    for _ in range(1500):
        steps.zero_grad()
        angles = torch.asinh(guess) @ maps
        found = torch.cat([angles.cos(), angles.sin()], 1).sum(0) / np.sqrt(FEATURES / 2)
        ((found - wanted) ** 2).sum().backward()
        steps.step()
        slower.step()
    return guess.detach().numpy()
