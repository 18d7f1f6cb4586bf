import copy

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

import bequest as bq
from bequest.core import Task
from bequest.errors import DataError, NotApplicable
from bequest.methods.head import new_head
from bequest.methods.lora import LoRA, adaptable, factors, injected


@pytest.fixture(scope="module")
def near():
    rng = np.random.default_rng(0)
    return Task.from_arrays(rng.normal(size=(60, 4)), np.arange(60) % 3, name="near")


@pytest.fixture(scope="module")
def pictures():
    rng = np.random.default_rng(1)
    y = np.arange(36) % 3
    X = rng.normal(size=(36, 2, 8, 8)) + y[:, None, None, None]
    return Task.from_arrays(X, y, name="pictures")


@pytest.fixture(scope="module")
def source(near):
    return bq.train(near, net="mlp")


def fitted(source, task, **settings):
    return LoRA(**{"steps": 8, "lr": 1e-2} | settings).fit(
        [bq.Source(source)], task, rng=np.random.default_rng(0)
    )


def wrapped(module, X):
    torch.manual_seed(0)
    return bq.wrap(module, classes=[0, 1, 2], example=np.asarray(X), name="mine")


class Attends(nn.Module):
    def __init__(self):
        super().__init__()
        layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
        self.lift = nn.Linear(1, 8)
        self.encoder = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        return self.head(self.encoder(self.lift(x.unsqueeze(2))).mean(1))


def convolutions():
    return nn.Sequential(
        nn.Conv2d(2, 6, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Conv2d(6, 8, 1),
        nn.Flatten(),
        nn.Linear(8 * 16, 3),
    )


SOURCES = {
    "perceptron": lambda near, pictures: (bq.train(near, net="mlp"), near),
    "residual network": lambda near, pictures: (bq.train(pictures, net="resnet"), pictures),
    "convolutions": lambda near, pictures: (wrapped(convolutions(), pictures.inputs), pictures),
    "attention": lambda near, pictures: (wrapped(Attends(), near.inputs), near),
}


@pytest.fixture(params=SOURCES, scope="module")
def pair(request, near, pictures):
    torch.manual_seed(0)
    return SOURCES[request.param](near, pictures)


def test_the_merged_network_predicts_as_peft_does_with_the_same_factors(pair):
    source, task = pair
    model = fitted(source, task, rank=3)
    module = copy.deepcopy(source.module)
    new_head(module, source, task)
    layers = adaptable(module, source.head)
    injected(module, layers, rank=3, alpha=16.0)
    tensors = model.adapter.tensors
    with torch.no_grad():
        for name, value in factors(module, layers).items():
            value.copy_(tensors[name])
        for part, value in module.get_submodule(source.head).named_parameters():
            value.copy_(tensors[f"{source.head}.{part}"])
    X = torch.from_numpy(source.encode(task.inputs))
    # In training mode (nothing here is dropped), as torch's fast attention reads no adapters.
    for part in module.modules():
        part.train(not isinstance(part, nn.BatchNorm2d))
    with torch.no_grad():
        expected, given = module(X), model.module(X)
        plain = source.module(X)
    assert float((expected - given).abs().max()) < 1e-5
    assert float((plain - given).abs().max()) > 1e-3, "nothing was learned"


def test_the_change_of_every_weight_has_the_rank_that_was_asked_for(pair):
    source, task = pair
    adapter = fitted(source, task, rank=2).adapter
    merged = dict(adapter.merged().module.named_parameters())
    base = dict(source.module.named_parameters())
    for weight in adapter.weights:
        change = (merged[weight.name].double() - base[weight.name].double()).detach().flatten(1)
        sizes = torch.linalg.svdvals(change)
        assert sizes[0] > 1e-4, weight.name
        assert (sizes[2:] < 1e-4 * sizes[0]).all(), weight.name


def test_the_base_keeps_every_bit_and_the_rest_of_the_merged_network_is_the_base(pair):
    source, task = pair
    before = {name: value.clone() for name, value in source.module.state_dict().items()}
    model = fitted(source, task)
    after, merged = source.module.state_dict(), model.module.state_dict()
    changed = set(model.adapter.tensors) | {weight.name for weight in model.adapter.weights}
    for name, value in before.items():
        assert torch.equal(after[name], value), name
        assert torch.equal(merged[name], value) == (name not in changed), name


def test_as_many_numbers_are_trained_as_the_formula_says(source, near):
    module = copy.deepcopy(source.module)
    injected(module, adaptable(module, "head"), rank=5, alpha=1.0)
    trained = sum(w.numel() for w in module.parameters() if w.requires_grad)
    assert trained == 5 * (4 + 128) + 5 * (128 + 128)
    tensors = fitted(source, near, rank=5).adapter.tensors
    assert sum(t.numel() for t in tensors.values()) == trained + (128 + 1) * 3


def test_before_the_first_step_the_model_is_the_base_exactly(source, near):
    start = fitted(source, near, rank=128, steps=1, lr=1e-30)
    np.testing.assert_array_equal(start.output(near.inputs), source.output(near.inputs))


def test_before_the_first_step_the_head_is_the_probes_where_one_is_asked_for(source, near):
    start = fitted(source, near, steps=1, lr=1e-12, probe_first=True)
    features = source.features(near.inputs).astype(np.float64)
    probe = LogisticRegression(max_iter=2000).fit(features, near.targets)
    np.testing.assert_allclose(
        start.predict_proba(near.inputs), probe.predict_proba(features), atol=1e-5
    )
    assert start.card.transferred[-1]["rule"] == "a linear probe's, then tuned"


def test_targets_name_layers_by_their_end(near):
    model = fitted(wrapped(Attends(), near.inputs), near, targets=["linear1", "lift"])
    names = [weight.name for weight in model.adapter.weights]
    assert names == ["lift.weight", "encoder.layers.0.linear1.weight"]


def test_weights_that_two_layers_share_are_left_alone(near):
    first, second = nn.Linear(4, 4), nn.Linear(4, 4)
    second.weight = first.weight
    module = nn.Sequential(first, second, nn.Linear(4, 8), nn.Linear(8, 3))
    assert set(adaptable(module, "3")) == {"2"}


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(4, 4, 3, groups=2),
        nn.Conv2d(4, 4, 3, dilation=2),
        nn.Conv2d(4, 4, 3, padding=1, padding_mode="circular"),
        nn.MultiheadAttention(4, 2, kdim=3),
        nn.Bilinear(4, 4, 4),
        nn.Embedding(4, 4),
        nn.LSTM(4, 4),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_a_layer_that_a_change_would_not_follow_is_left_out(layer):
    assert adaptable(nn.Sequential(layer, nn.Linear(4, 3)), "1") == {}


def test_a_target_that_matches_nothing_is_refused_with_the_layers_there_are(source, near):
    reason = LoRA(targets=("q_proj",)).applies([bq.Source(source)], near).reason
    assert reason == "no layer 'q_proj' can be adapted; these can: body.0, body.3."
    with pytest.raises(NotApplicable, match="q_proj"):
        fitted(source, near, targets=("q_proj",))


def test_a_network_of_a_head_alone_is_refused(near):
    alone = bq.Source(wrapped(nn.Sequential(nn.Linear(4, 3)), near.inputs))
    reason = LoRA().applies([alone], near).reason
    assert "no linear or convolutional layer but its head" in reason


def test_a_source_that_is_no_network_is_refused(near):
    assert "torch network" in LoRA().applies([bq.Source(bq.train(near, net="linear"))], near).reason


def test_without_peft_the_method_does_not_apply_and_says_what_to_install(source, near, monkeypatch):
    import importlib.util
    import sys

    find = importlib.util.find_spec
    monkeypatch.delitem(sys.modules, "peft", raising=False)
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "peft" else find(name)
    )
    assert (
        LoRA().applies([bq.Source(source)], near).reason
        == "LoRA needs peft: pip install 'bequest[hf]'."
    )
    result = bq.transfer(near, [source], methods=["lora"], budget=None, allow_overlap=True)
    assert any("pip install 'bequest[hf]'" in note for note in result.outcome.notes)


@pytest.mark.parametrize(
    "setting",
    [
        {"rank": 0}, {"rank": 1.5}, {"rank": True}, {"alpha": 0}, {"lr": 0}, {"steps": 0},
        {"targets": "q_proj"}, {"targets": ()}, {"augment": "shfit"},
    ],
)  # fmt: skip
def test_a_setting_that_makes_no_sense_is_refused(setting):
    with pytest.raises(DataError, match=f"lora: {next(iter(setting))} must be"):
        LoRA(**setting)


def test_it_races_only_where_it_is_asked_for(source, near):
    from bequest.api.arms import transfer_arms

    arms, _, _ = transfer_arms([bq.Source(source)], near, "auto")
    assert "lora" not in {arm.method for arm in arms}
    arms, _, _ = transfer_arms([bq.Source(source)], near, ["lora"])
    assert [arm.method for arm in arms] == ["lora"] * 3
