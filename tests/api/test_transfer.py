"""The main job, small: sources that know, sources that do not, and what comes of them."""

import itertools
import json
import re

import numpy as np
import pytest

import bequest as bq
from bequest.core import Outcome
from bequest.errors import BudgetTooSmall, DataError, NotApplicable, UnknownName
from bequest.methods.probe import Probe
from bequest.methods.reuse import Reuse

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 8))
SIGN = np.where((X[:, 0] * X[:, 1] > 0), "same", "other")  # no linear model finds it


def task(rows=slice(None), **extra):
    return bq.Task.from_arrays(X[rows], SIGN[rows], name="signs", **extra)


def knows(x):
    return np.where(x[:, 0] * x[:, 1] > 0, "same", "other")


def guesses(x):
    return np.where(np.sin(1e4 * x[:, 2]) > 0, "same", "other")


def source(function, name):
    return bq.wrap(function, classes=["other", "same"], name=name)


@pytest.fixture(scope="module")
def helped():
    test_X = RNG.normal(size=(400, 8))
    return bq.transfer(
        task(test=(test_X, knows(test_X))),
        [source(guesses, "guesses"), source(knows, "knows")],
        methods=["reuse"],
        budget=None,
    )


def test_a_source_that_knows_helps_and_is_handed_over(helped):
    assert helped.verdict.kind == "helps"
    assert helped.outcome.source == "knows"
    assert helped.outcome.handed_over == "transfer"
    assert (helped.model.predict(X) == SIGN).all()
    assert helped.verdict.low <= helped.outcome.test.gain <= helped.verdict.high


def test_the_outcome_says_everything_and_survives_json(helped):
    outcome = helped.outcome
    assert Outcome.from_json(outcome.to_json()) == Outcome.from_json(
        Outcome.from_json(outcome.to_json()).to_json()
    )
    said = json.loads(outcome.to_json())
    assert said["verdict"]["kind"] == "helps"
    assert len(said["folds"]["transfer"]) == len(said["folds"]["from-scratch"])
    assert len(said["splits"]) == len(said["folds"]["transfer"])
    assert {arm["method"] for arm in said["arms"]} == {"reuse", "from-scratch"}
    assert said["cost"]["labels"] == 60
    assert set(said["versions"]) >= {"bequest", "torch", "python"}


def test_both_sides_get_as_many_settings(helped):
    methods = [arm.method for arm in helped.arms]
    assert methods.count("reuse") == 4
    assert methods.count("from-scratch") >= 4


def test_a_source_that_guesses_is_not_handed_over():
    result = bq.transfer(task(), [source(guesses, "guesses")], methods=["reuse"], budget=None)
    assert result.verdict.kind in ("hurts", "undecided")
    assert result.outcome.handed_over == "from-scratch"
    assert result.model.card.method == "from-scratch"


def test_same_seed_same_numbers():
    def numbers():
        result = bq.transfer(
            task(), [source(knows, "knows")], methods=["reuse"], budget=None, seed=3
        )
        return result.verdict, result.outcome.folds, [arm.score for arm in result.arms]

    assert repr(numbers()) == repr(numbers())


def test_a_method_with_settings_is_one_arm():
    chosen = Reuse(correct_prior=False)
    result = bq.transfer(task(), [source(knows, "knows")], methods=[chosen], budget=None)
    arms = [arm for arm in result.arms if arm.source]
    assert [arm.settings for arm in arms] == [{"correct_prior": False}]


def test_many_sources_are_chosen_among_on_each_folds_own_rows():
    sources = [source(guesses, f"guess {i}") for i in range(4)] + [source(knows, "knows")]
    result = bq.transfer(task(), sources, methods=["reuse"], budget=None)
    assert result.outcome.source == "knows"
    assert {arm.source for arm in result.arms} >= {"number 1 by score", "number 2 by score"}


def test_sources_that_cannot_read_the_inputs_leave_from_scratch(tmp_path):
    other = bq.train(bq.Task.from_arrays(np.eye(4), [0, 1, 0, 1], name="other"), net="linear")
    result = bq.transfer(task(), [other], budget=None)
    assert result.outcome.source == ""
    assert result.outcome.handed_over == "from-scratch"
    assert (result.verdict.kind, result.verdict.gain) == ("undecided", 0.0)
    assert "shape (4,)" in result.ranking.entries[0].reason
    result.report(tmp_path / "page.html")
    assert Outcome.from_json(result.outcome.to_json()).source == ""


def test_a_hub_is_a_set_of_sources(tmp_path):
    hub = bq.Hub(tmp_path / "hub")
    hub.publish(bq.train(task(), net="mlp"), "signs/mlp", licence="Apache-2.0")
    result = bq.transfer(task(), hub, methods=[Probe()], budget=None)
    assert result.outcome.source == "signs/mlp@1"
    assert any("nearly repeats" in note for note in result.outcome.notes)


def test_wrong_words_are_one_clear_line():
    with pytest.raises(UnknownName, match="Did you mean 'probe'"):
        bq.transfer(task(), [source(knows, "knows")], methods=["prob"])
    with pytest.raises(DataError, match=r"give \['probe'\]"):
        bq.transfer(task(), [source(knows, "knows")], methods="probe")
    with pytest.raises(DataError, match=r"bequest\.wrap makes one"):
        bq.transfer(task(), [knows])
    with pytest.raises(UnknownName, match="no executor named 'loca'"):
        bq.transfer(task(), [source(knows, "knows")], executor="loca")
    with pytest.raises(DataError, match="an executor is a name or an Executor, not a int"):
        bq.transfer(task(), [source(knows, "knows")], executor=3)


def test_a_budget_that_is_too_small_is_told():
    with pytest.raises(BudgetTooSmall):
        bq.transfer(task(), [source(knows, "knows")], budget=1e-3)


def test_fewer_rows_than_folds_are_told():
    with pytest.raises(DataError, match="fold"):
        bq.transfer(task(slice(0, 4)), [source(knows, "knows")])


def test_a_network_that_does_not_fit_the_inputs_is_told():
    with pytest.raises(NotApplicable, match="needs images"):
        bq.train(task(), net="resnet")


def test_processes_give_the_numbers_of_one_process():
    def scores(executor):
        result = bq.transfer(
            task(), [source(knows, "knows")], methods=["reuse"], budget=None, executor=executor
        )
        return [arm.score for arm in result.arms]

    np.testing.assert_allclose(scores("processes"), scores("local"))


def test_a_model_remembers_the_metric_on_held_out_rows():
    model = bq.train(task(test=(X, SIGN)), net="boosting", name="trees")
    assert model.card.metrics["test accuracy"] > 0.9
    assert model.name == "trees"


@pytest.mark.parametrize("budget", [0, -1, float("nan"), float("inf")])
def test_a_budget_that_is_no_time_is_told_at_once(budget):
    with pytest.raises(BudgetTooSmall, match="above zero"):
        bq.transfer(task(), [source(knows, "knows")], budget=budget)


def test_sources_of_one_name_get_names_of_their_own():
    from bequest.api.sources import as_sources

    sources = as_sources([source(knows, name) for name in ("a", "a (2)", "a", "a")])
    assert len({source.name for source in sources}) == 4
    assert [source.model.name for source in sources] == [source.name for source in sources]


def test_a_model_that_is_no_list_and_a_seed_that_is_none_are_told():
    with pytest.raises(DataError, match="list of models, or a hub, not a FunctionModel"):
        bq.transfer(task(), source(knows, "knows"))
    for seed in (-1, 1.5, "a"):
        with pytest.raises(DataError, match="whole number from 0 on"):
            bq.transfer(task(), [source(knows, "knows")], seed=seed)


def test_a_budget_too_small_for_the_race_says_where_the_time_went():
    ticks = itertools.count()
    with pytest.raises(BudgetTooSmall) as told:
        bq.transfer(
            task(),
            [source(knows, "knows")],
            methods=["reuse"],
            budget=30,
            clock=lambda: float(next(ticks)),
        )
    said = str(told.value)
    assert "half of the budget" not in said
    took, had = map(
        float, re.search(r"budget of 30 s, .* took (\S+) s and the race had (\S+) s", said).groups()
    )
    assert had == pytest.approx(0.75 * (30 - took - 1), rel=0.05)  # the clock is read once more
