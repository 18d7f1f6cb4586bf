from dataclasses import replace

import numpy as np
import pytest
from hub_tiny import TinyModel

import bequest as bq
from bequest.core import Card, Outcome, RankedSource, Task, TaskSummary, Verdict
from bequest.errors import HubError
from bequest.hub import Hub
from bequest.hub.records.entry import Entry
from bequest.hub.sketches.task_sketch import sketch
from bequest.hub.suggestions.gains import GainModel
from bequest.hub.suggestions.history import Outcomes, Target
from bequest.hub.suggestions.suggest import Memory


def entry(name, task=None, licence="MIT"):
    card = Card(name=name, licence=licence, task=task or TaskSummary())
    return Entry(name, 1, "0" * 64, "2026-01-01", card, {})


def outcome(task, source, gain, ranking=()):
    return Outcome(
        target=task.describe() if isinstance(task, Task) else task,
        source=source,
        method="fine-tune",
        settings={},
        selected="transfer",
        verdict=Verdict(gain, gain - 0.01, gain + 0.01, "accuracy"),
        folds={},
        splits=(),
        ranking=tuple(ranking),
        arms=(),
        seed=0,
        cost={},
        versions={},
    )


def vectors(seed, shift=0.0, rows=60):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(rows, 4)) + shift
    return Task.from_arrays(values, np.arange(rows) % 2, name=f"task {seed}")


def test_a_hub_without_outcomes_says_that_it_knows_nothing():
    memory = Memory()
    memory.learn([entry("a/one"), entry("a/two")])
    found = memory.suggest(vectors(0))
    assert [s.known for s in found] == [False, False]
    assert all(np.isnan(s.gain) and np.isinf(s.high) and "nothing is known" in s.why for s in found)


def test_the_model_that_helped_others_is_suggested_first_and_the_unknown_one_last():
    memory = Memory()
    memory.learn([entry("a/bad"), entry("a/good", licence="Apache-2.0"), entry("a/new")])
    for seed in range(6):
        memory.learn(outcomes=[outcome(vectors(seed), "a/good@1", 0.1)])
        memory.learn(outcomes=[outcome(vectors(seed), "a/bad@1", -0.1)])
    first, second, last = memory.suggest(vectors(99))
    assert (first.name, second.name, last.name) == ("a/good@1", "a/bad@1", "a/new@1")
    assert first.gain > 0.05 > -0.05 > second.gain
    assert (first.licence, first.known, last.known) == ("Apache-2.0", True, False)
    assert first.low < first.gain < first.high
    assert "6 outcomes" in first.why


def test_outcomes_of_another_metric_are_not_mixed_in():
    memory = Memory()
    memory.learn([entry("a/one")])
    said = replace(vectors(0).describe(), metric="roc_auc")
    memory.learn(outcomes=[outcome(said, "a/one", 0.3)])
    assert not memory.suggest(vectors(1))[0].known


def test_of_two_specialists_the_one_with_the_like_sketch_is_first():
    memory, rng = Memory(), np.random.default_rng(0)
    memory.learn([entry("a/left"), entry("a/right")])
    for seed in range(30):
        left = bool(seed % 2)
        task = vectors(seed, -3.0 if left else 3.0)
        said = replace(task.describe(), sketch=sketch(task, epsilon=8, rng=rng).to_dict())
        for name, mine in (("a/left", left), ("a/right", not left)):
            memory.learn(outcomes=[outcome(said, name, 0.2 if mine else 0.0)])
    assert memory.suggest(vectors(90, -3.0))[0].name == "a/left@1"
    found = memory.suggest(vectors(91, 3.0))
    assert found[0].name == "a/right@1"
    assert "like sketches" in found[0].why


def test_a_score_at_hand_counts_where_scores_have_foretold_gains():
    memory, rng = Memory(), np.random.default_rng(0)
    names = [f"m/{place}" for place in range(6)]
    memory.learn([entry(name) for name in names])
    for seed in range(12):
        task, values = vectors(seed), rng.normal(size=6)
        ranked = [
            RankedSource(n, v, v, v, {"logme": v}) for n, v in zip(names, values, strict=True)
        ]
        for name, value in zip(names, values, strict=True):
            memory.learn(outcomes=[outcome(task, name, 0.05 * value, ranked)])
    scores = {name: {"logme": float(place)} for place, name in enumerate(names)}
    found = memory.suggest(vectors(99), 6, scores=scores)
    assert [s.name for s in found] == [f"m/{place}@1" for place in (5, 4, 3, 2, 1, 0)]


def test_intervals_cover_new_gains_as_often_as_they_say():
    rng, models, tasks = np.random.default_rng(0), 12, 40
    inside = []
    for _ in range(15):
        quality, level = rng.normal(size=models), rng.normal(size=tasks + 1)
        gains = level[:, None] + quality + rng.normal(size=(tasks + 1, models))
        task, model = np.divmod(np.arange(tasks * models), models)
        seen = Outcomes(model, task, gains[:-1].ravel(), np.full(models, -1), tasks)
        said = GainModel(seen).predict(Target())
        inside.append(np.mean((said.low <= gains[-1]) & (gains[-1] <= said.high)))
    assert 0.9 <= np.mean(inside) <= 0.99


def table(rng, scores_tell, tasks=8, models=10):
    """Gains, and a score of each that tells half of what is left, or nothing."""
    quality, rest = rng.normal(size=models), rng.normal(size=(tasks + 1, models))
    score = rest + rng.normal(size=rest.shape) if scores_tell else rng.normal(size=rest.shape)
    gains = quality + rest
    task, model = np.divmod(np.arange(tasks * models), models)
    none = np.full(models, -1)
    seen = Outcomes(model, task, gains[:-1].ravel(), none, tasks, {"s": score[:-1].ravel()})
    return seen, Target(scores={"s": score[-1]}), gains[-1]


@pytest.mark.parametrize("scores_tell", [True, False])
def test_a_score_is_trusted_as_far_as_past_tasks_show_that_it_tells(scores_tell):
    rng, weights = np.random.default_rng(0), []
    for _ in range(60):
        seen, _, _ = table(rng, scores_tell)
        weights.append(GainModel(seen).weights[-1])
    # Were it known what the score tells, its weight would be 0.71 or 0.
    assert np.mean(weights) > 0.5 if scores_tell else np.mean(weights) < 0.07


def test_a_score_that_is_not_at_hand_widens_the_interval():
    memory, rng = Memory(), np.random.default_rng(0)
    names = [f"m/{place}" for place in range(6)]
    memory.learn([entry(name) for name in names])
    for seed in range(12):
        values = rng.normal(size=6)
        ranked = [
            RankedSource(n, v, v, v, {"logme": v}) for n, v in zip(names, values, strict=True)
        ]
        for name, value in zip(names, values, strict=True):
            memory.learn(outcomes=[outcome(vectors(seed), name, 0.05 * value, ranked)])
    scores = {name: {"logme": float(place)} for place, name in enumerate(names)}
    with_it, without = (memory.suggest(vectors(99), 6, scores=s)[0] for s in (scores, None))
    assert without.high - without.low > 1.5 * (with_it.high - with_it.low)


def test_only_models_whose_licence_allows_the_wanted_one_are_named():
    memory = Memory()
    for name, licence in (("a", "MIT"), ("b", "GPL-3.0-only"), ("c", "LicenseRef-ours"), ("d", "")):
        memory.learn([entry(name, licence=licence)])
    assert [s.name for s in memory.suggest(vectors(0), licence="Apache-2.0")] == ["a@1"]
    assert [s.name for s in memory.suggest(vectors(0), licence="gpl-3.0-only")] == ["a@1", "b@1"]
    # Section 13 of the GPL is for combinations, and a model that is suggested is the one parent.
    assert [s.name for s in memory.suggest(vectors(0), licence="AGPL-3.0-only")] == ["a@1"]
    assert memory.suggest(vectors(0), licence="CC0-1.0") == []
    with pytest.raises(HubError, match="no licence 'free'"):
        memory.suggest(vectors(0), licence="free")


def test_the_best_k_of_many_equals_are_the_first_of_them():
    memory = Memory()
    memory.learn([entry(f"m{place}") for place in range(50)])
    for seed in range(4):
        for place in range(50):
            memory.learn(outcomes=[outcome(vectors(seed), f"m{place}@1", 0.1 * (place == 30))])
    assert [s.name for s in memory.suggest(vectors(9), 3)] == ["m30@1", "m0@1", "m1@1"]


def test_outcomes_on_the_target_itself_are_not_looked_at():
    seen = Outcomes(
        np.array([0, 1, 0, 1]), np.array([0, 0, 1, 1]), np.array([1.0, 0, 1, 0]), np.full(2, -1), 2
    )
    other = Outcomes(seen.model, seen.task, np.array([1.0, 0, -5, 5]), seen.trained_on, 2)
    for outcomes in (seen, other):
        found = GainModel(outcomes).predict(Target(1)).evidence
        assert found.counts.tolist() == [1, 1]


def test_k_is_a_whole_number_from_one():
    with pytest.raises(HubError, match="k must be a whole number"):
        Memory().suggest(vectors(0), 0)


def test_a_damaged_sketch_of_a_stranger_says_nothing():
    memory = Memory()
    memory.learn([entry("a/one", {"fingerprint": "f", "sketch": {"version": 1, "sums": "x"}})])
    assert not memory.suggest(vectors(0))[0].known


def test_a_hub_suggests_and_learns_of_new_outcomes(tmp_path):
    hub = Hub(tmp_path / "hub")
    source = vectors(50)
    hub.publish(TinyModel([1.0, 0.0, 0.0, 0.0]), "a/one", licence="MIT", task=source)
    assert [s.known for s in hub.suggest(vectors(1))] == [False]
    for seed in (2, 3, 4):
        hub.record(outcome(vectors(seed), "a/one@1", 0.1))
    (found,) = hub.suggest(vectors(1))
    assert (found.known, found.name, found.licence) == (True, "a/one@1", "MIT")


def test_before_any_outcome_a_like_sketch_comes_first_and_says_so(tmp_path):
    rng = np.random.default_rng(0)
    near, far = rng.normal(size=(800, 4)), rng.normal(size=(800, 4)) * 5 + 20
    hub = Hub(tmp_path / "hub")
    for name, X in (("a-far", far), ("b-near", near)):
        task = Task.from_arrays(X, X[:, 0] > X[0, 0], name=name)
        hub.publish(bq.train(task, net="linear"), name, licence="MIT", task=task, epsilon=1.0)
    plain = Task.from_arrays(near + 0.01, near[:, 1] > 0)
    hub.publish(bq.train(plain, net="linear"), "c-none", licence="MIT")
    first, second, last = hub.suggest(Task.from_arrays(near[:50], near[:50, 2] > 0))
    assert (first.name, second.name, last.name) == ("b-near@1", "a-far@1", "c-none@1")
    assert "the sketch of its own task is" in first.why
    assert "nothing is known" in last.why
    assert not first.known
    assert np.isnan(first.gain)


def test_a_sketch_without_a_task_is_refused(tmp_path):
    task = Task.from_arrays(np.eye(4), [0, 1, 0, 1])
    with pytest.raises(HubError, match="give task"):
        Hub(tmp_path).publish(bq.train(task, net="linear"), "a", licence="MIT", epsilon=1.0)


def test_a_single_outcome_tells_no_gain_of_any_model():
    memory = Memory()
    memory.learn([entry("a"), entry("b")])
    memory.learn(outcomes=[outcome(vectors(0), "a@1", 0.2)])
    for target in (vectors(0), vectors(1)):
        found = memory.suggest(target)
        assert not any(one.known for one in found)
        assert "1 task of 3 with outcomes" in found[0].why
    memory.learn(outcomes=[outcome(vectors(seed), "a@1", 0.2 + seed / 50) for seed in (1, 2)])
    first, second = memory.suggest(vectors(9))
    assert (first.name, first.known, second.known) == ("a@1", True, False)
    assert first.high - first.low > 0.02
