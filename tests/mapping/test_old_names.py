"""Files whose tensors have the names of older versions and of wrappers go to those of today."""

from __future__ import annotations

import pytest
import torch
from benchmarks.small_models import build, fill
from safetensors.torch import save_file
from tests.mapping.old_names import CASES

import bequest as bq


@pytest.mark.parametrize("case", CASES)
def test_old_names_go_to_todays(case):
    plan, expected = mapped(CASES[case])
    made = plan.apply().state_dict()
    assert {n: t for n, t in made.items() if not torch.equal(t, expected[n])} == {}


@pytest.mark.parametrize("case", ["BERT with gamma and beta", "GPT-2 without prefix, with masks"])
def test_old_names_of_a_file_go_to_todays(case, tmp_path):
    plan, expected = mapped(CASES[case], tmp_path / "old.safetensors")
    made = plan.apply().state_dict()
    assert {n: t for n, t in made.items() if not torch.equal(t, expected[n])} == {}


def mapped(case, path=None):
    """The map from a file of a case, and what the target is to hold by its names."""
    torch.manual_seed(0)
    source, target = build(case.source), build(case.target)
    fill(source)
    state = source.state_dict()
    given = case.file(state)
    if path is not None:
        save_file({name: tensor.clone() for name, tensor in given.items()}, path)
    plan = bq.map_parameters(given if path is None else path, target)
    target.load_state_dict(case.expected(state), strict=False)
    return plan, target.state_dict()
