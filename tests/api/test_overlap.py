"""Sources that have seen rows of the target: found beyond chance, and only then."""

import numpy as np
import pytest

import bequest as bq
from bequest.api import overlap as module
from bequest.api.overlap import overlap, with_row_fingerprints
from bequest.core import Card, TaskSummary
from bequest.hub.sketches.task_sketch import sketch, with_sketch

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60_000, 4))


def task(rows, values=X, test=None, name="rows"):
    rows = np.asarray(rows)
    return bq.Task.from_arrays(values[rows], np.arange(len(rows)) % 2, name=name, test=test)


def trained_on(given, name="source"):
    """A model that was trained on these rows, as far as its card says."""
    model = bq.wrap(lambda x: x[:, 0] > 0, classes=[False, True], name=name)
    return bq.Source(with_row_fingerprints(model, given), name=name)


def test_a_source_of_the_targets_own_rows_leaves_with_their_number():
    found = overlap([trained_on(task(range(40)))], task(range(40)))
    assert found.left_out == {"source": "it was trained on rows of this task: 40 of 40."}
    assert found.seen
    assert len(found.unjudged) == 0


def test_a_source_of_other_rows_stays_and_nothing_is_said():
    found = overlap([trained_on(task(range(100, 160)))], task(range(60)))
    assert (found.left_out, found.notes, found.seen) == ({}, (), False)


@pytest.mark.parametrize("bring", ["card", "data"])
def test_of_a_few_shared_rows_exactly_these_do_not_judge(bring):
    theirs = task([*range(40, 60), *range(100, 140)], name="source")
    source = trained_on(theirs) if bring == "card" else bq.Source(data=theirs)
    target = task(range(200, 500))
    few = target.take(range(280))
    mixed = bq.Task.from_arrays(
        np.concatenate([np.asarray(few.inputs), X[40:60]]), np.arange(300) % 2
    )
    found = overlap([source], mixed)
    assert found.left_out == {}
    assert found.unjudged.tolist() == list(range(280, 300))
    assert found.notes == ("source was trained on 20 of the 300 rows: these do not judge.",)


@pytest.mark.parametrize(("shared", "leaves"), [(20, False), (21, True)])
def test_with_more_than_a_third_of_the_rows_shared_the_source_leaves(shared, leaves):
    rows = [*range(shared), *range(1000, 1060 - shared)]
    found = overlap([trained_on(task(range(60)))], task(rows))
    assert found.unjudged.tolist() == ([] if leaves else list(range(20)))
    said = {"source": "it was trained on rows of this task: 21 of 60."}
    assert found.left_out == (said if leaves else {})


def test_twenty_rows_of_a_source_of_sixty_thousand_are_found():
    source = trained_on(task(range(60_000)))
    rng = np.random.default_rng(100)
    found = 0
    for _ in range(40):
        values = np.concatenate(
            [X[rng.choice(60_000, 20, replace=False)], rng.normal(size=(40, 4))]
        )
        found += overlap([source], task(range(60), values)).seen
    assert found >= 38


def test_a_source_that_keeps_one_row_in_four_leaves_where_it_hides_what_it_has_seen():
    rows = [*range(15), *range(50_000, 50_085)]
    values = np.concatenate([X[:40_000], np.random.default_rng(1).normal(size=(20_000, 4))])
    said = overlap([trained_on(task(range(40_000)))], task(rows, values)).left_out["source"]
    assert said.startswith("it was trained on rows of this task: ")
    assert said.endswith(" of which its card can tell.")


def test_rows_that_agree_by_chance_are_no_evidence():
    """Three columns of three values: 27 distinct rows, and every table holds most of them."""
    rng = np.random.default_rng(0)
    values = rng.integers(0, 3, (600, 3)).astype(float)
    found = overlap([trained_on(task(range(300), values))], task(range(300, 400), values))
    assert (found.left_out, found.seen, len(found.unjudged)) == ({}, False, 0)
    assert found.notes == (
        "Whether source has seen these rows cannot be told: too few of them can be told apart from "
        "rows like them.",
    )


def test_copies_are_told_from_one_row_in_ten_that_is_always_the_same():
    rng = np.random.default_rng(3)
    values = rng.normal(size=(2000, 4))
    values[rng.random(2000) < 0.1] = 7.0
    source = trained_on(task(range(900), values))
    honest = overlap([source], task(range(1000, 1200), values))
    assert not honest.seen
    copied = overlap([source], task([*range(100), *range(1000, 1100)], values))
    assert list(copied.left_out) == ["source"]


def test_a_model_without_fingerprints_is_unknown_in_one_short_line():
    plain = bq.wrap(lambda x: x[:, 0] > 0, classes=[False, True], name="network")
    found = overlap([bq.Source(plain)], task(range(40)))
    assert found.notes == (
        "Whether network has seen these rows is unknown: its card holds no fingerprints.",
    )
    many = overlap([bq.Source(plain, name=f"n{place}") for place in range(5)], task(range(40)))
    assert many.notes == (
        "Whether n0, n1, n2 and 2 more have seen these rows is unknown: their cards hold no "
        "fingerprints.",
    )


def test_a_card_with_text_in_place_of_fingerprints_is_unknown():
    model = bq.wrap(lambda x: x[:, 0] > 0, classes=[False, True], name="odd").with_card(
        Card(name="odd", task=TaskSummary(fingerprints="?", repeated_rows=0.0, rows=3))
    )
    assert "is unknown" in overlap([bq.Source(model)], task(range(40))).notes[0]


def test_held_out_rows_that_a_source_has_seen_are_named_apart():
    test = (X[[*range(10), *range(2000, 2190)]], np.arange(200) % 2)
    found = overlap([trained_on(task(range(200)))], task(range(500, 560), test=test))
    assert found.held_out.tolist() == list(range(10))
    assert len(found.unjudged) == 0
    assert found.notes == (
        "source was trained on 10 of the 200 held-out rows: these do not judge.",
    )


@pytest.mark.parametrize(("rows", "kept"), [(600, 600), (3000, 1000), (20_000, 5000)])
def test_a_card_keeps_fingerprints_in_proportion_to_the_rows(rows, kept):
    said = trained_on(task(range(rows))).model.card.task
    assert len(module.unpack(said.fingerprints)) == kept


def test_the_largest_card_keeps_its_fingerprints_in_171_kib(monkeypatch):
    hashes = RNG.integers(0, 2**64, 10**6, dtype=np.uint64)
    monkeypatch.setattr(module, "row_fingerprints", lambda given: hashes)
    packed = trained_on(task(range(2))).model.card.task.fingerprints
    assert len(packed) <= 171 * 1024


def test_a_published_sketch_takes_the_fingerprints_and_the_repeated_rows_with_it():
    given = task(range(50))
    card = with_sketch(trained_on(given).model.card, sketch(given, rng=np.random.default_rng(0)))
    assert (card.task.fingerprints, card.task.repeated_rows) == ("", None)


def test_a_source_that_has_seen_the_rows_leaves_the_race_and_the_outcome_says_why():
    given = task(range(40), name="mine")
    result = bq.transfer(given, [trained_on(given)], methods=["reuse"], budget=None)
    said = "it was trained on rows of this task: 40 of 40."
    assert result.outcome.selected == "from-scratch"
    assert result.ranking[0].reason == said
    assert f"source is left out: {said}" in result.outcome.notes


def test_a_model_carries_on_what_its_sources_have_seen():
    first = trained_on(task(range(1000, 1100)), "first")
    child = bq.Source(
        with_row_fingerprints(made_from(["first"], "child"), task(range(60)), [first])
    )
    grandchild = with_row_fingerprints(
        made_from(["child"], "grandchild"), task(range(200, 260)), [child]
    )
    target = task([*range(1000, 1010), *range(2000, 2050)])
    found = overlap([bq.Source(grandchild)], target)
    assert found.unjudged.tolist() == list(range(10))
    assert overlap([bq.Source(grandchild)], task(range(60))).left_out  # what the child has seen
    assert not overlap([bq.Source(grandchild)], task(range(5000, 5060))).seen
    assert Card.from_dict(grandchild.card.to_dict()) == grandchild.card


def made_from(parents, name):
    model = bq.wrap(lambda x: x[:, 0] > 0, classes=[False, True], name=name)
    return model.with_card(Card(name=name, parents=tuple(parents)))


def test_of_sources_that_are_no_parents_nothing_is_carried_on():
    other = trained_on(task(range(1000, 1100)), "other")
    model = with_row_fingerprints(made_from([], "alone"), task(range(60)), [other])
    assert model.card.task.earlier_rows == ()


@pytest.mark.parametrize("said", ["text", 3, [3], [{"fingerprints": "!", "rows": 3}], [{}]])
def test_a_card_that_lies_about_earlier_rows_is_refused_or_says_nothing(said):
    values = {**with_row_fingerprints(made_from([], "a"), task(range(60))).card.to_dict()}
    values["task"] = {**values["task"], "earlier_rows": said}
    try:
        card = Card.from_dict(values)
    except bq.errors.ModelError:
        return
    model = made_from([], "a").with_card(card)
    assert not overlap([bq.Source(model)], task(range(1000, 1060))).seen


def test_transfer_writes_the_rows_of_the_source_that_it_took():
    labels = np.where(X[:400, 0] > 0, 1, 0)
    theirs = bq.Task.from_arrays(X[200:400], labels[200:], name="theirs")
    source = bq.train(theirs, net="linear", name="first")
    own = bq.Task.from_arrays(X[:30], labels[:30], name="own")
    result = bq.transfer(own, [source], methods=["reuse"], budget=None)
    assert result.outcome.selected == "transfer"
    for model in (result.model, result.best_single):
        [earlier] = model.card.task.earlier_rows
        assert earlier.fingerprints == source.card.task.fingerprints
        assert earlier.rows == 200
