import hashlib
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from sklearn.datasets import load_digits

from bequest.core import Task
from bequest.data.near_duplicates import overlap, pack, row_fingerprints, unpack
from bequest.errors import DataError


def of(X):
    return row_fingerprints(Task.from_arrays(X, np.arange(len(X)) % 2))


def of_table(columns):
    rows = len(next(iter(columns.values())))
    return row_fingerprints(Task.from_table({**columns, "y": np.arange(rows) % 2}, "y"))


def test_copies_are_found_and_other_rows_are_not():
    X = np.random.default_rng(0).normal(size=(300, 5))
    assert overlap(of(X[:200]), of(X[150:])) == 50
    assert overlap(of(X[:150]), of(X[150:])) == 0


def test_numbers_that_agree_in_eight_bits_are_near_and_others_are_not():
    a, b, c, d = of([[1.0, -50.0], [1.001, -50.01], [1.01, -50.0], [-1.0, -50.0]])
    assert a == b
    assert len({a, c, d}) == 3


def test_zero_has_no_sign():
    a, b = of([[0.0, 1.0], [-0.0, 1.0]])
    assert a == b


def test_labels_do_not_matter():
    task = Task.from_arrays(np.ones((2, 3)), ["a", "b"])
    a, b = row_fingerprints(task)
    assert a == b


def test_rows_of_tables_are_near_whatever_the_order_of_columns_and_the_case_of_text():
    first = of_table(
        {
            "age": [61.0, 48.0],
            "ward": ["A ", None],
            "seen": np.array(["2024-01-02T09:00", "NaT"], dtype="datetime64[s]"),
        }
    )
    second = of_table(
        {
            "ward": ["a", None],
            "seen": np.array(["2024-01-02T17:00", "NaT"], dtype="datetime64[s]"),
            "age": [61.01, 48.0],
        }
    )
    assert first.tolist() == second.tolist()


@pytest.mark.parametrize("change", [{"age": [62.0, 1]}, {"ward": ["b", "c"]}, {"age": [None, 1]}])
def test_rows_of_tables_that_differ_in_a_cell_are_not_near(change):
    columns = {"age": [61.0, 48.0], "ward": ["a", None]}
    assert overlap(of_table(columns), of_table({**columns, **change})) == 0


def test_tables_with_other_columns_share_no_rows():
    assert overlap(of_table({"age": [61.0, 48.0]}), of_table({"size": [61.0, 48.0]})) == 0


def test_images_are_near_whatever_their_brightness_contrast_and_size():
    images = load_digits().images[:100, None] / 16
    assert overlap(of(images), of(0.2 + 0.5 * images)) == 100
    larger = images.repeat(3, axis=2).repeat(3, axis=3)
    assert overlap(of(images), of(larger)) == 100
    assert overlap(of(images), of(images.repeat(3, axis=1))) == 100


def test_different_images_are_not_near():
    images = load_digits().images[:, None] / 16
    assert overlap(of(images[:900]), of(images[900:])) == 0


def test_a_blank_image_has_a_fingerprint():
    a, b = of(np.stack([np.zeros((1, 9, 9)), np.ones((1, 9, 9))]))
    assert a == b


def test_images_of_a_folder_have_the_fingerprints_of_their_pixels(tmp_path):
    rng = np.random.default_rng(0)
    for label in ("a", "b"):
        (tmp_path / label).mkdir()
        array = rng.integers(256, size=(16, 16, 3), dtype=np.uint8)
        Image.fromarray(array).save(tmp_path / label / "0.png")
    task = Task.from_images(tmp_path, size=16)
    assert row_fingerprints(task).tolist() == of(task.inputs.read_rows()).tolist()


def test_the_fingerprints_are_the_same_on_every_machine():
    expected = hashlib.blake2b(struct.pack("<2d", 1.0, 2.5), digest_size=8, key=b"vector").digest()
    assert of([[1.0, 2.5], [3.0, 4.0]])[0] == int.from_bytes(expected, "little")


@given(st.lists(st.integers(0, 2**64 - 1)))
def test_packing_and_unpacking_gives_the_distinct_fingerprints(values):
    packed = pack(np.array(values, dtype=np.uint64))
    assert packed.isascii()
    assert unpack(packed).tolist() == sorted(set(values))


@pytest.mark.parametrize("text", ["?", "AAAA", "ä"])
def test_text_that_is_not_packed_is_refused(text):
    with pytest.raises(DataError, match="these are no packed fingerprints"):
        unpack(text)


@pytest.mark.parametrize("kind", ["vector", "table", "image"])
def test_fingerprints_of_chunks_are_those_of_the_whole(kind, monkeypatch):
    X = np.random.default_rng(0).random((50, 12)).astype(np.float32)
    columns = {f"c{i}": X[:, i] for i in range(12)} | {"word": [str(i % 3) for i in range(50)]}

    def found():
        if kind == "table":
            return of_table(columns)
        return of(X if kind == "vector" else X.reshape(50, 1, 3, 4))

    whole = found()
    monkeypatch.setattr("bequest.data.near_duplicates.CHUNK", 84)
    np.testing.assert_array_equal(found(), whole)
    monkeypatch.setattr("bequest.data.near_duplicates.CHUNK", 1)
    np.testing.assert_array_equal(found(), whole)


def test_fingerprints_take_little_memory_beside_the_rows():
    task = Task.from_arrays(np.zeros((4000, 1000), dtype=np.float32), np.arange(4000) % 2)
    tracemalloc.start()
    row_fingerprints(task)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 60e6  # the rows as float64 and what is made of them take 130 MB
