"""The main job, small: sources that know, sources that do not, and what comes of them."""

import itertools
import json
import re
import sys
import time
from dataclasses import dataclass, replace
from typing import Any, ClassVar, final

import numpy as np
import pytest

import bequest as bq
from bequest.api.last_fits import LastFits
from bequest.core import Outcome, RankedSource, TransferMethod
from bequest.errors import BudgetTooSmall, DataError, NotApplicable, UnknownName
from bequest.evaluation import estimate_gain
from bequest.methods.probe import Probe
from bequest.methods.reuse import Reuse
from bequest.report.sentences import headline, ranking_sentence

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
    assert helped.outcome.selected == "transfer"
    assert (helped.model.predict(X) == SIGN).all()
    assert helped.verdict.low <= helped.outcome.test.gain <= helped.verdict.high
    assert helped.verdict.score == "neg_brier_score"
    assert helped.verdict.probability > 0.975


def test_what_is_handed_over_is_an_average_and_its_best_member_stands_beside_it(helped):
    result = bq.transfer(
        task(), [source(knows, "knows")], methods=["reuse", "stack"], budget=None, seed=1
    )
    assert result.outcome.method == result.model.card.method == "ensemble"
    members = result.outcome.settings["members"]
    assert [member["method"] for member in members] == ["reuse", "stack", "stack", "stack"]
    assert result.best_single.card.method in ("reuse", "stack")
    assert result.model.card.parents == ("knows",)
    assert (
        helped.outcome.method == helped.model.card.method == "reuse"
    )  # of one there is no average


def test_each_source_keeps_its_own_gain_and_the_interval_can_be_made_again(helped):
    assert [gain.source for gain in helped.outcome.gains] == ["guesses", "knows"]
    bad, good = helped.outcome.gains
    assert good.verdict.kind == "helps"
    assert bad.verdict.gain < good.verdict.gain
    differences = np.array(good.differences)[None]
    assert differences.shape == (1, 2, 60)
    made = estimate_gain(
        differences,
        np.zeros_like(differences),
        metric="neg_brier_score",
        rng=np.random.default_rng(0),
        folds=10,
    )
    np.testing.assert_allclose(
        (made.gain, made.low, made.high), good.verdict.judged, rtol=0.03, atol=2e-3
    )


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


def test_from_scratch_has_no_fewer_arms_than_a_source(helped):
    methods = [arm.method for arm in helped.arms]
    assert methods.count("reuse") == 2
    assert methods.count("from-scratch") >= 2


def test_a_source_that_guesses_is_not_handed_over():
    result = bq.transfer(task(), [source(guesses, "guesses")], methods=["reuse"], budget=None)
    assert result.verdict.kind in ("hurts", "undecided")
    [ranked] = result.ranking
    side = result.verdict.favours(ranked.score)  # the rule, even where nothing is decided
    assert result.outcome.selected == side
    better = side == "transfer"
    assert result.model.card.method == ("reuse" if better else "ensemble")


def test_without_averages_one_arm_of_each_side_is_chosen():
    result = bq.transfer(
        task(), [source(knows, "knows")], methods=["reuse"], budget=None, ensemble=False
    )
    assert result.outcome.method == result.model.card.method == "reuse"
    assert result.best_single is result.model


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
    assert result.outcome.selected == "from-scratch"
    assert (result.verdict.kind, result.verdict.gain) == ("undecided", 0.0)
    assert "shape (4,)" in result.ranking.entries[0].reason
    result.report(tmp_path / "page.html")
    assert Outcome.from_json(result.outcome.to_json()).source == ""


def test_a_hub_is_a_set_of_sources(tmp_path):
    hub = bq.Hub(tmp_path / "hub")
    other = np.random.default_rng(1).normal(size=(60, 8))
    known = bq.Task.from_arrays(other, knows(other), name="other signs")
    hub.publish(bq.train(known, net="mlp"), "signs/mlp", licence="Apache-2.0")
    result = bq.transfer(task(), hub, methods=[Probe()], budget=None)
    assert result.outcome.source == "signs/mlp@1"
    assert not any("seen these rows" in note for note in result.outcome.notes)


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


def test_with_a_budget_that_is_too_small_there_is_a_model_and_no_verdict(tmp_path):
    result = bq.transfer(task(), [source(knows, "knows")], budget=1e-3)
    assert result.verdict.kind == "undecided"
    assert result.outcome.selected == "from-scratch"
    assert "No verdict" in " ".join(result.outcome.notes)
    assert set(result.model.predict(X[:5])) <= {"same", "other"}
    text = result.outcome.to_json()
    assert Outcome.from_json(text).to_json() == text
    result.report(tmp_path / "page.html")


def test_that_the_time_was_too_short_is_said_once_with_what_to_give():
    outcome = bq.transfer(task(), [source(knows, "knows")], budget=1e-3).outcome
    [said] = [note for note in outcome.notes if "time" in note or "left out" in note]
    assert said.startswith("No verdict: the time was too short")
    assert re.search(r"give (about [\d,]+ s|more, such as 120 s)\.", said)
    assert headline(outcome).startswith("The time was too short to use another model")
    nan = float("nan")
    unranked = (RankedSource("knows", nan, nan, nan, reason="it was not asked."),)
    said = ranking_sentence(replace(outcome, ranking=unranked))
    assert said == "There was no time to ask the sources."


def test_time_is_kept_for_asking_both_models_for_held_out_rows(monkeypatch):
    ends = []

    def last_fits(*given):
        ends.append(given[-1].at)
        return LastFits(*given)

    monkeypatch.setattr(sys.modules["bequest.api.transfer"], "LastFits", last_fits)
    held_out = task().with_test(task(slice(0, 20)))
    bq.transfer(held_out, [source(knows, "knows")], methods=["reuse"], budget=10_000)
    assert ends[0] <= time.perf_counter() + 9_000


def test_a_source_that_fails_leaves_and_no_time_is_asked_for():
    def broken(rows):
        raise RuntimeError("no connection")

    failing = source(broken, "broken")
    alone = bq.transfer(task(), [failing], methods=["reuse"], budget=None)
    assert alone.outcome.selected == "from-scratch"
    [said] = [note for note in alone.outcome.notes if "No verdict" in note]
    assert "RuntimeError: no connection" in said
    assert "more would allow" not in said
    beside = bq.transfer(task(), [failing, source(knows, "knows")], methods=["reuse"], budget=None)
    assert beside.outcome.source == "knows"


def test_four_rows_are_enough_for_a_model():
    result = bq.transfer(task(slice(0, 4)), [source(knows, "knows")], methods=["reuse"])
    assert result.model.classes == ("other", "same")


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


@pytest.mark.parametrize("budget", [0, -1, True, np.True_, "3", float("nan"), float("inf")])
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
    for seed in (-1, 1.5, "a", True):
        with pytest.raises(DataError, match="whole number from 0 on"):
            bq.transfer(task(), [source(knows, "knows")], seed=seed)


@pytest.mark.parametrize("budget", [20.0, 60.0, 200.0, 1000.0])
def test_a_budget_is_kept(budget):
    """Each look at the clock costs a second: so the work is what is asked for between them."""
    ticks = itertools.count()
    result = bq.transfer(
        task(),
        [source(knows, "knows")],
        methods=["reuse"],
        budget=budget,
        clock=lambda: float(next(ticks)),
    )
    assert result.outcome.cost["seconds"] <= 1.1 * budget + 16  # looks after the last fits


@final
@dataclass(frozen=True)
class Slow(TransferMethod):
    """Reuse, which takes some seconds of an injected clock."""

    name: ClassVar[str] = "slow"
    citation: ClassVar[str] = ""
    clock: Any = None
    strength: float = 1.0

    def fit(self, sources, task, *, rng):
        self.clock.now += 2.0
        return Reuse().fit(sources, task, rng=rng)

    @classmethod
    def arms(cls, sources, task):
        return (cls(),)

    def settings(self):
        return {"strength": self.strength}


class Hands:
    """A clock that only moves where somebody moves it."""

    now = 0.0

    def __call__(self):
        return self.now


@pytest.mark.parametrize("arms", [1, 2])
def test_the_time_that_would_allow_a_verdict_is_told_and_allows_one(arms):
    def run(budget):
        clock = Hands()
        methods = [Slow(clock, strength=float(place)) for place in range(arms)]
        return bq.transfer(
            task(), [source(knows, "knows")], methods=methods, budget=budget, clock=clock
        )

    had = 3.0 * arms
    first = run(had)
    assert first.verdict.probability is None
    [said] = re.findall(r"About ([\d,]+) s more would allow one", " ".join(first.outcome.notes))
    assert run(had + float(said)).verdict.probability is not None
    assert float(said) <= 12.0 * arms  # two folds and the last fit are five fits of an arm
