"""From a file of triples to a verdict: what a graph knows helps, and nothing else does."""

import numpy as np
import pytest

import bequest as bq
from bequest.api import embed
from bequest.errors import BudgetTooSmall, DataError, UnknownName
from bequest.frameworks.combined.entities import EntityFeatures

STREETS = 6


def town(people: int = 120, seed: int = 0):
    """Who greets whom: people of one street do, most of the time; and a table of these people."""
    rng = np.random.default_rng(seed)
    street = np.arange(people) % STREETS
    triples = []
    for one in range(people):
        near = np.flatnonzero(street == street[one])
        for other in (*rng.choice(near, 5), rng.integers(people)):
            triples.append((f"p{one}", "greets", f"p{other}"))
    age = rng.normal(50, 10, people)
    table = {"person": [f"p{n}" for n in range(people)], "age": age, "east": street < STREETS / 2}
    return triples, table


def test_same_triples_in_any_order_give_the_same_vectors():
    triples, _ = town(60)
    first = embed(triples, dim=8, epochs=10, seed=3)
    again = embed(triples[::-1], dim=8, epochs=10, seed=3)
    other = embed(triples, dim=8, epochs=10, seed=4)
    assert first.entities == again.entities
    assert np.array_equal(first.vectors, again.vectors)
    assert not np.array_equal(first.vectors, other.vectors)


@pytest.mark.parametrize("model", ["complex", "distmult", "transe"])
def test_held_out_triples_are_ranked_on_the_card(model):
    triples, _ = town()
    features = embed(triples[::2] + triples[1::4], model=model, test=triples[3::4], dim=16)
    assert features.card.method == "embed"
    assert features.card.settings["model"] == model
    assert set(features.card.metrics) == {"mrr", "hits@1", "hits@3", "hits@10"}
    assert features.card.metrics["hits@10"] > 2 * 10 / 120  # twice what chance has


def test_held_out_triples_of_strangers_are_counted_or_refused(caplog):
    triples, _ = town(60)
    embed(triples, test=[*triples[:5], ("nobody", "greets", "p1")], dim=4, epochs=2)
    assert "1 triple of the held-out ones left out" in caplog.text
    with pytest.raises(DataError, match="none of the 1 held-out triples"):
        embed(triples, test=[("nobody", "greets", "p1")], dim=4, epochs=2)


def test_a_graph_that_knows_helps_and_the_model_reads_bare_tables():
    triples, table = town()
    rows = np.random.default_rng(1).permutation(120)
    known, rest = rows[:60], rows[60:]
    few = {name: np.asarray(values)[known] for name, values in table.items()}
    task = bq.Task.from_table(few, "east", name="which side")
    source = embed(triples, dim=16, name="greetings").on("person")
    result = bq.transfer(task, [source], methods=["features", "probe"], budget=None)
    assert result.verdict.kind == "helps"
    members = {member["method"] for member in result.outcome.settings["members"]}
    assert members <= {"features", "probe"}
    new = {name: np.asarray(values)[rest] for name, values in table.items()}
    assert (result.model.predict(new) == new["east"]).mean() > 0.8


@pytest.mark.slow
def test_a_graph_whose_names_are_shuffled_does_not_help():
    helped = 0
    for seed in range(3):
        triples, table = town(seed=seed)
        features = embed(triples, dim=16, name="greetings")
        order = np.random.default_rng(seed).permutation(len(features.entities))
        shuffled = EntityFeatures(
            [features.entities[place] for place in order], features.vectors, features.relations,
            features.relation_vectors, scoring="complex", card=features.card,
        )  # fmt: skip
        task = bq.Task.from_table(table, "east", name="which side")
        result = bq.transfer(task, [shuffled.on("person")], methods=["features"], budget=None)
        helped += result.verdict.kind == "helps"
    assert helped == 0


def test_a_hub_is_a_graph_too(tmp_path):
    hub = bq.Hub(tmp_path / "hub")
    X = np.random.default_rng(0).normal(size=(40, 3))
    for name in ("ward3", "ward4"):
        task = bq.Task.from_arrays(X, X[:, 0] > 0, name=name)
        hub.publish(bq.train(task, net="linear"), f"wards/{name}", licence="CC0-1.0")
    features = embed(hub, dim=4, epochs=5)
    assert features.name == "hub"
    assert features.knows(["urn:bequest:model:wards/ward3@1"]).all()


@pytest.mark.parametrize(
    ("settings", "error", "said"),
    [
        ({"model": "rescal"}, UnknownName, "no scoring of triples named 'rescal'"),
        ({"dim": 7}, DataError, "above 1 and even, it is 7"),
        ({"dim": 0}, DataError, "dim must be a whole number above 1"),
        ({"dim": 10**9}, DataError, "2 entities and 1 relations with 1000000000 numbers each"),
        ({"dim": "64"}, DataError, "dim must be a whole number above 1"),
        ({"epochs": 0}, DataError, "epochs must be a whole number above zero"),
        ({"budget": 0}, BudgetTooSmall, "seconds above zero, not 0"),
        ({"seed": -1}, DataError, "a seed is a whole number"),
        ({"budget": 1e-9}, BudgetTooSmall, "not one pass"),
    ],
)
def test_bad_settings_are_one_line(settings, error, said):
    with pytest.raises(error, match=said):
        embed([("a", "p", "b")], **settings)


def test_a_name_that_is_no_unicode_is_one_line():
    with pytest.raises(DataError, match=r"names 'a\\ud800': half of a surrogate pair") as error:
        embed([("a\ud800", "r", "b")])
    assert str(error.value).isprintable()
