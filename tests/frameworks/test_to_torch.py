"""`model.to_torch()`: one module that gives what the model gives."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

import bequest as bq
from bequest.core import Card
from bequest.errors import NotApplicable
from bequest.frameworks.combined.ensemble import Ensemble
from bequest.frameworks.encoders.pixels import Pixels
from bequest.methods.probe import Probe
from bequest.methods.reuse import Reuse
from bequest.methods.stack import Stack

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 3)).astype(np.float32) * 5 + 3


def photos(height, width, rows=3):
    return (RNG.integers(0, 256, (rows, 3, height, width)) / 255).astype(np.float32)


def convolution(channels=3):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(channels, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(4, 2),
    ).eval()  # fmt: skip


def test_a_trained_classifier_is_a_module_with_its_scaler():
    y = np.where(X[:, 0] > 3, "ill", "well")
    model = bq.train(bq.Task.from_arrays(X, y), net="mlp")
    module = model.to_torch()
    assert not module.training
    wild = np.vstack([X, [[1e6, -1e6, 0.0]]]).astype(np.float32)  # beyond the scaler's limit
    logits = module(torch.from_numpy(wild))
    np.testing.assert_allclose(logits.softmax(1).detach(), model.predict_proba(wild), atol=1e-6)


def test_a_trained_regressor_gives_values_in_the_tasks_unit():
    y = X[:, 0] * 100 + 7000
    model = bq.train(bq.Task.from_arrays(X, y, kind="regression"), net="mlp")
    values = model.to_torch()(torch.from_numpy(X))
    assert values.shape == (40,)
    np.testing.assert_allclose(values.detach(), model.predict(X), rtol=1e-5)


def test_the_module_is_a_copy():
    model = bq.wrap(convolution(), classes=["a", "b"])
    module = model.to_torch()
    with torch.no_grad():
        next(module.parameters()).zero_()
    assert next(model.module.parameters()).abs().sum() > 0


@pytest.mark.parametrize("shape", [(30, 41), (12, 50)])
@pytest.mark.parametrize(
    "settings",
    [
        {"mean": (0.4, 0.5, 0.6), "std": (0.2, 0.3, 0.4)},
        {"crop": (17, 40)},
        {"crop": 9, "mean": 0.5},
    ],
)
def test_cutting_and_standardising_are_exact(shape, settings):
    model = bq.wrap(convolution(), classes=["a", "b"], **settings)
    images = photos(*shape)
    module = model.to_torch()
    np.testing.assert_allclose(
        module.prepare(torch.from_numpy(images)), model.encode(images), atol=1e-6
    )
    np.testing.assert_allclose(
        module(torch.from_numpy(images)).softmax(1).detach(), model.predict_proba(images), atol=1e-6
    )


@pytest.mark.parametrize("size", [10, (11, 14), 60])
def test_photos_are_resized_within_two_levels_of_pillow(size):
    model = bq.wrap(convolution(), classes=["a", "b"], size=size)
    images = photos(30, 41)
    found = model.to_torch().prepare(torch.from_numpy(images)).numpy()
    assert np.abs(found - model.encode(images)).max() <= 2.01 / 255


def test_images_that_are_no_photos_are_resized_as_exactly_as_torch_can():
    model = bq.wrap(convolution(), classes=["a", "b"], size=(11, 14))
    images = RNG.random((2, 3, 30, 41), dtype=np.float32)
    found = model.to_torch().prepare(torch.from_numpy(images))
    np.testing.assert_allclose(found, model.encode(images), atol=1e-5)


def test_channels_in_reverse_and_grey_images_are_prepared_alike():
    from bequest.frameworks.torch.model import TorchModel

    pixels = Pixels((8, 8), None, (0.1, 0.2, 0.3), (0.5, 0.6, 0.7), "bicubic", 3, True)
    spec = bq.wrap(convolution()).spec
    model = TorchModel(convolution(), spec=spec, classes=("a", "b"), card=Card(), encoder=pixels)
    prepare = model.to_torch().prepare
    for images in (photos(8, 8), photos(8, 8)[:, :1]):
        np.testing.assert_allclose(
            prepare(torch.from_numpy(images)), model.encode(images), atol=1e-6
        )


def test_a_filter_that_torch_lacks_is_refused_by_name():
    from bequest.frameworks.torch.model import TorchModel

    pixels = Pixels((8, 8), None, (0.0,), (1.0,), "lanczos")
    spec = bq.wrap(convolution()).spec
    model = TorchModel(convolution(), spec=spec, classes=("a", "b"), card=Card(), encoder=pixels)
    with pytest.raises(NotApplicable, match="Pillow's filter lanczos"):
        model.to_torch()


def test_a_module_in_half_precision_takes_what_the_model_takes():
    images = photos(12, 12)
    model = bq.wrap(convolution().to(torch.bfloat16), classes=["a", "b"], example=images)
    found = model.to_torch()(torch.from_numpy(images)).float().softmax(1).detach()
    np.testing.assert_allclose(found, model.predict_proba(images), atol=0.01)


def test_a_network_of_transformers_without_outputs_gives_features():
    from transformers import ViTConfig, ViTImageProcessor, ViTModel

    torch.manual_seed(0)
    small = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    network = ViTModel(ViTConfig(**small, intermediate_size=8, image_size=16, patch_size=8)).eval()
    processor = ViTImageProcessor(size={"height": 16, "width": 16})
    model = bq.wrap(network, processor=processor)
    images = photos(16, 16)
    found = model.to_torch()(torch.from_numpy(images)).detach()
    np.testing.assert_allclose(found, model.features(images), atol=1e-5)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (
            bq.wrap(LogisticRegression().fit([[0.0], [1.0]], ["a", "b"]), name="ward"),
            "ward is a LogisticRegression of scikit-learn, no torch network",
        ),
        (bq.wrap(lambda X: X[:, 0], name="slope"), "slope is no single torch network"),
    ],
)
def test_what_is_no_single_network_is_refused_with_the_reason(model, said):
    with pytest.raises(NotApplicable, match=said):
        model.to_torch()


def test_outputs_without_names_stay_a_row_each():
    model = bq.wrap(nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 7)).eval())
    assert model.to_torch()(torch.from_numpy(X[:4])).shape == (4, 7)


LABELS = np.array(["cat", "dog", "eel"])[RNG.integers(0, 3, 40)]


def source(classes=None):
    torch.manual_seed(1)
    network = nn.Sequential(nn.Linear(3, 6), nn.Tanh(), nn.Linear(6, 3 if classes else 1)).eval()
    return bq.wrap(network, classes=classes, example=X[:2], name="net")


def fitted(method, labels=LABELS, classes=None, of=None, **task):
    made_of = [bq.Source(of or source(classes))]
    task = bq.Task.from_arrays(X, labels, **task)
    return method.fit(made_of, task, rng=np.random.default_rng(0))


def assert_same(model):
    given = model.to_torch()(torch.from_numpy(X)).detach()
    if model.classes:
        np.testing.assert_allclose(given.softmax(1), model.predict_proba(X), atol=1e-5)
    else:
        np.testing.assert_allclose(given, model.predict(X), rtol=1e-5)


@pytest.mark.parametrize("labels", [LABELS, np.where(LABELS == "eel", "eel", "fish")])
@pytest.mark.parametrize(
    "method",
    [
        Probe(),
        Probe(scaling="standard", strength=10.0),
        Probe(scaling="l2", strength=10.0, calibrated=True),
    ],
)
def test_a_linear_probe_is_a_layer_on_the_frozen_network(method, labels):
    assert_same(fitted(method, labels))


def test_a_linear_probe_of_a_regression_gives_values():
    assert_same(fitted(Probe(scaling="l2"), X[:, 0] * 100 + 7000, kind="regression"))


@pytest.mark.parametrize("offset", [True, False])
def test_a_linear_head_on_outputs_is_a_layer(offset):
    assert_same(fitted(Stack(offset=offset, inputs=False), classes=["cat", "dog", "eel"]))


def test_a_source_under_the_tasks_labels_is_a_module():
    assert_same(fitted(Reuse(), classes=["Dog", "eel", "CAT"]))


def test_a_class_without_a_row_has_no_probability():
    task = bq.Task.from_arrays(X, LABELS).take(np.flatnonzero(LABELS != "dog"))
    model = Probe().fit([bq.Source(source())], task, rng=np.random.default_rng(0))
    assert model.classes == ("cat", "dog", "eel")
    assert_same(model)


def test_an_average_runs_a_shared_network_once():
    of = source(["cat", "dog", "eel"])
    members = [fitted(Probe(), of=of), fitted(Probe(scaling="l2"), of=of), fitted(Reuse(), of=of)]
    model = Ensemble(tuple(members), card=Card(), temperature=0.5)
    assert_same(model)
    ran = []
    module = model.to_torch()
    for part in module.modules():
        if isinstance(part, nn.Tanh):
            part.register_forward_hook(lambda *_: ran.append(1))
    module(torch.from_numpy(X))
    assert ran == [1]


def test_an_average_of_different_networks_is_a_module():
    tuned = bq.train(bq.Task.from_arrays(X, LABELS), net="mlp")
    assert_same(Ensemble((fitted(Probe()), tuned), card=Card()))


def test_an_average_with_a_kernel_names_what_it_is_and_which_member_could():
    members = (fitted(Probe(head="svm")), fitted(Probe(scaling="l2")))
    with pytest.raises(NotApplicable) as refused:
        Ensemble(members, card=Card(name="ward")).to_torch()
    said = str(refused.value)
    assert "members[0]" in said
    assert "SVC of scikit-learn" in said
    assert "model.members[1].to_torch()" in said
    assert "Stacked" not in said
    with pytest.raises(NotApplicable, match="SVC of scikit-learn"):
        members[0].to_torch()


def test_the_module_of_a_probe_can_be_saved_and_is_a_copy(tmp_path):
    model = fitted(Probe())
    module = model.to_torch()
    torch.save(module, tmp_path / "it.pt")
    again = torch.load(tmp_path / "it.pt", weights_only=False)
    assert torch.equal(again(torch.from_numpy(X)), module(torch.from_numpy(X)))
    with torch.no_grad():
        for weight in module.parameters():
            weight.zero_()
    assert model.source.module[0].weight.abs().sum() > 0
