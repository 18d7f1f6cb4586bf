"""What the benchmark of maps between classes of transformers holds a map against."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from benchmarks.map_transformers import by_name, head_pairs, judged, outcome, summary
from benchmarks.small_models import DEGREES, VOCABULARY, build, classes, fill, shrink
from torch import nn
from transformers import BertConfig, CLIPConfig

import bequest as bq


def test_names_are_found_behind_the_prefix_of_the_base():
    base, head = build("BertModel"), build("BertForSequenceClassification")
    names = by_name(base, head)
    assert names["bert.pooler.dense.weight"] == "pooler.dense.weight"
    assert set(head.state_dict()) - set(names) == {"classifier.weight", "classifier.bias"}
    assert by_name(head, base)["pooler.dense.weight"] == "bert.pooler.dense.weight"


def test_a_map_of_two_exchanged_tensors_is_wrong(monkeypatch):
    plan_of = bq.map_parameters

    def exchanged(source, target):
        plan = plan_of(source, target)
        first, bias, second, last = plan.entries
        moves = [
            tuple(replace(m, put=replace(m.put, tensor=to.target)) for m in entry.moves)
            for entry, to in ((second, first), (first, second))
        ]
        entries = replace(first, moves=moves[0]), bias, replace(second, moves=moves[1]), last
        return replace(plan, entries=entries, expected=())

    source, target = two()
    monkeypatch.setattr(bq, "map_parameters", exchanged)
    found = judged(source, target, lambda: loaded(source, target))
    assert (found["right"], found["wrong"], found["tensors"]) == (False, 2, 4)
    assert found["first_wrong"].startswith("0.weight: copy of 1.weight")


def test_a_map_of_each_tensor_to_its_own_is_right():
    source, target = two()
    found = judged(source, target, lambda: loaded(source, target))
    assert (found["right"], found["wrong"], found["first_wrong"]) == (True, 0, "")


def test_a_configuration_is_lowered_inside_too():
    config = CLIPConfig()
    shrink(config, DEGREES[0], lists=True)
    assert config.text_config.hidden_size == config.vision_config.hidden_size == 32
    assert config.text_config.num_hidden_layers == 2
    assert config.text_config.vocab_size == VOCABULARY > config.text_config.eos_token_id


def test_the_last_degree_leaves_a_configuration_as_it_is():
    config = BertConfig()
    shrink(config, DEGREES[-1], lists=False)
    assert config.to_dict() == BertConfig().to_dict()


def test_filled_tensors_differ_and_ties_stay():
    network = build("GPT2LMHeadModel")
    fill(network)
    assert network.lm_head.weight is network.transformer.wte.weight
    tensors = [t for n, t in network.state_dict().items() if n != "lm_head.weight"]
    assert len({float(tensor.sum()) for tensor in tensors}) == len(tensors)


def test_what_needs_a_missing_package_is_said():
    assert "timm" in outcome("a", "TimmBackbone")["not_built"]


def test_many_classes_and_families_are_tried():
    assert len(classes()) > 1000
    assert {"BertModel to BertForQuestionAnswering"} <= set(head_pairs())


@pytest.mark.parametrize("right", [True, False])
def test_a_summary_lists_what_is_wrong(right):
    one = {"right": right, "first_wrong": "" if right else "x", "confidence": 0.95, "cpu_s": 1.0}
    found = summary({"A": one, "B": {"not_built": "too large"}})
    assert (found["right"], found["wrong"], found["not_built"]) == (right, not right, 1)
    assert found["names_wrong"] == ({} if right else {"A": "x"})
    assert found["names_not_built"] == {"B": "too large"}


def two() -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(0)
    return tuple(nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3)) for _ in range(2))


def loaded(source: nn.Module, target: nn.Module) -> dict[str, torch.Tensor]:
    target.load_state_dict(source.state_dict())
    return target.state_dict()
