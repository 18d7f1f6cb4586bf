"""The race: averages, exact on the clock, and the same whatever the order."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from bequest.core import Card, Done, Executor, InputSpec, Model, Task, check_time, time_left
from bequest.data.splits import folds
from bequest.errors import DataError, NotApplicable
from bequest.evaluation import Arm, race
from bequest.evaluation.candidates import TEMPERATURES
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


def arm(quality, *, name="source", clock=None, seconds=0.0, fails=None, network=False):
    def fit(task, rng):
        if clock is not None:
            check_time("training", rest=seconds)
            clock.now += seconds
        if fails is not None:
            raise fails
        return Constant(np.array(quality))

    return Arm(name, "constant", {"quality": quality}, fit, trains_network=network)


def scratch(quality, **options):
    return arm(quality, name="", **options)


def run_race(transfer, scratch, *, budget=1e9, clock=None, executor=None, **options):
    clock = clock or Clock()
    options = {"seed": 0, "k": K, "repeats": 3} | options
    with executor or LocalExecutor() as runs:
        return race(transfer, scratch, task(), budget=budget, executor=runs, clock=clock, **options)


def test_of_several_sources_the_one_with_the_best_average_is_chosen():
    arms = [arm(q, name=name) for name, q in (("a", 0.5), ("b", 0.9), ("c", 0.7))]
    result = run_race(arms, [scratch(0.6), scratch(0.3)])
    assert [one.name for one in result.transfer] == ["a", "b", "c"]
    assert result.transfer_index == 1
    assert [one.members for one in result.scratch] == [(3, 4)]


def test_without_averages_the_best_arm_of_each_side_is_chosen():
    result = run_race([arm(0.5), arm(0.9), arm(0.7)], [scratch(0.6), scratch(0.3)], ensemble=False)
    assert (result.transfer_index, result.scratch_index) == (1, 0)
    assert [one.members for one in result.transfer] == [(0,), (1,), (2,)]
    assert result.transfer[1].metric.mean() == pytest.approx(0.9)


def test_an_average_is_the_mean_of_the_probabilities_by_hand():
    result = run_race([arm(0.9), arm(0.5), arm(0.2)], [scratch(0.5)])
    place = (np.arange(N) + 0.5) / N
    sure = np.mean([np.where(place < q, 0.9, 0.1) for q in (0.9, 0.5, 0.2)], axis=0)
    np.testing.assert_array_equal(result.transfer[0].metric, np.tile(sure > 0.5, (3, 1)))
    powers = sure ** (1 / TEMPERATURES[:, None])
    own = -((1 - powers / (powers + (1 - sure) ** (1 / TEMPERATURES[:, None]))) ** 2)
    # each fold has the temperature that the other folds ask for
    assert np.abs(result.transfer[0].score[:, None] - own).min(axis=1).max() < 1e-9


def test_the_temperature_of_a_fold_is_that_of_the_other_folds():
    result = run_race([arm(0.9), arm(0.2)], [scratch(0.5)], repeats=1)
    place = (np.arange(N) + 0.5) / N
    sure = np.mean([np.where(place < q, 0.9, 0.1) for q in (0.9, 0.2)], axis=0)

    def warm(rows):
        def loss(heat):
            right, wrong = sure[rows] ** (1 / heat), (1 - sure[rows]) ** (1 / heat)
            return 2 * np.log(heat) ** 2 - np.log(right / (right + wrong)).sum()

        return min(TEMPERATURES, key=loss)

    own = folds(task(), K, 1, rng=np.random.default_rng(first_draw(0)))[0]
    for train, test in own:
        heat = warm(train)
        right, wrong = sure[test] ** (1 / heat), (1 - sure[test]) ** (1 / heat)
        expected = -((1 - right / (right + wrong)) ** 2)
        np.testing.assert_allclose(result.transfer[0].score[0, test], expected)
    assert result.transfer[0].temperature == warm(np.arange(N))


def first_draw(seed):
    return np.random.default_rng(np.random.SeedSequence(seed)).integers(2**63)


def test_every_arm_without_a_network_runs_every_repeat():
    result = run_race([arm(q / 10) for q in range(1, 9)], [scratch(0.5)])
    assert [len(a.folds) for a in result.arms] == [3 * K] * 9
    assert all(a.used and not a.reason for a in result.arms)
    assert len(result.splits) == 3 * K
    assert np.isfinite(result.transfer[0].score).all()


def test_a_network_runs_one_repeat_that_stands_for_all():
    result = run_race([arm(0.5), arm(0.8, network=True)], [scratch(0.5)])
    assert [len(a.folds) for a in result.arms] == [15, 5, 15]
    assert result.transfer[0].members == (0, 1)
    assert result.transfer[0].repeated == 0.5
    assert np.isfinite(result.transfer[0].score).all()


def test_an_average_of_transfer_holds_one_network_and_from_scratch_all():
    networks = [arm(0.8, network=True), arm(0.9, network=True)]
    result = run_race([arm(0.5), *networks], [scratch(0.8, network=True)] * 2)
    assert [a.used for a in result.arms] == [True, True, False, True, True]
    assert result.arms[2].reason == "not run: an average holds one network at most."
    alone = run_race([arm(0.5), *networks], [scratch(0.5)], ensemble=False)
    assert all(a.used for a in alone.arms)


def test_a_network_that_does_not_fit_says_so_and_the_next_one_is_tried():
    clock = Clock()
    slow = arm(0.8, network=True, clock=clock, seconds=30.0)
    fast = arm(0.8, network=True, clock=clock, seconds=1.0)
    result = run_race([arm(0.5), slow, fast], [scratch(0.5)], budget=60.0, clock=clock)
    assert [a.used for a in result.arms] == [True, False, True, True]
    assert "than there is time" in result.arms[1].reason
    assert clock.now == 5.0


def test_a_network_that_is_known_to_take_too_long_is_not_begun():
    begun = []
    slow = Arm("source", "slow", {}, lambda *_: begun.append(1), trains_network=True, least=30.0)
    result = run_race([arm(0.5), slow], [scratch(0.5)], budget=60.0)
    assert not begun
    assert result.arms[1].reason == "not run: it takes 30 s a fit at least."


def test_without_a_budget_every_network_has_endless_time():
    left = []

    def fit(task, rng):
        left.append(time_left())
        return Constant(np.array(0.5))

    networks = [Arm("", "network", {"n": n}, fit, trains_network=True) for n in range(3)]
    result = run_race([arm(0.5)], networks, budget=None)
    assert [a.used for a in result.arms] == [True] * 4
    assert set(left) == {np.inf}


def test_networks_from_scratch_have_half_of_the_time_that_is_left():
    clock = Clock()
    networks = [scratch(0.5, network=True, clock=clock, seconds=4.0) for _ in range(3)]
    result = run_race([arm(0.5)], networks, budget=60.0, clock=clock)
    assert [a.used for a in result.arms] == [True, True, False, False]  # 26 s of 30, then nothing


def test_the_next_fold_is_not_begun_where_it_would_overrun():
    clock = Clock()
    arms = [arm(0.5, clock=clock, seconds=2.0)], [scratch(0.5, clock=clock, seconds=1.0)]
    result = run_race(*arms, budget=40.0, clock=clock)
    assert [len(a.folds) for a in result.arms] == [11, 11]  # 33 s, and 4.5 s for the last fits
    assert result.transfer[0].score.shape == (2, N)
    assert result.notes == ("2 of 3 repeats ran: the time did not suffice for more.",)


def test_with_less_time_than_a_repeat_some_folds_judge():
    clock = Clock()
    arms = [arm(0.5, clock=clock, seconds=2.0)], [scratch(0.5, clock=clock, seconds=1.0)]
    result = run_race(*arms, budget=14.0, clock=clock)
    assert result.transfer[0].score.shape == (1, 12)
    assert "3 folds of 5 ran" in result.notes[0]
    assert "12 rows of 20 judge" in result.notes[0]


def test_few_rows_of_a_part_of_a_repeat_judge_nothing():
    clock = Clock()
    arms = [arm(0.5, clock=clock, seconds=2.0)], [scratch(0.5, clock=clock, seconds=1.0)]
    assert not run_race(*arms, budget=8.0, clock=clock).judged


def test_a_part_of_a_repeat_that_tests_one_group_judges_nothing():
    clock = Clock()
    whole = task(rows=45, groups=np.repeat(np.arange(3), 15))
    arms = [arm(0.5, clock=clock, seconds=2.0)], [scratch(0.5, clock=clock, seconds=1.0)]
    with LocalExecutor() as runs:
        result = race(*arms, whole, budget=8.0, k=3, repeats=1, seed=0, executor=runs, clock=clock)
    assert [len(one.folds) for one in result.arms] == [1, 1]
    assert not result.judged


def test_without_time_there_is_nobody_and_no_error():
    result = run_race([arm(0.5)], [scratch(0.5)], budget=0.0)
    assert (result.transfer, result.scratch, result.judged) == ((), (), False)
    assert [a.reason for a in result.arms] == ["not run: the time was used up."] * 2


def test_a_race_can_be_run_again_on_as_many_folds():
    clock = Clock()
    arms = [arm(0.5, clock=clock, seconds=2.0)], [scratch(0.7, clock=clock, seconds=1.0)]
    one = run_race(*arms, budget=40.0, clock=clock)
    again = run_race(*arms, budget=None, again=[len(a.folds) for a in one.arms])
    np.testing.assert_array_equal(one.transfer[0].score, again.transfer[0].score)
    np.testing.assert_array_equal(one.scratch[0].score, again.scratch[0].score)


def test_of_many_rows_a_fit_is_timed_on_a_part_of_them_first():
    clock = Clock()

    def by_rows(factor):
        def fit(task, rng):
            clock.now += factor * len(task) / 1000
            return Constant(np.array(0.5))

        return fit

    cheap, dear = (Arm("", "rows", {"f": f}, by_rows(f)) for f in (0.1, 50.0))
    many = task(rows=10_000)
    with LocalExecutor() as runs:
        result = race(
            [arm(0.9)], [cheap, dear], many, budget=300.0, seed=0, executor=runs, clock=clock
        )
    assert [a.used for a in result.arms] == [True, True, False]
    assert result.arms[2].reason == "not run: it takes about 400 s a fit."
    assert clock.now < 70


def test_an_arm_that_does_not_apply_is_out_with_its_reason():
    refused = arm(0.9, fails=NotApplicable("no shared class."))
    result = run_race([refused, arm(0.5)], [scratch(0.5), scratch(0.4)])
    assert result.transfer[0].members == (1,)
    assert result.arms[0].reason == "no shared class."
    assert np.isnan(result.arms[0].score)


def test_where_a_side_has_no_arm_that_applies_nothing_is_judged():
    refused = arm(0.9, fails=NotApplicable("no shared class."))
    result = run_race([refused], [scratch(0.5)])
    assert not result.judged
    assert len(result.scratch) == 1


def test_where_no_arm_applies_the_reasons_are_said():
    refused = NotApplicable("no shared class.")
    with pytest.raises(NotApplicable, match="no arm fits the task: no shared class"):
        run_race([arm(0.9, fails=refused)], [scratch(0.9, fails=refused)])


def test_an_arm_whose_source_does_not_fit_on_one_fold_is_left_out_of_that_fold():
    def fit(task, rng, choice):
        if 3 in task.inputs[:, 1] * N - 0.5:
            return Constant(np.array(0.9))
        raise NotApplicable("the source that was chosen shows no features.")

    some = Arm("number 1", "some", {}, fit, choose=lambda task: 1)
    every = Arm("number 1", "all", {}, lambda t, rng, c: Constant(np.array(0.5)), lambda task: 1)
    result = run_race([some, every], [scratch(0.5)], repeats=1)
    assert result.transfer[0].members == (0, 1)
    assert [len(a.folds) for a in result.arms] == [4, 5, 5]
    assert run_race([some], [scratch(0.5)], repeats=1).transfer == ()


def test_foreign_errors_propagate():
    with pytest.raises(ZeroDivisionError):
        run_race([arm(0.9, fails=ZeroDivisionError())], [scratch(0.5)])


def test_predictions_that_are_not_finite_put_an_arm_out():
    broken = Arm("", "broken", {}, lambda task, rng: _Broken(np.array(0.9)))
    result = run_race([arm(0.5)], [broken, scratch(0.5)])
    assert result.scratch[0].members == (2,)
    assert "not finite on 4 of 4 rows" in result.arms[1].reason


class _Broken(Constant):
    def output(self, X):
        return np.full((len(X), 2), np.nan)


def test_a_side_without_arms_is_refused():
    with pytest.raises(DataError, match="0 of transfer"):
        run_race([], [scratch(0.5)])


def random_arm(name):
    def fit(task, rng):
        return Constant(np.array(rng.random()))

    return Arm(name, "random", {}, fit)


class Backwards(Executor):
    """Runs the last job first."""

    def __init__(self):
        self.values = []

    def share(self, value):
        self.values.append(value)
        return str(len(self.values) - 1)

    def run(self, jobs, *, timeout, until):
        for place, job in list(enumerate(jobs))[::-1]:
            yield Done(place, job(lambda key: self.values[int(key)]))

    def close(self):
        pass


def test_results_do_not_depend_on_the_order_of_the_jobs():
    arms = [random_arm("source") for _ in range(4)], [random_arm("") for _ in range(4)]
    one, other, again = run_race(*arms), run_race(*arms, executor=Backwards()), run_race(*arms)
    np.testing.assert_array_equal(one.transfer[0].score, other.transfer[0].score)
    np.testing.assert_array_equal(one.transfer[0].score, again.transfer[0].score)
    assert one.splits == other.splits
    moved = run_race(*arms, seed=1).transfer[0].score
    assert not np.array_equal(one.transfer[0].score, moved)


def test_identical_arms_draw_the_same_numbers_on_both_sides():
    result = run_race([random_arm("source")] * 2, [random_arm("")] * 2)
    np.testing.assert_array_equal(result.transfer[0].score, result.scratch[0].score)


def test_rows_of_a_group_are_never_split():
    groups = np.repeat(np.arange(N // 2), 2)
    seen = []

    def fit(task, rng):
        seen.append(set(task.groups.tolist()))
        return Constant(np.array(0.5))

    spies = [Arm(name, "spy", {}, fit) for name in ("source", "")]
    with LocalExecutor() as runs:
        spied = task(groups=groups)
        result = race(spies[:1], spies[1:], spied, budget=1e9, seed=0, executor=runs, repeats=1)
    assert all(len(groups_seen) == N // 2 * 9 // 10 for groups_seen in seen)
    np.testing.assert_array_equal(result.groups, groups)
