"""The gain and its interval: oracles, edges, and groups."""

import numpy as np
import pytest
from scipy import stats

from bequest.errors import DataError
from bequest.evaluation import estimate_gain
from bequest.evaluation.gain import _odds, _one_repeat, _samples
from bequest.evaluation.replay import choose, row_weights
from bequest.evaluation.spread import _kurtosis, resample


def rng(seed=0):
    return np.random.default_rng(seed)


def hits(arms, rows, share, seed):
    return (rng(seed).random((arms, 3, rows)) < share).astype(float)


def test_the_gain_is_bootstrap_bias_corrected_by_brute_force():
    transfer, scratch = rng(1).normal(size=(3, 2, 5)), rng(2).normal(size=(2, 2, 5))
    weights = row_weights(5, None, rng(3), 400)
    better, base = transfer.mean(axis=1), scratch.mean(axis=1)
    chosen = zip(choose(transfer, weights), choose(scratch, weights), strict=True)
    left_out: list[list[float]] = [[] for _ in range(5)]
    for sample, (one, other) in zip(weights, chosen, strict=True):
        for row in np.flatnonzero(sample == 0):
            left_out[row].append(better[one, row] - base[other, row])
    expected = np.mean([np.mean(values) for values in left_out])
    assert resample(transfer, scratch, None, rng(3), 400).gain == pytest.approx(expected)


def test_the_parts_of_the_variance_of_one_arm_are_those_of_its_rows():
    difference = rng(0).normal(size=(1, 3, 40))
    spread = resample(difference, np.zeros((1, 3, 40)), None, rng(1), 4000)
    rows = difference[0].mean(axis=0)
    assert spread.gain == pytest.approx(rows.mean())
    assert spread.settled == pytest.approx(rows.var(ddof=1) / 40)
    assert spread.chosen == pytest.approx(rows.var(ddof=1) / 40, rel=0.05)
    within = difference[0].var(axis=0, ddof=1).mean() / 40
    assert spread.interplay == pytest.approx(within, rel=0.05)


def test_identical_arms_gain_exactly_nothing_and_are_undecided():
    for metric, scores in (
        ("accuracy", hits(4, 30, 0.7, 0)),
        ("r2", rng().normal(size=(4, 3, 30))),
    ):
        verdict = estimate_gain(scores, scores, metric=metric, rng=rng())
        assert verdict.gain == 0.0
        assert verdict.kind == "undecided"


def test_a_clear_gain_helps_and_a_clear_loss_hurts():
    good, bad = hits(5, 200, 0.9, 1), hits(5, 200, 0.5, 2)
    assert estimate_gain(good, bad, metric="accuracy", rng=rng()).kind == "helps"
    verdict = estimate_gain(bad, good, metric="accuracy", rng=rng())
    assert verdict.kind == "hurts"
    assert verdict.low < -0.4 < verdict.high


def test_differences_that_are_all_the_same_are_no_measurement():
    scratch = rng(0).normal(size=(1, 3, 30))
    verdict = estimate_gain(scratch + 0.5, scratch, metric="r2", rng=rng())
    assert verdict.gain == pytest.approx(0.5)
    assert verdict.kind == "undecided"


def test_predictions_that_agree_on_every_row_leave_room_for_rows_not_seen():
    same = hits(1, 30, 0.7, 0)
    verdict = estimate_gain(same, same, metric="accuracy", rng=rng())
    assert verdict.high == pytest.approx(-verdict.low)
    assert 0.05 < verdict.high < 0.08


def test_an_accuracy_ends_where_accuracy_ends():
    verdict = estimate_gain(np.ones((1, 3, 6)), np.zeros((1, 3, 6)), metric="accuracy", rng=rng())
    assert verdict.high == 1.0
    assert verdict.low > 0


def test_thirty_equal_arms_do_not_look_like_a_gain():
    """Resampling the rows of the best of thirty would call it a gain."""
    noise = np.repeat(rng(2).normal(size=(31, 1, 100)), 3, axis=1)
    verdict = estimate_gain(noise[:30], noise[30:], metric="r2", rng=rng())
    best = noise[:30].mean(axis=(1, 2)).max() - noise[30].mean()
    assert best > 0.1
    assert abs(verdict.gain) < best / 2
    assert verdict.kind == "undecided"


def test_rows_of_one_group_count_as_one():
    transfer, scratch = rng(1).normal(0.3, 1, size=(2, 3, 40)), rng(2).normal(size=(2, 3, 40))
    alone = estimate_gain(transfer, scratch, metric="r2", rng=rng())
    fourfold = [np.repeat(side, 4, axis=2) for side in (transfer, scratch)]
    groups = np.repeat(np.arange(40), 4)
    grouped = estimate_gain(*fourfold, metric="r2", rng=rng(), groups=groups)
    naive = estimate_gain(*fourfold, metric="r2", rng=rng())
    assert grouped.low == pytest.approx(alone.low)
    assert grouped.high == pytest.approx(alone.high)
    assert naive.high - naive.low < 0.6 * (grouped.high - grouped.low)


def test_the_order_of_the_rows_does_not_matter_to_groups():
    transfer, scratch = rng(1).normal(size=(2, 2, 30)), rng(2).normal(size=(2, 2, 30))
    groups = rng(3).integers(10, size=30)
    order = rng(4).permutation(30)
    one = resample(transfer, scratch, groups, rng(), 200)
    other = resample(transfer[..., order], scratch[..., order], groups[order], rng(), 200)
    assert one.chosen == pytest.approx(other.chosen)
    assert one.settled == pytest.approx(other.settled)
    assert one.interplay == pytest.approx(other.interplay)


def test_one_repeat_leaves_the_interplay_unknown_and_widens_by_the_bound():
    transfer, scratch = rng(1).normal(size=(1, 1, 50)), rng(2).normal(size=(1, 1, 50))
    verdict = estimate_gain(transfer, scratch, metric="r2", rng=rng())
    spread = resample(transfer, scratch, None, rng(), 2000)
    assert np.isnan(spread.interplay)
    half = (verdict.high - verdict.low) / 2
    assert half > 1.96 * np.sqrt(2 * spread.chosen)


def test_arms_that_left_are_never_chosen():
    transfer = rng(1).normal(size=(3, 2, 30))
    transfer[0] = np.nan
    transfer[1, 1] = np.nan
    verdict = estimate_gain(transfer, np.zeros((1, 2, 30)), metric="r2", rng=rng())
    assert np.isfinite([verdict.gain, verdict.low, verdict.high]).all()


def test_the_same_seed_gives_the_same_verdict():
    transfer, scratch = rng(1).normal(size=(4, 3, 30)), rng(2).normal(size=(4, 3, 30))
    one, other = (estimate_gain(transfer, scratch, metric="r2", rng=rng(7)) for _ in range(2))
    assert one == other


@pytest.mark.parametrize(
    ("transfer", "scratch", "options", "said"),
    [
        (np.zeros((1, 1, 5)), np.zeros((1, 1, 4)), {}, "those of from scratch have"),
        (np.zeros((1, 5)), np.zeros((1, 1, 5)), {}, "those of transfer have"),
        (np.full((2, 1, 5), np.nan), np.zeros((1, 1, 5)), {}, "no arm of transfer has a score"),
        (np.zeros((1, 1, 5)), np.zeros((1, 1, 5)), {"groups": np.zeros(3)}, "3 groups do not fit"),
        (np.zeros((1, 1, 5)), np.zeros((1, 1, 5)), {"groups": np.zeros(5)}, "in one group"),
        (np.zeros((1, 1, 5)), np.zeros((1, 1, 5)), {"metric": "f2"}, "no metric named 'f2'"),
    ],
)
def test_scores_that_do_not_fit_are_refused(transfer, scratch, options, said):
    with pytest.raises(DataError, match=said):
        estimate_gain(transfer, scratch, **({"metric": "r2"} | options), rng=rng())


@pytest.mark.parametrize(
    ("folds", "factor"), [(2, 4.5), (5, 1.3828125), (10, 1.1364883), (10**6, 1.0)]
)
def test_one_repeat_errs_more_than_endless_repeats_the_fewer_its_folds(folds, factor):
    assert _one_repeat(folds, _odds(folds, 10**12)) == pytest.approx(factor, rel=1e-5)


@pytest.mark.parametrize(("folds", "units"), [(5, 10), (10, 20), (10, 30)])
def test_the_odds_that_a_row_trains_another_ones_model_are_those_of_dealt_folds(folds, units):
    fold = np.arange(units) % folds
    together = (fold[:, None] == fold[None]).sum() - units
    apart = units * (units - 1) - together
    assert _odds(folds, units) == pytest.approx(apart / together)


def test_repeats_that_leave_out_one_group_each_say_nothing_of_training_rows():
    """All repeats deal the same folds, and an interplay of zero would be taken for none."""
    difference = np.repeat(rng(1).normal(size=(1, 1, 10)), 3, axis=1)
    scratch = np.zeros((1, 3, 10))
    options = {"metric": "neg_brier_score", "folds": 10}
    verdict = estimate_gain(difference, scratch, rng=rng(), **options)
    one = estimate_gain(difference[:, :1], scratch[:, :1], rng=rng(), **options)
    assert (verdict.low, verdict.high) == (one.low, one.high)


def test_of_five_blocks_a_sample_that_leaves_out_one_shows_no_variance():
    difference = rng(0).normal(size=(1, 1, 50))
    spread = resample(difference, np.zeros((1, 1, 50)), np.arange(50) // 10, rng(1), 4000)
    assert spread.chosen == pytest.approx(spread.settled, rel=0.05)


def test_skewness_and_kurtosis_are_those_of_the_population():
    values = rng(0).exponential(size=30)
    spread = resample(values.reshape(1, 1, 30), np.zeros((1, 1, 30)), None, rng(1), 200)
    assert spread.skewness == pytest.approx(stats.skew(values, bias=False))
    seen = stats.kurtosis(values, fisher=False)
    assert _kurtosis(seen, 30) == pytest.approx(stats.kurtosis(values, bias=False) + 3)


def test_the_interval_of_a_loss_without_an_end_reaches_further_where_its_tail_is():
    tail = rng(0).exponential(size=(1, 1, 40))
    for sign in (1, -1):
        verdict = estimate_gain(
            sign * tail, np.zeros((1, 1, 40)), metric="neg_mean_squared_error", rng=rng()
        )
        reaches = np.array([verdict.gain - verdict.low, verdict.high - verdict.gain])
        assert reaches[::sign][1] > 1.1 * reaches[::sign][0]
    bounded = estimate_gain(tail, np.zeros((1, 1, 40)), metric="neg_brier_score", rng=rng())
    assert bounded.gain - bounded.low == pytest.approx(bounded.high - bounded.gain)


@pytest.mark.parametrize("shift", [-1.5, 1.5])
def test_the_probability_says_what_the_end_towards_zero_says(shift):
    rows = shift + rng(3).exponential(size=(1, 1, 40)) * np.sign(-shift)
    low, high = 0.0, 0.0
    for level in (0.5, 0.9, 0.99):
        verdict = estimate_gain(
            rows, np.zeros_like(rows), metric="neg_mean_squared_error", rng=rng(), level=level
        )
        low, high = verdict.low, verdict.high
        assert (verdict.probability > (1 + level) / 2) == (low > 0)
        assert (verdict.probability < (1 - level) / 2) == (high < 0)


@pytest.mark.parametrize(("rows", "folds", "features"), [(40, 5, 8), (20, 10, 5)])
def test_least_squares_errs_by_what_the_formula_says(rows, folds, features):
    """Rows that train each other's models: the truth is in closed form."""
    errors, seen, alone = [], [], []
    for seed in range(1500):
        draw = rng(seed)
        X, y = draw.normal(size=(rows, features)), draw.normal(size=rows)  # true weights of zero
        losses = np.empty((3, rows))
        for repeat in range(3):
            fold = draw.permutation(rows) % folds
            for part in range(folds):
                out = fold == part
                weights = np.linalg.lstsq(X[~out], y[~out])[0]
                losses[repeat, out] = (y[out] - X[out] @ weights) ** 2
        truth = 1 + (np.linalg.lstsq(X, y)[0] ** 2).sum()
        errors.append(losses.mean() - truth)
        alone.append(losses.mean(axis=0).var(ddof=1) / rows)
        seen.append(losses.var(axis=0, ddof=1).mean() / rows)
    odds = _odds(folds, rows)
    formula = np.mean(alone) + _one_repeat(folds, odds) * odds * np.mean(seen)
    assert np.var(errors) == pytest.approx(formula, rel=0.15)
    assert np.var(errors) > 1.3 * np.mean(alone)  # which resampling the rows would say


@pytest.mark.parametrize(
    ("rows", "samples"), [(20, 2000), (10_000, 2000), (50_000, 400), (10**6, 200)]
)
def test_of_many_rows_fewer_samples_are_drawn(rows, samples):
    assert _samples(rows) == samples


def test_on_many_rows_200_samples_give_the_interval_of_2000():
    rng = np.random.default_rng(100)
    scores = rng.normal(size=(2, 3, 2, 5000)) + np.array([0.02, 0.0]).reshape(2, 1, 1, 1)
    few, many = (
        estimate_gain(
            scores[0], scores[1], metric="neg_brier_score", n_boot=n, rng=np.random.default_rng(1)
        )
        for n in (200, 2000)
    )
    width = many.high - many.low
    assert abs(few.low - many.low) < 0.1 * width
    assert abs(few.high - many.high) < 0.1 * width
