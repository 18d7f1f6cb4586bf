import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import bequest as bq
from bequest.data.labels import encode_known, read_labels
from bequest.errors import DataError


@pytest.mark.parametrize(
    ("values", "classes"),
    [
        (["b", "a"], ("a", "b")),
        (np.array(["b", "a"]), ("a", "b")),
        (np.array([b"b", b"a"]), ("a", "b")),
        (np.array(["b", "a"], dtype=object), ("a", "b")),
        (pd.Series(["b", "a"]), ("a", "b")),
        (pd.Categorical(["b", "a"]), ("a", "b")),
        (pa.array(["b", "a"]).dictionary_encode(), ("a", "b")),
        (np.array([True, False]), (False, True)),
        ([np.True_, False], (False, True)),
        (pa.array([True, False]), (False, True)),
        (np.array([3, 1], dtype=np.uint8), (1, 3)),
        (np.array([[3], [1]]), (1, 3)),
        (torch.tensor([3, 1]), (1, 3)),
        (np.array([3.0, 1.0]), (1, 3)),
        (np.array([3, 1], dtype=object), (1, 3)),
    ],
)
def test_labels_of_any_library_become_plain_sorted_classes(values, classes):
    labels = read_labels(values)
    assert labels.kind == "classification"
    assert labels.classes == classes
    assert [type(label) for label in labels.classes] == [type(label) for label in classes]
    assert labels.targets.tolist() == [1, 0]
    assert labels.targets.dtype == np.int64


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (list(range(20)), "classification"),
        (list(range(21)), "regression"),
        ([float(i) for i in range(20)], "classification"),
        ([0.5, 1.0], "regression"),
        ([True, False], "classification"),
        (["1", "2"], "classification"),
    ],
)
def test_the_kind_is_told_from_the_labels(values, kind):
    assert read_labels(values).kind == kind


def test_the_kind_can_be_said():
    assert read_labels([1, 2, 3], kind="regression").targets.tolist() == [1.0, 2.0, 3.0]
    assert read_labels([0.5, 1.0], kind="classification").classes == (0.5, 1.0)
    assert len(read_labels(range(30), kind="classification").classes) == 30
    assert read_labels([True, False], kind="regression").targets.tolist() == [1.0, 0.0]


@pytest.mark.parametrize(
    ("values", "kind", "said"),
    [
        ([], None, "there are no rows"),
        (["a", "a"], None, "all 2 labels are 'a': a task needs at least two classes"),
        ([1, 1, 1], None, "all 3 labels are 1: a task needs at least two classes"),
        ([2.5, 2.5], None, "all 2 values are 2.5: there is nothing to predict"),
        ([1.0, np.nan, np.nan], None, r"2 of 3 labels are missing \(rows 1, 2, counted from 0\)"),
        (["a", None], None, r"1 of 2 labels is missing \(row 1, counted from 0\)"),
        (["a", pd.NA, "b"], None, "1 of 3 labels is missing"),
        (pd.Series(["a", None, "b"]), None, "1 of 3 labels is missing"),
        (torch.tensor([1.0, float("nan")]), None, "1 of 2 labels is missing"),
        ([1.0, -np.inf, 2.5], None, "1 of 3 labels is infinite"),
        ([1, None, float("inf")], None, "1 of 3 labels is missing"),
        ([1, "a"], None, "mix types or are of none that is known: int, str"),
        ([{}, {}], None, "mix types or are of none that is known: dict"),
        (np.array([1j, 2j]), None, "complex128"),
        (np.array(["2020-01-01"], dtype="datetime64[D]"), None, "datetime64"),
        (np.eye(3), None, r"shape \(N,\), these have \(3, 3\)"),
        (5, None, r"shape \(N,\), these have \(\)"),
        ([[1], [1, 2]], None, "the values are not one array"),
        (["a", "b"], "regression", r"regression needs numbers, the labels are text \(a, b\)"),
        ([f"id{i}" for i in range(21)], None, "all different"),
        ([1, 2], "clustering", "'classification' or 'regression'"),
        (np.array([b"\xe9", b"a"]), None, "not UTF-8"),
    ],
)
def test_labels_that_cannot_be_used_are_refused_in_one_line(values, kind, said):
    with pytest.raises(DataError, match=said) as caught:
        read_labels(values, kind=kind)
    assert "\n" not in str(caught.value)


def test_a_message_names_five_rows_and_no_more():
    with pytest.raises(DataError, match=r"\(rows 0, 1, 2, 3, 4, \.\.\., counted from 0\)"):
        read_labels([np.nan] * 9)


def test_labels_never_seen_are_refused_by_name_and_row():
    with pytest.raises(DataError) as caught:
        encode_known(["a", "c", "d", "c"], "classification", ("a", "b"))
    assert str(caught.value) == (
        "3 of 4 held-out labels are of a type that was never seen in training: 'c', 'd' "
        "(rows 1, 2, 3, counted from 0). Known: 'a', 'b'."
    )


def test_text_that_looks_like_a_known_number_is_not_that_number():
    with pytest.raises(DataError, match=r"never seen in training: '1' .* Known: 0, 1\."):
        encode_known(["1", "1"], "classification", (0, 1))


def test_held_out_values_may_all_be_the_same():
    assert encode_known([2, 2], "regression", ()).tolist() == [2.0, 2.0]
    assert encode_known(["a", "a"], "classification", ("a", "b")).tolist() == [0, 0]


LABELS = st.one_of(
    st.lists(st.text(max_size=3)),
    st.lists(st.integers(-(2**60), 2**60)),
    st.lists(st.booleans()),
    st.lists(st.floats(allow_nan=False, allow_infinity=False, width=32)),
)


@given(LABELS.filter(lambda labels: len(set(labels)) > 1))
def test_encoding_and_decoding_gives_the_labels_back(labels):
    encoded = read_labels(labels, kind="classification")
    assert [encoded.classes[target] for target in encoded.targets] == labels
    assert list(encoded.classes) == sorted(set(labels))
    again = encode_known(labels, "classification", encoded.classes)
    assert again.tolist() == encoded.targets.tolist()


@pytest.mark.parametrize("value", [1e307, -1e200, 1e38])
def test_values_whose_squares_are_infinite_are_refused_with_the_way_out(value):
    with pytest.raises(DataError, match=r"labels reach 1e\+\d+ \(row 1, counted.*logarithm"):
        read_labels([0.5, value, 2.0], kind="regression")
    with pytest.raises(DataError, match="labels reach"):
        encode_known([0.5, value], "regression", ())


@pytest.mark.parametrize("net", ["linear", "boosting", "mlp"])
def test_values_up_to_the_limit_can_be_learned(net):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 2))
    y = 1e36 * (X[:, 0] + 3)
    model = bq.train(bq.Task.from_arrays(X, y), net=net)
    assert np.corrcoef(model.predict(X), y)[0, 1] > 0.9
