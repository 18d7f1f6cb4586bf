"""Images are prepared as transformers' own processors prepare them, here those that use Pillow."""

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import bequest as bq
from bequest.errors import ModelError
from bequest.frameworks.encoders.pixels import PROCESSORS, Pixels

sys.path.insert(0, str(Path(__file__).parent))
import hub_folders as hub

MODULES = {
    "Beit": "beit", "Bit": "bit", "CLIP": "clip", "ConvNext": "convnext", "DeiT": "deit",
    "EfficientNet": "efficientnet", "Levit": "levit", "MobileNetV1": "mobilenet_v1",
    "MobileNetV2": "mobilenet_v2", "MobileViT": "mobilevit", "PoolFormer": "poolformer",
    "Pvt": "pvt", "Segformer": "segformer", "Siglip": "siglip", "ViT": "vit",
}  # fmt: skip
SHAPES = [(300, 260), (97, 61), (224, 224), (31, 200)]
PLAIN = {"mean": [0.5, 0.4, 0.3], "std": [0.5, 0.25, 0.2]}
SMALL = {"image_mean": PLAIN["mean"], "image_std": PLAIN["std"]}
SETTINGS = [
    ("ViT", {"size": {"height": 32, "width": 40}}),
    ("ViT", {"size": 32, "resample": 3}),
    ("ViT", {"size": {"shortest_edge": 40}}),
    ("ViT", {"do_resize": False}),
    ("ViT", {"size": 32, "do_normalize": False}),
    ("ViT", {"size": 32, "do_rescale": False}),
    ("ViT", {"size": 32, "rescale_factor": 1 / 127.5}),
    *(("ViT", {"size": 32, "resample": number}) for number in range(6)),
    ("CLIP", {"size": 40, "crop_size": 32}),
    ("CLIP", {"size": {"shortest_edge": 40}, "crop_size": {"height": 24, "width": 32}}),
    ("CLIP", {"size": {"shortest_edge": 40}, "do_center_crop": False}),
    ("CLIP", {"size": {"shortest_edge": 20}, "crop_size": 33}),
    ("CLIP", {"do_resize": False, "crop_size": 151}),
    ("ConvNext", {"size": {"shortest_edge": 32}}),
    ("ConvNext", {"size": {"shortest_edge": 33}, "crop_pct": 0.95}),
    ("ConvNext", {"size": {"shortest_edge": 384}}),
    ("ConvNext", {"size": 48, "resample": 2}),
    ("DeiT", {"size": 40, "crop_size": 32}),
    ("EfficientNet", {"size": 32}),
    ("EfficientNet", {"size": 32, "include_top": False}),
    ("EfficientNet", {"size": 32, "rescale_offset": True, "rescale_factor": 1 / 127.5}),
    ("Levit", {"size": 32, "crop_size": 32}),
    ("MobileViT", {"size": 36, "crop_size": 32}),
    ("MobileViT", {"size": 36, "crop_size": 32, "do_flip_channel_order": False}),
    ("PoolFormer", {"size": 32, "crop_size": 32}),
    ("PoolFormer", {"size": 32, "crop_size": 32, "crop_pct": 0.95}),
    ("PoolFormer", {"size": {"height": 32, "width": 48}, "crop_size": 32}),
    ("Siglip", {"size": {"height": 32, "width": 32}}),
]


def photos(shape, count=2):
    return np.random.default_rng(0).integers(0, 256, (count, 3, *shape), dtype=np.uint8)


def theirs(kind, values, levels):
    name = MODULES[kind]
    module = importlib.import_module(f"transformers.models.{name}.image_processing_pil_{name}")
    processor = getattr(module, f"{kind}ImageProcessorPil")(**values)
    return np.stack(processor(list(levels), return_tensors="np")["pixel_values"])


def check(kind, values, shape):
    levels = photos(shape)
    said = {"image_processor_type": f"{kind}ImageProcessor", **values}
    pixels = Pixels.from_preprocessor(said, 3, "here")
    encoded = pixels.encode(levels.astype(np.float32) / 255)
    wanted = theirs(kind, values, levels)
    assert encoded.shape == wanted.shape
    np.testing.assert_allclose(encoded, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("kind", PROCESSORS)
def test_each_processor_does_by_default_what_transformers_does(kind, shape):
    check(kind, {}, shape)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("kind", "values"), SETTINGS, ids=str)
def test_each_setting_does_what_transformers_does(kind, values, shape):
    check(kind, values if kind == "MobileViT" else {**SMALL, **values}, shape)


def test_every_processor_that_is_known_is_compared():
    assert set(PROCESSORS) == set(MODULES)


@pytest.mark.parametrize("called", ["ViTFeatureExtractor", "ViTImageProcessorFast"])
def test_older_and_faster_processors_are_the_same(called):
    values = {"feature_extractor_type": called, **SMALL, "size": 32}
    new = {"image_processor_type": "ViTImageProcessor", **SMALL, "size": 32}
    assert Pixels.from_preprocessor(values, 3, "here") == Pixels.from_preprocessor(new, 3, "here")


def test_images_that_are_no_photos_keep_what_lies_between_levels():
    pixels = Pixels((8, 8), None, (0.0,), (1.0,))
    levels = np.linspace(0.2, 0.21, 32 * 32, dtype=np.float32).reshape(1, 1, 32, 32)
    sized = pixels.encode(np.repeat(levels, 3, axis=1))
    assert len(np.unique(sized)) == 64
    np.testing.assert_allclose(sized.mean(), levels.mean(), atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "values"),
    [("ViT", {"size": 16}), ("ConvNext", {"size": {"shortest_edge": 16}}),
     ("EfficientNet", {"size": 16, "crop_size": 12, "do_center_crop": True}),
     ("MobileViT", {"size": 20, "crop_size": 16}), ("Levit", {"size": 16, "crop_size": 16}),
     ("ViT", {"do_resize": False})],
    ids=str,
)  # fmt: skip
def test_what_is_written_for_transformers_prepares_the_same(kind, values):
    said = {"image_processor_type": f"{kind}ImageProcessor", **values}
    pixels = Pixels.from_preprocessor(said, 3, "here")
    assert Pixels.from_config(json.loads(json.dumps(pixels.to_config()))) == pixels
    written = json.loads(json.dumps(pixels.to_preprocessor()))
    levels = photos((40, 30))
    wanted = theirs(written["image_processor_type"].removesuffix("ImageProcessor"), written, levels)
    np.testing.assert_allclose(pixels.encode(levels / 255), wanted, atol=1e-5)


@pytest.mark.parametrize("kind", list(hub.IMAGES))
def test_a_classifier_of_photos_gives_what_transformers_gives(tmp_path, kind):
    net = hub.network(kind, "IMAGE_CLASSIFICATION")
    folder = hub.write(tmp_path / kind, net, files=("preprocessor_config.json",))
    values = {"size": {"shortest_edge": 16}, **SMALL} if kind != "vit" else {"size": 16, **SMALL}
    named = "ViT" if kind == "vit" else "ConvNext"
    said = {"image_processor_type": f"{named}ImageProcessor", **values}
    (folder / "preprocessor_config.json").write_text(json.dumps(said))
    levels = photos((60, 45), 5)
    with torch.no_grad():
        given = torch.from_numpy(theirs(named, values, levels))
        wanted = net(pixel_values=given).logits.softmax(-1)
    model = bq.load(folder)
    assert model.classes == ("no", "yes", "maybe")
    np.testing.assert_allclose(model.predict_proba(levels / 255), wanted, atol=1e-5)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"image_processor_type": "evil.Processor"}, "'evil.Processor', which is not known"),
        ({"image_processor_type": "DonutImageProcessor"}, "'DonutImageProcessor'"),
        ({"image_processor_type": ["ViTImageProcessor"]}, "which is not known"),
        ({"size": {"shortest_edge": 32, "longest_edge": 64}}, "the size"),
        ({"size": {"max_height": 32, "max_width": 64}}, "the size"),
        ({"resample": 7}, "is no filter"),
        ({"resample": "bicubic"}, "is no filter"),
        ({"do_pad": True}, "do_pad"),
        ({"size": 10**400}, "does not say how"),
        ({"image_mean": "half"}, "does not say how"),
    ],
    ids=str,
)
def test_what_is_not_done_here_is_refused_by_name(tmp_path, values, said):
    net = hub.network("vit", "IMAGE_CLASSIFICATION")
    folder = hub.write(tmp_path / "vit", net, files=("preprocessor_config.json",))
    (folder / "preprocessor_config.json").write_text(json.dumps({**hub.PREPROCESSOR, **values}))
    with pytest.raises(ModelError, match=said) as caught:
        bq.load(folder)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500
