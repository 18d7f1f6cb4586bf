from __future__ import annotations

import math
import re
from dataclasses import replace

import pytest

from bequest.core import LabelsSaved, TestResult, Verdict
from bequest.report import sentences


def said(markup) -> str:
    return re.sub(r"<[^>]+>", "", str(markup))


def test_a_gain_in_accuracy_reads_as_right_answers_in_a_hundred(samples):
    assert said(sentences.headline(replace(samples["helps"](), test=None))) == (
        "Building on digits 0-4 made the model better: about 12 more right answers in 100 than "
        "training from scratch (between 8 and 16)."
    )


def test_harm_says_worse_and_why_the_other_model_was_handed_over(samples):
    outcome = samples["hurts"]()
    assert "worse: about 5 fewer right answers in 100" in said(sentences.headline(outcome))
    assert "(between 1 and 9)" in said(sentences.headline(outcome))
    assert said(sentences.selected(outcome)).endswith("because transfer did worse.")


def test_undecided_names_both_ends_and_their_directions(samples):
    assert "anything from 3 fewer to 6 more right answers in 100" in said(
        sentences.headline(samples["undecided"]())
    )


SCORED = {"metric": "accuracy", "score": "neg_brier_score"}


def scored(gain, low, high, *score):
    names = ("score_gain", "score_low", "score_high")
    return Verdict(gain, low, high, **SCORED, **dict(zip(names, score, strict=True)))


def test_what_the_metric_shows_and_the_score_does_not_is_no_contradiction(samples):
    verdict = scored(0.26, 0.01, 0.52, 0.001, -0.2, 0.2)
    assert said(
        sentences.headline(replace(samples["undecided"](), verdict=verdict, test=None))
    ) == (
        "It is not clear whether building on digits 0-4 helps: about 26 more right answers in "
        "100 than training from scratch (between 1 and 52), but the probabilities of its answers, "
        "which decide, do not say so."
    )


def test_an_interval_of_the_metric_that_holds_zero_is_said_beside_helps(samples):
    verdict = scored(0.17, -0.10, 0.45, 0.1, 0.02, 0.2)
    text = said(sentences.headline(replace(samples["helps"](), verdict=verdict, test=None)))
    assert "(between \N{MINUS SIGN}10 and 45). That figure alone may be chance." in text


def test_what_was_measured_on_held_out_rows_stands_first(samples):
    test = TestResult(240, 0.85, 0.67, 0.18, 0.12, 0.25)
    outcome = replace(samples["undecided"](), test=test)
    text = f"{said(sentences.headline(outcome))} {sentences.estimated(outcome)}"
    assert sentences.summary(outcome)[0] == text
    assert text.startswith(
        "On 240 held-out rows, building on digits 0-4 made the model better: about 18 more right "
        "answers in 100 than training from scratch (between 12 and 25). By the labelled rows "
        "alone, it is not clear: new data may show"
    )
    unknown = replace(test, gain=math.nan)
    outcome = replace(samples["undecided"](), test=unknown)
    assert said(sentences.headline(outcome)).startswith("It is not clear")
    assert sentences.estimated(outcome) == ""


@pytest.mark.parametrize("held_out", [None, TestResult(9, 0.5, 0.5, 0.1, -0.1, 0.2)])
def test_a_metric_of_a_stranger_is_text_in_the_headline(samples, held_out):
    verdict = Verdict(0.1, -0.1, 0.2, "<b>{x}")
    text = str(sentences.headline(replace(samples["helps"](), verdict=verdict, test=held_out)))
    assert "<b>" not in text
    assert "&lt;b&gt;(x)" in text


@pytest.mark.parametrize(
    ("labels", "probability", "expected"),
    [
        (math.inf, 0.519, "cannot be told from so few."),
        (math.inf, 0.93, "would not decide it, as far as can be told."),
        (120.0, 0.6, "About 120 labelled rows would decide it."),
    ],
)
def test_never_is_said_only_where_the_gain_is_told_from_none(
    samples, labels, probability, expected
):
    verdict = replace(samples["undecided"]().verdict, labels=labels, probability=probability)
    assert sentences.judged(replace(samples["undecided"](), verdict=verdict)).endswith(expected)


@pytest.mark.parametrize(
    ("metric", "verdict", "expected"),
    [
        ("r2", (0.046, 0.012, 0.081), "explains about 5 percentage points more of the variation"),
        ("neg_log_loss", (-0.21, -0.3, -0.12), "with a log loss about 0.21 nats higher than"),
        ("neg_mean_squared_error", (2700, 900, 4600), "squared error is about 2,700 lower than"),
        ("neg_mean_absolute_error", (1.4, 0.2, 2.6), "error is about 1.4 lower on average than"),
        ("balanced_accuracy", (0.01, 0.002, 0.018), "about 1.0 more right answers in 100 than"),
        ("f1_of_a_plugin", (0.1, 0.05, 0.15), "f1_of_a_plugin is about 0.10 higher than"),
    ],
)
def test_each_metric_reads_in_its_own_unit(samples, metric, verdict, expected):
    outcome = replace(samples["helps"](), test=None, verdict=Verdict(*verdict, metric))
    assert expected in said(sentences.headline(outcome))


def test_a_decided_interval_is_never_rounded_to_zero(samples):
    outcome = replace(
        samples["helps"](), test=None, verdict=Verdict(0.05, 0.0004, 0.11, "accuracy")
    )
    assert "between 0.04 and 11.00" in said(sentences.headline(outcome))


def test_one_right_answer_is_singular(samples):
    outcome = replace(
        samples["helps"](), test=None, verdict=Verdict(0.011, 0.0051, 0.031, "accuracy")
    )
    assert "about 1 more right answer in 100" in said(sentences.headline(outcome))


@pytest.mark.parametrize(
    ("keep", "expected"),
    [
        (0, "No model was offered"),
        (1, "The one model offered could not be used"),
        (4, "None of the 4"),
    ],
)
def test_without_a_source_the_headline_says_what_was_offered(samples, keep, expected):
    outcome = samples["no-source"]()
    outcome = replace(outcome, ranking=outcome.ranking[:keep])
    assert said(sentences.headline(outcome)).startswith(expected)


def test_where_nothing_was_compared_nothing_is_said_to_be_the_better_one(samples):
    outcome = samples["no-source"]()
    unknown = Verdict(0.0, -math.inf, math.inf, "accuracy")
    sentence = said(sentences.selected(replace(outcome, source="", verdict=unknown)))
    assert sentence == "The model handed over was trained from scratch, on your data alone."


def test_a_long_name_loses_its_middle_in_a_sentence(samples):
    outcome = samples["crowded"]()
    assert len(outcome.source) > 100
    assert "…" in sentences.headline(outcome)
    assert len(said(sentences.headline(outcome))) < 200


def test_the_ranking_may_say_that_no_source_looks_better(samples):
    outcome = samples["helps"]()
    assert "digits 0-4 looks most promising" in said(sentences.ranking_sentence(outcome))
    blind = replace(outcome, ranking=outcome.ranking[1:])
    assert "No source looks better" in sentences.ranking_sentence(blind)


CURVE = ((25, 50, 400), (0.5, 0.6, 0.8), 0.81)


@pytest.mark.parametrize(
    ("needed", "low", "high", "expected"),
    [
        (168.0, 121.0, 233.0, "on about 168 (between 121 and 233): about 118 labels saved."),
        (168.0, 121.0, math.inf, "on about 168 (at least 121): about 118 labels saved."),
        (math.inf, math.inf, math.inf, "as far as its learning curve can tell."),
        (math.inf, 210.4, math.inf, "at least 160 labels saved, by the lower end of the interval."),
        (math.inf, 44.0, math.inf, "can tell (the interval starts at 44 rows)."),
        (38.0, 29.0, 48.0, "on about 38 (between 29 and 48): no labels saved."),
        (51.0, 29.0, 58.0, "(between 29 and 58): about 1 label saved."),
    ],
)
def test_labels_saved_reads_as_labels(needed, low, high, expected):
    assert sentences.labels_sentence(LabelsSaved(50, needed, low, high, *CURVE)).endswith(expected)


def test_folds_are_counted_with_their_ties():
    assert sentences.folds_sentence((1.0, 2.0, 3.0), (0.0, 2.0, 4.0)) == (
        "Transfer was ahead on 1 of 3 folds and level on 1."
    )
    assert sentences.folds_sentence((1.0,), (2.0,)).endswith("transfer was behind on it.")


@pytest.mark.parametrize(
    ("probability", "expected"),
    [(0.9641, "96.4 %."), (0.99993, "more than 99.9 %."), (0.0001, "less than 0.1 %.")],
)
def test_a_probability_promises_no_more_digits_than_few_rows_can_tell(
    samples, probability, expected
):
    verdict = replace(samples["helps"]().verdict, probability=probability)
    sentence = sentences.judged(replace(samples["helps"](), verdict=verdict))
    assert sentence.endswith(f"with a probability of {expected}")
    assert sentence.isprintable()  # a terminal shows nothing else


def test_a_verdict_of_a_proper_score_says_what_would_decide_it(samples):
    verdict = Verdict(0.02, -0.1, 0.14, "accuracy", 0.95, "neg_brier_score", 0.03, -0.01, 0.07, 0.9)
    for labels, expected in (
        (180.0, "About 180 labelled rows would decide it."),
        (math.inf, "More labels would not decide it, as far as can be told."),
    ):
        outcome = replace(samples["undecided"](), verdict=replace(verdict, labels=labels))
        assert sentences.judged(outcome).startswith("Judged by the Brier score")
        assert sentences.judged(outcome).endswith(expected)


def test_a_summary_gives_the_figures_of_both_sides(samples):
    helps = samples["helps"]()
    said = sentences.summary(helps)
    assert said[0].startswith(sentences.headline(helps).striptags())
    assert any(re.fullmatch(
        r"On rows left out in turn: 0\.\d+ with transfer, 0\.\d+ from scratch \(accuracy\)\.", one
    ) for one in said)  # fmt: skip
    assert said[-1].startswith("On 647 held-out rows: ")
    untold = replace(helps, test=None, folds={}, labels_saved=None)
    assert len(sentences.summary(untold)) == len(said) - 3
