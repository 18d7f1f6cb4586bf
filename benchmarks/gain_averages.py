"""Does the interval cover where averages are compared, and is the probability calibrated?

The worlds of gain_worlds.py with four arms a side, averaged with equal weights, as `transfer` does;
ten folds, two repeats, few rows. Judged by the Brier score and by the metrics beside it.

    python -m benchmarks --only gain_averages
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.gain_coverage import calibration_error, measured
from benchmarks.gain_worlds import cells

KEPT = Path(__file__).parent / "runs" / "gain_averages.json"


def run(quick: bool = False, runs: int = 300) -> dict:
    """Every cell of the family, or the first ones; what is kept is not run again."""
    worlds = list(cells("averages"))
    found = dict(measured(worlds[:4] if quick else worlds, runs, None if quick else KEPT))
    names = sorted({metric for entry in found.values() for metric in entry["methods"]})
    return {
        "summary": {name: _summary(found, name) for name in names},
        "cells": found,
    }


def _summary(found: dict, metric: str) -> dict:
    rows = [e["methods"][metric]["bequest"] for e in found.values() if metric in e["methods"]]
    covers = [row["coverage"] for row in rows]
    return {
        "cells": len(rows),
        "coverage": [min(covers), float(np.mean(covers)), max(covers)],
        "false_helps_at_most": max(row["false helps"] for row in rows),
        "decided": float(np.mean([row["decided"] for row in rows])),
        "calibration": calibration_error(found, metric),
    }
