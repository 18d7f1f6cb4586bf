import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from bequest.core import Task
from bequest.errors import DataError

TWO = [0, 1]


def test_arrays_of_vectors_become_a_task():
    task = Task.from_arrays(np.eye(2), ["no", "yes"], metric="neg_log_loss", name="two")
    assert (task.name, task.kind, task.classes) == ("two", "classification", ("no", "yes"))
    assert task.metric_name == "neg_log_loss"
    assert task.inputs.dtype == np.float32
    assert task.modality == "vector"


def test_tensors_of_images_become_a_task():
    task = Task.from_arrays(torch.zeros(2, 1, 4, 4), torch.tensor([0, 1]))
    assert task.modality == "image"
    assert task.spec.shape == (1, 4, 4)


def test_groups_are_kept_row_by_row():
    task = Task.from_arrays(np.eye(2), TWO, groups=["ann", "bob"])
    assert task.groups.tolist() == ["ann", "bob"]


def test_held_out_rows_are_encoded_with_the_training_classes():
    task = Task.from_arrays(np.eye(2), ["a", "b"], test=(np.eye(2), ["b", "b"]))
    assert task.test.targets.tolist() == [1, 1]
    assert task.test.classes == ("a", "b")
    assert task.test.name == "arrays (held out)"


def test_the_inputs_given_are_not_changed():
    X = np.eye(2)
    Task.from_arrays(X, TWO)
    np.testing.assert_array_equal(X, np.eye(2))


def test_constant_columns_are_accepted():
    assert len(Task.from_arrays(np.ones((2, 3)), TWO)) == 2


@pytest.mark.parametrize(
    ("X", "y", "more", "said"),
    [
        (np.eye(3), TWO, {}, "there are 3 inputs and 2 labels"),
        (np.zeros((0, 2)), TWO, {}, r"the inputs are empty: their shape is \(0, 2\)"),
        (np.zeros((2, 0)), TWO, {}, r"the inputs are empty: their shape is \(2, 0\)"),
        (np.zeros(2), TWO, {}, "must have shape"),
        ([[np.nan], [1.0]], TWO, {}, "1 numbers that are missing.* in 1 of 2 rows.* row 0"),
        ([[1.0], [np.inf]], TWO, {}, "the first in row 1"),
        ([[1e39], [1.0]], TWO, {}, "beyond float32"),
        (np.zeros((2, 28, 28, 3)), TWO, {}, r"channels last.*X\.transpose\(0, 3, 1, 2\)"),
        (np.eye(2), TWO, {"groups": ["a"]}, r"groups have shape \(1,\), \(2,\) is wanted"),
        (np.eye(2), TWO, {"groups": ["a", None]}, "1 of 2 rows have no group, the first is 1"),
        (np.eye(2), TWO, {"metric": "r2"}, "no metric named 'r2' for classification"),
        (np.eye(2), TWO, {"test": np.eye(2)}, "must have shape"),
        (np.eye(2), TWO, {"test": 5}, r"test is a pair \(X, y\), not a int"),
        (np.eye(2), TWO, {"test": (np.eye(3), [0, 1, 0])}, "the held-out rows do not fit"),
        (np.eye(2), TWO, {"test": (np.eye(2), [0])}, "2 held-out inputs and 1 labels"),
        (np.eye(2), TWO, {"test": (np.full((2, 2), np.inf), TWO)}, "the held-out inputs have"),
        (np.eye(2), TWO, {"test": (np.eye(2), [0, 7])}, "never seen in training: 7"),
    ],
)
def test_arrays_that_cannot_be_used_are_refused_in_one_line(X, y, more, said):
    with pytest.raises(DataError, match=said) as caught:
        Task.from_arrays(X, y, **more)
    assert "\n" not in str(caught.value)


@settings(deadline=None)
@given(
    nps.arrays(
        st.sampled_from([np.float32, np.float64, np.int16, np.uint8]),
        st.one_of(
            st.tuples(st.integers(2, 4), st.integers(1, 4)),
            st.tuples(st.integers(2, 4), st.integers(1, 2), st.integers(4, 6), st.integers(5, 6)),
        ),
        elements={"allow_nan": False, "allow_infinity": False, "min_value": 0, "max_value": 100},
    )
)
def test_the_inputs_are_the_numbers_given(X):
    y = np.arange(len(X)) % 2
    task = Task.from_arrays(X, y)
    np.testing.assert_array_equal(task.inputs, X.astype(np.float32))
    assert task.labels.tolist() == y.tolist()


def test_a_test_of_a_task_without_labels_is_refused():
    with pytest.raises(DataError, match="has 2 rows and no labels"):
        Task.from_arrays(np.eye(2), test=(np.eye(2), [0, 1]))


def test_unlabelled_inputs_are_checked_as_the_others_are():
    with pytest.raises(DataError, match="the unlabelled inputs have 1 numbers that are missing"):
        Task.from_arrays(np.eye(2), [0, 1], unlabelled=[[1.0, np.nan]])
