import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bequest.core import (
    ArmResult,
    LabelsSaved,
    Outcome,
    RankedSource,
    TaskSummary,
    TestResult,
    Verdict,
)
from bequest.errors import DataError
from bequest.selection import Ranking

FINITE = st.floats(-1e6, 1e6)


def outcome(**changes):
    values = {
        "target": TaskSummary(name="ward 7", rows=40, classes=("ill", "well")),
        "source": "ward 3",
        "method": "fine-tune",
        "settings": {"lr": 1e-3},
        "selected": "transfer",
        "verdict": Verdict(0.061, 0.032, 0.09, "accuracy"),
        "folds": {"transfer": (0.9, 0.8), "from-scratch": (0.7, 0.8)},
        "splits": ("0a", "1b"),
        "ranking": (
            RankedSource("ward 3", 2.0, 1.0, 3.0, {"logme": -0.5}),
            RankedSource("photos", float("nan"), float("nan"), float("nan"), {}, "images."),
        ),
        "arms": (ArmResult("ward 3", "fine-tune", {"lr": 1e-3}, 0.85, (0.9, 0.8), 3.5),),
        "seed": 0,
        "cost": {"seconds": 12.5},
        "versions": {"torch": "2.6.0"},
        "labels_saved": LabelsSaved(
            40, float("inf"), 90.0, float("inf"), (10, 20), (0.6, 0.7), 0.85
        ),
        "test": TestResult(100, 0.86, 0.8, 0.06, 0.01, 0.11),
        "transferred": ({"part": "body", "numbers": 900, "rule": "copied"},),
        "notes": ("3 rows are near duplicates.",),
    }
    return Outcome(**{**values, **changes})


def test_json_and_back_loses_nothing():
    whole = outcome()
    again = Outcome.from_json(whole.to_json())
    assert repr(again) == repr(whole)  # as values, NaN differs from itself


def test_json_and_back_works_without_the_optional_parts():
    bare = outcome(labels_saved=None, test=None, ranking=(), arms=(), transferred=(), notes=())
    assert Outcome.from_json(bare.to_json()) == bare


def test_the_json_is_strict_and_carries_the_verdict_in_words():
    def refuse(constant):
        raise AssertionError(constant)

    values = json.loads(outcome().to_json(), parse_constant=refuse)
    assert values["verdict"]["kind"] == "helps"
    assert values["labels_saved"]["needed"] == "float:inf"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"verdict": {}}', '{"verdict": {"kind": 1}}'])
def test_text_that_is_no_outcome_is_refused(text):
    with pytest.raises(DataError, match="this is not an outcome of bequest"):
        Outcome.from_json(text)


@given(gain=FINITE, low=FINITE, high=FINITE)
def test_a_verdict_decides_only_where_its_interval_excludes_zero(gain, low, high):
    low, gain, high = sorted((low, gain, high))
    kind = Verdict(gain, low, high, "accuracy").kind
    assert (kind == "helps") == (low > 0)
    assert (kind == "hurts") == (high < 0)
    assert (kind == "undecided") == (low <= 0 <= high)


@pytest.mark.parametrize(
    ("verdict", "said"),
    [
        (
            Verdict(0.061, 0.032, 0.09, "accuracy"),
            "Transfer helps: 6.1 points better than from scratch (+3.2 points to +9.0 points).",
        ),
        (
            Verdict(-0.5, -0.75, -0.25, "neg_log_loss"),
            "Transfer hurts: 0.5 nats worse than from scratch (-0.75 nats to -0.25 nats).",
        ),
    ],
)
def test_a_verdict_reads_as_a_sentence(verdict, said):
    assert verdict.sentence == said


def test_labels_saved_is_the_difference():
    assert (
        outcome(labels_saved=LabelsSaved(40, 100.0, 60.0, 150.0, (), (), 0.8)).labels_saved.saved
        == 60
    )


def changed(change):
    values = json.loads(outcome().to_json())
    change(values)
    return json.dumps(values)


WRONG = {
    **{
        f"{part} {value!r:.20}": lambda v, part=part, value=value: v["verdict"].update(
            {part: value}
        )
        for part in ("gain", "low", "high", "level")
        for value in (10**400, "high", None, [1], True)
    },
    "a metric": lambda v: v["verdict"].update(metric={}),
    **{
        f"{part} {value!r}": lambda v, part=part, value=value: v.update({part: value})
        for part, values in {
            "target": (None, [1], "x", {"classes": 3}, {"classes": {}}, {"rows": 10**400}),
            "source": (3, ["x"], "\ud800"),
            "method": ({}, 3),
            "settings": (3, None),
            "selected": ("neither", [1]),
            "folds": (3, {"transfer": ["x"]}),
            "splits": ([1], "abc"),
            "ranking": ([{"source": 3}], [{"scores": {"logme": "x"}}]),
            "arms": ([{"score": None}], 3),
            "seed": ("x", 0.5),
            "cost": ("x", {"seconds": "x"}),
            "versions": (3, {"torch": 2}),
            "test": (3, {"rows": "x"}),
            "labels_saved": ({"sizes": ["x"]},),
            "transferred": (3, ["x"]),
            "parameter_map": (3,),
            "notes": ([1], "abc"),
        }.items()
        for value in values
    },
}


@pytest.mark.parametrize("change", WRONG.values(), ids=WRONG)
def test_a_value_of_another_kind_makes_it_no_outcome(change):
    with pytest.raises(DataError, match="not an outcome of bequest") as told:
        Outcome.from_json(changed(change))
    assert str(told.value).isprintable()
    assert len(str(told.value)) < 300


def test_an_outcome_made_by_hand_is_held_against_the_same_kinds():
    whole = outcome()
    assert whole.checked() is whole
    for bad in (
        outcome(source=3),
        outcome(verdict=Verdict("high", 0.0, 1.0, "accuracy")),
        outcome(verdict=None),
        outcome(settings={"a": object()}),
    ):
        with pytest.raises(DataError, match="outcome"):
            bad.checked()


def test_a_gain_that_is_no_number_is_a_finding():
    said = changed(lambda v: v["verdict"].update(gain="float:nan", low="float:-inf"))
    assert Outcome.from_json(said).verdict.gain != Outcome.from_json(said).verdict.gain


def test_a_verdict_in_a_metric_that_is_not_installed_still_reads():
    verdict = Verdict(gain=0.25, low=0.1, high=0.4, metric="of_a_plug_in")
    assert verdict.sentence.startswith("Transfer helps: 0.25 units better than from scratch")


def test_no_text_shows_a_negative_zero():
    tiny = {"gain": -0.0001, "low": -0.0002, "high": 0.0002}
    scored = Verdict(
        **tiny, metric="accuracy", score="neg_brier_score",
        score_gain=-0.0001, score_low=-0.0002, score_high=0.0002,
    )  # fmt: skip
    exact = Verdict(gain=-0.0, low=-0.0, high=-0.0, metric="neg_mean_squared_error")
    for verdict in (scored, exact):
        assert "-0.0 " not in verdict.sentence
        assert "-0 " not in verdict.sentence
        assert "-0.000" not in f"{verdict!r} {verdict.sentence}"
    ranking = Ranking((RankedSource("a", -0.001, -0.002, -0.003),))
    assert "-0.00" not in str(ranking)


@pytest.mark.parametrize(
    ("metric", "score", "ranked", "side"),
    [
        ((0.1, -0.1, 0.3), (0.02, -0.1, 0.2), -1.0, "transfer"),
        ((0.1, -0.1, 0.3), (-0.02, -0.1, 0.2), 1.0, "transfer"),
        ((0.1, -0.1, 0.3), (-0.02, -0.1, 0.2), -1.0, "from-scratch"),
        ((0.1, -0.1, 0.3), (-0.02, -0.1, 0.2), math.nan, "from-scratch"),
        ((-0.1, -0.3, 0.1), (0.02, -0.1, 0.2), 1.0, "transfer"),
        ((-0.1, -0.3, 0.1), (0.02, -0.1, 0.2), -1.0, "transfer"),
        ((-0.1, -0.3, 0.1), (0.02, -0.1, 0.2), math.nan, "transfer"),
        ((-0.1, -0.3, 0.1), (-0.02, -0.1, 0.2), 9.0, "from-scratch"),
        ((0.0, -0.1, 0.1), (0.0, -0.1, 0.1), 9.0, "from-scratch"),
        ((0.1, -0.1, 0.3), (-0.2, -0.3, -0.1), 9.0, "from-scratch"),
        ((-0.2, -0.3, -0.1), (0.1, -0.1, 0.3), 9.0, "from-scratch"),
        ((0.1, -0.1, 0.3), None, math.nan, "transfer"),
        ((-0.1, -0.3, 0.1), None, 9.0, "from-scratch"),
    ],
)
def test_transfer_is_favoured_by_the_score_or_by_metric_and_ranking_together(
    metric, score, ranked, side
):
    gain, low, high = metric
    names = ("score_gain", "score_low", "score_high")
    judged = {} if score is None else dict(zip(names, score, strict=True))
    assert Verdict(gain, low, high, "accuracy", **judged).favours(ranked) == side
