import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.preprocessing import StandardScaler

from bequest.core import Table
from bequest.errors import DataError, ModelError
from bequest.frameworks.encoders.encoder import (
    CLIP,
    Scaler,
    TableEncoder,
    encoder_from_config,
)

TABLE = Table(
    {
        "age": [60.0, 70.0, np.nan, 50.0],
        "ward": ["a", None, "b", "a"],
        "seen": np.array(["2026-01-01", "2026-01-03", "NaT", "2026-01-05"], "datetime64[us]"),
        "one": [1.0, 1.0, 1.0, 1.0],
    }
)


def test_vectors_are_scaled_as_scikit_learn_does():
    X = np.random.default_rng(0).normal(3, 5, (40, 6)).astype(np.float32)
    X[:, 2] = 7.0
    ours = Scaler.fit(X).encode(X)
    np.testing.assert_allclose(ours, StandardScaler().fit_transform(X), atol=1e-5)


def test_images_are_scaled_by_channel():
    X = np.random.default_rng(0).normal(3, 5, (10, 2, 4, 4)).astype(np.float32)
    ours = Scaler.fit(X).encode(X)
    np.testing.assert_allclose(ours.mean(axis=(0, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(ours.std(axis=(0, 2, 3)), 1, atol=1e-5)


def test_a_table_becomes_numbers_then_marks_then_codes():
    encoder = TableEncoder.fit(TABLE)
    encoded = encoder.encode(TABLE)
    scale = np.std([60, 70, 50])
    np.testing.assert_allclose(encoded[:, 0], [0, 10 / scale, 0, -10 / scale], atol=1e-6)
    np.testing.assert_allclose(
        encoded[:, 1], np.array([-2, 0, 0, 2]) / np.std([0, 2, 4]), atol=1e-5
    )
    np.testing.assert_array_equal(encoded[:, 2], 0)  # constant
    np.testing.assert_array_equal(encoded[:, 3:5], [[0, 0], [0, 0], [1, 1], [0, 0]])
    np.testing.assert_array_equal(encoded[:, 5], [1, 0, 2, 1])
    assert (encoder.n_numbers, encoder.cardinalities) == (5, (3,))


def test_new_levels_and_wild_values_are_contained():
    encoder = TableEncoder.fit(TABLE)
    wild = Table({**TABLE[[0]].columns, "age": [1e30], "ward": ["never seen"]})
    encoded = encoder.encode(wild)
    assert encoded[0, 0] == CLIP
    assert encoded[0, -1] == 0


def test_a_column_that_is_absent_or_of_another_kind_is_refused():
    encoder = TableEncoder.fit(TABLE)
    with pytest.raises(DataError, match="lacks columns that the model reads: seen, one, ward"):
        encoder.encode(TABLE.select(["age"]))
    with pytest.raises(DataError, match="'age' held numbers"):
        encoder.encode(Table({**TABLE.columns, "age": ["x", "y", "z", "w"]}))
    with pytest.raises(DataError, match="'ward' held text"):
        encoder.encode(Table({**TABLE.columns, "ward": [1.0, 2.0, 3.0, 4.0]}))


def test_a_column_without_any_value_reads_as_missing():
    encoder = TableEncoder.fit(TABLE)
    empty = Table({**TABLE.columns, "age": [None] * 4, "ward": [np.nan] * 4})
    encoded = encoder.encode(empty)
    np.testing.assert_array_equal(encoded[:, [0, 3, 5]], [[0, 1, 0]] * 4)


@given(
    st.lists(st.none() | st.floats(-1e6, 1e6), min_size=2, max_size=20),
    st.lists(st.none() | st.sampled_from(["a", "b", "é", ""]), min_size=20, max_size=20),
)
def test_an_encoder_survives_its_config(numbers, words):
    table = Table({"x": numbers, "w": words[: len(numbers)]})
    encoder = TableEncoder.fit(table)
    again = encoder_from_config(encoder.to_config())
    np.testing.assert_array_equal(again.encode(table), encoder.encode(table))
    assert np.isfinite(encoder.encode(table)).all()


@pytest.mark.parametrize(
    "config", [{}, {"encoder": "scaler", "mean": "x"}, {"encoder": "new"}, {"encoder": "table"}]
)
def test_a_damaged_config_is_one_clear_error(config):
    with pytest.raises(ModelError, match="encoder"):
        encoder_from_config(config)


def test_inputs_of_another_width_are_refused():
    with pytest.raises(DataError, match=r"reads 3 numbers or channels a row.*\(2, 4\)"):
        Scaler.fit(np.eye(3)).encode(np.ones((2, 4)))


def test_training_rows_are_scaled_as_ever_however_wild_they_are():
    X = np.zeros((400, 3), dtype=np.float32)
    X[:, 0] = np.random.default_rng(0).normal(size=400)
    X[7, 1] = 0.001  # 20 standard deviations: the only row that is not zero
    X[:, 2] = np.arange(400)
    exact = StandardScaler().fit_transform(X.astype(np.float64))
    assert exact[7, 1] > 2 * CLIP
    np.testing.assert_allclose(Scaler.fit(X).encode(X), exact, rtol=1e-5, atol=1e-5)


def test_a_new_row_beyond_all_training_rows_does_not_drown_the_others():
    X = np.random.default_rng(0).normal(size=(100, 2))
    X[:, 1] = 0.0
    X[3, 1] = 1e-4
    scaler = Scaler.fit(X)
    new = scaler.encode(np.array([[0.5, 1.0], [0.5, -1.0]]))
    farthest = np.ceil(scaler.encode(X)[3, 1])
    np.testing.assert_array_equal(new[:, 1], [farthest, -farthest])
    assert farthest < 11
    np.testing.assert_allclose(new[:, 0], (0.5 - X[:, 0].mean()) / X[:, 0].std(), rtol=1e-6)


def test_a_column_of_rounding_errors_is_constant():
    X = np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32)
    X[:, 1] = np.float32(1e6)
    X[::2, 1] += np.float32(0.0625)  # one step of float32
    scaler = Scaler.fit(X)
    assert scaler.scale[1] == 1.0
    assert np.abs(scaler.encode(X)[:, 1]).max() <= 0.0625


class Watched:
    """Images of which no more than `most` rows may be read at once."""

    def __init__(self, pixels, most):
        self.pixels, self.most = pixels, most

    shape = property(lambda self: self.pixels.shape)

    def __len__(self):
        return len(self.pixels)

    def __getitem__(self, rows):
        return Watched(self.pixels[rows], self.most)

    def __array__(self, dtype=None, copy=None):
        assert len(self.pixels) <= self.most
        return self.pixels.astype(dtype or np.float32)


def test_images_are_scaled_from_chunks_as_from_all_at_once(monkeypatch):
    pixels = np.random.default_rng(0).normal(1e4, [[[[1.0]], [[30.0]]]], (37, 2, 4, 4))
    pixels[30:] += 500.0  # chunks with means of their own
    monkeypatch.setattr("bequest.frameworks.encoders.encoder.FIT_CHUNK", 5 * 2 * 4 * 4)
    scaler = Scaler.fit(Watched(pixels, most=5))
    np.testing.assert_allclose(scaler.mean, pixels.mean(axis=(0, 2, 3)), rtol=1e-13)
    np.testing.assert_allclose(scaler.scale, pixels.std(axis=(0, 2, 3)), rtol=1e-12)
