import copy

import numpy as np
import pytest
import torch
from benchmarks.delta import Delta, attention, behaviour_distance, stages
from torch import nn
from torch.nn import functional

from bequest.nets.resnet import ResNet


def drawn(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


@pytest.fixture
def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)).double()


def moved(net):
    other = copy.deepcopy(net)
    with torch.no_grad():
        other[0].weight += 0.3
    return other


def test_the_distance_of_two_small_maps_is_the_one_computed_by_hand():
    source = torch.zeros(2, 2, 1, 2)
    maps = torch.tensor([[[[1.0, 1.0]], [[0.0, 2.0]]], [[[3.0, 1.0]], [[0.0, 0.0]]]])
    # channel 0: (1 + 1 + 9 + 1) / 4 = 3; channel 1: (0 + 4 + 0 + 0) / 4 = 1
    assert behaviour_distance(maps, source).item() == pytest.approx(0.5 * (3 + 1))
    weights = torch.tensor([0.25, 0.75])
    assert behaviour_distance(maps, source, weights).item() == pytest.approx(
        0.5 * 2 * (0.25 * 3 + 0.75 * 1)
    )


def test_equal_shares_are_the_unweighted_distance():
    maps, source = drawn(5, 4, 3, 3), drawn(5, 4, 3, 3, seed=1)
    equal = torch.full((4,), 0.25, dtype=torch.float64)
    weighted = behaviour_distance(maps, source, equal)
    assert weighted.item() == pytest.approx(behaviour_distance(maps, source).item())


def test_of_tokens_the_last_axis_holds_the_channels():
    maps, source = torch.zeros(1, 3, 2), torch.zeros(1, 3, 2)
    maps[0, :, 1] = 2.0
    assert behaviour_distance(maps, source, torch.tensor([1.0, 0.0])).item() == 0.0
    assert behaviour_distance(maps, source, torch.tensor([0.0, 1.0])).item() == 4.0


def test_a_network_that_is_the_source_still_pays_nothing(net):
    with Delta(net, net, {"0": None}, weight=7.0) as penalty:
        net(drawn(6, 4))
        value = penalty()
    value.backward()
    assert value.item() == 0.0
    assert float(net[0].weight.grad.abs().sum()) == 0.0


def test_the_penalty_is_the_weighted_distance_of_the_batch_that_was_read(net):
    other, X = moved(net), drawn(6, 4)
    share = torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64)
    with Delta(other, net, {"0": share}, weight=0.1) as penalty:
        other(X)
        value = penalty()
    gap = (other[0](X) - net[0](X)).detach().numpy()
    by_hand = 0.1 * 0.5 * 3 * (share.numpy() * (gap**2).mean(axis=0)).sum()
    assert value.item() == pytest.approx(by_hand)


def test_the_gradient_is_that_of_finite_differences(net):
    other, X = moved(net), drawn(6, 4)
    with Delta(other, net, {"0": None, "2": None}, weight=0.3) as penalty:

        def value():
            other(X)
            return penalty()

        value().backward()
        slopes = other[0].weight.grad.clone()
        step = 1e-6
        for place in np.ndindex(3, 4):
            with torch.no_grad():
                other[0].weight[place] += step
                above = value().item()
                other[0].weight[place] -= 2 * step
                below = value().item()
                other[0].weight[place] += step
            assert slopes[place].item() == pytest.approx((above - below) / (2 * step), rel=1e-5)


def test_the_source_is_left_alone_and_the_hooks_are_gone(net):
    before, other = copy.deepcopy(net.state_dict()), moved(net)
    with Delta(other, net, {"0": None}, weight=1.0) as penalty:
        other(drawn(2, 4))
        penalty().backward()
    assert all(torch.equal(value, net.state_dict()[name]) for name, value in before.items())
    assert net[0].weight.grad is None
    assert not other._forward_pre_hooks
    assert not other[0]._forward_hooks


def test_the_penalty_wants_a_batch_first(net):
    with (
        Delta(net, net, {"0": None}, 1.0) as penalty,
        pytest.raises(RuntimeError, match="no batch was read"),
    ):
        penalty()


def test_attention_is_the_softmax_of_what_each_silent_channel_costs(net):
    X, y = drawn(20, 4), torch.arange(20) % 2
    found = attention(net, X, y, functional.cross_entropy, ["0"])["0"]
    increases = []
    for channel in range(3):
        silent = copy.deepcopy(net)
        with torch.no_grad():
            silent[0].weight[channel] = 0.0
            silent[0].bias[channel] = 0.0
            cost = functional.cross_entropy(silent(X), y) - functional.cross_entropy(net(X), y)
        increases.append(cost.item())
    level = (increases - np.mean(increases)) / np.std(increases) / 5.0
    np.testing.assert_allclose(found.numpy(), np.exp(level) / np.exp(level).sum(), rtol=1e-6)


def test_a_channel_that_nothing_reads_gets_the_least_attention(net):
    with torch.no_grad():
        net[2].weight[:, 1] = 0.0
        net[2].weight[:, 0] *= 5.0
        net[0].bias[:] = 1.0
    X = drawn(40, 4)
    y = net(X).argmax(dim=1)
    found = attention(net, X, y, functional.cross_entropy, ["0"])["0"]
    assert int(found.argmin()) == 1
    assert found.sum().item() == pytest.approx(1.0)


def test_channels_that_matter_alike_share_alike(net):
    with torch.no_grad():
        net[2].weight[:] = 0.0
    found = attention(net, drawn(8, 4), torch.zeros(8).long(), functional.cross_entropy, ["0"])
    np.testing.assert_allclose(found["0"].numpy(), 1 / 3)


def test_of_a_residual_network_the_ends_of_its_stages_are_compared():
    network = ResNet(channels=1, outputs=3, widths=(8, 16))
    assert stages(network, torch.zeros(2, 1, 8, 8), "head") == ("stages.0", "norm")


def test_a_body_beside_the_head_is_opened_and_tables_are_passed_over():
    class Words(nn.Module):
        def __init__(self):
            super().__init__()
            self.words = nn.Embedding(5, 4)
            self.inner = nn.ModuleDict({"body": nn.Linear(4, 6), "head": nn.Linear(6, 2)})

        def forward(self, x):
            return self.inner["head"](self.inner["body"](self.words(x).mean(dim=1)))

    assert stages(Words(), torch.zeros(2, 3).long(), "inner.head") == ("inner.body",)
