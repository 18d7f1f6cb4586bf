import numpy as np
import pytest
import torch
from benchmarks.shrinkage import Shrinkage, spectral_tail
from torch import nn


def drawn(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


def test_the_tail_of_a_diagonal_matrix_is_the_square_of_its_smallest_entry():
    matrix = torch.diag(torch.tensor([5.0, -0.5, 3.0]))
    assert spectral_tail(matrix).item() == pytest.approx(0.25)
    assert spectral_tail(matrix, k=2).item() == pytest.approx(9.25)


@pytest.mark.parametrize("shape", [(6, 9), (9, 6), (5, 5)])
@pytest.mark.parametrize("k", [1, 3])
def test_the_tail_is_that_of_numpy_whichever_side_is_longer(shape, k):
    features = drawn(*shape)
    values = np.linalg.svd(features.numpy(), compute_uv=False)
    assert spectral_tail(features, k).item() == pytest.approx((values[-k:] ** 2).sum())


def test_all_values_together_are_the_squared_norm():
    features = drawn(4, 7)
    assert spectral_tail(features, k=99).item() == pytest.approx(float(features.square().sum()))


def test_features_that_hang_together_have_no_tail_and_a_finite_gradient():
    features = drawn(6, 2) @ drawn(2, 5, seed=1)
    features.requires_grad_(True)
    tail = spectral_tail(features)
    tail.backward()
    assert tail.item() == pytest.approx(0.0, abs=1e-20)
    assert torch.isfinite(features.grad).all()


def test_the_gradient_is_that_of_finite_differences():
    features = drawn(4, 6).requires_grad_(True)
    assert torch.autograd.gradcheck(lambda x: spectral_tail(x, 2), (features,))


def test_the_penalty_reads_what_enters_the_head_and_moves_the_body_alone():
    net = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 2)).double()
    X = drawn(5, 3)
    with Shrinkage(net, "2", weight=0.5) as penalty:
        net(X)
        value = penalty()
    value.backward()
    entered = net[:2](X).detach()
    assert value.item() == pytest.approx(0.5 * spectral_tail(entered).item())
    assert net[0].weight.grad.abs().sum() > 0
    assert net[2].weight.grad is None


def test_the_penalty_lets_go_of_the_network_and_wants_a_batch_first():
    net = nn.Sequential(nn.Linear(3, 2))
    with Shrinkage(net, "0") as penalty, pytest.raises(RuntimeError, match="no batch was read"):
        penalty()
    assert not net[0]._forward_pre_hooks
