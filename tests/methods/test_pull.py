import pytest
import torch
from torch import nn

from bequest.methods.l2_sp import source_pull


@pytest.fixture
def net():
    return nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2)).double()


def test_the_pull_is_half_the_weighted_squared_distance_of_the_body(net):
    penalty = source_pull(net, "1", weight=0.2)
    assert penalty().item() == 0.0
    with torch.no_grad():
        net[0].weight[0, 0] += 3.0
        net[0].bias[1] -= 4.0
        net[1].weight += 100.0  # the head is free
    assert penalty().item() == pytest.approx(0.5 * 0.2 * (9 + 16))


def test_its_slope_is_the_weighted_way_back(net):
    penalty = source_pull(net, "1", weight=0.2)
    with torch.no_grad():
        net[0].weight[2, 1] += 3.0
    penalty().backward()
    wanted = torch.zeros(3, 2).double()
    wanted[2, 1] = 0.6
    torch.testing.assert_close(net[0].weight.grad, wanted)
    assert net[1].weight.grad is None
