import datetime
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from benchmarks.hub_made import outcome_like
from benchmarks.sketch_leak import from_sums, leak, nearest
from hub_tiny import TinyModel
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.stats import beta
from sklearn.cluster import KMeans
from sklearn.datasets import load_iris

import bequest as bq
from bequest.api.overlap import overlap, with_row_fingerprints
from bequest.core import Card, Outcome, Task
from bequest.data.cells import number_in
from bequest.errors import DataError
from bequest.hub import Hub
from bequest.hub.sketches.embedding import FEATURES, task_features
from bequest.hub.sketches.noise import gaussian_noise, sensitivity
from bequest.hub.sketches.task_sketch import (
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


DATES = st.datetimes(datetime.datetime(1000, 1, 1), datetime.datetime(2999, 1, 1))
CELLS = st.one_of(
    st.none(),
    st.just(float("nan")),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(allow_nan=False, allow_infinity=False, width=32).map(np.float32),
    st.decimals(allow_nan=True, allow_infinity=False, places=3).filter(lambda d: not d.is_snan()),
    st.dates(datetime.date(1000, 1, 1)),
    DATES,
    DATES.map(lambda date: date.replace(tzinfo=datetime.UTC)),
    DATES.map(lambda d: d.replace(tzinfo=datetime.timezone(datetime.timedelta(hours=5)))),
    st.timedeltas(datetime.timedelta(-9999), datetime.timedelta(9999)),
    st.times(),
    st.text(max_size=6),
    st.sampled_from(["3", "3.50", "1,5", "1e999", "0x1F", "TRUE", "2024-01-05", "10:00", "nan"]),
)


def moved_by(make, cells, row):
    """How far one row moves the sums over all rows and over its class, and the counts."""
    labels = ["a", "b"] * 2 + ["a"] * len(cells)  # no class is lost with a row
    rest = [None] * 4  # of no type: what the column is hangs on the others
    with_it = make([*rest, *cells], labels)
    without = make([*rest, *cells[:row], *cells[row + 1 :]], labels[:-1])
    moved = []
    for task, sign in ((with_it, 1), (without, -1)):
        features = task_features(task)
        sums = [features[task.targets == place].sum(axis=0) for place in (0, 1)]
        counts = np.bincount(task.targets)
        moved.append(sign * np.concatenate([features.sum(axis=0), *sums, counts]))
    return np.linalg.norm(moved[0] + moved[1])


def of_frame(cells, labels):
    frame = pd.DataFrame({"x": pd.Series(cells, dtype=object), "t": labels})
    return Task.from_table(frame, "t")


def of_lists(cells, labels):
    return Task.from_table({"x": cells, "t": labels}, "t")


@pytest.mark.parametrize("make", [of_frame, of_lists])
@given(cells=st.lists(CELLS, min_size=1, max_size=8), data=st.data())
@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_row_of_any_types_moves_the_sums_by_more_than_the_stated_sensitivity(make, cells, data):
    row = data.draw(st.integers(0, len(cells) - 1))
    assert moved_by(make, cells, row) <= sensitivity(2) + 1e-6


@pytest.mark.parametrize("make", [of_frame, of_lists])
@given(
    kind=st.sampled_from(
        [
            st.integers(-(2**60), 2**60),
            st.floats(allow_nan=False, allow_infinity=False),
            st.floats(allow_nan=False, allow_infinity=False, width=32).map(np.float32),
            st.decimals(allow_nan=False, allow_infinity=False, places=3),
            st.booleans(),
            st.dates(datetime.date(1000, 1, 1)),
            DATES.map(lambda date: date.replace(tzinfo=datetime.UTC)),
            st.timedeltas(datetime.timedelta(-9999), datetime.timedelta(9999)),
            st.times(),
        ]
    ),
    data=st.data(),
)
@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
def test_one_word_in_a_column_changes_no_other_row(make, kind, data):
    cells = data.draw(st.lists(kind, min_size=3, max_size=8))
    labels = (["a", "b"] * len(cells))[: len(cells)]
    alone, beside = make(cells, labels), make([*cells, "about 3"], [*labels, "a"])
    assert np.abs(task_features(alone) - task_features(beside)[:-1]).max() < 1e-6


@pytest.mark.parametrize(
    "cells",
    [
        ["3", "-4.50", "+5", ".5", "1e3"],
        ["007", "0x1F", "12"],
        ["true", "False", "TRUE"],
        ["2024-01-05", "1969-12-31", "2024-02-29"],
        ["2024-01-05 10:00:00", "2024-01-05T10:00", "1969-12-31"],
        ["2024-01-05T10:00:00Z", "2024-01-05 10:00:00+02:00"],
        ["10:00", "11:30:05"],
    ],
)
def test_one_word_in_a_file_changes_no_other_row(tmp_path, cells):
    def points(name, cells):
        rows = [f"{cell},{'ab'[place % 2]}" for place, cell in enumerate(cells)]
        (tmp_path / name).write_text("\n".join(["x,t", *rows]) + "\n")
        return task_features(Task.from_table(tmp_path / name, "t"))

    alone, beside = points("alone.csv", cells), points("beside.csv", [*cells, "about 3"])
    assert np.abs(alone - beside[:-1]).max() < 1e-9


def test_a_comma_that_is_a_decimal_point_stays_one_beside_a_word(tmp_path):
    def points(name, *more):
        place = tmp_path / name
        place.write_text("\n".join(["x;t", "1,5;a", "2,25;b", *more]) + "\n")
        return task_features(Task.from_table(place, "t"))

    assert np.abs(points("alone.csv") - points("beside.csv", "no;a")[:2]).max() < 1e-9


def test_a_number_without_an_end_is_a_word():
    task = Task.from_arrays(pd.DataFrame({"x": [1.0, float("inf"), 2.0]}), [0, 1, 1])
    assert np.isfinite(task_features(task)).all()
    assert number_in("1e999") is None


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


def test_a_sketch_that_claims_more_privacy_than_its_noise_gives_is_refused(iris):
    good = shared(iris).to_dict()
    for damage in (
        {"noise": 1e-9},
        {"noise": good["noise"] * 0.999},
        {"epsilon": 0.9},
        {"delta": 1e-7},
        {"epsilon": 1e9, "noise": 1e-9},
    ):
        with pytest.raises(DataError, match="has not the privacy that it claims"):
            TaskSketch.from_dict({**good, **damage})
    for fine in ({}, {"noise": good["noise"] * 2}, {"epsilon": 1.1}, {"delta": 1e-5}):
        assert TaskSketch.from_dict({**good, **fine}).rows == shared(iris).rows


@pytest.mark.parametrize("epsilon", [1e-3, 0.1, 1.0, 8.0, 100.0])
@pytest.mark.parametrize("delta", [1e-12, 1e-6, 1e-2])
def test_every_sketch_that_is_made_is_read(iris, epsilon, delta):
    for task in (iris, Task.from_arrays(np.asarray(iris.inputs), np.linspace(0.5, 9, 150))):
        made = sketch(task, epsilon=epsilon, delta=delta)
        assert TaskSketch.from_dict(json.loads(json.dumps(made.to_dict()))).noise == made.noise


def exact_of(task):
    """What tells of the rows exactly, and would stand in what is published."""
    said = task.describe()
    packed = with_row_fingerprints(TinyModel([1.0]), task).card.task.fingerprints
    return [said.fingerprint, packed, json.dumps(said.class_shares)]


@pytest.fixture
def secret():
    rng = np.random.default_rng(0)
    return Task.from_arrays(rng.normal(size=(211, 3)), np.arange(211) % 3 % 2, name="secret")


def test_what_is_published_with_a_sketch_tells_nothing_exact_of_the_rows(tmp_path, secret):
    hub = Hub(tmp_path / "hub")
    model = bq.train(secret, net="linear")  # its card remembers rows
    assert model.card.task.fingerprints
    entry = hub.publish(model, "a/b", licence="MIT", task=secret, epsilon=1.0)
    hub.fetch("a/b", tmp_path / "got")
    written = "".join(
        path.read_text() for path in (tmp_path / "got").iterdir() if path.suffix in (".json", ".md")
    )
    for told in (json.dumps(entry.to_dict()), written):
        assert not any(exact in told for exact in exact_of(secret))
    card = entry.card.task
    made = TaskSketch.from_dict(card.sketch)
    assert (card.fingerprint, card.rows) == (made.fingerprint, made.rows)
    assert card.class_shares == made.shares
    assert (card.name, card.metric, card.classes) == ("secret", "accuracy", (0, 1))
    assert not overlap([bq.Source(hub.pull("a/b"))], secret).seen


def test_a_fingerprint_beside_a_sketch_recognises_no_guessed_row(secret):
    # The attacker knows all rows but the last, and has the right guess among his candidates.
    published = with_sketch(Card(task=secret.describe()), sketch(secret)).task.fingerprint
    assert secret.fingerprint != published
    assert sketch(secret).fingerprint != published


def test_an_outcome_with_a_sketch_is_of_the_task_of_the_card_and_tells_nothing_exact(secret):
    made = sketch(secret)
    source = bq.wrap(lambda x: x[:, 0] > 0, classes=[0, 1], name="other")
    raced = bq.transfer(secret, [source], methods=["reuse"], budget=None)
    assert raced.outcome.splits
    card = with_sketch(with_row_fingerprints(TinyModel([1.0]), secret).card, made)
    outcome = with_sketch(replace(raced.outcome, notes=()), made)
    assert outcome.target.fingerprint == card.task.fingerprint == made.fingerprint
    assert Outcome.from_json(outcome.to_json()).cost["labels"] == made.rows
    for told in (json.dumps(card.to_dict()), outcome.to_json()):
        assert not any(exact in told for exact in exact_of(secret))
        assert not any(split in told for split in raced.outcome.splits)
    assert (outcome.verdict, outcome.labels_saved) == (raced.outcome.verdict, None)


def test_rows_by_noisy_counts_are_never_below_zero(iris):
    made = replace(shared(iris), counts=(-9.0, 1.0, 2.0))
    assert (made.rows, made.describe().rows) == (0, 0)
    assert (made.shares[0], sum(made.shares)) == (0.0, pytest.approx(1.0))


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
        {"format": 2},
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
