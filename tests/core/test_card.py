import json

import pytest

from bequest.core import Card
from bequest.errors import ModelError


def test_a_card_comes_back_from_json():
    card = Card("a", {"kind": "x"}, {"accuracy": 0.5}, "MIT", ("p@1",), ({"part": "all"},), "probe")
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
        {"moved": ["all"]},
        {"moved": None},
    ],
)
def test_a_card_with_values_of_another_kind_is_refused(values):
    with pytest.raises(ModelError, match="no sound") as told:
        Card.from_dict(values)
    assert len(str(told.value)) < 150
