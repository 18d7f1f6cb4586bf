"""Constants that were calibrated: stored arrays, with exactly the intervals that they give."""

import numpy as np
import pytest

from bequest.core import Task, Verdict
from bequest.evaluation import estimate_gain
from bequest.evaluation.candidates import TEMPERATURES, temperature
from bequest.evaluation.labels_needed import rows_that_decide
from bequest.evaluation.score import score_rows


def stored(kind):
    """Scores of three arms a side, three repeats and forty rows, which vary between repeats."""
    side, arm, repeat, row = np.meshgrid(range(2), range(3), range(3), range(40), indexing="ij")
    values = (
        np.sin(1.7 * row + 2.9 * arm + 1.3 * side)
        + 0.25 * np.sin(2.3 * row + 5.1 * repeat + 0.7 * arm + 3.7 * side)
        + 0.3 * (1 - side)
    )
    scores = values if kind == "loss" else (values > 0).astype(float)
    return scores[0], scores[1]


def found(metric, **options):
    scores = stored("hits" if metric == "accuracy" else "loss")
    rng = np.random.default_rng(0)
    verdict = estimate_gain(*scores, metric=metric, rng=rng, n_boot=500, **options)
    return [verdict.gain, verdict.low, verdict.high, verdict.probability]


@pytest.mark.parametrize(
    ("metric", "options", "expected"),
    [
        ("accuracy", {}, [0.0720531008, -0.0960036412, 0.240109843, 0.804435285]),
        ("accuracy", {"folds": 10}, [0.0720531008, -0.107683186, 0.251789388, 0.788816816]),
        ("neg_brier_score", {}, [0.31143769, -0.0459917065, 0.668867086, 0.957083038]),
        ("neg_brier_score", {"folds": 10}, [0.31143769, -0.134471738, 0.757347117, 0.917164444]),
        (
            "neg_brier_score",
            {"repeated": 0.5},
            [0.31143769, -0.20474855, 0.827623929, 0.885175217],
        ),
        (
            "neg_brier_score",
            {"groups": np.arange(40) // 4},
            [0.320551849, 0.192479313, 0.448624386, 0.999802923],
        ),
        (
            "neg_brier_score",
            {"groups": np.arange(40) // 4, "folds": 10},
            [0.320551849, 0.229285798, 0.4118179, 0.999982006],
        ),
        (
            "neg_mean_squared_error",
            {},
            [0.31143769, -0.0718626354, 0.719420233, 0.945837468],
        ),
    ],
)
def test_the_interval_is_exactly_what_it_was(metric, options, expected):
    np.testing.assert_allclose(found(metric, **options), expected, rtol=1e-6)


def test_a_temperature_is_the_one_that_the_losses_ask_for_with_a_doubt_of_two_rows():
    sure = np.repeat([0.7, 0.6, 0.3], [12, 6, 2])  # right in 90 %, and never so sure
    powers = sure ** (1 / TEMPERATURES[:, None])
    losses = -np.log(powers / (powers + (1 - sure) ** (1 / TEMPERATURES[:, None])))
    assert temperature(losses) == TEMPERATURES[12]
    assert temperature(np.zeros((31, 1))) == pytest.approx(1.0, abs=0.05)  # nothing is known


def test_the_score_of_balanced_accuracy_weighs_the_classes_alike():
    labels = ["a"] * 3 + ["b"]
    task = Task.from_arrays(np.eye(4), labels, metric="balanced_accuracy")
    sure_of_a = np.tile([0.9, 0.1], (4, 1))
    rows = score_rows(task, sure_of_a, np.arange(4))
    np.testing.assert_allclose(rows, [-(0.1**2) * 2 / 3] * 3 + [-(0.9**2) * 2])


def test_groups_weigh_alike_in_the_score_of_a_metric_per_group():
    task = Task.from_arrays(
        np.eye(4), ["a", "b", "a", "b"], metric="per_group_accuracy", groups=[1, 1, 1, 2]
    )
    rows = score_rows(task, np.full((4, 2), 0.5), np.arange(4))
    np.testing.assert_allclose(rows, -0.25 * np.array([2 / 3, 2 / 3, 2 / 3, 2]))


def test_weights_count_in_the_score():
    task = Task.from_arrays(np.eye(4), ["a", "b", "a", "b"], weights=[3.0, 1.0, 1.0, 1.0])
    rows = score_rows(task, np.full((4, 2), 0.5), np.arange(4))
    np.testing.assert_allclose(rows, -0.25 * np.array([2.0, 2 / 3, 2 / 3, 2 / 3]))


def test_labels_that_decide_are_where_the_interval_meets_the_gain():
    verdict = Verdict(0.05, -0.05, 0.15, "accuracy", score="neg_brier_score",
                      score_gain=0.05, score_low=-0.05, score_high=0.15)  # fmt: skip
    assert rows_that_decide(verdict, 50, gain_of_half=0.05, gain=0.05) == 200
    falling = rows_that_decide(verdict, 50, gain_of_half=0.05 * 2**0.25, gain=0.05)
    assert falling == 50 * 2 ** (1 / 0.25)
    assert rows_that_decide(verdict, 50, gain_of_half=0.05 * 2**0.5, gain=0.05) == np.inf
    assert rows_that_decide(verdict, 50, gain_of_half=0.05, gain=-0.05) == np.inf
    skewed = Verdict(0.05, -0.05, 0.45, "neg_mean_squared_error")  # only the end at zero counts
    assert rows_that_decide(skewed, 50, gain_of_half=0.05, gain=0.05) == 200
