"""Every built-in modality against every check, and what they give, exactly."""

import hashlib

import numpy as np
import pytest
from PIL import Image

from bequest.core import MODALITIES, Table, Task, Texts, as_inputs, modality_of
from bequest.core.inputs import BUILT_IN
from bequest.core.modality import dense
from bequest.data.images import ImageFolder
from bequest.errors import DataError, UnknownName
from bequest.frameworks.encoders.encoder import fit_encoder
from bequest.hub.sketches.common_space import in_common_space
from bequest.methods.from_scratch import FromScratch
from bequest.testing import MODALITY_CHECKS, ModalityCase

RNG = np.random.default_rng(0)
PIXELS = RNG.random((5, 3, 9, 10)).astype("f4")
TEXTS = ["good film", "bad film", "a few words", "", "the very end"]
COLUMNS = Table(
    {
        "age": [61.0, None, 48.0, 70.5, 48.0],
        "ward": ["a", "b", None, "a", "None"],
        "when": np.array(["2020-01-02", "NaT"] * 2 + ["1999-12-31"], dtype="datetime64[us]"),
    }
)
CASES = [
    ModalityCase(MODALITIES["vector"], RNG.normal(size=(5, 3)).astype("f4"), {"a": [1.0, 2.0]}),
    ModalityCase(MODALITIES["image"], PIXELS, RNG.normal(size=(5, 3))),
    ModalityCase(MODALITIES["text"], TEXTS, COLUMNS),
    ModalityCase(MODALITIES["table"], COLUMNS, TEXTS),
]


@pytest.fixture
def folder(tmp_path):
    for row, pixels in enumerate(RNG.integers(256, size=(5, 12, 16, 3), dtype=np.uint8)):
        Image.fromarray(pixels).save(tmp_path / f"{row}.png")
    return ImageFolder(sorted(tmp_path.iterdir()), size=(9, 10))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.modality.name)
@pytest.mark.parametrize("check", MODALITY_CHECKS, ids=lambda check: check.__name__)
def test_every_modality_keeps_the_contract(check, case):
    check(case)


@pytest.mark.parametrize("check", MODALITY_CHECKS, ids=lambda check: check.__name__)
def test_a_folder_of_images_keeps_the_contract(check, folder):
    check(ModalityCase(MODALITIES["image"], folder, TEXTS))


def test_every_built_in_modality_has_a_case():
    assert {case.modality.name for case in CASES} == set(BUILT_IN)


def test_numbers_of_four_dimensions_are_images_however_they_are_given():
    for samples in (PIXELS, PIXELS.tolist(), list(PIXELS)):
        assert modality_of(as_inputs(samples)).name == "image"


def test_the_digest_of_a_row_is_the_sha256_of_its_exact_content():
    rows = np.array([[1.0, 2.0], [1.0, 2.0 + 2**-20]], dtype=np.float32)
    first, second = MODALITIES["vector"].row_digests(rows)
    assert first == hashlib.sha256(b"<f4(2,)" + rows[0].tobytes()).digest()
    assert second != first
    [text] = MODALITIES["text"].row_digests(Texts(["é"]))
    assert text == hashlib.sha256("é".encode()).digest()


def test_digests_of_a_folder_read_no_pixel(folder, monkeypatch):
    before = MODALITIES["image"].row_digests(folder).tolist()
    monkeypatch.setattr("bequest.data.images.read_pixels", None)
    for path in folder.paths:
        path.unlink()
    assert MODALITIES["image"].row_digests(folder).tolist() == before


def test_one_file_in_two_sizes_has_two_digests(folder):
    smaller = ImageFolder(folder.paths, size=(4, 4))
    of = MODALITIES["image"].row_digests
    assert not set(of(folder)) & set(of(smaller))


def test_digests_of_chunks_are_those_of_the_whole(monkeypatch):
    whole = MODALITIES["image"].row_digests(PIXELS).tolist()
    monkeypatch.setattr("bequest.modalities.vector.CHUNK", 1)
    assert MODALITIES["image"].row_digests(PIXELS).tolist() == whole


def test_a_folder_of_images_has_the_points_of_its_pixels(folder):
    expected = in_common_space(folder.read_rows())
    np.testing.assert_allclose(in_common_space(folder), expected, atol=1e-12)


def test_dense_numbers_have_one_column_a_level():
    table = Table({"x": [1.0, 3.0], "w": ["b", "a"]})
    given = dense(fit_encoder(table), table)
    assert given.tolist() == [[-1.0, 0.0, 0.0, 1.0], [1.0, 0.0, 1.0, 0.0]]


@pytest.mark.parametrize("samples", [None, object(), {1, 2}])
def test_samples_that_no_modality_recognises_are_refused_in_one_line(samples):
    kind = type(samples).__name__
    with pytest.raises(DataError, match=f"no modality recognises a {kind}: .*text, table, image"):
        as_inputs(samples)


def test_inputs_that_no_modality_holds_are_refused_in_one_line():
    with pytest.raises(DataError, match="no modality recognises a list"):
        modality_of([1, 2])


def test_an_unknown_modality_is_named_with_those_that_are_known():
    with pytest.raises(UnknownName, match=r"no modality named 'imag'\. Did you mean 'image'?"):
        MODALITIES["imag"]


@pytest.mark.parametrize(
    ("net", "said"),
    [
        ("resnet", "resnet needs images, not text inputs."),
        ("mlp", "mlp needs tables or vectors, not text inputs."),
        ("boosting", "boosting needs tables or vectors, not text inputs."),
    ],
)
def test_a_family_that_a_modality_does_not_name_is_refused(net, said):
    task = Task.from_text(TEXTS[:4], [0, 1, 0, 1])
    assert FromScratch(net=net).applies(task).reason == said
