"""Copies of rows are one group: they are not tested beside a copy that was trained on."""

import numpy as np
import pytest

import bequest as bq
from bequest.data.repeats import with_repeats_together

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 4))
Y = (X @ [1.0, -1.0, 0.5, 0.0] + RNG.normal(size=60) > 0).astype(int)


def test_rows_that_differ_are_left_alone():
    task = bq.Task.from_arrays(X, Y)
    assert with_repeats_together(task) == (task, ())


def test_one_copy_among_many_is_no_reason_to_deal_groups():
    task = bq.Task.from_arrays(np.concatenate([X, X[:1]]), [*Y, Y[0]])
    assert with_repeats_together(task) == (task, ())


@pytest.mark.parametrize("copies", [2, 3])
def test_copies_share_a_group_whatever_their_order(copies):
    order = RNG.permutation(60 * copies) % 60
    task, notes = with_repeats_together(bq.Task.from_arrays(X[order], Y[order]))
    assert len(set(zip(task.groups.tolist(), order.tolist(), strict=True))) == 60
    assert notes[0].startswith(f"{60 * (copies - 1)} of the {60 * copies} rows repeat another one")


def test_groups_and_times_of_ones_own_are_kept_and_the_note_says_what_that_means():
    twice = np.tile(np.arange(60), 2)
    for given in ({"groups": np.arange(120)}, {"time": np.arange(120)}):
        task = bq.Task.from_arrays(X[twice], Y[twice], **given)
        kept, notes = with_repeats_together(task)
        assert kept is task
        assert "tested beside each other" in notes[0]


def test_held_out_rows_that_are_among_the_rows_are_told():
    task = bq.Task.from_arrays(X[:40], Y[:40], test=(X[30:], Y[30:]))
    assert with_repeats_together(task)[1][0].startswith("10 of the 30 held-out rows are also among")


def test_rows_of_one_kind_only_are_no_groups():
    task = bq.Task.from_arrays(np.ones((6, 2)), [0, 1] * 3)
    assert with_repeats_together(task)[0] is task
