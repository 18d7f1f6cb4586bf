"""Files that transformers writes under other names than the network's, whatever their size."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers import MixtralConfig, MixtralForCausalLM
from transformers.core_model_loading import revert_weight_conversion

import bequest as bq
from benchmarks import small_models
from bequest.mapping.conversions import saved_parts
from bequest.mapping.conversions.saved_names import converted

CLASSES = (
    "ViTForImageClassification",
    "MixtralForCausalLM",
    "LlavaForConditionalGeneration",
    "NomicBertForTokenClassification",
    "Inkling2LoopTextModel",
    "OlmoHybridForCausalLM",
)


def saved(network: nn.Module) -> dict[str, torch.Tensor]:
    return revert_weight_conversion(network, dict(network.state_dict()))


@pytest.mark.parametrize("name", CLASSES)
def test_part_by_part_the_names_of_a_file_are_those_of_the_whole(name, monkeypatch):
    network = small_models.build(name)
    shapes = {key: tuple(tensor.shape) for key, tensor in saved(network).items()}
    whole = converted(network, shapes)
    count = sum(tensor.numel() for tensor in network.state_dict().values())
    monkeypatch.setattr(saved_parts, "MOST", count // 3)
    assert whole
    found = converted(network, shapes)
    assert set(found) == set(whole)
    for key, entry in whole.items():
        assert set(found[key].moves) == set(entry.moves), key


def test_a_network_of_billions_is_read_from_its_own_file_on_the_meta_device(monkeypatch):
    with torch.device("meta"):
        network = MixtralForCausalLM(MixtralConfig(num_hidden_layers=2))
    numbered, arange = [], torch.arange
    monkeypatch.setattr(torch, "arange", lambda *a, **k: numbered.append(a) or arange(*a, **k))
    plan = bq.map_parameters(saved(network), network)
    assert sum(parameter.numel() for parameter in network.parameters()) > 3e9
    assert max(place[1] for place in numbered if len(place) > 1) < 1e8
    assert (plan.coverage, plan.confidence) == (1.0, 0.99)
    entries = {entry.target: entry for entry in plan.entries}
    experts = entries["model.layers.1.mlp.experts.gate_up_proj"]
    third = [move for move in experts.moves if move.put.index == 3]
    assert {(move.source, move.put.start, move.put.shape) for move in third} == {
        ("model.layers.1.block_sparse_moe.experts.3.w1.weight", 0, (14336, 4096)),
        ("model.layers.1.block_sparse_moe.experts.3.w3.weight", 14336, (14336, 4096)),
    }
