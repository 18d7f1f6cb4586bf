import json

import numpy as np
import pytest
from benchmarks.hub_made import outcome_like
from benchmarks.sketch_leak import from_sums, leak, nearest
from hub_tiny import TinyModel
from scipy.stats import beta
from sklearn.cluster import KMeans
from sklearn.datasets import load_iris

from bequest.core import Card, Task
from bequest.errors import DataError
from bequest.hub import Hub
from bequest.hub.embedding import FEATURES, task_features
from bequest.hub.noise import gaussian_noise, sensitivity
from bequest.hub.sketch import (
    LocalSketch,
    TaskSketch,
    distance,
    local_sketch,
    similarity,
    sketch,
    with_sketch,
)


@pytest.fixture(scope="module")
def iris():
    return Task.from_arrays(*load_iris(return_X_y=True), name="iris")


def shared(task, epsilon=1.0, seed=0):
    return sketch(task, epsilon=epsilon, rng=np.random.default_rng(seed))


def test_a_sketch_survives_json_and_is_like_itself(iris):
    made = shared(iris)
    read = TaskSketch.from_dict(json.loads(json.dumps(made.to_dict())))
    assert read.to_dict() == made.to_dict()
    assert similarity(made, read) == pytest.approx(1.0)


def test_halves_of_one_task_are_more_alike_than_two_tasks(iris):
    rows = np.random.default_rng(0).permutation(150)
    one, two = local_sketch(iris.take(rows[:75])), local_sketch(iris.take(rows[75:]))
    X = np.asarray(iris.inputs)
    other = local_sketch(Task.from_arrays(X[:, ::-1] * 5, iris.targets))
    assert similarity(one, two) > 0.95 > similarity(one, other)
    assert distance(one, two) < 0.3 < distance(one, other)
    assert distance(one, one) == 0


@pytest.mark.parametrize("rows", [100, 1000])
def test_what_is_shared_of_a_hundred_rows_still_tells_tasks_apart(rows):
    rng = np.random.default_rng(0)

    def task(centre):
        return Task.from_arrays(rng.normal(size=(rows, 4)) + centre, np.arange(rows) % 2)

    mine = local_sketch(task(0))
    same = [similarity(mine, shared(task(0), seed=seed)) for seed in range(30)]
    far = [similarity(mine, shared(task(2), seed=seed)) for seed in range(30)]
    assert np.mean(same) > 0.9
    assert np.mean(far) < 0.6
    assert min(same) > max(far) or rows == 100
    assert np.mean(np.array(same) > np.array(far)) > 0.95


def test_a_sketch_that_is_lost_in_its_noise_is_like_nothing():
    rng = np.random.default_rng(0)
    few = Task.from_arrays(rng.normal(size=(40, 4)), np.arange(40) % 2)
    mine = local_sketch(Task.from_arrays(rng.normal(size=(40, 4)), np.arange(40) % 2))
    found = [similarity(mine, shared(few, seed=seed)) for seed in range(50)]
    assert np.mean(found) < 0.6
    assert max(found) < 0.95


def test_one_row_moves_what_is_published_by_the_stated_sensitivity(iris):
    row = task_features(iris)[7]
    # In the sum of all rows, in that of its class, and in the count of its class.
    assert np.linalg.norm([*row, *row, 1.0]) == pytest.approx(sensitivity(3))
    assert np.linalg.norm([*row, 1.0]) == pytest.approx(sensitivity(0))


def test_the_noise_has_the_stated_scale(iris):
    clean = task_features(iris).sum(axis=0)
    errors = [np.asarray(shared(iris, 1.0, seed).whole) - clean for seed in range(20)]
    assert np.std(errors) == pytest.approx(gaussian_noise(1.0, 1e-6, sensitivity(3)), rel=0.03)


def test_without_a_generator_no_two_sketches_have_the_same_noise(iris):
    assert sketch(iris).whole != sketch(iris).whole


@pytest.mark.parametrize("epsilon", [0.5, 2.0, 8.0])
def test_a_membership_attack_proves_less_than_the_stated_epsilon(epsilon):
    # The strongest attacker: knows every other row and looks along the one in question.
    rng, delta, runs = np.random.default_rng(0), 1e-6, 200_000
    moved = sensitivity(3)
    noise = gaussian_noise(epsilon, delta, moved)
    without, with_it = rng.normal(size=runs) * noise, rng.normal(size=runs) * noise + moved
    cut = np.quantile(without, 0.99)
    true = beta.ppf(0.025, (with_it > cut).sum(), (with_it <= cut).sum() + 1)
    false = beta.ppf(0.975, (without > cut).sum() + 1, (without <= cut).sum())
    proved = np.log((true - delta) / false)
    assert 0 < proved < epsilon


def test_k_means_embeddings_give_rows_away(iris):
    X = np.asarray(iris.inputs, dtype=float)
    centres = KMeans(100, n_init=1, random_state=0).fit(X).cluster_centers_
    assert np.mean(nearest(X, centres) < 1e-5) > 0.35


@pytest.mark.parametrize("epsilon", [1.0, 8.0])
def test_rows_made_to_fit_what_is_shared_are_nearer_to_no_row_than_fresh_samples_are(iris, epsilon):
    found = leak(iris, from_sums(iris, np.array(shared(iris, epsilon).sums), steps=500))
    assert found["in reach"] == 0
    assert found["nearest"] == 0  # of 150 rows, none; 99 fresh samples each
    assert found["nearer"] < 0.5


def test_without_noise_the_last_row_is_no_secret_so_nothing_without_it_can_be_written(iris):
    others = local_sketch(iris.take(np.arange(1, 150))).mean * 149
    assert np.abs(local_sketch(iris).mean * 150 - others - task_features(iris)[0]).max() < 1e-9
    assert not hasattr(LocalSketch, "to_dict")
    with pytest.raises(TypeError, match="not JSON serializable"):
        json.dumps(local_sketch(iris))
    with pytest.raises(DataError, match="has no noise"):
        TaskSketch.from_dict({**shared(iris).to_dict(), "noise": 0.0})


def test_a_class_of_few_rows_is_hidden_in_the_noise(iris):
    few = iris.take(np.r_[0:5, 50:150])
    assert abs(shared(few).counts[0] - 5) < 5 * shared(few).noise
    assert sum(shared(few).shares) == pytest.approx(1.0)


@pytest.mark.parametrize("epsilon", [0.0, -1.0, float("nan"), float("inf"), 1000.0])
def test_an_epsilon_that_protects_nothing_is_refused(iris, epsilon):
    with pytest.raises(DataError, match="epsilon must be above 0 and at most 100"):
        sketch(iris, epsilon=epsilon)


@pytest.mark.parametrize(
    "damage",
    [
        {"version": 9},
        {"format": 1},
        {"sums": [[1.0]]},
        {"whole": [1.0]},
        {"noise": -1.0},
        {"epsilon": None},
        {"counts": ["nan", 1, 1]},
    ],
)
def test_damaged_sketches_are_refused(iris, damage):
    with pytest.raises(DataError):
        TaskSketch.from_dict({**shared(iris).to_dict(), **damage})


def test_a_hub_finds_a_model_by_the_sketch_on_its_card_and_those_of_past_targets(tmp_path):
    def of(seed, centre, rows=400):
        values = np.random.default_rng(seed).normal(size=(rows, 4)) + centre
        return Task.from_arrays(values, np.arange(rows) % 2)

    hub = Hub(tmp_path / "hub")
    for name, centre in (("low", -2.0), ("high", 2.0)):
        card = with_sketch(Card(task=of(0, centre).describe()), shared(of(0, centre)))
        hub.publish(TinyModel([1.0, 0, 0, 0], card), name, licence="MIT")
    for seed in range(1, 13):
        task = of(seed, centre := 2.0 if seed % 2 else -2.0)
        for name, fits in (("low@1", centre < 0), ("high@1", centre > 0)):
            hub.record(with_sketch(outcome_like(task, name, 0.2 * fits), shared(task, seed=seed)))
    assert [one.name for one in hub.suggest(of(99, -2.0))] == ["low@1", "high@1"]
    assert [one.name for one in hub.suggest(of(98, 2.0))] == ["high@1", "low@1"]


def test_only_a_sketch_with_noise_goes_onto_a_card(iris):
    with pytest.raises(DataError, match="a LocalSketch is not for others"):
        with_sketch(Card(), local_sketch(iris))


def test_tables_texts_and_numbers_to_predict_have_sketches():
    rng = np.random.default_rng(0)
    table = {"age": rng.normal(60, 9, 60), "ward": list("ab" * 30), "ill": list("ynny" * 15)}
    assert len(shared(Task.from_table(table, "ill")).sums[0]) == FEATURES
    texts = Task.from_text(
        [f"good film {i}" for i in range(20)] + ["dull"] * 20, [1] * 20 + [0] * 20
    )
    assert similarity(local_sketch(texts), local_sketch(texts)) == pytest.approx(1.0)
    numbers = shared(Task.from_arrays(rng.normal(size=(60, 2)), rng.normal(size=60)))
    assert (numbers.sums, len(numbers.counts)) == ((), 1)
    assert similarity(numbers, local_sketch(texts)) == 0
    with pytest.raises(DataError, match="have no distance"):
        distance(numbers, local_sketch(texts))
