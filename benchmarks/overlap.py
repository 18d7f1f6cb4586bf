"""Sources that have seen rows of the target: how often they are found, and honest ones accused.

Run: python -m benchmarks.overlap [--quick]
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
from pathlib import Path

import numpy as np
from scipy.stats import beta

from bequest.api.overlap import SeenRows, about_rows
from bequest.core import Task
from bequest.data.near_duplicates import image_fingerprints, row_fingerprints

SHARED = Path(__file__).parents[2] / "shared" / "data"
NUMBERS = {0, 2, 4, 10, 11, 12}  # columns of Adult
WEIGHT = 2  # its sampling weights, which tell most of its rows apart
ROWS = (100, 300, 1000, 4000, 16_000)  # of a source
SEED = 200


def adult(part: str, weights: bool) -> np.ndarray:
    """Fingerprints of Adult's rows, with its column of weights or without."""
    with gzip.open(SHARED / "uci_tabular" / f"adult-{part}.csv.gz", "rt") as file:
        rows = [[cell.strip() for cell in row] for row in csv.reader(file) if len(row) == 15]
    columns = {
        str(place): np.array(
            [float(row[place]) if place in NUMBERS else row[place] for row in rows]
        )
        for place in range(14)
        if weights or place != WEIGHT
    }
    labels = np.array([row[14].rstrip(".") for row in rows])
    return row_fingerprints(Task.from_table({**columns, "income": labels}, "income"))


def fashion(part: str) -> np.ndarray:
    with np.load(SHARED / "fashion_mnist" / f"fashion_mnist_{part}.npz") as file:
        images = file["x"][:, None]
    parts = (images[i : i + 2000] / np.float32(255) for i in range(0, len(images), 2000))
    return np.concatenate([image_fingerprints(part) for part in parts])


def card(rows: np.ndarray) -> SeenRows:
    found = SeenRows.of_card(about_rows(rows))
    assert found is not None
    return found


def honest(pool: np.ndarray, target: int, draws: int) -> dict:
    """Draws in which a source of other rows is said to have seen the target's."""
    rng, found = np.random.default_rng(SEED), {}
    for rows in ROWS:
        accused = 0
        for _ in range(draws):
            order = rng.choice(len(pool), rows + target, replace=False)
            accused += card(pool[order[:rows]]).among(pool[order[rows:]]).beyond_chance
        found[str(rows)] = share(accused, draws)
    return found


def shared(source: np.ndarray, others: np.ndarray, rows: int, target: int, draws: int) -> dict:
    """Draws in which some of the target's rows are the source's, and this is found."""
    rng, known, found = np.random.default_rng(SEED), card(source), 0
    for _ in range(draws):
        own = rng.choice(source, rows, replace=False)
        rest = rng.choice(others, target - rows, replace=False)
        found += known.among(np.concatenate([own, rest])).beyond_chance
    return share(found, draws)


def share(count: int, draws: int) -> dict:
    """With its exact 95 % interval."""
    low = float(beta.ppf(0.025, count, draws - count + 1)) if count else 0.0
    high = float(beta.ppf(0.975, count + 1, draws - count)) if count < draws else 1.0
    return {"share": count / draws, "low": low, "high": high, "draws": draws}


def run(*, quick: bool) -> dict:
    missing = [n for n in ("uci_tabular", "fashion_mnist") if not (SHARED / n).is_dir()]
    if missing:
        print(f"overlap: left out, for {', '.join(missing)} is not in {SHARED}")
        return {"left_out": missing}
    draws = 200 if quick else 1000
    figures: dict = {"honest": {}, "found": {}}
    for weights in (True, False):
        pool = adult("train", weights)
        name = "adult" if weights else "adult without weights"
        for target in (60, 300):
            figures["honest"][f"{name}, {target} rows"] = honest(pool, target, draws)
        others = adult("test", weights)
        for rows in (20, 60):
            what = f"{name}, {rows} of 60 from {len(pool)}"
            figures["found"][what] = shared(pool, others, rows, 60, draws)
    pool, others = fashion("train"), fashion("test")
    for rows in (0, 5, 10, 20, 60):
        what = f"fashion, {rows} of 60 from {len(pool)}"
        figures["found"][what] = shared(pool, others, rows, 60, draws)
    return figures


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    print(json.dumps(run(quick=parser.parse_args().quick), indent=1))
