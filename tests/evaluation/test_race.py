"""The race: fair, exact on the clock, and the same whatever the order."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from bequest.core import Card, Done, Executor, InputSpec, Model, Task
from bequest.errors import BudgetTooSmall, DataError, NotApplicable
from bequest.evaluation import Arm, race
from bequest.executors.local import LocalExecutor

N, K = 20, 5


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@dataclass
class Constant(Model):
    """Predicts class 1 with a fixed probability, right on a share of the rows."""

    probabilities: np.ndarray
    classes: tuple = (0, 1)
    spec: InputSpec = field(default_factory=lambda: InputSpec("vector", (2,)))
    card: Card = field(default_factory=Card)

    def output(self, X):
        right = np.asarray(X)[:, 0].astype(int)
        sure = np.where(np.asarray(X)[:, 1] < self.probabilities, 0.9, 0.1)
        chosen = np.empty((len(right), 2))
        chosen[np.arange(len(right)), right] = sure
        chosen[np.arange(len(right)), 1 - right] = 1 - sure
        return chosen

    @property
    def structure(self):
        return {}

    def with_card(self, card):
        return self

    def save(self, folder):
        raise NotImplementedError


def task(rows=N, groups=None):
    y = np.arange(rows) % 2
    X = np.column_stack([y, (np.arange(rows) + 0.5) / rows]).astype(np.float32)
    return Task(X, y, "classification", (0, 1), "accuracy", groups=groups)


def arm(quality, *, name="source", clock=None, seconds=0.0, fails=None):
    def fit(task, rng):
        if clock is not None:
            clock.now += seconds
        if fails is not None:
            raise fails
        return Constant(np.array(quality))

    return Arm(name, "constant", {"quality": quality}, fit)


def run_race(transfer, scratch, *, budget=1e9, clock=None, executor=None, **options):
    clock = clock or Clock()
    options = {"seed": 0, "k": K, "repeats": 3} | options
    with executor or LocalExecutor() as runs:
        return race(transfer, scratch, task(), budget=budget, executor=runs, clock=clock, **options)


def test_the_best_arm_of_each_side_is_chosen():
    result = run_race([arm(0.5), arm(0.9), arm(0.7)], [arm(0.6), arm(0.3), arm(0.1)])
    assert (result.transfer_index, result.scratch_index) == (1, 0)
    assert result.transfer_arms[1].score == pytest.approx(0.9)
    assert result.scratch_arms[0].score == pytest.approx(0.6)


def test_every_row_has_a_score_in_every_repeat_that_an_arm_ran():
    result = run_race([arm(q / 10) for q in range(1, 9)], [arm(q / 10) for q in range(1, 9)])
    alive = np.isfinite(result.transfer).all(axis=2)
    assert alive.sum(axis=0).tolist() == [8, 4, 2]
    assert np.isnan(result.transfer[~alive]).all()
    assert len(result.splits) == 3 * K
    assert len(result.folds["transfer"]) == 3 * K


def test_the_eliminated_say_after_which_repeat_and_from_which_place():
    result = run_race([arm(q) for q in (0.1, 0.9, 0.5, 0.7)], [arm(0.5)] * 4)
    assert [a.reason for a in result.transfer_arms] == [
        "eliminated after repeat 1: place 4 of 4.",
        "",
        "eliminated after repeat 1: place 3 of 4.",
        "eliminated after repeat 2: place 2 of 2.",
    ]
    assert [len(a.folds) for a in result.transfer_arms] == [5, 15, 5, 10]


def test_ties_go_to_the_arm_named_first():
    result = run_race([arm(0.5)] * 4, [arm(0.5)] * 4)
    assert (result.transfer_index, result.scratch_index) == (0, 0)
    assert [a.reason == "" for a in result.scratch_arms] == [True, False, False, False]


def test_both_sides_get_the_same_number_of_settings():
    result = run_race([arm(0.5)] * 5, [arm(0.5)] * 2)
    assert len(result.transfer) == len(result.scratch) == len(result.transfer_arms) == 2
    assert result.notes == (
        "5 arms of transfer and 2 from scratch were given: the first 2 of each ran.",
    )


def test_each_side_gets_half_of_the_time():
    clock = Clock()
    slow = [arm(0.5, clock=clock, seconds=2.0) for _ in range(6)]
    fast = [arm(0.5, clock=clock, seconds=1.0) for _ in range(6)]
    result = run_race(slow, fast, budget=80.0, clock=clock, repeats=1)
    assert result.seconds == {"transfer": 40.0, "from-scratch": 30.0}
    assert [a.seconds for a in result.transfer_arms] == [10.0] * 4 + [0.0] * 2
    assert [a.reason for a in result.transfer_arms[4:]] == ["not run: the time was used up."] * 2
    assert np.isnan(result.transfer[4:]).all()


def test_no_repeat_is_begun_that_would_overrun_and_both_sides_stop_together():
    clock = Clock()
    slow = [arm(0.5, clock=clock, seconds=2.0)]
    fast = [arm(0.5, clock=clock, seconds=1.0)]
    result = run_race(slow, fast, budget=58.0, clock=clock)
    assert result.transfer.shape[1] == result.scratch.shape[1] == 2
    assert result.seconds == {"transfer": 20.0, "from-scratch": 10.0}
    assert result.notes == ("2 of 3 repeats ran: the time did not suffice for more.",)


def test_the_worst_go_first_where_the_time_is_short_for_all_that_survived():
    clock = Clock()
    arms = [arm(q, clock=clock, seconds=1.0) for q in (0.1, 0.2, 0.9, 0.5, 0.6, 0.7, 0.8, 0.3)]
    result = run_race(arms, arms, budget=100.0, clock=clock, repeats=2)
    assert np.isfinite(result.transfer).all(axis=2).sum(axis=0).tolist() == [8, 2]
    assert result.transfer_arms[4].reason == (
        "eliminated after repeat 1, as time was short: place 4 of 4."
    )
    assert result.transfer_index == 2


def test_a_budget_too_small_for_one_arm_is_refused():
    clock = Clock()
    with pytest.raises(BudgetTooSmall, match=r"was through 5 folds in 4 s, its half of the race"):
        run_race([arm(0.5, clock=clock, seconds=1.0)], [arm(0.5)], budget=8.0, clock=clock)
    with pytest.raises(BudgetTooSmall, match="no arm of from-scratch"):
        run_race([arm(0.5)], [arm(0.5, clock=clock, seconds=1.0)], budget=8.0, clock=clock)
    with pytest.raises(BudgetTooSmall):
        run_race([arm(0.5)], [arm(0.5)], budget=0.0)


def test_a_repeat_that_no_arm_gets_through_is_undone_on_both_sides():
    clock = Clock()
    calls = []

    def slower(task, rng):
        calls.append(1)
        clock.now += 1.0 if len(calls) <= K else 100.0
        return Constant(np.array(0.5))

    result = run_race(
        [arm(0.7)], [Arm("", "slower", {}, slower)], budget=30.0, clock=clock, repeats=2
    )
    assert result.transfer.shape[1] == result.scratch.shape[1] == 1
    assert np.isfinite(result.transfer).all()
    assert result.transfer_arms[0].reason == ""


def test_an_arm_that_does_not_apply_is_out_with_its_reason():
    refused = arm(0.9, fails=NotApplicable("no shared class."))
    result = run_race([refused, arm(0.5)], [arm(0.5), arm(0.4)])
    assert result.transfer_index == 1
    assert result.transfer_arms[0].reason == "no shared class."
    assert np.isnan(result.transfer_arms[0].score)


def test_where_no_arm_applies_the_reasons_are_said():
    refused = arm(0.9, fails=NotApplicable("no shared class."))
    with pytest.raises(NotApplicable, match="no arm of transfer fits the task: no shared class"):
        run_race([refused], [arm(0.5)])


def test_foreign_errors_propagate():
    with pytest.raises(ZeroDivisionError):
        run_race([arm(0.9, fails=ZeroDivisionError())], [arm(0.5)])


def test_predictions_that_are_not_finite_put_an_arm_out():
    broken = Arm("", "broken", {}, lambda task, rng: _Broken(np.array(0.9)))
    result = run_race([broken, arm(0.5)], [arm(0.5)] * 2)
    assert result.transfer_index == 1
    assert "not finite on 4 of 4 rows" in result.transfer_arms[0].reason


class _Broken(Constant):
    def output(self, X):
        return np.full((len(X), 2), np.nan)


def test_a_side_without_arms_is_refused():
    with pytest.raises(DataError, match="0 of transfer"):
        run_race([], [arm(0.5)])


def random_arm():
    def fit(task, rng):
        return Constant(np.array(rng.random()))

    return Arm("", "random", {}, fit)


class Backwards(Executor):
    """Runs the last job first."""

    def __init__(self):
        self.values = []

    def share(self, value):
        self.values.append(value)
        return str(len(self.values) - 1)

    def run(self, jobs, *, timeout=None):
        for place, job in list(enumerate(jobs))[::-1]:
            yield Done(place, job(lambda key: self.values[int(key)]))

    def close(self):
        pass


def test_results_do_not_depend_on_the_order_of_the_jobs():
    arms = [random_arm() for _ in range(4)]
    one = run_race(arms, arms)
    other = run_race(arms, arms, executor=Backwards())
    again = run_race(arms, arms)
    np.testing.assert_array_equal(one.transfer, other.transfer)
    np.testing.assert_array_equal(one.transfer, again.transfer)
    assert one.splits == other.splits
    assert not np.array_equal(one.transfer, run_race(arms, arms, seed=1).transfer)


def test_identical_arms_draw_the_same_numbers_on_both_sides():
    arms = [random_arm() for _ in range(2)]
    result = run_race(arms, arms)
    np.testing.assert_array_equal(result.transfer, result.scratch)


def test_rows_of_a_group_are_never_split():
    groups = np.repeat(np.arange(N // 2), 2)
    seen = []

    def fit(task, rng):
        seen.append(set(task.groups.tolist()))
        return Constant(np.array(0.5))

    spy = Arm("", "spy", {}, fit)
    with LocalExecutor() as runs:
        spied = task(groups=groups)
        result = race([spy], [spy], spied, budget=1e9, seed=0, executor=runs, repeats=1)
    assert all(len(groups_seen) == N // 2 * 4 // 5 for groups_seen in seen)
    np.testing.assert_array_equal(result.groups, groups)
