"""`model.to_torch()`: one module that gives what the model gives."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

import bequest as bq
from bequest.core import Card
from bequest.errors import NotApplicable
from bequest.frameworks.ensemble import Ensemble
from bequest.frameworks.huggingface_images import Pixels

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
    from bequest.frameworks.torch_model import TorchModel

    pixels = Pixels((8, 8), None, (0.1, 0.2, 0.3), (0.5, 0.6, 0.7), "bicubic", 3, True)
    spec = bq.wrap(convolution()).spec
    model = TorchModel(convolution(), spec=spec, classes=("a", "b"), card=Card(), encoder=pixels)
    prepare = model.to_torch().prepare
    for images in (photos(8, 8), photos(8, 8)[:, :1]):
        np.testing.assert_allclose(
            prepare(torch.from_numpy(images)), model.encode(images), atol=1e-6
        )


def test_a_filter_that_torch_lacks_is_refused_by_name():
    from bequest.frameworks.torch_model import TorchModel

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
            "ward is no sin",
        ),
        (bq.wrap(lambda X: X[:, 0], name="slope"), "slope is no single torch network"),
        (Ensemble((bq.wrap(nn.Linear(2, 1)),), card=Card()), "take result.best_single"),
    ],
)
def test_what_is_no_single_network_is_refused_with_the_reason(model, said):
    with pytest.raises(NotApplicable, match=said):
        model.to_torch()
