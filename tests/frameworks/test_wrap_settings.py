"""`bq.wrap(mean=…, std=…, size=…, crop=…, device=…, dtype=…)`, against preprocessing by hand."""

import json
import logging

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression
from torch import nn
from torch.nn import functional

import bequest as bq
from bequest.errors import ModelError
from bequest.methods import METHODS

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def network(channels=3):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(channels, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(), nn.Linear(4, 2),
    ).eval()  # fmt: skip


def images(height, width, rows=3):
    return np.random.default_rng(0).random((rows, 3, height, width), dtype=np.float32)


def centre_crop(batch, kept):
    """What torchvision's CenterCrop does, written from its documentation."""
    height, width = batch.shape[2:]
    tall, wide = max(0, kept[0] - height), max(0, kept[1] - width)
    batch = functional.pad(batch, (wide // 2, (wide + 1) // 2, tall // 2, (tall + 1) // 2))
    height, width = batch.shape[2:]
    top, left = round((height - kept[0]) / 2.0), round((width - kept[1]) / 2.0)
    return batch[:, :, top : top + kept[0], left : left + kept[1]]


def by_hand(X, *, size, crop):
    batch = torch.from_numpy(X).double()  # float32 is off by 3e-6 in torch
    if size is not None:
        height, width = X.shape[2:]
        if isinstance(size, int):
            long = int(size * max(height, width) / min(height, width))
            size = (long, size) if height > width else (size, long)
        batch = functional.interpolate(batch, size, mode="bilinear", antialias=True)
    if crop is not None:
        batch = centre_crop(batch, (crop, crop) if isinstance(crop, int) else crop)
    mean, std = (torch.tensor(values).reshape(1, 3, 1, 1) for values in (MEAN, STD))
    return (batch - mean) / std


@pytest.mark.parametrize("shape", [(41, 30), (30, 41), (33, 33), (12, 50)])
@pytest.mark.parametrize(
    ("size", "crop"),
    [(None, None), (20, 15), (20, 17), ((11, 14), None), ((11, 14), 8), (None, (17, 40)), (10, 23)],
)
def test_images_are_prepared_as_torch_does_it_by_hand(shape, size, crop):
    X = images(*shape)
    model = bq.wrap(network(), classes=["a", "b"], mean=MEAN, std=STD, size=size, crop=crop)
    expected = by_hand(X, size=size, crop=crop)
    np.testing.assert_allclose(model.encode(X), expected, atol=1e-6)
    logits = model.module(expected.float()).softmax(1).detach().numpy()
    np.testing.assert_allclose(model.predict_proba(X), logits, atol=1e-6)


def test_a_photo_is_resized_as_pillow_does_it():
    levels = np.random.default_rng(0).integers(0, 256, (1, 40, 31, 3), dtype=np.uint8)
    X = levels.transpose(0, 3, 1, 2).astype(np.float32) / 255
    model = bq.wrap(network(), classes=["a", "b"], size=16)
    photo = Image.fromarray(levels[0]).resize((16, int(16 * 40 / 31)), Image.Resampling.BILINEAR)
    expected = np.asarray(photo).transpose(2, 0, 1)[None] / np.float32(255)
    np.testing.assert_allclose(model.encode(X), expected, atol=1e-6)


def test_pixels_outside_of_0_to_1_are_not_cut_off():
    X = images(20, 20) * 9 - 4
    model = bq.wrap(network(), classes=["a", "b"], size=10)
    expected = functional.interpolate(
        torch.from_numpy(X), (10, 10), mode="bilinear", antialias=True
    )
    np.testing.assert_allclose(model.encode(X), expected, atol=1e-5)


@pytest.mark.parametrize("example", [True, False])
def test_the_settings_come_back_from_disk(tmp_path, example):
    X = images(40, 31)
    settings = {"mean": MEAN, "std": STD, "size": 20, "crop": 15, "batch_size": 2}
    settings |= {"device": "cpu", "dtype": "bfloat16"}
    given = {"example": X} if example else {}
    model = bq.wrap(network(), classes=["a", "b"], **given, **settings)
    model.save(tmp_path / "model")
    again = bq.load(tmp_path / "model")
    assert (again.batch_size, again.device, again.dtype) == (2, "cpu", "bfloat16")
    assert np.array_equal(again.predict_proba(X), model.predict_proba(X))
    plain = bq.wrap(network(), classes=["a", "b"], **{**settings, "dtype": None})
    moved = np.abs(plain.predict_proba(X) - again.predict_proba(X)).max()
    assert 1e-7 < moved < 0.01  # it was computed in bfloat16
    assert (
        again.retrained(again.module, classes=("a", "b"), target_scale=(0, 1)).dtype == "bfloat16"
    )


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"mean": (0.5, 0.5)}, "mean has 2 numbers, the network reads 3 channels"),
        ({"std": (0.5,) * 4}, "std has 4 numbers, the network reads 3 channels"),
        ({"std": -0.5}, "std must be finite and above 0, not -0.5"),
        ({"std": (0.5, 0.5, 0.0)}, "std must be finite and above 0"),
        ({"mean": float("nan")}, "mean must be finite"),
        ({"mean": "grey"}, "mean is a number or one a channel"),
        ({"size": 0}, "size is a side in pixels or .height, width., from 1 to 4096, not 0"),
        ({"size": (8, -8)}, "size is a side"),
        ({"size": 224.0}, "size is a side"),
        ({"crop": (1, 2, 3)}, "crop is a side"),
        ({"crop": True}, "crop is a side"),
        ({"crop": "224"}, "crop is a side"),
        ({"dtype": "int8"}, "dtype is float32, bfloat16, float16 or None"),
        ({"device": "gpu"}, "device is .auto. or a name that torch knows"),
        ({"device": "meta"}, "this machine has no device meta"),
        ({"device": "cuda:99"}, "this machine has no device cuda:99"),
        ({"device": 3.5}, "device is .auto."),
    ],
)
def test_an_impossible_setting_is_refused_in_one_line(settings, said):
    with pytest.raises(ModelError, match=said) as refused:
        bq.wrap(network(), classes=["a", "b"], **settings)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("trained", "settings", "said"),
    [
        (nn.Linear(4, 2), {"mean": 0.5}, "mean: these are for networks of images"),
        (nn.Linear(4, 2), {"size": 8, "example": np.zeros((2, 4))}, "the example has shape .2, 4."),
        (LogisticRegression().fit([[0], [1]], [0, 1]), {"crop": 8, "dtype": "float32"},
         "takes no crop, dtype: it is no torch module"),
        (lambda X: X[:, 0], {"device": "cpu"}, "takes no device: it is no torch module"),
    ],
)  # fmt: skip
def test_settings_for_another_kind_of_model_are_refused(trained, settings, said):
    with pytest.raises(ModelError, match=said):
        bq.wrap(trained, **settings)


def test_an_image_network_without_a_convolution_takes_the_settings_with_an_example():
    module = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 2))
    model = bq.wrap(module, classes=["a", "b"], example=images(16, 20), size=(8, 8), mean=0.5)
    assert model.predict_proba(images(30, 9)).shape == (3, 2)
    with pytest.raises(ModelError, match="mean has 2 numbers, the network reads 3 channels"):
        bq.wrap(module, example=images(16, 20), mean=(0.1, 0.2))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_module_in_half_precision_works_without_a_setting(tmp_path, dtype):
    X, exact = images(12, 12, rows=6), network()
    module = network().to(dtype)
    model = bq.wrap(module, classes=["a", "b"], example=X)
    expected = exact(torch.from_numpy(X)).softmax(1).detach().numpy()
    np.testing.assert_allclose(model.predict_proba(X), expected, atol=0.01)
    assert model.features(X).dtype == np.float32
    assert model.parameters()["5.weight"].shape == (2, 4)
    assert {p.dtype for p in module.parameters()} == {dtype}
    model.save(tmp_path / "model")
    again = bq.load(tmp_path / "model")
    assert np.array_equal(again.predict_proba(X), model.predict_proba(X))
    wide = bq.wrap(module, classes=["a", "b"], example=X, dtype="float32")
    stored = network().to(dtype).float()(torch.from_numpy(X)).softmax(1).detach().numpy()
    np.testing.assert_allclose(wide.predict_proba(X), stored, atol=1e-6)
    assert np.abs(model.predict_proba(X) - wide.predict_proba(X)).max() > 1e-7


@pytest.mark.parametrize(
    ("name", "dtype"), [("fine-tune", torch.float32), ("lora", torch.bfloat16)]
)
def test_a_module_in_half_precision_is_tuned_in_single_precision(name, dtype):
    X = images(12, 12, rows=6)
    source = bq.Source(bq.wrap(network().to(torch.bfloat16), classes=["a", "b"], example=X))
    task = bq.Task.from_arrays(X, ["a", "b"] * 3)
    tuned = METHODS[name](steps=3).fit([source], task, rng=np.random.default_rng(0))
    # what LoRA learned is added to parameters of the base's precision
    assert {p.dtype for p in tuned.module.parameters()} == {dtype}
    assert {p.dtype for p in source.model.module.parameters()} == {torch.bfloat16}
    assert np.isfinite(tuned.predict_proba(X)).all()


def test_codes_that_half_precision_cannot_hold_reach_the_network_whole():
    class Lookup(nn.Module):
        def __init__(self):
            super().__init__()
            self.table, self.head = nn.Embedding(1000, 4), nn.Linear(4, 2)

        def forward(self, x):
            return self.head(self.table(x.long()).mean(1))

    torch.manual_seed(0)
    exact = Lookup()
    half = Lookup()
    half.load_state_dict(exact.state_dict())
    codes = np.array([[257.0, 999.0], [513.0, 3.0]], dtype=np.float32)
    found, expected = (
        bq.wrap(net, classes=["a", "b"]).predict_proba(codes)
        for net in (half.to(torch.bfloat16), exact)
    )
    np.testing.assert_allclose(found, expected, atol=0.01)


def test_a_device_that_is_missing_where_the_folder_is_loaded_is_warned_of(
    tmp_path, monkeypatch, caplog
):
    X = images(12, 12)
    bq.wrap(network(), classes=["a", "b"], example=X, device="cpu").save(tmp_path / "model")
    monkeypatch.setattr(
        "bequest.frameworks.torch.device.known_device", lambda name: (_ for _ in ()).throw(
            ModelError(f"this machine has no device {name}")
        ),
    )  # fmt: skip
    with caplog.at_level(logging.WARNING):
        again = bq.load(tmp_path / "model")
    assert again.device == "auto"
    assert "set to run on cpu" in caplog.text
    assert again.predict_proba(X).shape == (3, 2)


def test_a_folder_from_before_there_were_settings_loads(tmp_path):
    from bequest.frameworks.torch.device import running_from_config

    assert running_from_config({"batch_size": 3}, "old") == {
        "batch_size": 3, "device": "auto", "dtype": None,
    }  # fmt: skip
    bq.wrap(network(), classes=["a", "b"], example=images(9, 9)).save(tmp_path / "model")
    assert json.loads((tmp_path / "model/config.json").read_text())["device"] == "auto"


def test_two_precisions_of_one_module_do_not_share_their_answers():
    X, module = images(12, 12), network()
    exact = bq.wrap(module, classes=["a", "b"]).predict_proba(X)
    rough = bq.wrap(module, classes=["a", "b"], dtype="bfloat16").predict_proba(X)
    assert np.abs(exact - rough).max() > 1e-7
