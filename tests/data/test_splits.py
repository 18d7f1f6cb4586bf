import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bequest.core import Task
from bequest.data.splits import (
    MIN_BLOCKS,
    folds,
    judged_rows,
    resampling_units,
)
from bequest.errors import DataError


def task_of(labels, groups=None, **options):
    return Task.from_arrays(np.zeros((len(labels), 1)), labels, groups=groups, **options)


@st.composite
def class_tasks(draw, grouped=False):
    labels = draw(st.lists(st.integers(0, 4), min_size=6, max_size=60))
    labels[:2] = [0, 1]
    groups = None
    if grouped:
        groups = draw(st.lists(st.integers(0, 15), min_size=len(labels), max_size=len(labels)))
    return task_of(labels, groups)


SEEDS = st.integers(0, 2**32).map(np.random.default_rng)


def is_partition(pairs, n):
    whole = np.arange(n)
    tests = np.sort(np.concatenate([test for _, test in pairs]))
    return np.array_equal(tests, whole) and all(
        np.array_equal(np.sort(np.concatenate(pair)), whole) and len(pair[0]) and len(pair[1])
        for pair in pairs
    )


@settings(deadline=None)
@given(task=class_tasks(), k=st.integers(2, 6), rng=SEEDS)
def test_folds_part_the_rows_and_share_every_class_to_within_one_row(task, k, rng):
    [pairs] = folds(task, k, rng=rng)
    assert len(pairs) == k
    assert is_partition(pairs, len(task))
    sizes = [len(test) for _, test in pairs]
    assert max(sizes) - min(sizes) <= 1
    counts = np.array([np.bincount(task.targets[test], minlength=5) for _, test in pairs])
    assert (np.ptp(counts, axis=0) <= 1).all()


@settings(deadline=None)
@given(task=class_tasks(), k=st.integers(2, 6), rng=SEEDS)
def test_a_class_of_two_rows_or_more_is_in_every_training_part(task, k, rng):
    common = np.flatnonzero(np.bincount(task.targets) >= 2)
    for train, _ in folds(task, k, rng=rng)[0]:
        assert np.isin(common, task.targets[train]).all()


@settings(deadline=None)
@given(
    values=st.lists(st.floats(-10, 10), min_size=6, max_size=60),
    k=st.integers(2, 6),
    rng=SEEDS,
)
def test_folds_of_values_take_one_of_every_k_neighbours(values, k, rng):
    values[0] = 99.5
    task = task_of(values, kind="regression")
    [pairs] = folds(task, k, rng=rng)
    assert is_partition(pairs, len(task))
    ordered = np.sort(task.targets)
    for _, test in pairs:
        mine = np.sort(task.targets[test])
        for place, value in enumerate(mine[: len(values) // k]):
            block = ordered[place * k : (place + 1) * k]
            assert block[0] <= value <= block[-1]


@settings(deadline=None)
@given(task=class_tasks(grouped=True), k=st.integers(2, 4), rng=SEEDS)
def test_folds_never_split_a_group(task, k, rng):
    n_groups = len(set(task.groups.tolist()))
    if n_groups < k:
        with pytest.raises(DataError, match=f"^{n_groups} groups? cannot make {k} folds"):
            folds(task, k, rng=rng)
        return
    [pairs] = folds(task, k, rng=rng)
    assert is_partition(pairs, len(task))
    for train, test in pairs:
        assert not set(task.groups[train]) & set(task.groups[test])


def test_folds_of_even_groups_are_even_in_size_and_classes():
    labels = np.tile([0, 0, 0, 1], 50)
    task = task_of(labels, np.repeat(np.arange(50), 4))
    for _, test in folds(task, 5, rng=np.random.default_rng(0))[0]:
        assert np.bincount(task.targets[test]).tolist() == [30, 10]


def test_folds_of_grouped_values_have_about_the_same_mean():
    rng = np.random.default_rng(0)
    values, groups = rng.normal(size=1000), rng.integers(200, size=1000)
    pairs = folds(task_of(values, groups), 5, rng=rng)[0]
    means = [values[test].mean() for _, test in pairs]
    assert np.ptp(means) < 0.1  # a quarter of what five random fifths would differ by
    assert max(len(test) for _, test in pairs) < 230


def test_a_rare_class_is_spread_over_groups_as_evenly_as_they_allow():
    labels = np.zeros(100, dtype=int)
    labels[::20] = 1  # five rows, in five groups of 20
    task = task_of(labels, np.repeat(np.arange(20), 5))
    counts = [
        np.bincount(task.targets[test])[1]
        for _, test in folds(task, 5, rng=np.random.default_rng(1))[0]
    ]
    assert counts == [1] * 5


@pytest.mark.parametrize("groups", [None, np.repeat(np.arange(12), 2 + np.arange(12))])
def test_repeats_differ_and_a_seed_repeats_them(groups):
    labels = np.arange(90 if groups is None else len(groups)) % 2
    task = task_of(labels, groups)

    def dealt(seed):
        rng = np.random.default_rng(seed)
        return [[test.tolist() for _, test in pairs] for pairs in folds(task, 3, 2, rng=rng)]

    first, second = dealt(0)
    assert sorted(first) != sorted(second)
    assert dealt(0) == [first, second]
    assert dealt(1) != [first, second]


@pytest.mark.parametrize(
    ("labels", "k", "said"),
    [
        ([0, 1], 3, "2 rows cannot make 3 folds"),
        ([0, 1, 1], 1, "1 folds: at least two are needed"),
    ],
)
def test_fewer_rows_than_folds_are_refused_with_the_numbers(labels, k, said):
    with pytest.raises(DataError, match=said):
        folds(task_of(labels), k, rng=np.random.default_rng(0))


def timed(time, groups=None):
    return task_of(np.arange(len(time)) % 2, groups, time=time)


def test_with_time_the_window_expands_and_the_first_block_is_never_tested():
    task = timed(np.arange(12)[::-1])
    [pairs] = folds(task, 5, repeats=3, rng=np.random.default_rng(0))
    assert [test.tolist() for _, test in pairs] == [[8, 9], [6, 7], [4, 5], [2, 3], [0, 1]]
    assert [train.tolist() for train, _ in pairs] == [
        list(range(start, 12)) for start in (10, 8, 6, 4, 2)
    ]
    assert judged_rows(pairs).tolist() == list(range(10))


@settings(deadline=None)
@given(times=st.lists(st.integers(0, 30), min_size=6, max_size=60), k=st.integers(2, 6), rng=SEEDS)
def test_a_fold_trains_on_all_earlier_times_but_those_of_tested_groups(times, k, rng):
    groups = rng.integers(50, size=len(times))
    if len(set(times)) < k + 1:
        with pytest.raises(DataError, match=f"cannot make {k + 1} blocks, one to train on and {k}"):
            folds(timed(times), k, rng=rng)
        return
    [pairs] = folds(timed(times), k, rng=rng)
    assert len(pairs) == k
    assert len(np.concatenate([test for _, test in pairs])) == len(judged_rows(pairs)) < len(times)
    for train, test in pairs:
        assert len(train)
        assert len(test)
        assert train.tolist() == np.flatnonzero(times < np.array(times)[test].min()).tolist()
    apart = [train[~np.isin(groups[train], groups[test])].tolist() for train, test in pairs]
    if not all(apart):
        with pytest.raises(DataError, match="are of groups that it tests"):
            folds(timed(times, groups), k, rng=rng)
        return
    [grouped] = folds(timed(times, groups), k, rng=rng)
    assert [train.tolist() for train, _ in grouped] == apart


def test_rows_of_one_time_stay_together_and_blocks_are_as_even_as_that_allows():
    time = np.repeat([1, 2, 3, 40, 50], [1, 1, 8, 5, 5])  # gaps are no matter
    [pairs] = folds(timed(time), 2, rng=np.random.default_rng(0))
    assert [np.unique(time[test]).tolist() for _, test in pairs] == [[40], [50]]


def test_rows_of_the_tested_groups_leave_the_training_part():
    task = timed(np.arange(6), groups=list("abcacd"))
    [pairs] = folds(task, 2, rng=np.random.default_rng(0))
    assert [(train.tolist(), test.tolist()) for train, test in pairs] == [
        ([1], [2, 3]),
        ([0, 1, 3], [4, 5]),
    ]


def test_a_block_whose_groups_hold_all_earlier_rows_is_refused():
    with pytest.raises(DataError, match=r"^all rows before block 2 of time are of groups"):
        folds(timed(np.arange(6), groups=list("aaabbb")), 2, rng=np.random.default_rng(0))


def test_one_time_cannot_be_split():
    task = timed([7, 7, 7, 7])
    with pytest.raises(DataError, match=r"^1 distinct time cannot make 3 blocks"):
        folds(task, 2, rng=np.random.default_rng(0))


def test_a_bootstrap_draws_groups_or_blocks_of_time_or_rows():
    assert resampling_units(task_of([0, 1, 0, 1])) is None
    assert resampling_units(timed([7, 7, 7, 7])) is None
    assert resampling_units(timed([3, 1, 2, 2])).tolist() == [2, 0, 1, 1]
    assert resampling_units(timed(np.arange(12)), 3).tolist() == np.repeat(range(4), 3).tolist()
    assert resampling_units(timed([4, 3, 2, 1], groups=list("abab"))).tolist() == [0, 1, 0, 1]
    assert MIN_BLOCKS == 5
