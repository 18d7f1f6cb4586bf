"""Rows of a frozen source are computed once, within bounds, and never mixed up."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from bequest.core import MODALITIES, Task
from bequest.core.feature_cache import FeatureCache, cached, taken
from bequest.errors import ModelError

X = np.arange(40, dtype=np.float32).reshape(20, 2)


class Double:
    """Doubles rows, and counts them."""

    def __init__(self):
        self.rows = 0

    def __call__(self, inputs):
        self.rows += len(inputs)
        return 2 * np.asarray(inputs)


@pytest.fixture
def double():
    return Double()


def test_each_row_is_computed_once_whatever_the_parts(double):
    with FeatureCache() as cache, cache.used():
        cache.add(double)
        for rows in (np.arange(10), np.arange(5, 20), np.array([3, 3, 19, 0])):
            np.testing.assert_array_equal(cached(double, "", X[rows], double), 2 * X[rows])
    assert double.rows == 20


def test_rows_that_are_equal_are_one(double):
    same = np.ones((8, 2), dtype=np.float32)
    with FeatureCache() as cache, cache.used():
        cache.add(double)
        np.testing.assert_array_equal(cached(double, "", same, double), 2 * same)
    assert double.rows == 1


def test_what_is_not_a_source_is_not_kept(double):
    with FeatureCache() as cache, cache.used():
        cached(double, "", X, double)
        cached(double, "", X, double)
    assert double.rows == 40


def test_layers_and_preprocessings_are_told_apart(double):
    with FeatureCache() as cache, cache.used():
        cache.add(double)
        first = cached(double, "layer 1", X, double)
        second = cached(double, "layer 2", X, lambda inputs: 3 * np.asarray(inputs))
    np.testing.assert_array_equal(3 * first, 2 * second)


def test_beyond_the_bound_rows_lie_on_disk_and_are_removed_at_the_end(
    double, tmp_path, monkeypatch
):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with FeatureCache(limit=3 * X[0].nbytes) as cache, cache.used():
        cache.add(double)
        for row in range(20):
            cached(double, "", X[[row]], double)
        assert len(list(tmp_path.rglob("*.npy"))) == 17
        np.testing.assert_array_equal(cached(double, "", X, double), 2 * X)
    assert double.rows == 20
    assert not list(tmp_path.iterdir())


def test_a_folder_that_vanishes_costs_a_second_computation(double, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with FeatureCache(limit=0) as cache, cache.used():
        cache.add(double)
        cached(double, "", X, double)
        for path in tmp_path.rglob("*.npy"):
            path.unlink()
        np.testing.assert_array_equal(cached(double, "", X, double), 2 * X)
    assert double.rows == 40


def test_a_full_disk_is_said_once_and_nothing_is_lost(double, monkeypatch, caplog):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    with FeatureCache(limit=0) as cache, cache.used():
        cache.add(double)
        for _ in range(2):
            np.testing.assert_array_equal(cached(double, "", X, double), 2 * X)
    assert caplog.text.count("No space left on device") == 1


@pytest.mark.parametrize(
    ("later", "message"),
    [
        (lambda inputs: np.ones((len(inputs), 3)), r"rows of shape \(3,\), and gave \(2,\) before"),
        (lambda inputs: np.ones((len(inputs) + 1, 2)), r"shape \(11, 2\) for 10 rows"),
        (lambda inputs: np.float32(1.0), r"shape \(\) for 10 rows"),
    ],
)
def test_a_source_that_gives_other_shapes_half_way_is_refused(double, later, message):
    with FeatureCache() as cache, cache.used():
        cache.add(double)
        cached(double, "", X[:10], double)
        with pytest.raises(ModelError, match=message):
            cached(double, "", X[10:], later)


def test_a_copy_in_another_process_starts_with_the_rows_at_hand(double):
    with FeatureCache() as cache, cache.used():
        cache.add(double)
        cached(double, "", X, double)
        other, copy = pickle.loads(pickle.dumps((double, cache)))
        with copy.used():
            np.testing.assert_array_equal(cached(other, "", X, other), 2 * X)
        assert other.rows == 20


def test_parts_of_a_task_are_not_hashed_again(double, monkeypatch):
    task = Task.from_arrays(X, [0, 1] * 10)
    hashed = []
    digests = type(MODALITIES["vector"]).row_digests

    def counted(modality, inputs):
        hashed.append(len(inputs))
        return digests(modality, inputs)

    monkeypatch.setattr(type(MODALITIES["vector"]), "row_digests", counted)
    with FeatureCache() as cache:
        cache.add(double)
        for _ in range(2):
            with cache.used(task):
                for rows in (np.arange(5), np.arange(3, 12)):
                    cached(double, "", taken(task, rows).inputs, double)
    assert hashed == [20]
    assert double.rows == 12


def test_two_networks_are_never_taken_for_each_other():
    """Whatever they hold: what they compute is in their code, too."""

    class Shifted(Double):
        def __call__(self, inputs):
            return super().__call__(inputs) + 1

    one, other = Double(), Shifted()
    with FeatureCache() as cache, cache.used():
        cache.add(one)
        cache.add(other)
        np.testing.assert_array_equal(cached(one, "", X, one), 2 * X)
        np.testing.assert_array_equal(cached(other, "", X, other), 2 * X + 1)


def test_rows_of_several_types_keep_their_values():
    words = np.array(["a", "no", "other"])
    with FeatureCache() as cache, cache.used():
        cache.add(words)
        for made in (lambda x: x[:, 0].astype(np.int64), lambda x: x[:, 0] + 0.5):
            cached(words, "numbers", X[:2] if made(X).dtype.kind == "i" else X[2:4], made)
        kept = cached(words, "numbers", X[:4], lambda x: x[:, 0])
        assert kept.tolist() == [0.0, 2.0, 4.5, 6.5]
        cached(words, "labels", X[:1], lambda x: words[:1].astype("<U1"))
        cached(words, "labels", X[2:3], lambda x: words[2:3])
        assert cached(words, "labels", X[[0, 2]], lambda x: x[:, 0]).tolist() == ["a", "other"]


def test_threads_may_share_it():
    def asked(double, place):
        rng = np.random.default_rng(place)
        with cache.used():
            for _ in range(50):
                rows = rng.integers(20, size=3)
                np.testing.assert_array_equal(cached(double, "", X[rows], double), 2 * X[rows])

    double = Double()
    with FeatureCache(limit=200) as cache, ThreadPoolExecutor(4) as pool:
        cache.add(double)
        list(pool.map(lambda place: asked(double, place), range(4)))
    assert double.rows == 20
