import numpy as np
import pytest
import torch

import bequest as bq
from bequest.core import Task
from bequest.errors import DataError, NotApplicable
from bequest.methods.fine_tune import FineTune
from bequest.methods.head import probe_head


@pytest.fixture
def near():
    rng = np.random.default_rng(0)
    return Task.from_arrays(rng.normal(size=(60, 4)), np.arange(60) % 3, name="near")


@pytest.fixture
def source(near):
    return bq.train(near, net="mlp")


def tuned(source, task, **settings):
    return FineTune(**settings).fit([bq.Source(source)], task, rng=np.random.default_rng(0))


def weights(model):
    return {name: w.detach() for name, w in model.module.named_parameters()}


def test_a_frozen_layer_stays_at_the_source_and_the_head_moves(source, near):
    model = tuned(source, near, steps=5, freeze=1.0)
    for name, before in weights(source).items():
        same = torch.equal(before, weights(model)[name])
        assert same == (not name.startswith("head"))
    assert all(weight.requires_grad for weight in model.module.parameters())


def test_a_strong_pull_keeps_the_body_near_the_source(source, near):
    def distance(model):
        return sum(
            float(((value - weights(source)[name]) ** 2).sum())
            for name, value in weights(model).items()
            if not name.startswith("head")
        )

    shuffled = near.take(np.random.default_rng(1).permutation(60))
    free = tuned(source, shuffled, steps=60, lr=5e-3)
    pulled = tuned(source, shuffled, steps=60, lr=5e-3, pull=100.0)
    assert distance(pulled) < 0.2 * distance(free)


def test_layer_wise_decay_moves_early_layers_less_than_late_ones(source, near):
    model = tuned(source, near, steps=1, lr=1e-2, decay=0.1)
    step = {
        name: float((value - weights(source)[name]).abs().max())
        for name, value in weights(model).items()
    }
    assert step["head.weight"] > 5 * step["body.3.weight"] > 25 * step["body.0.weight"] > 0


def test_rows_of_shared_classes_start_at_the_source(source):
    rng = np.random.default_rng(1)
    task = Task.from_arrays(rng.normal(size=(20, 4)), [2, 9] * 10, name="half new")
    model = tuned(source, task, steps=1, lr=1e-9)
    row = weights(source)["head.weight"][2]
    assert torch.allclose(weights(model)["head.weight"][0], row, atol=1e-6)
    assert not torch.allclose(weights(model)["head.weight"][1], row, atol=1e-2)
    assert model.card.moved[-1]["rule"] == "rows of 1 shared class"


def test_a_regression_keeps_its_values_when_the_unit_changes():
    rng = np.random.default_rng(2)
    X = rng.normal(size=(80, 3))
    metres = Task.from_arrays(X, X[:, 0] * 2 + 5, kind="regression", name="metres")
    source = bq.train(metres, net="mlp")
    wider = Task.from_arrays(X, X[:, 0] * 30 + 100, kind="regression", name="other unit")
    start = tuned(source, wider, steps=1, lr=1e-12)
    np.testing.assert_allclose(start.output(X), source.output(X), rtol=1e-3, atol=1e-3)


def test_the_probed_head_predicts_as_the_linear_probe_does(source, near):
    import copy

    from bequest.training.estimators import linear_estimator

    module = copy.deepcopy(source.module)
    probe_head(module, source, near)
    features = source.features(near.inputs).astype(np.float64)
    probe = linear_estimator(near, 0.1).fit(features, near.targets)
    with torch.no_grad():
        logits = module.head(torch.as_tensor(features, dtype=torch.float32)).numpy()
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    ours = shifted / shifted.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(ours, probe.predict_proba(features), atol=1e-5)


def test_a_source_that_is_no_network_is_refused_with_a_reason(near):
    source = bq.train(near, net="linear")
    assert "torch network" in FineTune().applies([bq.Source(source)], near).reason


def wrapped(module, X, **extra):
    return bq.wrap(module, classes=[0, 1, 2], example=np.asarray(X), name="mine", **extra)


def test_a_wrapped_network_reads_the_inputs_that_it_was_trained_on(near):
    module = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))
    mine = wrapped(module, near.inputs)
    start = tuned(mine, near, steps=1, lr=1e-12)
    np.testing.assert_allclose(start.output(near.inputs), mine.output(near.inputs), atol=1e-6)


def test_a_source_without_gradients_is_tuned_all_the_same(near):
    module = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))
    mine = wrapped(module.requires_grad_(False), near.inputs)
    model = tuned(mine, near, steps=5, lr=1e-2)
    assert not torch.equal(weights(mine)["0.weight"], weights(model)["0.weight"])


def test_frozen_layers_keep_their_running_statistics_and_the_card_says_so(near):
    norm = torch.nn.BatchNorm1d(8)
    module = torch.nn.Sequential(
        torch.nn.Linear(4, 8), norm, torch.nn.ReLU(), torch.nn.Linear(8, 3)
    )
    model = tuned(wrapped(module, near.inputs), near, steps=5, freeze=1.0)
    assert torch.equal(model.module[1].running_mean, norm.running_mean)
    assert [part["rule"] for part in model.card.moved[:2]] == ["copied, frozen"] * 2


def test_a_network_that_cannot_take_another_head_is_a_reason(near):
    module = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3))
    two = Task.from_arrays(near.inputs, np.arange(60) % 2, name="two")
    with pytest.raises(NotApplicable, match="cannot be tuned here"):
        tuned(wrapped(module, near.inputs), two, steps=1)


@pytest.mark.parametrize(
    "setting",
    [{"lr": -1.0}, {"steps": 0}, {"freeze": 2.0}, {"augment": "shfit"}, {"decay": 0}, {"pull": -1}],
)
def test_a_setting_that_makes_no_sense_is_refused(setting):
    with pytest.raises(DataError, match=f"fine-tune: {next(iter(setting))} must be"):
        FineTune(**setting)
