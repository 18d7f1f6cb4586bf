"""Real pretrained networks on real photos and posts, beside ten lines of scikit-learn.

Few labels are drawn, 50 photos or 25 posts a class are held out; `bequest.transfer` and the ten
lines (the network's features, one logistic regression; ../shared/trials/ten_lines.py) see the same
rows. The held-out rows only say afterwards how right each was. The budget counts CPU seconds, so
that a busy machine changes nothing. Stops and resumes: each draw is kept under benchmarks/runs/.
The networks are those of `bequest.pretrained()`.

    python -m benchmarks.pretrained [--only photos] [--budget 120]

N rows, D features.
"""

from __future__ import annotations

import argparse
import gzip
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from scipy import stats
from sklearn.linear_model import LogisticRegression

import bequest as bq
from benchmarks.real_tasks import DATA
from bequest.core import features_of

RUNS = Path(__file__).parent / "runs" / "pretrained"
SIDE = 224  # pixels
LENGTH = 600  # characters of a post
FOLDERS = {"photos": "trashnet", "texts": "twenty_newsgroups"}


@dataclass(frozen=True)
class Case:
    """What is classified, by which network, with how many labels a class."""

    name: str
    labels: tuple[int, ...]
    task: Callable[[], bq.Task]
    source: str  # in `bequest.pretrained()`
    strength: float  # C of the ten lines
    unit_length: bool  # whether the ten lines bring each row of features to length one
    held_out: int  # rows a class
    draws: int


@cache
def photos() -> bq.Task:
    return bq.Task.from_images(DATA / "trashnet", size=SIDE, name="trashnet")


@cache
def posts() -> bq.Task:
    with gzip.open(next((DATA / "twenty_newsgroups").glob("*.gz")), "rt") as lines:
        rows = [json.loads(line) for line in lines]
    texts = [row["text"][:LENGTH] for row in rows]
    return bq.Task.from_text(texts, [row["group"] for row in rows], name="newsgroups")


@cache
def model(name: str) -> bq.Model:
    return bq.load(name)


CASES = (
    Case(
        "photos",
        (5, 20),
        photos,
        "efficientnet-lite0",
        1.0,
        unit_length=False,
        held_out=50,
        draws=40,
    ),
    Case(
        "texts",
        (5, 20, 50),
        posts,
        "all-minilm-l6-v2",
        10.0,
        unit_length=True,
        held_out=25,
        draws=10,
    ),
)


def plain_features(case: Case, rows: np.ndarray) -> np.ndarray:
    """The network's features of some rows, (N, D), as the ten lines read them; kept on disk."""
    path = RUNS / f"{case.name}.npz"
    known = dict(np.load(path)) if path.exists() else {}
    missing = [row for row in rows.tolist() if str(row) not in known]
    if missing:
        made = features_of(model(case.source), case.task().inputs[np.array(missing)])
        known |= {str(row): one for row, one in zip(missing, made, strict=True)}
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, **known)
    features = np.stack([known[str(row)] for row in rows.tolist()])
    if case.unit_length:
        features = features / np.linalg.norm(features, axis=1, keepdims=True)
    return features


def run_one(case: Case, labels: int, seed: int, budget: float) -> dict:
    """One draw, both ways."""
    whole, rng = case.task(), np.random.default_rng(seed)
    order = [rng.permutation(np.flatnonzero(whole.targets == c)) for c in range(len(whole.classes))]
    train = np.concatenate([rows[:labels] for rows in order])
    test = np.concatenate([rows[labels : labels + case.held_out] for rows in order])
    labels_of = whole.labels
    head = LogisticRegression(C=case.strength, max_iter=5000)
    head.fit(plain_features(case, train), labels_of[train])
    few = whole.take(train)
    start, cpu = time.perf_counter(), time.process_time()
    result = bq.transfer(
        few, [model(case.source)], budget=budget, seed=seed, clock=time.process_time
    )
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    held_out = whole.take(test)
    right = float((result.model.predict(held_out.inputs) == held_out.labels).mean())
    verdict = result.verdict
    return {
        "labels": labels,
        "seed": seed,
        "rows": len(few),
        "bequest": right,
        "ten_lines": float(head.score(plain_features(case, test), labels_of[test])),
        "verdict": verdict.kind,
        "gain": [verdict.gain, verdict.low, verdict.high],
        "score_gain": list(verdict.judged),
        "probability": verdict.probability,
        "handed_over": result.outcome.selected,
        "members": [a.method for a in result.arms if a.used and a.source],
        "seconds": seconds,
        "cpu_seconds": cpu,
        "notes": list(result.outcome.notes),
    }


def summary(runs: list[dict]) -> dict:
    """Means over draws of one number of labels; the difference has a paired t interval."""
    apart = np.array([run["bequest"] - run["ten_lines"] for run in runs])
    half = 0.0
    if len(apart) > 1:
        half = stats.t.ppf(0.975, len(apart) - 1) * apart.std(ddof=1) / np.sqrt(len(apart))
    kinds = [run["verdict"] for run in runs]
    return {
        "draws": len(runs),
        "bequest": float(np.mean([run["bequest"] for run in runs])),
        "ten_lines": float(np.mean([run["ten_lines"] for run in runs])),
        "difference": [float(apart.mean()), float(apart.mean() - half), float(apart.mean() + half)],
        "verdicts": {kind: kinds.count(kind) for kind in ("helps", "hurts", "undecided")},
        "cpu_seconds": float(np.median([run["cpu_seconds"] for run in runs])),
        "seconds_at_most": float(max(run["seconds"] for run in runs)),
    }


def run(quick: bool = False, budget: float = 120.0, only: str = "") -> dict:
    """Every draw that is not kept yet, then the sums of all."""
    found: dict = {"budget": budget, "left_out": [], "cases": {}}
    for case in CASES:
        missing = [] if bq.pretrained()[case.source].installed else [case.source]
        if not (DATA / FOLDERS[case.name]).is_dir():
            missing.append(FOLDERS[case.name])
        if missing:
            found["left_out"].append(f"{case.name}: {', '.join(missing)} is not there")
            continue
        for labels in case.labels if only in case.name else ():
            runs = []
            for seed in range(1 if quick else case.draws):
                path = RUNS / f"{case.name}-{labels}-{seed}-{budget:g}.json"
                if not path.exists():
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_text(json.dumps(run_one(case, labels, seed, budget)))
                runs.append(json.loads(path.read_text()))
                print(case.name, labels, seed, {k: runs[-1][k] for k in ("bequest", "ten_lines",
                      "verdict", "seconds", "cpu_seconds")}, flush=True)  # fmt: skip
            found["cases"][f"{case.name}, {labels} labels a class"] = {
                **summary(runs),
                "runs": runs,
            }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--budget", type=float, default=120.0, help="CPU seconds of each draw")
    parser.add_argument("--only", default="")
    chosen = parser.parse_args()
    found = run(budget=chosen.budget, only=chosen.only)
    for case in found["cases"].values():
        case.pop("runs")
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
