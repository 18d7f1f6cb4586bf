"""Independent implementations of one architecture are one function after an automatic map."""

from __future__ import annotations

import pytest
import torch
from tests.mapping.pairs.table import HARD_PAIRS, PAIRS, TOLD_PAIRS

import bequest as bq

# Gates of an LSTM as separate layers over the joined input and state: nothing of that kind is cut
# along two axes at once.
# A spectral norm gives weights of norm 1 alone: other weights cannot be told to it.
BEYOND = ("critic", "lstm-separate-gates")
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


@pytest.mark.slow
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


def test_a_spectral_norm_is_read_but_not_written_as_sure():
    pair = HARD_PAIRS["critic"]()
    read = bq.map_parameters(pair.left, pair.right, example=pair.example)
    assert read.verify(pair.example) <= 1e-4
    assert read.confidence == 1.0
    written = bq.map_parameters(pair.right, pair.left, example=pair.example)
    assert written.confidence <= 0.5
    assert written.check(pair.example)
    assert any("parametrisation" in note for note in written.notes)


def test_parametrised_networks_are_left_as_they_are():
    pair = PAIRS["wave"]()
    before = {name: tensor.clone() for name, tensor in pair.left.state_dict().items()}
    plan = bq.map_parameters(pair.right, pair.left, example=pair.example)
    after = pair.left.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert plan.apply().state_dict().keys() == before.keys()
