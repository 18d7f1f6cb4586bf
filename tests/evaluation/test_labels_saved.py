"""Labels saved: the truth is recovered where the learning curve is known."""

from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pytest

from bequest.core import Card, InputSpec, Model, Task, Verdict
from bequest.errors import DataError, NotApplicable
from bequest.evaluation import Arm, labels_needed, labels_saved
from bequest.evaluation.curves import _in_strata
from bequest.evaluation.labels_saved import _needed
from bequest.executors.local import LocalExecutor
from bequest.frameworks.combined.function_model import FunctionModel

N = 100


def curve(rows):
    """The squared error that the arm below has when trained on so many rows."""
    return 0.5 + 4.0 * rows**-0.7


@dataclass
class Learner(Model):
    """Errs by the curve on every row; the second column says in which direction, and how much."""

    rows: int
    classes: tuple = ()
    spec: InputSpec = field(default_factory=lambda: InputSpec("vector", (2,)))
    card: Card = field(default_factory=Card)

    def output(self, X):
        return np.asarray(X)[:, 0] + np.sqrt(curve(self.rows)) * np.asarray(X)[:, 1]

    @property
    def structure(self):
        return {}

    def with_card(self, card):
        return self

    def save(self, folder):
        raise NotImplementedError


def task(errors):
    y = np.random.default_rng(0).normal(size=len(errors))
    return Task(np.column_stack([y, errors]), y, "regression", (), "neg_mean_squared_error")


def learner():
    return Arm("", "from-scratch", {}, lambda task, rng: Learner(len(task)))


def saved(transfer_rows, errors=None, *, seed=0, arm=None, **options):
    errors = np.ones(N) if errors is None else errors
    with LocalExecutor() as executor:
        return labels_saved(
            [arm or learner()], task(errors), transfer_rows, executor=executor,
            rng=np.random.default_rng(seed), **options
        )  # fmt: skip


@pytest.mark.parametrize("wanted", [50, 80, 150, 400])
def test_the_truth_is_recovered_where_the_curve_is_exact(wanted):
    result = saved(np.full(N, -curve(wanted)))
    assert result.sizes == (16, 28, 48, 80)
    assert result.labels == 80
    assert result.needed == pytest.approx(wanted, rel=0.05)
    assert result.low == pytest.approx(result.high, rel=1e-6)
    assert result.saved == pytest.approx(wanted - 80, abs=0.05 * wanted)
    assert result.scratch == pytest.approx([-curve(n) for n in result.sizes])


def test_a_score_above_the_curves_end_is_out_of_reach():
    assert saved(np.full(N, -0.4)).needed == np.inf


def test_a_score_beyond_ten_times_the_rows_is_out_of_reach():
    assert saved(np.full(N, -curve(700))).needed == pytest.approx(700, rel=0.1)
    assert saved(np.full(N, -curve(2000))).needed == np.inf


def test_the_interval_covers_the_truth_where_rows_are_noisy():
    covered, needed = [], []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        errors = rng.normal(size=N)
        noise = 0.7 * errors**2 + 0.3 * rng.normal(size=N) ** 2  # paired with from scratch
        result = saved(-curve(150) * noise, errors, seed=seed, n_boot=200)
        covered.append(result.low <= 150 <= result.high)
        needed.append(result.needed)
        assert result.low <= result.high
    assert sum(covered) >= 34
    assert 80 < np.median(needed) < 300


def test_a_worse_transfer_saves_nothing():
    assert saved(np.full(N, -curve(20))).saved < 0


def test_sizes_that_cannot_be_trained_are_left_out_with_their_reason():
    def picky(task, rng):
        if len(task) < 20:
            raise NotApplicable("fewer than 20 rows.")
        return Learner(len(task))

    arm = Arm("", "picky", {}, picky)
    assert saved(np.full(N, -curve(150)), arm=arm).sizes == (28, 48, 80)
    with pytest.raises(NotApplicable, match=r"2 of 4 could be trained.*fewer than 20 rows"):
        saved(np.full(N, -curve(150)), arm=arm, fractions=(0.1, 0.2, 0.5, 1.0))


def test_scores_that_do_not_fit_the_task_are_refused():
    with pytest.raises(DataError, match="must be 100 finite numbers"):
        saved(np.zeros(N - 1))


def test_the_same_seed_gives_the_same_answer():
    errors = np.random.default_rng(1).normal(size=N)
    assert saved(-0.6 * errors**2, errors) == saved(-0.6 * errors**2, errors)


def test_a_flat_curve_reaches_only_what_it_has():
    sizes, flat = np.array([10.0, 20.0, 40.0]), np.zeros((2, 3))
    assert _needed(sizes, flat, np.array([-0.1, 0.1])).tolist() == [1.0, np.inf]


def test_every_beginning_has_about_the_classes_of_the_whole():
    y = np.array([0] * 60 + [1] * 30 + [2] * 10)
    whole = Task(np.zeros((100, 1)), y, "classification", (0, 1, 2), "accuracy")
    order = _in_strata(whole, np.arange(100), np.random.default_rng(0))
    assert sorted(order) == list(range(100))
    for end in (20, 35, 60):
        shares = np.bincount(y[order[:end]], minlength=3) / end
        np.testing.assert_allclose(shares, [0.6, 0.3, 0.1], atol=0.08)


def test_groups_stay_together_in_the_nested_parts():
    groups = np.random.default_rng(0).integers(8, size=40)
    whole = Task(np.zeros((40, 1)), np.zeros(40), "regression", (), "r2", groups=groups)
    ordered = groups[_in_strata(whole, np.arange(40), np.random.default_rng(1))]
    assert np.count_nonzero(np.diff(ordered)) == 7


def test_the_labels_that_would_decide_are_those_of_averages_at_their_temperatures():
    X = np.random.default_rng(0).normal(size=(40, 2))
    task = Task.from_arrays(X, X[:, 0] > 0)

    def fit(sure, task, rng):
        share = lambda X: np.where(X[:, 0] > 0, sure, 1 - sure)  # noqa: E731
        return FunctionModel(
            lambda X: np.stack([1 - share(X), share(X)], axis=1),
            spec=task.spec, classes=task.classes, card=Card(),
        )  # fmt: skip

    def needed(temperatures):
        sides = [
            [Arm(name, name, {}, partial(fit, sure))] for name, sure in (("a", 0.8), ("", 0.7))
        ]
        verdict = Verdict(gain=0.1, low=-0.1, high=0.3, metric="neg_brier_score")
        with LocalExecutor() as executor:
            return labels_needed(
                *sides, task, verdict, executor=executor,
                rng=np.random.default_rng(0), temperatures=temperatures,
            )  # fmt: skip

    assert needed((1.0, 1.0)) < np.inf
    assert needed((2.0, 0.25)) == np.inf  # warmed like this, from scratch is the better one
