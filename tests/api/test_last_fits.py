"""The last fits: where an average cannot be fitted on all rows there is another model."""

from functools import partial

import numpy as np

import bequest as bq
from bequest.api.last_fits import Fits, LastFits
from bequest.core import Card
from bequest.errors import NotApplicable
from bequest.evaluation import Arm, Until, race
from bequest.executors.local import LocalExecutor
from bequest.frameworks.combined.function_model import FunctionModel
from bequest.frameworks.files.folder import load

X = np.random.default_rng(0).normal(size=(40, 2))
TASK = bq.Task.from_arrays(X, X[:, 0] > 0, name="signs")
WHOLE = range(2, len(X))  # fitted on a fold only


def fit(threshold, fails, name, task, rng):
    if len(task) not in fails:
        raise NotApplicable(f"{len(task)} rows are too many.")
    rule = lambda rows: rows[:, 0] > threshold  # noqa: E731
    card = Card(name=name, method=name, parents=("source",) if name == "moved" else ())
    return FunctionModel(rule, spec=task.spec, classes=task.classes, card=card)


def arm(threshold, fails=range(1000), name="moved", source="source"):
    return Arm(source, name, {}, partial(fit, threshold, fails, name))


def last_fits(transfer, scratch, **options):
    with LocalExecutor() as executor:
        found = race(transfer, scratch, TASK, budget=None, seed=0, executor=executor, **options)
    return LastFits((*transfer, *scratch), found, TASK, 0, Until()), found


def chosen(found):
    return found.transfer[found.transfer_index], found.scratch[found.scratch_index]


def test_a_side_that_cannot_be_fitted_is_a_reason_and_the_other_is_there():
    last, found = last_fits([arm(0.0, WHOLE)], [arm(0.1, name="plain", source="")])
    moved, plain = last.both(*chosen(found), first="transfer")
    assert moved.reason == "moved is not in the average: 40 rows are too many."
    assert plain.model.predict([[1.0, 0.0]]).tolist() == [True]


def test_where_both_sides_fail_the_best_arm_that_can_be_fitted_is_taken():
    transfer = [arm(0.0, WHOLE), arm(1.0, source="other"), arm(0.1, source="third")]
    last, _ = last_fits(transfer, [arm(0.2, WHOLE, "plain", "")])
    assert last.any().model.predict([[0.15, 0], [0.05, 0]]).tolist() == [True, False]


def test_where_nothing_can_be_fitted_the_model_gives_the_class_frequencies(tmp_path):
    last, _ = last_fits([arm(0.0, WHOLE)], [arm(0.1, WHOLE, "plain", "")])
    fits = last.any()
    assert "the model gives the same for every row" in fits.notes[0]
    assert "40 rows are too many" in fits.notes[0]
    share = float(np.mean(X[:, 0] > 0))
    np.testing.assert_allclose(fits.model.predict_proba(X[:3]), [[1 - share, share]] * 3)
    fits.model.save(tmp_path / "model")
    assert load(tmp_path / "model").predict(X[:1]).tolist() == fits.model.predict(X[:1]).tolist()


def test_a_regression_without_any_arm_gets_its_mean():
    task = bq.Task.from_arrays(np.eye(3), [0.5, 1.5, 4.0])
    fits = Fits.in_time([], task, 0, Until())
    assert fits.model.predict(np.eye(3)).tolist() == [2.0, 2.0, 2.0]


def test_transfer_hands_over_the_other_side_and_no_verdict(monkeypatch):
    source = bq.wrap(lambda x: x[:, 0] > 0, classes=[False, True], name="knows")
    real = LastFits._fitted

    def fails(self, place, *rest, **options):
        if self.arms[place].source:
            raise NotApplicable("it cannot be fitted.")
        return real(self, place, *rest, **options)

    monkeypatch.setattr(LastFits, "_fitted", fails)
    result = bq.transfer(TASK, [source], methods=["reuse"], budget=None)
    assert result.outcome.selected == "from-scratch"
    assert result.model.card.method == "ensemble"
    assert result.verdict.probability is None
    [said] = [note for note in result.outcome.notes if "No verdict" in note]
    assert "transfer could not be fitted on all rows" in said


def test_transfer_hands_over_a_constant_where_nothing_can_be_fitted(monkeypatch):
    source = bq.wrap(lambda x: x[:, 0] > 0, classes=[False, True], name="knows")

    def fails(self, task, rng, choice=None):
        raise NotApplicable("it cannot be fitted.")

    monkeypatch.setattr(Arm, "fitted", fails)
    for sources in ([source], []):
        result = bq.transfer(TASK, sources, methods=["reuse"], budget=None)
        assert result.model.card.method == "constant"
        assert result.outcome.selected == "from-scratch"
        assert "it cannot be fitted" in " ".join(result.outcome.notes)
