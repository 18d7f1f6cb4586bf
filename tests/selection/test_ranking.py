"""The ranking: what knows comes first, what knows nothing is not recommended."""

import numpy as np
import pytest
from scipy.special import softmax

from bequest.core import Card, InputSpec, Model, RankedSource, Table, Task
from bequest.errors import DataError, ModelError, NotApplicable, UnknownName
from bequest.selection import SCORES, Ranking, Score, rank
from bequest.selection.resampling import halves, subset

D = 20


def ranked(sources, task, **settings):
    """Few draws: enough for what these tests ask."""
    return rank(sources, task, **{"n_boot": 24, "rng": np.random.default_rng(0), **settings})


class Toy(Model):
    """A model made of two functions."""

    @property
    def structure(self):
        return {}

    def __init__(self, name, features=None, output=None, classes=("a", "b", "c"), columns=D):
        self.card = Card(name=name)
        self.spec = InputSpec("vector", (columns,))
        self.classes = classes
        self._features, self._output = features, output

    def output(self, X):
        if self._output is None:
            return np.full((len(X), len(self.classes)), 1 / len(self.classes))
        return self._output(np.asarray(X, dtype=np.float64))

    def features(self, X, layer=None):
        if self._features is None:
            raise NotApplicable(f"{self.name} gives predictions only, no features.")
        return self._features(np.asarray(X, dtype=np.float64))

    def with_card(self, card):
        raise AssertionError("not asked for")

    def save(self, folder):
        raise AssertionError("not asked for")


def hidden(seed):
    """A task whose labels hang on the signs of two directions: no linear probe sees them."""
    rng = np.random.default_rng(seed)
    axes = np.linalg.qr(rng.normal(size=(D, 2)))[0]
    X = rng.normal(size=(90, D))
    u = X @ axes
    return X, (u[:, 0] * u[:, 1] > 0).astype(int), u[:, 0] * u[:, 1], axes


def expert(axes, **settings):
    return Toy(
        "expert", lambda X: np.column_stack([X @ axes, np.prod(X @ axes, axis=1)]), **settings
    )


def noise(name="noise", seed=9):
    weights = np.random.default_rng(seed).normal(size=(D, 30)) / np.sqrt(D)
    return Toy(name, lambda X: np.maximum(X @ weights, 0))


def test_the_source_that_knows_comes_first_and_is_recommended():
    X, y, _, axes = hidden(0)
    ranking = ranked([noise(), expert(axes)], Task.from_arrays(X, y))
    assert [entry.source for entry in ranking] == ["expert", "noise"]
    assert ranking.best is ranking[0]
    assert ranking[0].low < ranking[0].score < ranking[0].high
    assert set(ranking[0].scores) == set(SCORES)
    assert ranking[1].low < 0


def test_predictions_alone_are_ranked_by_what_they_offer():
    X, y, _, axes = hidden(1)

    def output(X):
        z = 4 * np.prod(X @ axes, axis=1)
        return softmax(np.column_stack([z, -z]), axis=1)

    task = Task.from_arrays(X, y)
    mute = Toy("mute", output=output, classes=(0, 1))
    ranking = ranked([mute, noise()], task)
    assert ranking.best.source == "mute"
    assert {"leep", "nce", "probe"} <= set(ranking.best.scores)


def test_a_source_of_values_is_ranked_for_classes_and_for_values():
    X, y, values, axes = hidden(2)
    source = Toy("values", output=lambda X: np.prod(X @ axes, axis=1), classes=())
    for labels in (y, values + 0.1):
        ranking = ranked([noise(), source], Task.from_arrays(X, labels))
        assert ranking.best.source == "values"
    assert set(ranking.best.scores) == {"logme", "knn", "probe"}


@pytest.mark.parametrize("regression", [False, True])
def test_no_source_looks_better_where_none_knows_anything(regression):
    found = 0
    for seed in range(4):
        X, y, values, _ = hidden(seed)
        task = Task.from_arrays(X, values if regression else y)
        sources = [noise(str(k), seed=100 * seed + k) for k in range(3)]
        found += ranked(sources, task, n_boot=20, rng=np.random.default_rng(seed)).best is not None
    assert found == 0


def test_the_raw_inputs_themselves_are_no_better_than_the_raw_inputs():
    X, y, _, _ = hidden(3)
    y = (X[:, 0] + 0.5 * X[:, 1] > 0).astype(int)
    ranking = ranked([Toy("same", lambda X: X)], Task.from_arrays(X, y))
    assert ranking.best is None
    assert ranking[0].score < 0.5


def test_what_does_not_apply_stands_last_with_its_reason():
    X, y, _, axes = hidden(4)

    def broken(X):
        return np.full((len(X), 2), np.nan)

    def silent(X):
        raise NotApplicable("this model gives nothing.")

    sources = [
        Toy("narrow", lambda X: X, columns=3),
        Toy("broken", broken),
        Toy("silent", output=silent),
        expert(axes),
    ]
    ranking = ranked(sources, Task.from_arrays(X, y))
    assert [e.source for e in ranking] == ["expert", "narrow", "broken", "silent"]
    reasons = [entry.reason for entry in ranking]
    assert reasons[0] == ""
    assert "(3,), the task has (20,)" in reasons[1]
    assert "NaN or infinite" in reasons[2]
    assert reasons[3] == "this model gives nothing."
    assert np.isnan(ranking[1].score)
    only = ranked(sources[:1], Task.from_arrays(X, y))
    assert only.best is None
    assert len(only) == 1


def test_the_same_seed_gives_the_same_numbers_and_the_order_of_sources_none_others():
    X, y, _, axes = hidden(5)
    task = Task.from_arrays(X, y)
    one = ranked([noise(), expert(axes)], task, n_boot=20, rng=np.random.default_rng(3))
    two = ranked([expert(axes), noise()], task, n_boot=20, rng=np.random.default_rng(3))
    assert one[0].source == two[0].source
    assert one[0].score == pytest.approx(two[0].score, rel=1e-9)
    assert one[0].low == pytest.approx(two[0].low, rel=1e-9)


def test_without_draws_there_is_an_order_and_no_interval():
    X, y, _, axes = hidden(6)
    task = Task.from_arrays(X, y)
    ranking = ranked([noise(), expert(axes)], task, n_boot=0)
    assert ranking[0].source == "expert"
    assert np.isnan(ranking[0].low)
    assert ranking.best is None
    with pytest.raises(DataError, match="n_boot is 0, or 16"):
        ranked([noise()], task, n_boot=3)


def test_only_the_rows_of_the_task_are_looked_at():
    X, y, _, axes = hidden(7)
    seen = []
    source = Toy("watched", lambda X: seen.append(len(X)) or X @ axes)
    task = Task.from_arrays(X, y, test=(X, y)).take(np.arange(40))
    ranked([source], task, n_boot=16)
    assert seen == [40]


def test_many_rows_are_ranked_by_a_part_with_every_class(monkeypatch):
    rng = np.random.default_rng(8)
    X, y = rng.normal(size=(3000, D)), np.repeat([0, 1, 2], [2900, 96, 4])
    sizes = []
    source = Toy("watched", lambda X: sizes.append(len(X)) or X)
    ranked([source], Task.from_arrays(X, y), n_boot=16, rng=rng, scores=["knn"])
    assert 505 <= sizes[0] <= 520


def test_a_table_is_compared_with_its_encoded_columns():
    rng = np.random.default_rng(9)
    ward = rng.choice(["a", "b", "c"], size=80)
    age = np.where(rng.random(80) < 0.1, np.nan, rng.normal(60, 9, size=80))
    y = np.where((ward == "a") ^ (rng.random(80) < 0.1), "ill", "well")
    task = Task.from_table({"ward": ward, "age": age, "y": y}, "y")

    class Knows(Toy):
        def output(self, X):
            hit = (X.columns["ward"] == "a").astype(float)
            return np.column_stack([hit, 1 - hit])

    source = Knows("same as the column", classes=("ill", "well"))
    source.spec = InputSpec("table", None, ("ward",))
    assert isinstance(task.inputs, Table)
    ranking = ranked([source], task)
    assert ranking[0].reason == ""
    assert ranking[0].scores["knn"] > 0.8
    raw = np.zeros((80, 1))  # against inputs that say nothing it stands out
    assert ranked([source], task, rng=np.random.default_rng(0), raw=raw).best is not None


def test_groups_are_drawn_whole_and_every_class_stays():
    groups = np.repeat(np.arange(10), 3)
    strata = np.repeat([0, 1], [27, 3])  # one group holds all of class 1
    for rows in halves(strata, groups, 20, np.random.default_rng(0)):
        assert set(strata[rows]) == {0, 1}
        assert all(count == 3 for count in np.unique(groups[rows], return_counts=True)[1])


def test_halves_hold_half_of_every_class_and_never_a_row_twice():
    strata = np.repeat([0, 1, 2], [20, 5, 1])
    sizes = set()
    for rows in halves(strata, None, 50, np.random.default_rng(1)):
        counts = np.bincount(strata[rows], minlength=3)
        assert counts[0] == 10
        assert counts[2] == 1
        assert len(set(rows)) == len(rows)
        sizes.add(int(counts[1]))
    assert sizes == {2, 3}
    assert len(subset(strata, 100, np.random.default_rng(0))) == 26


def test_a_score_of_ones_own_joins_the_others_and_can_stand_alone():
    X, y, _, axes = hidden(10)

    def gap(features, targets):
        means = [features[targets == c].mean(axis=0) for c in np.unique(targets)]
        return float(np.linalg.norm(means[0] - means[1]) / features.std())

    own = Score("gap", "features", ("classification",), gap, "@misc{own}")
    sources = [noise(), expert(axes)]
    task = Task.from_arrays(X, y)
    ranking = ranked(sources, task, rng=np.random.default_rng(0), scores={"gap": own})
    assert ranking[0].source == "expert"
    assert set(ranking[0].scores) == {"gap"}
    outputs = ranked(sources, task, rng=np.random.default_rng(0), scores=["leep"])
    assert np.isfinite(outputs[0].score)


def test_scores_that_do_not_exist_or_do_not_apply_are_refused():
    X, y, values, _ = hidden(11)
    with pytest.raises(UnknownName, match="Did you mean 'logme'"):
        ranked([], Task.from_arrays(X, y), scores=["logm"])
    task = Task.from_arrays(X, values)
    with pytest.raises(DataError, match="none of gbc, leep is for regression"):
        ranked([], task, scores=["gbc", "leep"])
    with pytest.raises(DataError, match="one class"):
        ranked([], Task.from_arrays(X, y).take(y == 0))


def test_a_ranking_prints_a_table():
    entries = (
        RankedSource("a long name", 2.0, 1.0, 3.0),
        RankedSource("b", np.nan, np.nan, np.nan, reason="it takes images."),
    )
    assert str(Ranking(entries)).splitlines() == [
        "source       score            interval",
        "a long name  +2.00  +1.00 to     +3.00",
        "b                -  it takes images.",
    ]


def test_a_stored_ranking_is_exactly_what_it_was():
    """Of the references that know nothing the one that leaves least counts, not their mean."""
    X, y, _, axes = hidden(0)
    ranking = ranked([noise(), expert(axes), noise("other", 5)], Task.from_arrays(X, y))
    found = [(entry.source, entry.score, entry.low, entry.high) for entry in ranking]
    assert [name for name, *_ in found] == ["expert", "other", "noise"]
    expected = [
        [5.10229, 2.64832, 7.55626],
        [0.0441, -1.55879, 1.64702],
        [-0.1154, -1.0363, 0.8054],
    ]
    np.testing.assert_allclose([row[1:] for row in found], expected, atol=2e-3)


def test_a_network_without_class_names_is_ranked_by_its_features():
    """As an ImageNet network is that somebody wraps: a thousand outputs that nobody names."""
    X, y, _, axes = hidden(0)

    def unnamed(X):
        raise ModelError("it gives 1000 numbers a row and no classes are named.")

    knows = Toy("knows", lambda X: np.stack([(X @ axes).prod(axis=1), X[:, 0]], axis=1), unnamed,
                classes=())  # fmt: skip
    silent = Toy("silent", None, unnamed, classes=())
    broken = Toy("broken", lambda X: X, unnamed)
    found = {one.source: one for one in ranked([knows, silent, broken], Task.from_arrays(X, y))}
    assert found["knows"].score > 0
    assert "no features" in found["silent"].reason
    assert "no classes are named" in found["broken"].reason
