import copy

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

import bequest as bq
from bequest.core import Task
from bequest.errors import DataError, NotApplicable
from bequest.methods.fine_tune import FineTune, _steps
from bequest.methods.head import probe_head
from bequest.training.estimators import linear_estimator


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
    model = tuned(source, near, steps=1, lr=1e-2, decay=0.01)
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
    assert model.card.transferred[-1]["rule"] == "rows of 1 shared class"


def test_a_regression_keeps_its_values_when_the_unit_changes():
    rng = np.random.default_rng(2)
    X = rng.normal(size=(80, 3))
    metres = Task.from_arrays(X, X[:, 0] * 2 + 5, kind="regression", name="metres")
    source = bq.train(metres, net="mlp")
    wider = Task.from_arrays(X, X[:, 0] * 30 + 100, kind="regression", name="other unit")
    start = tuned(source, wider, steps=1, lr=1e-12)
    np.testing.assert_allclose(start.output(X), source.output(X), rtol=1e-3, atol=1e-3)


def test_the_first_layer_is_tuned_by_its_share_of_the_heads_step_size(source, near):
    groups = FineTune(decay=0.04)._groups(source.module, source.head, frozenset())
    assert [group["lr"] for group in groups] == pytest.approx([1.0, 0.2, 0.04])


def test_the_probed_head_predicts_as_the_linear_probe_does(source, near):
    module = copy.deepcopy(source.module)
    assert probe_head(module, source, near) == "a linear probe's, then tuned"
    features = source.features(near.inputs).astype(np.float64)
    probe = LogisticRegression(C=1.0, max_iter=2000).fit(features, near.targets)
    with torch.no_grad():
        logits = module.head(torch.as_tensor(features, dtype=torch.float32))
    np.testing.assert_allclose(logits.softmax(1), probe.predict_proba(features), atol=1e-5)


def test_the_probed_head_of_two_classes_among_three_never_says_the_third(source, near):
    two = near.take(np.flatnonzero(near.targets != 1))
    module = copy.deepcopy(source.module)
    probe_head(module, source, two)
    features = source.features(two.inputs).astype(np.float64)
    probe = LogisticRegression(C=1.0, max_iter=2000).fit(features, two.targets)
    with torch.no_grad():
        found = module.head(torch.as_tensor(features, dtype=torch.float32)).softmax(1).numpy()
    assert found[:, 1].max() < 0.05
    shares = found[:, [0, 2]] / found[:, [0, 2]].sum(axis=1, keepdims=True)
    np.testing.assert_allclose(shares, probe.predict_proba(features), atol=1e-5)


def test_the_probed_head_of_a_regression_predicts_as_ridge_does():
    rng = np.random.default_rng(3)
    X = rng.normal(size=(40, 3))
    task = Task.from_arrays(X, 20 * X[:, 0] + 7, kind="regression")
    source = bq.train(task, net="mlp")
    start = tuned(source, task, probe_first=True, steps=1, lr=1e-12)
    features = source.features(X).astype(np.float64)
    ridge = linear_estimator(task, 1.0).fit(features, task.targets)
    np.testing.assert_allclose(start.output(X), ridge.predict(features), rtol=1e-2, atol=0.05)


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
    assert [part["rule"] for part in model.card.transferred[:2]] == ["copied, frozen"] * 2


def normed():
    return torch.nn.Sequential(
        torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8), torch.nn.ReLU(), torch.nn.Linear(8, 3)
    )


def test_batch_normalisation_keeps_the_sources_statistics_while_its_weights_are_tuned(near):
    module = normed()
    model = tuned(wrapped(module, near.inputs), near, steps=5, lr=1e-2)
    assert torch.equal(model.module[1].running_mean, module[1].running_mean)
    assert not torch.equal(model.module[1].weight, module[1].weight)


def test_batch_normalisation_learns_the_targets_statistics_where_that_is_asked_for(near):
    module = normed()
    model = tuned(wrapped(module, near.inputs), near, steps=5, batch_norm="tuned")
    assert not torch.equal(model.module[1].running_mean, module[1].running_mean)


def test_a_large_network_is_less_sure_of_few_labels(near, monkeypatch):
    def surest(**settings):
        torch.manual_seed(0)
        mine = wrapped(normed(), near.inputs)
        model = tuned(mine, near.take(np.arange(6)), steps=300, lr=3e-2, **settings)
        return model.predict_proba(near.inputs[:6]).max(axis=1).mean()

    assert surest() > 0.99
    monkeypatch.setattr("bequest.methods.fine_tune.SMALL", 10)
    assert 0.8 < surest() < 0.96  # of a smoothed label 1 - 0.1 + 0.1 / 3 is the class's
    assert surest(smoothing=0.0) > 0.99


def test_the_steps_are_twenty_passes_over_the_rows_from_60_to_2000():
    assert [_steps(rows) for rows in (5, 96, 320, 10_000)] == [60, 60, 200, 2000]


@pytest.mark.parametrize(
    ("shape", "augment"), [((3, 8, 8), "flip"), ((1, 8, 8), "shift"), ((4,), "none")]
)
def test_the_first_arm_is_the_upper_half_after_a_probe_and_photos_are_mirrored(shape, augment):
    task = Task.from_arrays(np.zeros((4, *shape)), ["a", "b"] * 2)
    arms = FineTune.arms((), task)
    assert arms[0] == FineTune(probe_first=True, freeze=0.5, augment=augment)
    assert len(arms) <= 3


def test_a_large_network_is_tuned_in_smaller_steps_than_a_small_one(source, near, monkeypatch):
    def step():  # AdamW's first one is the step size itself
        model = tuned(mine, near, steps=1)
        return float((model.module[3].weight - mine.module[3].weight).detach().abs().max())

    mine = wrapped(normed(), near.inputs)
    assert step() == pytest.approx(3e-3, rel=0.05)
    monkeypatch.setattr("bequest.methods.fine_tune.SMALL", 10)
    assert step() == pytest.approx(1e-4, rel=0.05)


def test_a_network_that_cannot_take_another_head_is_a_reason(near):
    module = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3))
    two = Task.from_arrays(near.inputs, np.arange(60) % 2, name="two")
    with pytest.raises(NotApplicable, match="cannot be tuned here"):
        tuned(wrapped(module, near.inputs), two, steps=1)


@pytest.mark.parametrize(
    "setting",
    [
        {"lr": -1.0},
        {"steps": 0},
        {"freeze": 2.0},
        {"augment": "shfit"},
        {"decay": 0},
        {"pull": -1},
        {"batch_norm": "froze"},
        {"smoothing": 1.0},
    ],
)
def test_a_setting_that_makes_no_sense_is_refused(setting):
    with pytest.raises(DataError, match=f"fine-tune: {next(iter(setting))} must be"):
        FineTune(**setting)
