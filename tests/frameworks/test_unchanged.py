"""A module that is given to bequest stays as it was, whatever is done with it."""

import copy

import numpy as np
import pytest
import torch
import torch.fx
from torch import nn

import bequest as bq
from bequest.core import Card, InputSpec
from bequest.errors import NotApplicable
from bequest.frameworks.torch.model import TorchModel
from bequest.frameworks.torch.unchanged import evaluating, hooks_of
from bequest.methods.fine_tune import FineTune
from bequest.methods.lora import LoRA
from bequest.methods.parameters import Parameters
from bequest.methods.probe import Probe
from bequest.methods.reuse import Reuse
from bequest.methods.stack import Stack
from bequest.testing.unchanged import state_of

X = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)


class Pretrained(nn.Module):
    """A network as people download one."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(0.5))
        self.head = nn.Linear(6, 3)

    def forward(self, x):
        return self.head(self.body(x))


class Normalised(nn.Module):
    """The common wrapper, which nobody ever put into evaluation mode."""

    def __init__(self, network):
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.zeros(4))
        self.calls = []
        self.fault = None

    def forward(self, x):
        if self.fault is not None:
            self.network.train()
            self.mean += 1.0
            self.network.body[1].running_mean = torch.ones(6)
            self.network.head.weight.requires_grad_(True)
            self.register_forward_hook(lambda *_: None)
            raise self.fault
        return self.network(x - self.mean)


@pytest.fixture
def module():
    torch.manual_seed(0)
    network = Pretrained().eval()
    network.head.weight.requires_grad_(False)
    network(torch.from_numpy(X)).sum().backward()  # some parameters have a gradient
    wrapper = Normalised(network)
    wrapper.register_forward_hook(lambda part, args, out: part.calls.append(len(args[0])))
    network.body.register_forward_pre_hook(lambda part, args: None)
    assert wrapper.training
    assert not network.training
    return wrapper


@pytest.fixture
def unchanged(module):
    before = state_of(module)
    yield module
    assert state_of(module) == before


def test_the_state_tells_what_changed(module):
    changes = (
        lambda: module.network.body[1].train(),
        lambda: module.network.head.weight.requires_grad_(True),
        lambda: module.network.body[1].running_var.add_(1),
        lambda: module.network.body[0].register_forward_hook(print),
        lambda: module.network.body[0].weight.grad.zero_(),
        lambda: setattr(module, "mean", module.mean.clone()),
        lambda: module.network.body[0].weight.data.mul_(2),
    )
    for change in changes:
        before = state_of(module)
        assert state_of(module) == before
        change()
        after = state_of(module)
        assert sum(after[name] != before[name] for name in after) == 1


@pytest.mark.parametrize("example", [None, X])
def test_after_wrapping(unchanged, example):
    bq.wrap(unchanged, classes=["a", "b", "c"], example=example)


@pytest.mark.parametrize("batch_size", [None, 1, 7, 1000])
def test_after_predicting_and_features(unchanged, batch_size):
    model = bq.wrap(unchanged, classes=["a", "b", "c"], example=X, batch_size=batch_size)
    with torch.no_grad():
        expected = copy.deepcopy(unchanged.network)(torch.from_numpy(X)).softmax(1).numpy()
    np.testing.assert_allclose(model.predict_proba(X), expected, atol=1e-6)
    model.predict(X)
    model.features(X)
    model.features(X, layer="network.body.0")
    with pytest.raises(NotApplicable, match="has no layer 'tail'"):
        model.features(X, layer="tail")
    with pytest.raises(NotApplicable, match="cannot read inputs of shape"):
        model.predict(np.ones((3, 9)))


def test_after_saving(unchanged, tmp_path):
    model = bq.wrap(unchanged, classes=["a", "b", "c"], example=X)
    model.save(tmp_path / "model")
    np.testing.assert_allclose(
        bq.load(tmp_path / "model").predict_proba(X), model.predict_proba(X), atol=1e-6
    )


@pytest.mark.parametrize("example", [None, torch.from_numpy(X)])
def test_after_parameter_maps_on_both_sides(unchanged, example):
    other = copy.deepcopy(unchanged)
    before = state_of(other)
    for source, target in ((unchanged, other), (other, unchanged)):
        plan = bq.map_parameters(source, target, example=example)
        made = plan.apply()
        assert plan.verify(torch.from_numpy(X)) < 1e-6
        assert made is not target
    assert state_of(other) == before


def test_after_a_parameter_map_of_weights_that_are_computed(module):
    nn.utils.parametrizations.spectral_norm(module.network.body[0])
    before = state_of(module)
    bq.map_parameters(module, copy.deepcopy(module), example=torch.from_numpy(X)).apply()
    assert state_of(module) == before


@pytest.mark.parametrize("fault", [ValueError("odd"), KeyError("odd"), KeyboardInterrupt()])
def test_after_a_pass_that_changes_everything_and_raises(unchanged, fault):
    model = TorchModel(
        unchanged, spec=InputSpec("vector", (4,)), classes=("a", "b", "c"), card=Card(),
        head="network.head",
    )  # fmt: skip
    unchanged.fault = fault
    for act in (model.predict, model.features):
        with pytest.raises((type(fault), NotApplicable)):
            act(X)
    with pytest.raises((type(fault), ValueError)):
        bq.wrap(unchanged, example=X)
    with pytest.raises((type(fault), ValueError)):
        bq.map_parameters(unchanged, copy.deepcopy(unchanged.network), example=torch.from_numpy(X))


def test_a_users_hooks_stay_in_their_order_and_see_every_row_once(module):
    model = bq.wrap(module, classes=["a", "b", "c"], batch_size=8)
    module.calls.clear()
    model.predict(X)
    assert sum(module.calls) == 20
    assert max(module.calls) <= 8


def test_a_class_that_overrides_train_is_not_asked(module):
    class Stubborn(nn.Linear):
        def train(self, mode=True):
            raise AssertionError("not asked for")

    net = nn.Sequential(Stubborn(4, 3))
    bq.wrap(net, classes=["a", "b", "c"], example=X).predict(X)
    assert net[0].training


def test_a_lazy_layer_is_made_by_its_first_run(module):
    net = nn.Sequential(nn.LazyLinear(5), nn.LazyBatchNorm1d(), nn.Linear(5, 3))
    model = bq.wrap(net, classes=["a", "b", "c"], example=X)
    assert model.predict_proba(X).shape == (20, 3)
    assert net.training


def test_buffers_that_hold_nan_or_are_new_come_back():
    net = nn.BatchNorm1d(2)
    net.running_mean[0] = float("nan")
    before = state_of(net)
    with evaluating(net):
        net.running_mean.fill_(1.0)
        net.running_var.add_(1.0)
        net.register_buffer("more", torch.ones(1))
    assert state_of(net) == before


def test_a_traced_graph_and_a_sparse_buffer_are_run_and_left_alone():
    traced = torch.fx.symbolic_trace(nn.Sequential(nn.Linear(4, 3)))
    sparse = nn.Sequential(nn.Linear(4, 3))
    sparse.register_buffer("mask", torch.eye(3).to_sparse())
    for module in (traced, sparse):
        hooks = {name: dict(found) for name, found in hooks_of(module).items()}
        bq.wrap(module, classes=["a", "b", "c"], example=X[:2]).predict(X)
        assert {name: dict(found) for name, found in hooks_of(module).items()} == hooks


def test_a_network_that_gives_no_tensor_and_one_in_bfloat16():
    class Pair(nn.Linear):
        def forward(self, x):
            return super().forward(x), x

    with pytest.raises(NotApplicable, match="gives a tuple, not one tensor"):
        bq.wrap(Pair(4, 3), classes=["a", "b", "c"]).predict(X)

    class Half(nn.Sequential):
        def forward(self, x):
            return super().forward(x.bfloat16())

    half = Half(nn.Linear(4, 3)).bfloat16()
    assert len(bq.wrap(half, classes=["a", "b", "c"]).predict(X)) == len(X)


METHODS = {
    "fine-tune": FineTune(steps=2, freeze=0.5),
    "fine-tune after a probe": FineTune(steps=2, probe_first=True, pull=0.1),
    "lora": LoRA(steps=2, rank=2),
    "parameters": Parameters(width=8, layers=1, steps=2, coverage=0.0),
    "probe": Probe(),
    "reuse": Reuse(),
    "stack": Stack(),
}


@pytest.mark.parametrize("name", METHODS)
def test_after_a_method_has_fitted(unchanged, name):
    source = bq.wrap(unchanged, classes=["a", "b", "c"], example=X, name="given")
    task = bq.Task.from_arrays(X, ["a", "b"] * 10)
    method = METHODS[name]
    assert method.applies([bq.Source(source)], task) is None
    method.fit([bq.Source(source)], task, rng=np.random.default_rng(0)).predict(X)
