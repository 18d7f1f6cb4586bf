import numpy as np
from sklearn.linear_model import LogisticRegression

import bequest as bq
from bequest.core import Task
from bequest.methods.reuse import Reuse


def drawn(rng, n, share):
    """Two Gaussian classes of unit variance, `share` of them ill."""
    ill = rng.random(n) < share
    return rng.normal(size=(n, 1)) + 1.5 * ill[:, None], np.where(ill, "ill", "healthy")


def fitted(source, task, **settings):
    return Reuse(**settings).fit([bq.Source(source)], task, rng=np.random.default_rng(0))


def test_the_prior_correction_recovers_bayes_rule_under_label_shift():
    rng = np.random.default_rng(0)
    X, y = drawn(rng, 20_000, 0.5)
    source = bq.wrap(LogisticRegression(C=1e6).fit(X, y), name="half ill")
    shifted = Task.from_arrays(*drawn(rng, 4_000, 0.95), name="nearly all ill")
    X_new, _ = drawn(rng, 500, 0.95)
    odds = np.exp(1.5 * X_new[:, 0] - 0.5 * 1.5**2) * 0.95 / 0.05
    truth = odds / (1 + odds)
    plain = fitted(source, shifted, correct_prior=False).predict_proba(X_new)[:, 1]
    corrected = fitted(source, shifted).predict_proba(X_new)[:, 1]
    assert np.abs(plain - truth).max() > 0.2
    # without a card that tells the source's priors they are its mean prediction on the target,
    # which the shift has moved too: half of the way is what this estimate can do
    assert np.abs(corrected - truth).mean() < 0.6 * np.abs(plain - truth).mean()


def test_with_the_priors_of_the_card_the_correction_is_exact():
    rng = np.random.default_rng(0)
    X, y = drawn(rng, 20_000, 0.5)
    source = bq.train(Task.from_arrays(X, y, name="half ill"), net="linear")
    shifted = Task.from_arrays(*drawn(rng, 4_000, 0.95), name="nearly all ill")
    X_new, _ = drawn(rng, 500, 0.95)
    odds = np.exp(1.5 * X_new[:, 0] - 0.5 * 1.5**2) * 0.95 / 0.05
    corrected = fitted(source, shifted).predict_proba(X_new)[:, 1]
    assert np.abs(corrected - odds / (1 + odds)).mean() < 0.01


def test_labels_are_matched_by_word_and_unknown_ones_refused():
    source = bq.wrap(lambda x: x, classes=["Ill", "Healthy"], name="words")
    X = np.array([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3], [0.4, 0.6]])
    task = Task.from_arrays(X, ["healthy", "ill", "healthy", "ill"], name="words too")
    model = fitted(source, task, correct_prior=False)
    np.testing.assert_allclose(model.predict_proba(X), X[:, ::-1])
    other = Task.from_arrays(X, ["dead", "ill", "dead", "ill"], name="new word")
    assert "dead" in Reuse().applies([bq.Source(source)], other).reason


def test_a_source_of_labels_enters_through_its_confusion_matrix():
    def says(x):
        return np.where(x[:, 0] > 0, "ill", "healthy")

    source = bq.wrap(says, classes=["healthy", "ill", "unknown"], name="says")
    X = np.array([[1.0]] * 8 + [[-1.0]] * 4)
    labels = ["ill"] * 6 + ["healthy"] * 2 + ["healthy"] * 3 + ["ill"]
    task = Task.from_arrays(X, labels, name="wards")
    for correct_prior in (True, False):
        model = fitted(source, task, correct_prior=correct_prior)
        # of 8 rows that are said to be ill 6 are, and each class counts once more, the named twice
        ill, healthy = 8 / (8 + 3), (3 + 2) / (4 + 3)
        expected = [[1 - ill, ill], [healthy, 1 - healthy]]
        np.testing.assert_allclose(model.predict_proba([[5.0], [-5.0]]), expected)


def test_a_source_of_probabilities_keeps_them():
    source = bq.wrap(lambda x: x, classes=["ill", "healthy"], name="words")
    X = np.array([[1.0, 0.0], [0.2, 0.8], [1.0, 0.0], [0.0, 1.0]])
    task = Task.from_arrays(X, ["ill", "healthy", "ill", "healthy"], name="words too")
    np.testing.assert_allclose(
        fitted(source, task, correct_prior=False).predict_proba(X), X[:, ::-1]
    )
