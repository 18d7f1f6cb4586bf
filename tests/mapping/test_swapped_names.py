"""Trained networks of which two names are exchanged: an example tells."""

from __future__ import annotations

import pytest
import torch
from benchmarks.map_name_swaps import SMALL, candidates, lied_to, outcomes, summary, trained
from torch import nn

import bequest as bq


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_exchanged_names_in_trained_networks_are_reported_with_an_example(name):
    found = summary(outcomes(name, *trained(name), count=10))["all"]
    assert found["swaps"] == found["reported_with_example"] == 10


def test_names_differ_in_role_or_in_depth():
    torch.manual_seed(0)
    state = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.LayerNorm(4)).state_dict()
    found = {frozenset(pair[:2]): pair[2] for pair in candidates(state)}
    assert found[frozenset({"0.weight", "1.weight"})] == "depth"
    assert found[frozenset({"0.bias", "2.weight"})] == "role"
    assert frozenset({"0.weight", "0.bias"}) not in found


def test_a_plan_that_believes_exchanged_names_is_reported_with_an_example():
    torch.manual_seed(0)
    source, target = (nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4)) for _ in range(2))
    example = torch.randn(5, 4)
    plan = bq.map_parameters(source, target, example=example)
    assert plan.check(example) == ()
    stored = type(plan).from_json(lied_to(plan, "0.weight", "2.weight").to_json())
    assert bq.map_parameters(source, target, plan=stored).check(example)
