"""The choice replayed, and the bootstrap's weights."""

import numpy as np
import pytest

from bequest.errors import DataError
from bequest.evaluation.replay import choose, row_weights


def test_the_choice_is_the_best_mean_over_the_repeats_that_each_ran_by_brute_force():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(7, 3, 6))
    scores[2, 1:] = np.nan  # it ran one repeat
    scores[4] = np.nan  # it left
    samples = rng.integers(6, size=(20, 6))
    weights = np.stack([np.bincount(rows, minlength=6) for rows in samples]).astype(float)
    expected = [int(np.nanargmax([np.nanmean(own[:, rows]) if np.isfinite(own[0, 0]) else np.nan
                                  for own in scores])) for rows in samples]  # fmt: skip
    assert choose(scores, weights).tolist() == expected


def test_rows_of_a_group_are_drawn_together():
    groups = np.array(["b", "a", "b", "c", "a", "b"])
    weights = row_weights(6, groups, np.random.default_rng(0), 500)
    assert weights.shape == (500, 6)
    for group in "abc":
        own = weights[:, groups == group]
        assert (own == own[:, :1]).all()
    draws = weights[:, 1] + weights[:, 0] + weights[:, 3]  # one row of each group
    assert (draws == 3).all()


def test_every_sample_leaves_a_row_out_and_rows_count_alike():
    weights = row_weights(3, None, np.random.default_rng(0), 4000)
    assert (weights == 0).any(axis=1).all()
    assert (weights.sum(axis=1) == 3).all()
    np.testing.assert_allclose(weights.mean(axis=0), 1.0, atol=0.05)


def test_one_group_cannot_be_resampled():
    with pytest.raises(DataError, match="in one group"):
        row_weights(4, np.zeros(4), np.random.default_rng(0), 10)
