"""Where each mark of each chart stands; the templates draw them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

from bequest.core import ArmResult, LabelsSaved, Outcome, RankedSource
from bequest.report.amounts import Reading, decimals_for, duration, number, plain
from bequest.report.axes import Axis, linear, logarithmic

__all__ = [
    "ArmRow",
    "CurveChart",
    "FoldsChart",
    "Interval",
    "arm_rows",
    "curve_chart",
    "folds_chart",
    "gain_rows",
    "ranking_rows",
]


@final
@dataclass(frozen=True)
class Interval:
    """A dot with its interval on a shared axis; places in per cent, None where there is none."""

    name: str
    text: str
    span: str
    at: float | None
    low: float | None = None
    high: float | None = None
    tone: str = "plain"
    scores: tuple[tuple[str, str], ...] = ()


@final
@dataclass(frozen=True)
class FoldsChart:
    """Pairs of dots: per cent across, per cent down."""

    down: Axis
    pairs: tuple[tuple[float, float, float], ...]
    means: tuple[float, float]
    mean_texts: tuple[str, str]
    rows: tuple[tuple[str, str, str], ...]


@final
@dataclass(frozen=True)
class CurveChart:
    """From scratch's learning curve and the point where transfer stands."""

    across: Axis
    down: Axis
    curve: tuple[tuple[float, float], ...]
    transfer: tuple[float, float]
    needed: tuple[float, float, float]
    beyond: bool
    rows: tuple[tuple[str, str], ...]


@final
@dataclass(frozen=True)
class ArmRow:
    """One arm of the race as a row of the table."""

    source: str
    method: str
    settings: str
    score: str
    at: float | None
    seconds: str
    reason: str
    chosen: bool


def gain_rows(outcome: Outcome, reading: Reading) -> tuple[Axis, list[Interval]]:
    """The gain, and the gain on held-out rows where given, on one axis that shows zero."""
    verdict, test = outcome.verdict, outcome.test
    known = [("Estimated from the training rows", verdict.gain, verdict.low, verdict.high)]
    if test is not None:
        name = f"Measured on {test.rows:,} held-out rows"
        known.append((name, test.gain, test.low, test.high))
    if len(outcome.gains) > 1:
        own = [(f"With {g.source} alone", g.verdict) for g in outcome.gains]
        known += [(name, v.gain, v.low, v.high) for name, v in own]
    factor = abs(reading.factor)
    shown = [[factor * value for value in row[1:]] for row in known]
    axis = linear(
        [0.0, *(value for row in shown for value in row)],
        text=lambda value: number(value, None, sign=value != 0),
        pad=0.12,
    )
    spread = decimals_for([(row[2] - row[1]) / 10 for row in shown])
    rows = [
        _interval(axis, name, values, reading.gain(gain, spread), spread)
        for (name, gain, *_), values in zip(known, shown, strict=True)
    ]
    return axis, rows


def ranking_rows(ranking: tuple[RankedSource, ...]) -> tuple[Axis, list[Interval]]:
    """Sources that fit, the best first, on one axis that shows zero."""
    fitting = [entry for entry in ranking if not entry.reason]
    fitting.sort(key=lambda entry: (math.isnan(entry.score), -entry.score))
    values = [v for entry in fitting for v in (entry.score, entry.low, entry.high)]
    axis = linear([0.0, *values], text=lambda value: number(value, None, sign=value != 0))
    rows = []
    for entry in fitting:
        scores = tuple((name, number(value)) for name, value in entry.scores.items())
        shown = [entry.score, entry.low, entry.high]
        text = number(entry.score, 2, sign=True)
        rows.append(_interval(axis, entry.source, shown, text, 2, scores))
    return axis, rows


def _interval(
    axis: Axis,
    name: str,
    values: list[float],
    text: str,
    decimals: int,
    scores: tuple[tuple[str, str], ...] = (),
) -> Interval:
    value, low, high = values
    at = None if math.isnan(value) else axis.at(value)
    if at is None or math.isnan(low) or math.isnan(high):
        return Interval(name, text, "", at, scores=scores)
    tone = "good" if low > 0 else "bad" if high < 0 else "open"
    ends = [number(end, decimals, sign=True) for end in (low, high)]
    span = f"{ends[0]} to {ends[1]}"
    return Interval(name, text, span, at, axis.at(low), axis.at(high), tone, scores)


def folds_chart(outcome: Outcome, reading: Reading) -> FoldsChart | None:
    """Transfer beside from scratch, fold by fold; None where one of them has no folds."""
    transfer = outcome.folds.get("transfer", ())
    scratch = outcome.folds.get("from-scratch", ())
    pairs = [
        pair
        for pair in zip(transfer, scratch, strict=False)
        if math.isfinite(pair[0]) and math.isfinite(pair[1])
    ]
    if not pairs:
        return None
    down = _metric_axis([value for pair in pairs for value in pair], reading)
    width = 100.0 / len(pairs)
    marks = tuple(
        (round(width * (i + 0.5), 2), _height(down, a, reading), _height(down, b, reading))
        for i, (a, b) in enumerate(pairs)
    )
    means = [sum(column) / len(pairs) for column in zip(*pairs, strict=True)]
    return FoldsChart(
        down,
        marks,
        (_height(down, means[0], reading), _height(down, means[1], reading)),
        (reading.value(means[0]), reading.value(means[1])),
        tuple((f"{i + 1}", reading.value(a), reading.value(b)) for i, (a, b) in enumerate(pairs)),
    )


def curve_chart(saved: LabelsSaved, reading: Reading) -> CurveChart | None:
    """The learning curve; None where nothing was measured."""
    points = sorted(
        (size, score)
        for size, score in zip(saved.sizes, saved.scratch, strict=False)
        if math.isfinite(score)
    )
    if not points or not math.isfinite(saved.transfer):
        return None
    ends = [saved.needed, saved.low, saved.high]
    known = [end for end in ends if math.isfinite(end)]
    sizes = [saved.labels, *(size for size, _ in points)]
    across = logarithmic(
        [*sizes, *ends], marks=[*sizes, *known[:1]], text=lambda value: number(value, 0)
    )
    down = _metric_axis([saved.transfer, *(score for _, score in points)], reading)
    return CurveChart(
        across,
        down,
        tuple((across.at(size), _height(down, score, reading)) for size, score in points),
        (across.at(saved.labels), _height(down, saved.transfer, reading)),
        (across.at(saved.needed), across.at(saved.low), across.at(saved.high)),
        math.isinf(saved.needed),
        tuple((f"{size:,}", reading.value(score)) for size, score in points),
    )


def arm_rows(
    outcome: Outcome, reading: Reading
) -> tuple[Axis, tuple[ArmRow, ...], tuple[ArmRow, ...]]:
    """Arms that ran to the end, the best first, and those that did not, with the reason."""
    axis = _metric_axis([arm.score for arm in outcome.arms], reading)
    best_first = sorted(outcome.arms, key=lambda arm: (math.isnan(arm.score), -arm.score))
    varied = _varied(outcome.arms)
    rows = [
        _arm_row(arm, varied.get(arm.method, set()), _chosen(outcome, arm), reading, axis)
        for arm in best_first
    ]
    finished = tuple(row for row in rows if not row.reason)
    return axis, finished, tuple(row for row in rows if row.reason)


def _chosen(outcome: Outcome, arm: ArmResult) -> bool:
    """Whether an arm stands in what was chosen: of many sources it is known by its settings."""
    if not arm.source:
        return False
    sources = {one.source for one in outcome.arms if one.source}
    # many sources are chosen among inside the folds: their arms are named by rank
    own = arm.source == outcome.source or outcome.source not in sources
    same = (arm.method, dict(arm.settings)) == (outcome.method, dict(outcome.settings))
    return own and (arm.used if outcome.method == "ensemble" else same)


def _varied(arms: tuple[ArmResult, ...]) -> dict[str, set[str]]:
    """Per method the settings that differ from arm to arm; all of them where it has one arm."""
    seen: dict[str, dict[str, list[str]]] = {}
    for arm in arms:
        for name, value in arm.settings.items():
            seen.setdefault(arm.method, {}).setdefault(name, []).append(plain(value))
    return {
        method: {name for name, told in found.items() if len(told) == 1 or len(set(told)) > 1}
        for method, found in seen.items()
    }


def _arm_row(
    arm: ArmResult, varied: set[str], chosen: bool, reading: Reading, axis: Axis
) -> ArmRow:
    finite = math.isfinite(arm.score)
    return ArmRow(
        arm.source,
        arm.method,
        " · ".join(f"{k} {plain(v)}" for k, v in arm.settings.items() if k in varied),
        reading.value(arm.score),
        axis.at(abs(reading.factor) * arm.score) if finite else None,
        duration(arm.seconds),
        arm.reason,
        chosen,
    )


def _metric_axis(values: list[float], reading: Reading) -> Axis:
    """An axis on which better is always further along; errors are labelled without their minus."""
    turn = -1.0 if reading.factor < 0 else 1.0
    return linear(
        [abs(reading.factor) * value for value in values],
        text=lambda place: number(turn * place) + reading.suffix,
        pad=0.1,
    )


def _height(axis: Axis, value: float, reading: Reading) -> float:
    """Per cent from the top."""
    return round(100.0 - axis.at(abs(reading.factor) * value), 2)
