from dataclasses import replace
from datetime import date

import numpy as np
import pytest

import bequest as bq
from bequest.core import Task
from bequest.core.validation import validate_task
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


def test_a_task_without_labels_says_so_and_counts_its_inputs():
    task = Task.from_arrays(np.eye(4), name="new ward")
    assert repr(task) == "Task('new ward', 4 vector rows, unlabelled)"
    assert (len(task), task.labelled, task.classes) == (4, False, ())
    assert task.take([0, 2]).targets is None
    assert len(task.take([0, 2])) == 2
    assert task.fingerprint != Task.from_arrays(np.eye(4)[::-1]).fingerprint
    described = task.describe()
    assert described.rows == 4
    assert described.classes == ()
    assert corners().labelled


def test_an_unlabelled_task_may_know_its_classes():
    task = replace(Task.from_arrays(np.eye(4)), classes=("a", "b"))
    assert task.describe().rows == 4
    assert task.describe().class_shares == ()


@pytest.mark.parametrize("ask", ["labels", "metric"])
def test_labels_of_a_task_without_any_are_one_line(ask):
    task = Task.from_arrays(np.eye(4), name="new ward")
    with pytest.raises(DataError, match=r"^task 'new ward' has 4 rows and no labels: .*y=") as said:
        getattr(task, ask)
    assert "\n" not in str(said.value)


@pytest.mark.parametrize("verb", [lambda t: bq.train(t), lambda t: bq.rank([], t),
                                  lambda t: bq.transfer(t, []),
                                  lambda t: bq.transfer(corners(), [], test=t)])  # fmt: skip
def test_the_verbs_refuse_a_task_without_labels(verb):
    with pytest.raises(DataError, match="has 4 rows and no labels: it can be adapted to"):
        verb(Task.from_arrays(np.eye(4)))


def test_a_task_without_labels_passes_where_none_are_needed():
    task = Task.from_arrays(np.eye(4))
    assert validate_task(task, labelled=False) is task


def test_taking_rows_takes_time_and_weights_and_keeps_the_unlabelled_rows():
    task = corners(time=[4, 3, 2, 1], weights=[1, 2, 3, 4], unlabelled=np.ones((7, 4)))
    taken = task.take([0, 2])
    assert taken.time.tolist() == [4, 2]
    assert taken.weights.tolist() == [1, 3]
    assert len(taken.unlabelled) == 7


def test_unlabelled_rows_of_another_form_are_refused():
    with pytest.raises(DataError, match=r"unlabelled rows do not fit .*\(4,\).*\(5,\)"):
        corners(unlabelled=np.ones((7, 5)))
    with pytest.raises(DataError, match="unlabelled rows do not fit"):
        replace(corners(), unlabelled=np.ones((7, 1, 4, 4), dtype=np.float32))


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        (
            {"weights": [1, 0, 2, -1]},
            "weights is not finite and above zero in 2 of 4 rows, .* 1,",
        ),
        ({"weights": [1, np.nan, 2, 1]}, "weights is not finite and above zero in 1 of 4 rows"),
        ({"weights": [1, 2]}, r"weights has shape \(2,\), \(4,\) is needed"),
        ({"weights": ["a", "b", "c", "d"]}, "column 'weights' should hold numbers"),
        ({"time": [3, np.nan, None, 1]}, "time is missing in 2 of 4 rows, the first is row 1,"),
        ({"time": ["2024-01-02", "spring", "2024", "2025"]}, "'time' should hold dates.* 'spring'"),
        ({"time": [1, 2]}, r"time has shape \(2,\), \(4,\) is needed"),
        ({"metric": "per_group_accuracy"}, "per_group_accuracy is a mean over groups: .*groups="),
        ({"metric": "roc_auc_ov"}, "no metric named 'roc_auc_ov'"),
    ],
)
def test_columns_that_cannot_be_used_are_one_line(columns, said):
    with pytest.raises(DataError, match=said) as caught:
        corners(**columns)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "time",
    [
        [3, 1, 2, 2],
        np.array(["2003", "2001", "2002", "2002"], dtype="datetime64[D]"),
        ["2003-01-01", "2001-05-01", "2002-01-02", "2002-01-02"],
        [date(2003, 1, 1), date(2001, 1, 1), date(2002, 1, 1), date(2002, 1, 1)],
    ],
)
def test_numbers_and_dates_of_any_form_order_the_rows(time):
    assert np.argsort(corners(time=time).time, kind="stable").tolist() == [1, 2, 3, 0]


def test_weights_are_given_for_the_task_and_its_held_out_rows_or_for_neither():
    held = np.eye(4), ["a", "a", "b", "b"]
    task = corners(weights=[1, 2, 3, 4], test=(*held, [1, 1, 1, 5]))
    assert task.test.weights.tolist() == [1, 1, 1, 5]
    with pytest.raises(DataError, match="both the task and its held-out rows"):
        corners(weights=[1, 2, 3, 4], test=held)


def test_what_the_rows_contribute_averages_to_the_metric_with_weights():
    task = corners(weights=[1, 1, 1, 5])
    output = np.tile([0.9, 0.1], (4, 1))  # right for rows 0 and 2
    assert task.row_scores(output).mean() == pytest.approx(2 / 8)
    assert corners().row_scores(output[:2], [0, 1]).tolist() == [1, 0]


def test_what_the_rows_of_all_folds_contribute_averages_to_the_metric_per_user():
    task = corners(groups=["ann", "ann", "ann", "bob"], metric="per_group_accuracy")
    output = np.tile([0.9, 0.1], (4, 1))
    parts = [task.row_scores(output[rows], rows) for rows in ([0, 1, 2], [3])]
    assert np.concatenate(parts).mean() == pytest.approx((2 / 3 + 0) / 2)
