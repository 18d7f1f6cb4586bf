import io
import logging
import os
import pickle
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from bequest.core import Inputs, Task, as_inputs, fingerprint
from bequest.data import images, pixels
from bequest.data.images import ImageFolder
from bequest.data.pixels import read_pixels
from bequest.errors import DataError


def save(path, colour=(255, 0, 0), size=(8, 6), mode="RGB", **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path, **options)
    return path


@pytest.fixture
def folder(tmp_path):
    for label, colour in (("cats", (255, 0, 0)), ("dogs", (0, 0, 255))):
        for i in range(3):
            save(tmp_path / "pets" / label / f"{i}.png", tuple(max(0, c - i) for c in colour))
    return tmp_path / "pets"


def test_a_folder_of_class_folders_becomes_a_task(folder):
    task = Task.from_images(folder, size=(4, 5))
    assert repr(task) == "Task('pets', 6 image rows, 2 classes, accuracy)"
    assert task.classes == ("cats", "dogs")
    assert task.targets.tolist() == [0, 0, 0, 1, 1, 1]
    assert task.spec.shape == (3, 4, 5)
    assert [path.name for path in task.inputs.paths[:3]] == ["0.png", "1.png", "2.png"]


def test_pixels_are_float32_from_0_to_1_in_channels_rows_columns(folder):
    block = Task.from_images(folder, size=4).inputs.read_rows()
    assert block.dtype == np.float32
    assert block.shape == (6, 3, 4, 4)
    np.testing.assert_array_equal(block[1, :, 0, 0], np.float32([254 / 255, 0, 0]))


def test_grey_pixels_have_one_channel(folder):
    block = np.asarray(Task.from_images(folder, size=4, channels=1).inputs)
    assert block.shape == (6, 1, 4, 4)
    assert block[0, 0, 0, 0] == pytest.approx(0.299, abs=2e-3)


def test_a_folder_is_inputs_that_are_left_unread(folder):
    lazily = Task.from_images(folder, size=4).inputs
    assert isinstance(lazily, Inputs)
    assert as_inputs(lazily) is lazily


def test_rows_are_taken_lazily_in_any_way(folder):
    lazily = Task.from_images(folder, size=4).inputs
    whole = lazily.read_rows()
    mask = np.array([False, True, False, False, True, False])
    for rows in ([4, 1], np.array([2, 2]), slice(1, 5, 2), mask, [5]):
        assert isinstance(lazily[rows], ImageFolder)
        np.testing.assert_array_equal(lazily[rows].read_rows(), whole[rows])
    np.testing.assert_array_equal(lazily[3].read_rows(), whole[[3]])
    np.testing.assert_array_equal(lazily[1:][[0, 2]].read_rows(), whole[[1, 3]])
    assert len(lazily[[]]) == 0
    assert lazily[[]].read_rows().shape == (0, 3, 4, 4)


def test_what_does_not_fit_the_memory_is_decoded_anew(folder, monkeypatch):
    whole = Task.from_images(folder, size=4).inputs.read_rows()
    monkeypatch.setattr(images, "CACHE_BYTES", 2 * 3 * 4 * 4 + 1)
    lazily = Task.from_images(folder, size=4).inputs
    decoded = []

    def counted(path, *rest):
        decoded.append(path.name)
        return read_pixels(path, *rest)

    monkeypatch.setattr(images, "read_pixels", counted)
    np.testing.assert_array_equal(lazily.read_rows(), whole)
    assert decoded == ["2.png", "0.png", "1.png", "2.png"]


def test_subsets_share_the_pixels_in_memory_and_decode_none(folder, monkeypatch):
    lazily = Task.from_images(folder, size=4).inputs
    monkeypatch.setattr(images, "read_pixels", None)
    assert lazily[[0, 1]][[1]].read_rows().shape == (1, 3, 4, 4)


def test_the_content_digest_follows_files_order_and_size_not_names(folder):
    task = Task.from_images(folder, size=4)
    again = Task.from_images(folder, size=4)
    assert task.fingerprint == again.fingerprint
    assert fingerprint(task.inputs[[0, 1]]) == fingerprint(again.inputs[:2])
    assert fingerprint(task.inputs[[1, 0]]) != fingerprint(task.inputs[[0, 1]])
    assert fingerprint(task.inputs) != fingerprint(Task.from_images(folder, size=5).inputs)
    (folder / "cats" / "0.png").rename(folder / "cats" / "00.png")
    assert Task.from_images(folder, size=4).fingerprint == task.fingerprint
    save(folder / "cats" / "1.png", (9, 9, 9))
    assert Task.from_images(folder, size=4).fingerprint != task.fingerprint


def test_held_out_images_come_from_a_folder_of_the_same_layout(folder, tmp_path):
    save(tmp_path / "held" / "dogs" / "a.jpg")
    task = Task.from_images(folder, size=4, test=tmp_path / "held")
    assert task.test.targets.tolist() == [1]
    assert task.test.spec == task.spec
    save(tmp_path / "held" / "birds" / "a.jpg")
    with pytest.raises(DataError, match="never seen in training: 'birds'"):
        Task.from_images(folder, size=4, test=tmp_path / "held")


def test_hidden_files_are_passed_over_and_others_counted(folder, caplog):
    save(folder / ".cache" / "x.png")
    save(folder / "cats" / ".thumb.png")
    save(folder / "__MACOSX" / "x.png")
    save(folder / "dogs" / "young" / "deep.png")
    (folder / "cats" / "notes.txt").write_text("Tom")
    (folder / "readme.md").write_text("pets")
    with caplog.at_level(logging.WARNING, "bequest"):
        task = Task.from_images(folder, size=4)
    assert task.targets.tolist() == [0, 0, 0, 1, 1, 1, 1]
    assert "2 files are no images of a class and are left out" in caplog.text


def refused(said, *args, **options):
    with pytest.raises(DataError, match=said) as caught:
        Task.from_images(*args, **options)
    assert "\n" not in str(caught.value)


def test_a_truncated_image_is_refused_when_the_folder_is_loaded(folder):
    rng = np.random.default_rng(0)
    for suffix in ("jpg", "png", "gif", "webp", "bmp", "tif"):
        path = folder / "cats" / f"cut.{suffix}"
        Image.fromarray(rng.integers(256, size=(40, 40, 3), dtype=np.uint8)).save(path)
        path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
        refused(f"cut.{suffix} ", folder, size=4)
        path.unlink()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is no image, or its first bytes are damaged"),
        (b"no image", "is no image, or its first bytes are damaged"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "is no image"),
    ],
)
def test_a_file_that_is_no_image_under_an_images_name_is_refused(folder, content, said):
    (folder / "cats" / "x.png").write_bytes(content)
    refused(f"x.png {said}", folder)


def test_an_image_with_too_many_pixels_is_refused(folder, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 47)
    refused("0.png is too large: .*48 pixels", folder)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)
    refused("0.png is too large: .*48 pixels", folder)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_an_image_that_pillow_only_warns_of_is_refused_too(folder, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 47)
    refused("0.png is too large: 48 pixels, where 47 are allowed", folder)


def test_folders_that_hold_no_classes_are_refused(folder, tmp_path):
    refused("there is no folder", tmp_path / "none")
    refused("there is no folder", save(tmp_path / "a.png"))
    refused("has no sub-folders", folder / "cats")
    (tmp_path / "empty").mkdir()
    refused("has no sub-folders", tmp_path / "empty")
    (tmp_path / "empty" / "cats").mkdir()
    (tmp_path / "empty" / "cats" / "a.heic").write_bytes(b"")
    refused(r"cats holds no images \(1 other files\). Known are .bmp, .gif", tmp_path / "empty")
    save(tmp_path / "empty" / "cats" / "a.png")
    refused("all 1 labels are 'cats': a task needs at least two classes", tmp_path / "empty")


@pytest.mark.parametrize("options", [{"size": 0}, {"size": (4, -1)}, {"channels": 4}])
def test_sizes_and_channels_that_are_none_are_refused(folder, options):
    refused("a size is one pixel at least, channels 1 or 3", folder, **options)


def test_links_are_followed_inside_the_folder_only(folder, tmp_path):
    os.symlink(folder / "cats" / "0.png", folder / "dogs" / "link.png")
    assert len(Task.from_images(folder, size=4)) == 7
    os.symlink(folder, tmp_path / "linked")
    assert len(Task.from_images(tmp_path / "linked", size=4)) == 7
    secret = save(tmp_path / "secret.png")
    os.symlink(secret, folder / "dogs" / "out.png")
    refused("out.png is a link that leads out of the folder", folder)
    (folder / "dogs" / "out.png").unlink()
    save(tmp_path / "elsewhere" / "a.png")
    os.symlink(tmp_path / "elsewhere", folder / "fish")
    refused("fish is a link that leads out of the folder", folder)


def test_a_link_to_nothing_is_refused(folder):
    os.symlink(folder / "cats" / "gone.png", folder / "dogs" / "link.png")
    refused("link.png is a link that leads nowhere", folder)


def decoded(image, channels=3, size=(2, 2), form="png", **options):
    file = io.BytesIO()
    image.save(file, form, **options)
    return read_pixels(Path("x.png"), file.getvalue(), size, channels)


@pytest.mark.parametrize(
    ("mode", "colour", "form", "expected"),
    [
        ("1", 1, "png", (255, 255, 255)),
        ("L", 100, "png", (100, 100, 100)),
        ("LA", (100, 0), "png", (255, 255, 255)),
        ("RGB", (1, 2, 3), "png", (1, 2, 3)),
        ("RGBA", (10, 20, 30, 255), "png", (10, 20, 30)),
        ("RGBA", (0, 0, 0, 0), "png", (255, 255, 255)),
        ("RGBA", (0, 0, 0, 51), "png", (204, 204, 204)),
        ("I;16", 65535, "png", (255, 255, 255)),
        ("I;16", 257 * 7, "png", (7, 7, 7)),
        ("I", 257 * 7, "tiff", (7, 7, 7)),
        ("CMYK", (255, 0, 0, 0), "tiff", (0, 255, 255)),
    ],
)
def test_images_of_every_mode_become_colours(mode, colour, form, expected):
    block = decoded(Image.new(mode, (4, 4), colour), form=form)
    assert block.dtype == np.uint8
    assert block[:, 0, 0].tolist() == list(expected)


def test_a_palette_with_a_transparent_colour_lies_on_white():
    image = Image.new("P", (4, 4), 0)
    image.putpalette([10, 20, 30, 0, 0, 0])
    assert decoded(image)[:, 0, 0].tolist() == [10, 20, 30]
    assert decoded(image, transparency=0)[:, 0, 0].tolist() == [255, 255, 255]


def test_floating_point_pixels_are_refused():
    with pytest.raises(DataError, match="floating-point numbers of no known scale"):
        decoded(Image.new("F", (4, 4), 0.5), form="tiff")


def test_an_image_is_turned_as_its_camera_says():
    image = Image.new("RGB", (8, 4), "black")
    image.paste("white", (0, 0, 4, 4))  # white on the left
    exif = Image.Exif()
    exif[0x0112] = 6  # turn a quarter clockwise: left goes up
    block = decoded(image, 1, (2, 2), "jpeg", exif=exif, quality=95)[0]
    assert block[0].min() > 200
    assert block[1].max() < 50


def test_the_first_frame_of_many_is_read():
    frames = [Image.new("L", (4, 4), level) for level in (10, 200)]
    assert decoded(frames[0], 1, form="gif", save_all=True, append_images=frames[1:]).max() == 10


def test_shrinking_takes_the_mean_of_the_pixels_covered():
    board = np.indices((8, 8)).sum(axis=0) % 2 * 255
    block = decoded(Image.fromarray(board.astype(np.uint8)), 1)
    assert np.abs(block.astype(int) - 127).max() <= 2


@settings(deadline=None, max_examples=150)
@given(
    form=st.sampled_from(["png", "jpeg", "gif", "bmp", "tiff", "webp", "ppm"]),
    place=st.floats(0, 0.999),
    junk=st.binary(min_size=1, max_size=8),
)
@pytest.mark.filterwarnings("ignore")
def test_a_damaged_file_gives_pixels_or_one_line_never_another_error(form, place, junk):
    file = io.BytesIO()
    Image.fromarray(np.arange(768, dtype=np.uint8).reshape(16, 16, 3)).save(file, form)
    content = bytearray(file.getvalue())
    start = int(place * len(content))
    content[start : start + len(junk)] = junk
    with suppress(DataError):
        assert read_pixels(Path("x"), bytes(content), (2, 2), 3).shape == (3, 2, 2)


def test_the_suffixes_searched_are_those_that_can_be_decoded():
    known = Image.registered_extensions()
    assert {known[suffix] for suffix in pixels.SUFFIXES} == set(pixels.FORMATS)


def test_a_folder_that_goes_to_another_process_leaves_its_pixels_behind(folder, monkeypatch):
    lazily = Task.from_images(folder, size=200).inputs
    whole = lazily.read_rows()
    sent = pickle.dumps(lazily[1:])
    assert len(sent) < 4000  # five images of 200 x 200 have 600,000 bytes
    there = pickle.loads(sent)
    assert there.content_digest() == lazily[1:].content_digest()
    np.testing.assert_array_equal(there.read_rows(), whole[1:])
    monkeypatch.setattr(images, "read_pixels", None)
    np.testing.assert_array_equal(there[[2, 0]].read_rows(), whole[[3, 1]])  # decoded once


def test_unlabelled_images_lie_at_any_depth_of_a_folder(tmp_path):
    for place in ("labelled/a/1", "labelled/b/1", "further/2", "further/deep/er/3"):
        path = tmp_path / f"{place}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (5, 4), "white").save(path)
    (tmp_path / "empty").mkdir()
    task = Task.from_images(tmp_path / "labelled", size=8, unlabelled=tmp_path / "further")
    assert task.unlabelled.shape == (2, 3, 8, 8)
    with pytest.raises(DataError, match=r"empty holds no images \(0 other files\)"):
        Task.from_images(tmp_path / "labelled", size=8, unlabelled=tmp_path / "empty")
    with pytest.raises(DataError, match=r"there is no folder .*nowhere"):
        Task.from_images(tmp_path / "labelled", size=8, unlabelled=tmp_path / "nowhere")


def spoil(folder):
    """Five files of six that cannot be read, each in its own way."""
    (folder / "cats" / "0.png").write_bytes(b"")
    (folder / "cats" / "1.png").write_bytes(b"<html><body>Not found</body></html>")
    whole = save(folder / "cats" / "3.jpg", size=(40, 40)).read_bytes()
    (folder / "cats" / "3.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "dogs" / "0.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (folder / "dogs" / "empty.png").mkdir()  # a folder under an image's name is no image


def test_all_images_that_cannot_be_read_are_told_at_once(folder):
    spoil(folder)
    with pytest.raises(DataError) as refused_all:
        Task.from_images(folder)
    said = str(refused_all.value)
    assert said.startswith("4 of 7 images cannot be read: ")
    assert all(f"{Path('cats', name)} " in said for name in ("0.png", "1.png", "3.jpg"))
    assert "; and 1 more. Replace or remove them, or leave them out: skip_broken=True" in said
    assert "\n" not in said


def test_images_that_cannot_be_read_are_left_out_on_request_with_their_labels(folder, caplog):
    spoil(folder)
    task = Task.from_images(folder, skip_broken=True, size=4, test=folder, unlabelled=folder)
    kept = [folder / "cats" / "2.png", folder / "dogs" / "1.png", folder / "dogs" / "2.png"]
    for read in (task.inputs, task.test.inputs, task.unlabelled):
        assert read.paths == tuple(kept)
    assert task.targets.tolist() == task.test.targets.tolist() == [0, 1, 1]
    assert task.inputs.read_rows()[0, 0].max() == 253 / 255  # the one that is called 2.png
    assert "Left out: 4 of 7 images cannot be read: " in caplog.text
    again = pickle.loads(pickle.dumps(task.inputs))
    np.testing.assert_array_equal(again.read_rows(), task.inputs.read_rows())
    assert again.file_digests == task.inputs.file_digests


def test_a_class_without_an_image_that_can_be_read_is_refused(folder):
    for path in (folder / "cats").iterdir():
        path.write_bytes(b"")
    with pytest.raises(DataError, match=r"class folder .*cats holds no image that can be read"):
        Task.from_images(folder, skip_broken=True)
    for path in (folder / "dogs").iterdir():
        path.write_bytes(b"")
    with pytest.raises(DataError, match=r"6 of 6 images cannot be read: .* remove them\.$"):
        Task.from_images(folder, skip_broken=True)


@pytest.mark.skipif(os.getuid() == 0, reason="nothing is closed to root")
def test_an_image_without_permission_is_counted_with_the_others(folder):
    spoil(folder)
    (folder / "cats" / "2.png").chmod(0)
    with pytest.raises(DataError, match="5 of 7 images cannot be read"):
        Task.from_images(folder)
