"""Which device a network runs on; there need be no accelerator for the choice to be tested."""

import numpy as np
import pytest
import torch
from torch import nn

import bequest as bq
from bequest.frameworks.torch import forward as passes
from bequest.frameworks.torch.device import device_for, half_precision, own_device
from bequest.training import loop as training


def there_is(monkeypatch, *, cuda=False, mps=False, bfloat16=False):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: bfloat16)


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"),
    [(True, True, "cuda"), (True, False, "cuda"), (False, True, "mps"), (False, False, "cpu")],
)
def test_a_network_on_the_cpu_goes_to_the_accelerator_that_there_is(
    monkeypatch, cuda, mps, expected
):
    there_is(monkeypatch, cuda=cuda, mps=mps)
    assert device_for(nn.Linear(2, 2)).type == expected
    assert device_for(nn.ReLU()).type == expected  # without a parameter


def test_a_network_that_somebody_put_on_a_device_stays_there(monkeypatch):
    there_is(monkeypatch, cuda=True)
    assert device_for(nn.Linear(2, 2, device="meta")).type == "meta"
    assert own_device(nn.BatchNorm1d(2, affine=False, device="meta")).type == "meta"


@pytest.mark.parametrize(
    ("device", "bfloat16", "half"),
    [("cuda", True, True), ("cuda", False, False), ("mps", True, False), ("cpu", True, False)],
)
def test_half_precision_is_for_cuda_devices_that_have_it(monkeypatch, device, bfloat16, half):
    there_is(monkeypatch, cuda=device == "cuda", bfloat16=bfloat16)
    context = half_precision(torch.device(device))
    assert isinstance(context, torch.autocast) == half
    if half:
        assert context.fast_dtype is torch.bfloat16


class Counting(nn.Linear):
    """Counts its passes."""

    passes = 0

    def forward(self, x):
        self.passes += 1
        return super().forward(x)


def test_a_copy_runs_on_the_accelerator_and_the_network_stays_as_it_was(monkeypatch):
    # as if it were elsewhere, and the CPU the accelerator: the whole way is gone
    monkeypatch.setattr(passes, "own_device", lambda module: torch.device("meta"))
    monkeypatch.setattr(passes, "half_precision", lambda device: torch.autocast("cpu"))
    module, X = Counting(3, 2), np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    found = bq.wrap(module, classes=["a", "b"]).predict_proba(X)
    assert module.passes == 0
    exact = module(torch.from_numpy(X)).softmax(1).detach().numpy()
    np.testing.assert_allclose(found, exact, atol=0.02)
    assert np.abs(found - exact).max() > 1e-5  # it was half precision
    assert found.dtype == np.float64


def test_training_in_half_precision_keeps_parameters_in_single_precision(monkeypatch):
    monkeypatch.setattr(training, "half_precision", lambda device: torch.autocast("cpu"))
    seen, module = [], nn.Linear(3, 2)
    module.register_forward_hook(lambda _, args, output: seen.append(output.dtype))
    X, y = torch.randn(20, 3), torch.arange(20) % 2
    training.run(
        module, lambda rows: (X[rows], y[rows]), 20, nn.functional.cross_entropy,
        training.Loop(steps=3), generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    assert seen == [torch.bfloat16] * 3
    assert module.weight.dtype is torch.float32
