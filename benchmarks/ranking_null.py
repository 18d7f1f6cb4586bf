"""How often the ranking calls a source best that knows nothing, and finds one that does.

Digits 5 to 9 are the target, drawn anew for every ranking. Sources without knowledge are small
residual networks, and perceptrons, that were trained on digits 0 to 4 with labels dealt anew; the
source with knowledge was trained on the true labels. Three sources without knowledge a ranking:
any of them called best is a false best, and the intervals promise at most 5 % of such rankings.
Then one of the three is replaced by the source with knowledge: called best is a find.

    python -m benchmarks.ranking_null [--quick]
"""

from __future__ import annotations

import argparse
import json
from functools import cache

import numpy as np
from scipy.stats import beta
from sklearn.datasets import load_digits

import bequest as bq
from bequest.executors.local import single_threaded
from bequest.selection import rank

LABELS = (5, 20, 50)
POOL = 12  # sources without knowledge of each kind
EVERY = 3  # one ranking in so many is done again with the source with knowledge
KINDS = ("resnet", "mlp")


@cache
def digits(kind: str) -> tuple[np.ndarray, np.ndarray]:
    pixels, labels = load_digits(return_X_y=True)
    pixels = pixels / 16
    return (pixels.reshape(-1, 1, 8, 8) if kind == "resnet" else pixels), labels


def source(kind: str, seed: int, *, dealt: bool) -> bq.Model:
    inputs, labels = digits(kind)
    rows = labels < 5
    shown = labels[rows]
    if dealt:
        shown = np.random.default_rng([seed, 1]).permutation(shown)
    task = bq.Task.from_arrays(inputs[rows], shown, name=f"{kind} {seed}")
    return bq.train(task, net=kind, seed=seed, name=f"{kind} {seed} {'dealt' if dealt else 'true'}")


def target(kind: str, count: int, rng: np.random.Generator) -> bq.Task:
    inputs, labels = digits(kind)
    rows = np.concatenate(
        [
            rng.choice(np.flatnonzero(labels == digit), count, replace=False)
            for digit in range(5, 10)
        ]
    )
    return bq.Task.from_arrays(inputs[rows], labels[rows], name="digits 5-9")


def run(quick: bool = True) -> dict:
    """Shares with 95 % intervals (Clopper and Pearson, 1934), by kind and labels a class."""
    times = 3 if quick else 60
    pool = 3 if quick else POOL
    cells = []
    with single_threaded():
        for kind in KINDS:
            ignorant = [source(kind, seed, dealt=True) for seed in range(pool)]
            knowing = source(kind, 0, dealt=False)
            for labels in LABELS:
                cells.append(_cell(kind, labels, ignorant, knowing, times))
    false = sum(cell["false best"]["count"] for cell in cells)
    rankings = sum(cell["rankings"] for cell in cells)
    return {"cells": cells, "false best over all": _share(false, rankings), "rankings": rankings}


def _cell(kind: str, labels: int, ignorant: list, knowing: bq.Model, times: int) -> dict:
    false = found = first = knew = 0
    for turn in range(times):
        rng = np.random.default_rng([KINDS.index(kind), labels, turn])
        task = target(kind, labels, rng)
        three = [ignorant[place] for place in rng.choice(len(ignorant), 3, replace=False)]
        false += rank(three, task, rng=rng).best is not None
        if turn % EVERY:
            continue
        knew += 1
        ranking = rank([knowing, *three[1:]], task, rng=rng)
        first += ranking[0].source == knowing.name
        found += ranking.best is not None and ranking.best.source == knowing.name
    return {
        "kind": kind,
        "labels": labels,
        "rankings": times,
        "false best": _share(false, times),
        "found": _share(found, knew),
        "ranked first": _share(first, knew),
    }


def _share(count: int, of: int) -> dict:
    low = beta.ppf(0.025, count, of - count + 1) if count else 0.0
    high = beta.ppf(0.975, count + 1, of - count) if count < of else 1.0
    return {"count": count, "share": count / of, "low": float(low), "high": float(high)}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    print(json.dumps(run(quick=parser.parse_args().quick), indent=1))
