import json
import resource
import time

import numpy as np
import pytest
import torch
from torch import nn

import bequest as bq
from bequest.errors import ModelError
from bequest.frameworks.files import folder as folders
from bequest.frameworks.torch.load_checked import load_checked


@pytest.fixture
def folder(tmp_path):
    task = bq.Task.from_arrays(np.eye(6), [0, 1] * 3, name="corners")
    bq.train(task, net="mlp").save(tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.parametrize(
    "change",
    [
        {"widths": [2**17, 2**17]},  # 68 GB
        {"widths": [2**40, 2**40]},
        {"widths": [8] * 500_000},
        {"categories": [2**40]},
        {"embedding": 2**34},
        {"widths": [-1]},
        {"outputs": "many"},
    ],
    ids=str,
)
def test_a_config_that_names_a_huge_network_is_refused_before_it_takes_memory(folder, change):
    config = json.loads((folder / "config.json").read_text())
    del config["digest"]
    config["structure"]["config"].update(change)
    config["digest"] = folders._digest(config)
    (folder / "config.json").write_text(json.dumps(config))
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    with pytest.raises(ModelError, match=r"do not fit the network|cannot be built|damaged"):
        bq.load(folder)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # kB
    assert time.perf_counter() - start < 10


def test_weights_of_another_network_are_told_by_name_and_shape():
    weights = {"weight": torch.ones(1, 2), "bias": torch.ones(1)}
    with pytest.raises(ModelError, match=r"weight has \(1, 2\) numbers, the config says \(1, 3\)"):
        load_checked(lambda: nn.Linear(3, 1), weights)
    with pytest.raises(ModelError, match="it has no bias, 1 of their 2 tensors"):
        load_checked(lambda: nn.Linear(2, 1, bias=False), weights)
    with pytest.raises(ModelError, match="they lack 1 of its 2 tensors, such as bias"):
        load_checked(lambda: nn.Linear(2, 1), {"weight": torch.ones(1, 2)})


class NeedsNumbers(nn.Module):
    """A class that reads a number out of a tensor while it is made, as many do."""

    def __init__(self):
        super().__init__()
        self.rate = torch.linspace(0, 1, 3)[1].item()
        self.head = nn.Linear(2, 1)


def test_a_class_of_ones_own_that_needs_numbers_is_made_all_the_same():
    weights = {"head.weight": torch.ones(1, 2), "head.bias": torch.zeros(1)}
    module = load_checked(NeedsNumbers, weights, own=True)
    assert module.rate == 0.5
    assert module.head.weight.tolist() == [[1.0, 1.0]]
    with pytest.raises(ModelError, match="cannot be built"):
        load_checked(NeedsNumbers, weights)


def test_tied_layers_are_filled():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(2, 2)
            self.last = nn.Linear(2, 2)
            self.last.weight = self.first.weight

    source = Tied()
    module = load_checked(Tied, source.state_dict())
    assert module.last.weight is module.first.weight
    torch.testing.assert_close(module.first.weight, source.first.weight)
