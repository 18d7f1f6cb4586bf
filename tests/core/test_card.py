import json

import pytest

from bequest.core import Card, TaskSummary
from bequest.errors import ModelError


def test_a_card_comes_back_from_json():
    card = Card(
        "a", TaskSummary(kind="x"), {"accuracy": 0.5}, "MIT", ("p@1",), ({"part": "all"},), "probe"
    )
    assert Card.from_dict(json.loads(json.dumps(card.to_dict()))) == card


@pytest.mark.parametrize(
    "values",
    [
        {"name": None},
        {"licence": ["MIT"]},
        {"method": 7},
        {"task": []},
        {"metrics": "high"},
        {"settings": None},
        {"parameter_map": [[]]},
        {"parents": "ward3"},
        {"parents": [{}]},
        {"transferred": ["all"]},
        {"transferred": None},
        {"metrics": {"a": 10**400}},
        {"metrics": {"a": float("nan")}},
        {"metrics": {"a": "high"}},
        {"metrics": {"a": True}},
        {"task": {"rows": "many"}},
        {"task": {"rows": float("inf")}},
        {"task": {"rows": -1}},
        {"task": {"classes": 3}},
        {"task": {"classes": [[1], {}]}},
        {"task": {"class_shares": ["a"]}},
        {"task": {"kind": {}}},
        {"task": {"fingerprint": []}},
        {"task": {"sketch": {"sums": [[float("nan")]]}}},
        {"name": "\ud800"},
        {"settings": {"\udfff": 1}},
        {"settings": {"a": [float("inf")]}},
        {"parents": [f"p{number}" for number in range(1001)]},
        {"transferred": [{"numbers": 10**400}]},
    ],
)
def test_a_card_with_values_of_another_kind_is_refused(values):
    with pytest.raises(ModelError, match=r"this is no card: \$\.") as told:
        Card.from_dict(values)
    assert len(str(told.value)) < 150


def test_a_card_made_by_hand_is_held_against_the_same_kinds():
    card = Card(metrics={"a": 0.5}, parents=("p",), settings={"sizes": (1, 2)})
    assert card.checked() is card
    for bad in (
        Card(metrics={"a": 10**400}),
        Card(task=TaskSummary(classes=3)),
        Card(parents=("p",) * 1001),
    ):
        with pytest.raises(ModelError, match=r"this is no card: \$\."):
            bad.checked()


def test_settings_nested_without_end_are_refused_in_one_line():
    nested = {}
    for _ in range(900):
        nested = {"a": nested}
    with pytest.raises(ModelError, match=r"\$\.settings\.a\.a.*more than 64 values"):
        Card.from_dict({"settings": nested})


def test_a_card_may_say_what_this_version_does_not_know_of_a_task():
    said = {
        "name": "x",
        "entities": 3,
        "place": {"ward": [7, None]},
        "classes": [1, 2.5, "c", True],
    }
    task = Card.from_dict({"task": said}).task
    assert (task.entities, task.unknown_keys) == (3, {"place": {"ward": [7, None]}})
    assert task.to_dict() == said
