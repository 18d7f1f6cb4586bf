import numpy as np
import pytest

from bequest.hub.suggestions.gains import GainModel
from bequest.hub.suggestions.history import History, Outcomes, Target


def world(rng):
    """Outcomes of any number, size and likeness, as strangers may have recorded them."""
    models, tasks = (int(size) for size in rng.integers(1, 12, size=2))
    pairs = rng.choice(models * tasks, rng.integers(1, models * tasks + 1), replace=False)
    gain = rng.normal(size=len(pairs)) * 10.0 ** rng.integers(-12, 12)
    if rng.random() < 0.3:
        gain[rng.integers(len(gain))] = 10.0 ** rng.integers(-3, 12)
    if rng.random() < 0.2:
        gain[:] = gain[0] * (rng.random() < 0.5)
    scores = {"a": np.where(rng.random(len(pairs)) < 0.3, np.nan, rng.normal(size=len(pairs)))}
    trained_on = rng.integers(-1, tasks, size=models)
    seen = Outcomes(*np.divmod(pairs, tasks), gain, trained_on, tasks, scores)
    return seen, np.where(rng.random((tasks, tasks)) < 0.2, np.nan, rng.random((tasks, tasks)))


@pytest.mark.parametrize("seed", range(5))
def test_whatever_was_recorded_predictions_are_finite_and_in_their_intervals(seed):
    rng = np.random.default_rng(seed)
    for _ in range(30):
        seen, alike = world(rng)
        model = GainModel(seen, alike=alike.__getitem__)
        target = Target(int(rng.integers(-1, seen.tasks)), alike[0], {"a": np.zeros(seen.models)})
        said = model.predict(target)
        assert np.isfinite([said.mean, said.low, said.high]).all()
        assert (said.low <= said.mean).all()
        assert (said.mean <= said.high).all()


def test_evidence_for_some_models_is_that_for_all_at_their_places():
    rng = np.random.default_rng(0)
    for _ in range(20):
        seen, alike = world(rng)
        history, target = History(seen, seen.gain), Target(seen.tasks - 1, alike[0])
        some = rng.permutation(seen.models)[:3]
        whole, part = history.evidence(target), history.evidence(target, models=some)
        np.testing.assert_allclose(part.values, whole.values[some])
        assert (part.known == whole.known[some]).all()


def test_evidence_looks_at_no_outcome_on_the_target():
    rng = np.random.default_rng(0)
    for _ in range(20):
        seen, alike = world(rng)
        task = int(rng.integers(seen.tasks))
        changed = np.where(seen.task == task, 7.0, seen.gain)
        target = Target(task, alike[0])
        one, two = (History(seen, gain).evidence(target) for gain in (seen.gain, changed))
        scale = np.abs(seen.gain).max() + 7
        np.testing.assert_allclose(one.values / scale, two.values / scale, atol=1e-9)


def test_an_interval_is_wider_the_less_is_known():
    rng, models, tasks = np.random.default_rng(0), 20, 30
    gains = rng.normal(size=(tasks, 1)) + rng.normal(size=models) + rng.normal(size=(tasks, models))
    task, model = np.divmod(np.arange(tasks * models), models)
    kept = (model >= 5) | ((task < 2) & (model >= 1))  # model 0 never, 1 to 4 twice
    seen = Outcomes(model[kept], task[kept], gains.ravel()[kept], np.full(models, -1), tasks)
    fitted = GainModel(seen)
    never, twice, often = _widths(fitted.predict(Target()))
    assert never > twice > often
    assert _widths(fitted.predict(Target(3)))[2] < often  # the task's level is known


def _widths(said):
    return (said.high - said.low)[[0, 1, 5]]


def scored(rng, tells, tasks=7, models=10):
    """Seven tasks of the past, three scores that err together, of which the first tells or none."""
    quality, fit = rng.normal(size=models), rng.normal(size=(tasks + 1, models))
    common = rng.normal(size=fit.shape)
    scores = (common + rng.normal(size=(3, *fit.shape))) / np.sqrt(2)
    if tells:
        scores[0] = 0.5 * fit + np.sqrt(0.75) * scores[0]
    gains = quality + fit
    task, model = np.divmod(np.arange(tasks * models), models)
    own = {str(place): of[:-1].ravel() for place, of in enumerate(scores)}
    seen = Outcomes(model, task, gains[:-1].ravel(), np.full(models, -1), tasks, own)
    return seen, Target(scores={str(place): of[-1] for place, of in enumerate(scores)}), gains[-1]


def saved(tells, runs=80):
    """Share of history's squared errors on a new task that the scores save."""
    rng, found = np.random.default_rng(0), []
    for _ in range(runs):
        seen, target, truth = scored(rng, tells)
        fits = GainModel(seen, names=()), GainModel(seen)
        found.append([np.mean((fit.predict(target).mean - truth) ** 2) for fit in fits])
    history, ours = np.mean(found, axis=0)
    return 1 - ours / history


def test_with_seven_tasks_a_score_that_tells_is_used():
    assert saved(tells=True) > 0.17  # Stein's factor on what scores add saved 0.145


def test_with_seven_tasks_scores_that_tell_nothing_cost_next_to_nothing():
    assert saved(tells=False) > -0.02  # a ridge towards zero lost 0.033


def test_where_the_other_columns_tell_nothing_a_shrunken_mean_counts_in_full():
    rng, weights = np.random.default_rng(0), []
    for _ in range(40):
        model = GainModel(scored(rng, tells=False)[0])
        weights.append(model.weights[0] / model._scale[0])
    assert 0.85 < np.mean(weights) < 1.2


def test_a_score_beyond_all_that_was_seen_counts_as_the_largest_that_was():
    seen, _, _ = scored(np.random.default_rng(0), tells=True)
    model, largest = GainModel(seen, names=("0",)), np.abs(seen.scores["0"]).max()
    wild, most = (
        model.predict(Target(scores={"0": np.full(seen.models, value)})).parts[:, -1]
        for value in (1e6, 3 * largest)
    )
    assert model.weights[-1] > 0
    np.testing.assert_allclose(wild, most)
    assert most[0] == most.min()


def test_what_a_score_says_of_a_model_on_every_task_is_left_to_history():
    seen, target, _ = scored(np.random.default_rng(0), tells=True)
    always = np.random.default_rng(1).normal(scale=3.0, size=seen.models)
    own = {name: of + always[seen.model] for name, of in seen.scores.items()}
    shifted = Outcomes(seen.model, seen.task, seen.gain, seen.trained_on, seen.tasks, own)
    plain = GainModel(seen).predict(target).mean
    target = Target(scores={name: of + always for name, of in target.scores.items()})
    told = GainModel(shifted).predict(target).mean
    assert np.corrcoef(plain, told)[0, 1] > 0.98
