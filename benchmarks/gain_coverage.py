"""Does the interval of the gain cover the gain of the model handed over?

Ridge regressions and ridge classifiers are really trained, on every fold and then on all rows;
the truth of each is known in closed form, or from many fresh rows. Four intervals are compared in
each cell: bequest's, resampling of the chosen arm's rows, the Nadeau-Bengio corrected t, and plain
bootstrap bias corrected cross-validation.

    python -m benchmarks.gain_coverage --runs 1000 --out gain_coverage.json
    python -m benchmarks.gain_coverage --family halving wide --runs 300 --out gain_coverage.json

N rows, A arms of a side, K folds, R repeats.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
from scipy import stats

from benchmarks.gain_worlds import FAMILIES, World, cells, draw
from bequest.evaluation.gain import estimate_gain
from bequest.evaluation.replay import choose, row_weights

N_BOOT = 300  # its noise moves an end by 2 % of the width
INTERVALS = ("bequest", "resampled rows", "Nadeau-Bengio", "plain BBC-CV")


def intervals(scores: np.ndarray, where: np.ndarray, metric: str, folds: int, seed: list) -> dict:
    """All four intervals of one run, as (low, high)."""
    rng = np.random.default_rng(seed)
    transfer, scratch = np.split(scores, 2)
    verdict = estimate_gain(transfer, scratch, metric=metric, rng=rng, n_boot=N_BOOT, folds=folds)
    weights = row_weights(scores.shape[2], None, rng, N_BOOT)
    everyone = np.ones((1, scores.shape[2]))
    pair = transfer[choose(transfer, everyone)[0]] - scratch[choose(scratch, everyone)[0]]
    return dict(
        zip(
            INTERVALS,
            (
                (verdict.low, verdict.high, verdict.probability),
                _resampled(pair, weights),
                _nadeau_bengio(pair, where, folds),
                _plain(transfer, scratch, weights),
            ),
            strict=True,
        )
    )


def _resampled(pair: np.ndarray, weights: np.ndarray) -> tuple:
    return tuple(np.quantile(weights @ pair.mean(axis=0) / pair.shape[1], [0.025, 0.975]))


def _nadeau_bengio(pair: np.ndarray, where: np.ndarray, folds: int) -> tuple:
    means = [
        row[part == fold].mean()
        for row, part in zip(pair, where, strict=True)
        for fold in range(folds)
    ]
    count = len(means)
    error = np.sqrt((1 / count + 1 / (folds - 1)) * np.var(means, ddof=1))
    half = stats.t.ppf(0.975, count - 1) * error
    return np.mean(means) - half, np.mean(means) + half


def _plain(transfer: np.ndarray, scratch: np.ndarray, weights: np.ndarray) -> tuple:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        better, base = np.nanmean(transfer, axis=1), np.nanmean(scratch, axis=1)
    out = weights == 0
    gains = better[choose(transfer, weights)] - base[choose(scratch, weights)]
    return tuple(np.quantile((gains * out).sum(axis=1) / out.sum(axis=1), [0.025, 0.975]))


def simulate(world: World, runs: int, seed: int = 0) -> dict[str, dict]:
    """Per metric and interval: coverage, false helps, false hurts, share decided, mean width."""
    ends: dict[str, dict[str, list]] = {}
    for run in range(runs):
        rng = np.random.default_rng([seed, run])
        for metric, (scores, truths, where) in draw(world, rng).items():
            transfer, scratch = np.split(scores, 2)
            everyone = np.ones((1, world.rows))
            one, other = choose(transfer, everyone)[0], choose(scratch, everyone)[0]
            truth = truths[one] - truths[len(truths) // 2 + other]
            found = intervals(scores, where, metric, world.folds, [seed, run, 1])
            for name, (low, high, *sure) in found.items():
                row = (low, high, truth, *(sure or [np.nan]))
                ends.setdefault(metric, {}).setdefault(name, []).append(row)
    return {
        metric: {name: counted(np.array(rows)) for name, rows in methods.items()}
        for metric, methods in ends.items()
    }


def counted(rows: np.ndarray) -> dict:
    """What came out of runs of (low, high, truth, probability)."""
    low, high, truth, sure = rows.T
    known = {} if np.isnan(sure).any() else {"calibration": _calibration(sure, truth > 0)}
    return {
        **known,
        "coverage": float(((low <= truth) & (truth <= high)).mean()),
        "false helps": float(((low > 0) & (truth <= 0)).mean()),
        "false hurts": float(((high < 0) & (truth >= 0)).mean()),
        "decided": float(((low > 0) | (high < 0)).mean()),
        "width": float((high - low).mean()),
        "gain": float(truth.mean()),
    }


def _calibration(sure: np.ndarray, better: np.ndarray) -> list:
    """Runs, and how many of them gained, in each tenth of the probability that was said."""
    tenth = np.minimum((10 * sure).astype(int), 9)
    said = np.bincount(tenth, sure, minlength=10)
    return [
        np.bincount(tenth, minlength=10).tolist(),
        said.tolist(),
        np.bincount(tenth, better, minlength=10).tolist(),
    ]


def calibration_of(results: dict, metric: str) -> dict[str, float]:
    """Mean distance between the probability that was said and the share that gained."""
    parts = [
        np.array(entry["methods"][metric]["bequest"]["calibration"])
        for entry in results.values()
        if metric in entry["methods"]
    ]
    runs, said, better = np.sum(parts, axis=0)
    return {"runs": int(runs.sum()), "error": float(np.abs(said - better).sum() / runs.sum())}


def run(quick: bool = True) -> dict:
    """Coverage of a few cells in a minute, or of all base cells in half an hour, resumed."""
    worlds = list(cells("base"))
    if quick:
        worlds = [w for w in worlds if w.rows == 50 and w.gain in ("none", "large")]
    kept = None if quick else Path(__file__).parent / "runs" / "gain_coverage.json"
    found = dict(measured(worlds, 100 if quick else 1000, kept))
    return {"cells": found, "summary": list(_summary(found))}


def measured(
    worlds: list[World], runs: int, kept: Path | None, seed: int = 0
) -> Iterator[tuple[str, dict]]:
    """Each world's key and counts; what the file `kept` holds already is not run again."""
    known = json.loads(kept.read_text()) if kept and kept.exists() else {}
    for world in worlds:
        key = _key(world)
        asked = {"runs": runs, "seed": seed}
        if {name: known.get(key, {}).get(name) for name in asked} != asked:
            known[key] = {**asked, "methods": simulate(world, runs, seed)}
            if kept:
                kept.parent.mkdir(parents=True, exist_ok=True)
                part = kept.with_suffix(".part")
                part.write_text(json.dumps(known, indent=1))
                part.replace(kept)
        yield key, known[key]


def _key(world: World) -> str:
    default = asdict(World())
    said = {name: value for name, value in asdict(world).items() if value != default[name]}
    return ", ".join(f"{name}={value}" for name, value in said.items()) or "default"


def _lines(key: str, methods: dict) -> Iterator[str]:
    for metric, counts in methods.items():
        yield f"{key} | {metric} | gain {counts['bequest']['gain']:+.3f}"
        for name, counted in counts.items():
            yield (
                f"    {name:15s} covers {100 * counted['coverage']:5.1f} %  "
                f"false helps {100 * counted['false helps']:4.1f} %  "
                f"decided {100 * counted['decided']:5.1f} %  width {counted['width']:.3f}"
            )


def _summary(results: dict) -> Iterator[str]:
    for name in INTERVALS:
        rows = [m[name] for entry in results.values() for m in entry["methods"].values()]
        covers = np.array([row["coverage"] for row in rows])
        within = int(((covers >= 0.93) & (covers <= 0.98)).sum())
        yield (
            f"{name:15s} {len(rows)} cells: covers {100 * covers.min():.1f} to "
            f"{100 * covers.max():.1f} % (93 to 98 % in {within}), "
            f"false helps at most {100 * max(row['false helps'] for row in rows):.1f} %, "
            f"decided {100 * np.mean([row['decided'] for row in rows]):.1f} %, "
            f"mean width {np.mean([row['width'] for row in rows]):.3f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--family", choices=FAMILIES, nargs="*", default=["base"])
    parser.add_argument("--out", type=Path, help="results so far are read from here and kept")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    worlds = [world for family in options.family for world in cells(family)]
    found = {}
    for key, entry in measured(worlds, options.runs, options.out, options.seed):
        found[key] = entry
        print("\n".join(_lines(key, entry["methods"])), flush=True)
    print("\n".join(_summary(found)))
    for metric in {metric for entry in found.values() for metric in entry["methods"]}:
        print(metric, calibration_of(found, metric))


if __name__ == "__main__":
    main()
