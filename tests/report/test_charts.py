from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bequest.report import charts
from bequest.report.amounts import SPACE, decimals_for, number, reading_of
from bequest.report.axes import linear, logarithmic

FINITE = st.floats(-1e12, 1e12, allow_nan=False)


@given(st.lists(FINITE, min_size=1, max_size=8))
def test_every_number_lies_on_its_axis_and_ticks_are_few_and_in_order(values):
    axis = linear(values, text=str)
    assert all(0 <= axis.at(value) <= 100 for value in values)
    assert axis.low < axis.high
    places = [tick.at for tick in axis.ticks]
    assert places == sorted(places)
    assert 1 <= len(places) <= 6


def test_an_axis_of_one_number_or_none_still_has_a_width():
    assert linear([3.0], text=str).at(3.0) == 50.0
    assert linear([math.nan, math.inf], text=str).low < 0 < linear([], text=str).high


def test_ticks_on_a_logarithmic_axis_keep_their_distance():
    axis = logarithmic([1, 1000], marks=[1, 2, 4, 500, 900, 1000], text=str)
    assert [tick.text for tick in axis.ticks] == ["1", "4", "500"]
    assert axis.at(math.inf) == 100.0


@given(st.floats())
def test_a_number_is_short_and_keeps_its_sign(value):
    text = number(value)
    assert len(text) <= 18
    assert text.startswith("\N{MINUS SIGN}") == (value < 0 and text.strip("−0.") != "")


@given(st.lists(st.floats(1e-4, 1e6), min_size=1, max_size=3))
def test_no_number_is_rounded_to_zero(values):
    decimals = decimals_for(values)
    assert all(float(f"{value:.{decimals}f}") > 0 for value in values)


def test_the_axis_of_the_gain_shows_zero_and_both_results(samples):
    outcome = samples["helps"]()
    axis, rows = charts.gain_rows(outcome, reading_of("accuracy"))
    assert 0 < axis.at(0.0) < rows[0].low < rows[0].at < rows[0].high < 100
    assert [row.name for row in rows][1] == "Measured on 647 held-out rows"
    assert rows[0].text == "+12.0 points"


@pytest.mark.parametrize("name", ["helps", "regression", "squared"])
def test_better_is_up_whatever_the_sign_of_the_metric(samples, name):
    outcome = samples[name]()
    chart = charts.folds_chart(outcome, reading_of(outcome.verdict.metric))
    assert len(chart.pairs) == len(outcome.folds["transfer"])
    assert all(transfer < scratch for _, transfer, scratch in chart.pairs)


def test_errors_are_labelled_without_their_minus_and_fall_upward(samples):
    outcome = samples["squared"]()
    chart = charts.folds_chart(outcome, reading_of(outcome.verdict.metric))
    assert [tick.text for tick in chart.down.ticks] == ["16,000", "14,000", "12,000"]
    assert chart.mean_texts == ("12,400", "15,100")


def test_folds_without_a_partner_or_a_number_are_left_out(samples):
    outcome = samples["helps"]()
    folds = {"transfer": (0.5, math.nan, 0.7), "from-scratch": (0.4, 0.5)}
    chart = charts.folds_chart(replace(outcome, folds=folds), reading_of("accuracy"))
    assert len(chart.pairs) == 1
    assert charts.folds_chart(replace(outcome, folds={}), reading_of("accuracy")) is None


def test_the_curve_runs_to_the_edge_where_from_scratch_never_gets_there(samples):
    saved = samples["undecided"]().labels_saved
    chart = charts.curve_chart(saved, reading_of("accuracy"))
    assert chart.beyond
    assert chart.needed[0] == chart.needed[2] == 100.0
    assert charts.curve_chart(replace(saved, sizes=(), scratch=()), reading_of("accuracy")) is None


def test_arms_are_sorted_and_the_dropped_ones_stand_apart(samples):
    outcome = samples["helps"]()
    _, finished, dropped = charts.arm_rows(outcome, reading_of("accuracy"))
    assert [row.method for row in finished] == ["fine-tune", "probe", "stack", "from-scratch"]
    assert [row.chosen for row in finished] == [True, False, False, False]
    assert dropped[1].at is None
    assert dropped[1].score == "–"


def test_in_a_race_by_rank_the_chosen_arm_is_told_by_its_settings(samples):
    outcome = samples["helps"]()
    arms = tuple(replace(arm, source=arm.source and "number 1 by score") for arm in outcome.arms)
    _, finished, _ = charts.arm_rows(replace(outcome, arms=arms), reading_of("accuracy"))
    assert [row.chosen for row in finished] == [True, False, False, False]


def test_settings_that_no_arm_varies_are_left_out(samples):
    outcome = samples["helps"]()
    first = replace(outcome.arms[0], settings={"lr": 0.001, "pull": 0.0, "steps": None})
    second = replace(first, settings={**first.settings, "lr": 0.01})
    _, finished, _ = charts.arm_rows(
        replace(outcome, arms=(first, second, outcome.arms[1])), reading_of("accuracy")
    )
    assert [row.settings for row in finished] == ["lr 0.001", "lr 0.01", "strength 1"]


def test_a_metric_without_a_reading_of_its_own_reads_by_its_unit_and_sign():
    assert reading_of("roc_auc").gain(0.042) == "+4.2 points"
    assert reading_of("roc_auc").value(0.872).replace(SPACE, " ") == "87.2 %"
    error = reading_of("neg_root_mean_squared_error")
    assert error.label == "root_mean_squared_error (lower is better)"
    assert (error.shown(-2.5), error.gain(0.5)) == (2.5, "+0.5 units")
    assert reading_of("of_a_plug_in").shown(0.3) == 0.3
