"""New photos: a model of images reads files and images of Pillow in the size it was trained on."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import bequest as bq
from bequest.errors import DataError
from bequest.frameworks.combined.ensemble import Ensemble


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for shade, low in (("dark", 0), ("light", 160)):
        (tmp_path / shade).mkdir()
        for number in range(8):
            pixels = rng.integers(low, low + 80, size=(9, 12, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / shade / f"{number}.png")
    return tmp_path


@pytest.fixture
def model(folder):
    return bq.train(bq.Task.from_images(folder, size=8), net="linear")


def test_paths_and_images_are_predicted_as_the_folder_is(folder, model):
    files = sorted(folder.rglob("*.png"))
    wanted = model.predict_proba(bq.Task.from_images(folder, size=8).inputs)
    opened = [Image.open(file) for file in files]
    mixed = [opened[0], *files[1:]]
    for given in (files, list(map(str, files)), np.array(list(map(str, files))), opened, mixed):
        np.testing.assert_allclose(model.predict_proba(given), wanted, atol=1e-6)
        assert model.predict(given).tolist() == ["dark"] * 8 + ["light"] * 8
    assert model.predict(files[0]).tolist() == ["dark"]
    assert model.predict(str(files[-1])).tolist() == ["light"]


def test_an_average_reads_photos_too(folder, model):
    both = Ensemble((model, model), card=model.card)
    assert both.predict([folder / "light" / "0.png"]).tolist() == ["light"]


def test_what_cannot_be_read_is_named(folder, model):
    (folder / "notes.txt").write_text("no photo")
    with pytest.raises(DataError, match=r"nowhere\.jpg"):
        model.predict([folder / "nowhere.jpg"])
    with pytest.raises(DataError, match=r"notes\.txt"):
        model.predict([str(folder / "notes.txt")])
    with pytest.raises(DataError, match="is a folder: give its files"):
        model.predict(folder)


def test_texts_are_no_paths_for_a_model_of_texts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("good").touch()
    task = bq.Task.from_text(["good day", "good sun", "bad rain", "bad fog"], list("ggbb"))
    assert bq.train(task).predict(["good"]).tolist() == ["g"]
