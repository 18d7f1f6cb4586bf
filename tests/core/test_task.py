import numpy as np
import pytest

from bequest.core import Task
from bequest.errors import DataError


def corners(**changes):
    return Task.from_arrays(np.eye(4), ["a", "b", "a", "b"], name="corners", **changes)


def test_a_task_says_what_it_is():
    task = corners()
    assert repr(task) == "Task('corners', 4 vector rows, 2 classes, accuracy)"
    assert len(task) == 4
    assert task.modality == "vector"
    assert task.metric.name == "accuracy"
    assert task.labels.tolist() == ["a", "b", "a", "b"]


def test_a_regression_says_that_it_is_one():
    task = Task.from_arrays(np.eye(3), [0.5, 1.0, 2.0])
    assert repr(task) == "Task('arrays', 3 vector rows, regression, r2)"
    assert task.labels.tolist() == [0.5, 1.0, 2.0]


def test_taking_rows_keeps_classes_and_groups_and_drops_the_held_out_rows():
    task = corners(groups=[1, 1, 2, 2], test=(np.eye(4), ["a", "a", "b", "b"]))
    taken = task.take([0, 2])
    assert taken.classes == ("a", "b")
    assert taken.targets.tolist() == [0, 0]
    assert taken.groups.tolist() == [1, 2]
    assert taken.test is None
    assert task.test is not None


def test_the_fingerprint_follows_the_content_not_the_name():
    task = corners()
    assert task.fingerprint == Task.from_arrays(np.eye(4), ["a", "b", "a", "b"]).fingerprint
    assert task.fingerprint != task.take([1, 0, 2, 3]).fingerprint
    assert task.fingerprint != Task.from_arrays(np.eye(4), ["a", "c", "a", "c"]).fingerprint


def test_held_out_rows_must_fit_the_task():
    task = corners()
    with pytest.raises(DataError, match="do not fit the task"):
        task.with_test(Task.from_arrays(np.eye(5), ["a", "b", "a", "b", "a"]))
    with pytest.raises(DataError, match="other classes"):
        task.with_test(Task.from_arrays(np.eye(4), ["a", "c", "a", "c"]))
    assert task.with_test(task.take([0])).test.targets.tolist() == [0]
