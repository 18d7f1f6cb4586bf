"""Independent implementations of one architecture are one function after an automatic map."""

from __future__ import annotations

import pytest
from tests.mapping.pairs.table import HARD_PAIRS, PAIRS, TOLD_PAIRS

import bequest as bq

# Gates of an LSTM as separate layers over the joined input and state: nothing of that kind is cut
# along two axes at once.
# Weights kept as length and direction, or over a singular value, are no tensor of the network.
BEYOND = ("critic", "lstm-separate-gates", "wave")
FOUND = {name: make for name, make in {**PAIRS, **HARD_PAIRS}.items() if name not in BEYOND}
WITH_EXAMPLE = FOUND | TOLD_PAIRS


@pytest.mark.parametrize("name", WITH_EXAMPLE)
@pytest.mark.parametrize("backwards", [False, True], ids=["forwards", "backwards"])
def test_both_give_the_same_after_a_map_without_hints(name, backwards):
    pair = WITH_EXAMPLE[name]()
    source, target = (pair.right, pair.left) if backwards else (pair.left, pair.right)
    plan = bq.map_parameters(source, target, example=pair.example)
    assert plan.verify(pair.example) <= 1e-4
    assert plan.coverage == 1.0
    assert plan.confidence == 1.0


@pytest.mark.parametrize("name", FOUND)
@pytest.mark.parametrize("backwards", [False, True], ids=["forwards", "backwards"])
def test_both_give_the_same_after_a_map_without_an_example(name, backwards):
    pair = FOUND[name]()
    source, target = (pair.right, pair.left) if backwards else (pair.left, pair.right)
    assert bq.map_parameters(source, target).verify(pair.example) <= 1e-4


def test_a_pair_that_is_beyond_the_engine_is_not_called_sure():
    pair = HARD_PAIRS["lstm-separate-gates"]()
    plan = bq.map_parameters(pair.left, pair.right, example=pair.example)
    assert plan.confidence < 0.5
    assert plan.check(pair.example)
