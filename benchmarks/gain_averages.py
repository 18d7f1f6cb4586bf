"""Does the interval cover where averages are compared, and is the probability calibrated?

The worlds of gain_races.py: four ridge models a source, averaged with equal weights, and a choice
among three sources, as `transfer` does; folds, repeats and temperature are the race's. Cells with
groups, with rows in time, with heavy tails and with a rare class. Stops and resumes: each cell is
kept under benchmarks/runs/gain_averages/.

    python -m benchmarks --only gain_averages
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path

import numpy as np
from scipy import stats

from benchmarks.gain_coverage import calibration_of, counted
from benchmarks.gain_races import LEVELS, Race, Run, draw
from bequest.evaluation.gain import estimate_gain
from bequest.evaluation.replay import choose

KEPT = Path(__file__).parent / "runs" / "gain_averages"
N_BOOT = 200
SIZES = (20, 30, 50, 90)
ENDS = ("none", "large", "harm")
KINDS = ("classification", "regression")


def cells() -> Iterator[tuple[str, Race]]:
    """The family of each world, and the world."""
    for kind, rows, gain in product(KINDS, SIZES, LEVELS):
        yield "independent rows", Race(kind, rows, gain)
    for kind, (rows, group), gain in product(KINDS, ((30, 3), (90, 5)), ENDS):
        yield "groups", Race(kind, rows, gain, group=group)
    for kind, rows, gain in product(KINDS, (60, 120), ENDS):
        yield "time", Race(kind, rows, gain, persistence=0.6)
    for target, rows, gain in product(("t 3", "t 2.5", "log-normal"), (20, 50), ENDS):
        yield "heavy tails", Race("regression", rows, gain, target=target)
    for kind, gain in product(KINDS, ("none", "large")):
        target = "normal" if kind == "classification" else "t 3"
        yield "heavy tails", Race(kind, 30, gain, columns="t 3", target=target)
    for rows, gain in product((30, 90), ("none", "large")):
        yield "rare class", Race("classification", rows, gain, share=0.2)


def run(quick: bool = False, runs: int = 1000) -> dict:
    """Every cell, and as many runs with a gain from -1 to 1 for the calibration of each score."""
    found: dict[str, dict] = {}
    for family, world in list(cells())[: 4 if quick else None]:
        found[_key(world)] = {"family": family, **measured(world, 50 if quick else runs)}
    calibration = {
        f"{kind}, {rows} rows": measured(Race(kind, rows, "any"), 50 if quick else 5 * runs // 2)
        for kind, rows in product(KINDS, SIZES[:1] if quick else SIZES)
    }
    names = sorted({metric for entry in found.values() for metric in entry["methods"]})
    return {
        "summary": {name: summary(found, name) for name in names},
        "calibration": {
            name: {
                "runs over all sizes": calibration_of(calibration, name),
                **{
                    key: calibration_of({key: entry}, name)
                    for key, entry in calibration.items()
                    if name in entry["methods"]
                },
            }
            for name in names
        },
        "cells": found,
    }


def measured(world: Race, runs: int, seed: int = 0) -> dict:
    """What came out of a world, from its file where it ran before."""
    path = KEPT / f"{_key(world)}-{runs}-{seed}.json"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"runs": runs, "methods": simulate(world, runs, seed)}))
    return dict(json.loads(path.read_text()))


def simulate(world: Race, runs: int, seed: int = 0) -> dict[str, dict]:
    """Per metric: coverage, false helps, bias over the median half width, and the calibration."""
    rows: dict[str, list] = {}
    for number in range(runs):
        one = draw(world, np.random.default_rng([seed, number]))
        for metric in one.scores:
            rows.setdefault(metric, []).append(_judged(one, metric, [seed, number, 1]))
    return {metric: {"bequest": _counted(np.array(ends))} for metric, ends in rows.items()}


def _judged(one: Run, metric: str, seed: list) -> tuple:
    """Low, high, truth, probability and gain of one run."""
    drawn = one.scores[metric]
    by = None
    if metric == "accuracy":  # which the Brier score chooses for
        by = one.scores["neg_brier_score"].transfer, one.scores["neg_brier_score"].scratch
    better = drawn.transfer if by is None else by[0]
    chosen = choose(better, np.ones((1, better.shape[2])))[0]
    verdict = estimate_gain(
        drawn.transfer,
        drawn.scratch,
        metric=metric,
        rng=np.random.default_rng(seed),
        n_boot=N_BOOT,
        groups=one.groups,
        folds=one.folds,
        by=by,
    )
    truth = drawn.truth[chosen] - drawn.truth[-1]
    return verdict.low, verdict.high, truth, verdict.probability, verdict.gain


def _counted(rows: np.ndarray) -> dict:
    low, high, truth, _, gain = rows.T
    half = np.median(high - low) / 2
    error = stats.trim_mean(gain - truth, 0.01)  # one row of a heavy tail is all of a mean
    return {
        **counted(rows[:, :4]),
        "median width": 2 * float(half),
        "bias over half width": float(error / half) if half else 0.0,
    }


def summary(found: dict, metric: str) -> dict:
    """Over all cells of a metric, and for each family."""
    entries = [entry for entry in found.values() if metric in entry["methods"]]
    families = dict.fromkeys(entry["family"] for entry in entries)
    return {
        "all": _over(entries, metric),
        **{f: _over([e for e in entries if e["family"] == f], metric) for f in families},
        "bias by rows": _bias_by_rows(found, metric),
    }


def _over(entries: list[dict], metric: str) -> dict:
    rows = [entry["methods"][metric]["bequest"] for entry in entries]
    covers = [row["coverage"] for row in rows]
    return {
        "cells": len(rows),
        "coverage": [min(covers), float(np.mean(covers)), max(covers)],
        "cells under 93 %": sum(cover < 0.93 for cover in covers),
        "false_helps_at_most": max(row["false helps"] for row in rows),
        "decided": float(np.mean([row["decided"] for row in rows])),
        "median_width": float(np.mean([row["median width"] for row in rows])),
    }


def _bias_by_rows(found: dict, metric: str) -> dict[str, float]:
    """Mean over the gains of the bias over half the width, independent rows only."""
    means = {}
    for rows in SIZES:
        ratios = [
            entry["methods"][metric]["bequest"]["bias over half width"]
            for key, entry in found.items()
            if entry["family"] == "independent rows"
            and f"rows={rows}," in f"{key},"
            and metric in entry["methods"]
        ]
        if ratios:
            means[str(rows)] = float(np.mean(ratios))
    return means


def _key(world: Race) -> str:
    default = replace(Race(), rows=0)
    said = {name: v for name, v in asdict(world).items() if v != asdict(default)[name]}
    return ", ".join(f"{name}={value}" for name, value in said.items())
