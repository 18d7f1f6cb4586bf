"""How sure a map is of what nothing confirms: names that differ, and no network to run."""

from __future__ import annotations

import random

import pytest
import torch
from tests.mapping.pairs.table import PAIRS
from torch import nn

import bequest as bq
from bequest.mapping.tracing.registration import is_in_order


def layers(blocks, *, norm=True):
    found = [nn.Linear(4, 8), nn.ReLU()]
    for _ in range(blocks):
        found += [nn.Linear(8, 8), *([nn.LayerNorm(8)] if norm else []), nn.ReLU()]
    return nn.Sequential(*found, nn.Linear(8, 3))


def shuffled(state, seed):
    names = list(state)
    random.Random(seed).shuffle(names)
    return {name: state[name] for name in names}


@pytest.mark.parametrize("norm", [True, False])
@pytest.mark.parametrize(("there", "here"), [(3, 5), (5, 3), (2, 4), (6, 3)])
def test_a_shuffled_sequence_of_another_depth_is_mapped_as_the_ordered_one(there, here, norm):
    state, target = layers(there, norm=norm).state_dict(), layers(here, norm=norm)
    ordered = bq.map_parameters(state, target)
    for seed in range(3):
        plan = bq.map_parameters(shuffled(state, seed), target)
        assert plan.entries == ordered.entries
    assert ordered.mean_confidence > 0.5


@pytest.mark.parametrize(
    ("names", "known"),
    [
        (["down1.w", "down2.w", "up2.w", "up1.w"], True),  # a U-Net's way up
        (["a.w", "b.w", "a.b"], False),  # the parts of one layer are not together
        (["c.2.w", "c.0.w", "c.1.w", "a.w"], False),
        (["f2.w", "f3.w", "f1.w", "a.w"], False),
        (["2.w", "10.w", "0.w"], True),  # numbers say it
        (["layer2.b", "layer1.w", "layer2.w", "layer1.b"], True),
        (["a.w", "b.w"], False),  # sorted
        (["t.count", "a.w", "t.w"], False),  # sorted by type of number, then by name
    ],
)
def test_whether_the_order_of_registration_is_known(names, known):
    assert is_in_order(names) is known


@pytest.mark.parametrize("name", ["resnet-basic", "translator", "autoencoder", "qwen2", "bart"])
@pytest.mark.parametrize("order", [list, sorted])
def test_what_changes_shape_where_the_rest_does_not_is_hardly_sure(name, order):
    pair = PAIRS[name]()
    held = pair.left.state_dict()
    plan = bq.map_parameters({key: held[key] for key in order(held)}, pair.right)
    reshaped = [e for e in plan.entries if e.reshaped or e.neutral]
    made, truth = plan.state_dict(), pair.truth(held)
    wrong = [e for e in reshaped if not torch.equal(made[e.target], truth[e.target])]
    assert sum(entry.confidence > 0.1 for entry in wrong) <= 1


def test_what_is_fused_in_other_sizes_is_initialised_where_nothing_can_be_run():
    class Fused(nn.Module):
        def __init__(self, width):
            super().__init__()
            self.pre, self.w = nn.Linear(5, width), nn.Linear(width, 3 * width)
            self.last = nn.Linear(3 * width, 2)

        def forward(self, x):
            return self.last(self.w(self.pre(x)))

    held = {"first.weight": torch.ones(8, 5), "first.bias": torch.ones(8)}
    for part in ("aa", "bb"):
        held |= {f"mix.{part}.weight": torch.ones(8, 8), f"mix.{part}.bias": torch.ones(8)}
    held |= {"end.weight": torch.ones(2, 24), "end.bias": torch.ones(2)}
    plan = bq.map_parameters(held, Fused(8))
    assert all("fuse" not in entry.rule and "split" not in entry.rule for entry in plan.entries)


def test_as_many_equal_layers_side_by_side_are_taken_in_turn_at_six_tenths():
    pair = PAIRS["roberta"]()
    held = pair.left.state_dict()
    plan = bq.map_parameters(held, pair.right)
    sure = {e.confidence for e in plan.entries if any("self.query" in name for name in e.sources)}
    assert sure == {0.6}
