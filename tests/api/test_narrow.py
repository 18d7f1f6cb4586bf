"""From many sources to the few that are opened."""

import numpy as np
import pytest

import bequest as bq
from bequest.api import narrow
from bequest.api.narrow import SHORTLIST, narrowed
from bequest.api.sources import opened
from bequest.core import Card, TaskSummary, due_in
from bequest.errors import HubError, NotApplicable
from bequest.selection import quick_order

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 3))
TASK = bq.Task.from_arrays(X, np.where(X[:, 0] > 0, "up", "down"), name="target")


def never():
    raise AssertionError("this source was opened")


def unopened(name, **about):
    return bq.Source(never, card=Card(name=name, task=TaskSummary(**about)), name=name)


def names(found):
    return [source.name for source in found[0]]


def test_as_many_as_the_shortlist_takes_go_on_whatever_their_cards_say():
    given = [unopened(f"s{n}", modality="text") for n in range(SHORTLIST)]
    assert narrowed(given, TASK) == (tuple(given), ())


def test_of_more_those_for_other_inputs_go_first_and_one_line_says_so():
    fit = [unopened(f"v{n}", modality="vector") for n in range(5)]
    found = narrowed([*[unopened(f"t{n}", modality="text") for n in range(40)], *fit], TASK)
    assert names(found) == ["v0", "v1", "v2", "v3", "v4"]
    assert found[1] == (
        "5 of 45 sources are opened: those that promise most by their cards; 40 are for other "
        "inputs by their cards.",
    )


def test_shared_labels_count_before_names():
    strangers = [unopened(f"a{n:02}", classes=["x", "y"]) for n in range(30)]
    knows = unopened("z", classes=["up", "down"])
    half = unopened("y", classes=["up"])
    assert names(narrowed([*strangers, half, knows], TASK))[:3] == ["z", "y", "a00"]


def test_nothing_is_chosen_by_the_labels_of_rows():
    given = [unopened(f"s{n}") for n in RNG.permutation(40)]
    shuffled = bq.Task.from_arrays(X, np.random.default_rng(1).permutation(TASK.labels))
    assert names(narrowed(given, TASK)) == names(narrowed(given, shuffled))


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    hub = bq.Hub(tmp_path_factory.mktemp("many") / "hub")
    for place in range(20):
        rows = np.random.default_rng(place).normal(size=(30, 3)) + (20.0 if place < 19 else 0.0)
        known = bq.Task.from_arrays(rows, rows[:, 0] > rows[:, 0].mean(), name=f"t{place}")
        model = bq.train(known, net="linear")
        hub.publish(model, f"m/{place:02}", licence="MIT", task=known, epsilon=10.0)
    return hub


def test_a_hub_is_asked_for_what_it_suggests_before_anything_is_opened(hub, monkeypatch):
    monkeypatch.setattr(bq.Hub, "pull", lambda *_, **__: never())
    found = narrowed(hub, TASK)
    assert len(found[0]) == SHORTLIST
    assert names(found)[0] == hub.suggest(TASK, 1)[0].name == "m/19@1"
    assert found[1] == (
        "16 of 20 sources are opened: those that promise most by the hub's outcomes and "
        "sketches, then by their cards.",
    )


def test_sources_that_were_named_one_by_one_come_before_those_of_a_hub(hub):
    assert names(narrowed([hub, unopened("mine")], TASK))[0] == "mine"


def test_models_of_the_very_task_come_last(hub, tmp_path):
    again = bq.Hub(tmp_path / "hub")
    again.publish(bq.train(TASK, net="linear"), "a", licence="MIT")
    for place in range(20):
        again.publish(hub.pull("m/00"), f"b/{place}", licence="MIT")
    assert "a@1" not in names(narrowed(again, TASK))


def test_a_hub_that_cannot_suggest_is_narrowed_by_cards(hub, monkeypatch):
    def fails(*_, **__):
        raise HubError("a row was altered.")

    monkeypatch.setattr(bq.Hub, "suggest", fails)
    found = narrowed(hub, TASK)
    assert len(found[0]) == SHORTLIST
    assert "suggests nothing: a row was altered." in found[1][-1]


def test_opening_stops_with_the_time_but_not_before_the_first():
    model = bq.train(TASK, net="linear")
    sources = [bq.Source(lambda: model, name=f"s{n}") for n in range(3)]
    with due_in(-1.0):
        ready, unread = opened(sources)
    assert [source.name for source in ready] == ["s0"]
    assert unread == dict.fromkeys(["s1", "s2"], "there was no time to open it.")


def test_whatever_a_model_of_a_hub_raises_keeps_none_of_the_others_out(hub, monkeypatch):
    pull = bq.Hub.pull

    def odd(self, name, *rest, **more):
        if name == "m/03":
            raise RuntimeError("odd")
        return pull(self, name, *rest, **more)

    monkeypatch.setattr(bq.Hub, "pull", odd)
    sources = [source for source in hub.sources() if source.name < "m/06"]
    ready, unread = opened(sources)
    assert len(ready) == 5
    assert unread == {"m/03@1": "it cannot be read: RuntimeError('odd')."}
    with pytest.raises(NotApplicable, match="odd"):
        sources[3].model  # noqa: B018


def test_a_transfer_from_a_hub_opens_no_more_than_the_shortlist(hub, monkeypatch):
    monkeypatch.setattr(narrow, "SHORTLIST", 3)
    result = bq.transfer(TASK, hub, methods=["reuse"], budget=None)
    assert len(result.ranking) == 3
    assert any(note.startswith("3 of 20 sources are opened") for note in result.outcome.notes)


def test_the_quick_order_puts_the_source_that_knows_first():
    rng = np.random.default_rng(100)
    rows = rng.normal(size=(60, 8))
    task = bq.Task.from_arrays(rows, rows[:, 0] * rows[:, 1] > 0)
    functions = [lambda x, k=k: np.stack([x[:, k], -x[:, k]], 1) for k in (3, 4, 5)]
    knows = lambda x: np.stack([x[:, 0] * x[:, 1], -x[:, 0] * x[:, 1]], 1)  # noqa: E731
    models = [
        bq.wrap(lambda x, f=f: 1 / (1 + np.exp(-3 * f(x))), classes=[False, True], name="f")
        for f in (*functions, knows)
    ]
    other = bq.train(bq.Task.from_arrays(np.eye(4), [0, 1, 0, 1]), net="linear")
    order = quick_order([other, *models], task, rng=np.random.default_rng(0))
    assert order[0] == 4
    assert sorted(order) == [1, 2, 3, 4]
