"""The choice replayed, and the bootstrap's weights."""

import numpy as np
import pytest

from bequest.errors import DataError
from bequest.evaluation.replay import choose, row_weights


def by_brute_force(scores, rows):
    """Successive halving of the arms, on these rows with their repetitions, in plain loops."""
    ran = [[bool(np.isfinite(scores[a, r]).all()) for r in range(scores.shape[1])]
           for a in range(len(scores))]  # fmt: skip
    alive = [arm for arm in range(len(scores)) if ran[arm][0]]

    def so_far(arm, rung):
        known = [scores[arm, r, i] for r in range(rung + 1) if ran[arm][r] for i in rows]
        return sum(known) / len(known)

    for rung in range(scores.shape[1] - 1):
        keep = sum(row[rung + 1] for row in ran)
        alive = sorted(alive, key=lambda arm: (-so_far(arm, rung), arm))[:keep]
    return max(sorted(alive), key=lambda arm: so_far(arm, scores.shape[1] - 1))


def halved(arms, repeats, rows, rng):
    scores = rng.normal(size=(arms, repeats, rows))
    alive = np.arange(arms)
    for rung in range(1, repeats):
        means = scores[alive, :rung].mean(axis=(1, 2))
        alive = alive[np.argsort(-means)[: (len(alive) + 1) // 2]]
        scores[np.setdiff1d(np.arange(arms), alive), rung:] = np.nan
    return scores


@pytest.mark.parametrize("seed", range(10))
def test_the_replay_is_the_race_by_brute_force(seed):
    rng = np.random.default_rng(seed)
    scores = halved(7, 3, 6, rng)
    scores[np.isnan(scores[:, 1]).any(axis=1).argmax()] = np.nan  # it left for another reason
    samples = rng.integers(6, size=(20, 6))
    weights = np.stack([np.bincount(rows, minlength=6) for rows in samples]).astype(float)
    assert choose(scores, weights).tolist() == [by_brute_force(scores, rows) for rows in samples]


def test_equal_weights_choose_whom_the_race_chose():
    scores = halved(9, 4, 30, np.random.default_rng(0))
    survivors = np.flatnonzero(np.isfinite(scores[:, -1]).all(axis=1))
    best = survivors[np.argmax(scores[survivors].mean(axis=(1, 2)))]
    assert choose(scores, np.ones((1, 30)))[0] == best


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
