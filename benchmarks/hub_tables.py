"""A hub of any size, written straight into its registry: the shape of fine-tuning tables.

Few models are tried on many tasks and most on few, as on public hubs; the spread of the gains is
that of the PARC table (Bolya, Mittapalli and Hoffman, NeurIPS 2021: 71 models on 7 tasks, accuracy
with standard deviations of 0.136 between models, 0.151 between tasks and 0.119 beyond both).
"""

from __future__ import annotations

import hashlib
import json
import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from bequest.hub.entry import StoredFile, manifest_digest
from bequest.hub.registry import Records

LICENCES = ("Apache-2.0", "MIT", "CC-BY-4.0", "CC-BY-NC-4.0", "BSD-3-Clause", "LicenseRef-team")
SHARES = (45, 25, 10, 10, 5, 5)
METHODS = ("fine-tune", "probe", "lora", "reuse", "stack", "parameters")
BETWEEN_MODELS, BETWEEN_TASKS, REST = 0.136, 0.151, 0.119


@dataclass(frozen=True)
class Size:
    """How many of each."""

    models: int = 100_000
    tasks: int = 20_000
    outcomes: int = 300_000


SMALL = Size(2_000, 400, 6_000)


def fill(folder: Path, size: Size, seed: int = 0) -> None:
    """Make a hub of this size in a new folder; its files are named, but not there."""
    folder.mkdir(parents=True)
    records = Records(folder / "registry.sqlite", 30.0)
    records.create()
    made = Made(size, seed)
    # What is lost with the power is made again: the registry's own connections sync every commit.
    with closing(sqlite3.connect(records.path, isolation_level=None)) as db:
        db.execute("PRAGMA synchronous = OFF")
        db.execute("BEGIN")
        for record in made.entries():
            enter(db, record)
        db.executemany("INSERT INTO outcomes (digest, record) VALUES (?, ?)", made.outcomes())
        db.execute("COMMIT")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def enter(db: sqlite3.Connection, record: dict) -> None:
    """Add one entry to the registry's tables."""
    text = json.dumps(record)
    key = (record["name"], record["version"])
    db.execute("INSERT INTO entries VALUES (?, ?, ?, ?)", (*key, text, _sha256(text)))
    objects = sorted({file["digest"] for file in record["files"].values()})
    db.executemany("INSERT INTO uses VALUES (?, ?, ?)", [(o, *key) for o in objects])


class Made:
    """Entries and outcomes as plain values, the same for the same seed."""

    def __init__(self, size: Size, seed: int) -> None:
        self.size = size
        self.rng = random.Random(seed)
        self.quality = [self.rng.gauss(0, BETWEEN_MODELS) for _ in range(size.models)]
        self.ease = [self.rng.gauss(0, BETWEEN_TASKS) for _ in range(size.tasks)]
        self.tasks = [self._task(number) for number in range(size.tasks)]
        self.names: list[str] = []
        self.weights: list[str] = []  # of each model: the sha256 of its features' file

    def entries(self) -> Iterator[dict]:
        """Every model after its parents; one in seven holds the features of another."""
        for number in range(self.size.models):
            yield self.entry(number)

    def entry(self, number: int) -> dict:
        """One entry; those before it must have been made."""
        rng = self.rng
        name = f"{('zoo', 'wards', 'labs')[number % 3]}/m{number:06d}"
        parents, method = self._parents(number)
        files = {
            path: StoredFile(_sha256(f"{path} {number}"), rng.randrange(500, 5_000))
            for path in ("README.md", "card.json", "config.json")
        }
        if method in ("probe", "stack"):
            weights = self.weights[parents[0]]
            files["source/model.safetensors"] = StoredFile(weights, 40_000_000)
            files["head/model.safetensors"] = StoredFile(_sha256(f"head {number}"), 20_000)
        else:
            weights = _sha256(f"weights {number}")
            files["model.safetensors"] = StoredFile(weights, 40_000_000)
        self.names.append(name)
        self.weights.append(weights)
        return {
            "name": name,
            "version": 1,
            "digest": manifest_digest(files),
            "published": f"2026-{1 + number % 12:02d}-{1 + number % 28:02d}T08:00:00+00:00",
            "card": self._card(name, [f"{self.names[p]}@1" for p in parents], method),
            "files": {path: {"digest": f.digest, "size": f.size} for path, f in files.items()},
        }

    def outcomes(self) -> Iterator[tuple[str, str]]:
        """The digest and the text of every outcome."""
        for number in range(self.size.outcomes):
            text = json.dumps(self._outcome(number), indent=2)
            yield _sha256(text), text

    def popular(self, count: int, power: int = 3) -> int:
        """One of the first `count`, the earliest the most often."""
        return min(int(count * self.rng.random() ** power), count - 1)

    def _task(self, number: int) -> dict:
        classes = [f"class {place}" for place in range(2 + number % 9)]
        return {
            "name": f"task {number}",
            "fingerprint": _sha256(f"task {number}")[:16],
            "modality": ("image", "table", "vector", "text")[number % 4],
            "kind": "classification",
            "metric": "accuracy",
            "rows": 50 + self.rng.randrange(5_000),
            "classes": classes,
            "class_shares": [1 / len(classes)] * len(classes),
        }

    def _parents(self, number: int) -> tuple[list[int], str]:
        drawn = self.rng.random()
        if number < 50 or drawn < 0.45:
            return [], ""
        if drawn < 0.48:
            return sorted({self.popular(number) for _ in range(3)}), ""
        method = METHODS[self.popular(len(METHODS))]
        return [self.popular(number)], method

    def _card(self, name: str, parents: list[str], method: str) -> dict:
        moved = [{"part": "features", "numbers": 11_000_000, "rule": "copied"}] if method else []
        return {
            "name": name,
            "task": self.tasks[self.popular(self.size.tasks, 2)],
            "metrics": {"accuracy": round(self.rng.uniform(0.4, 1.0), 4)},
            "licence": self.rng.choices(LICENCES, SHARES)[0],
            "parents": parents,
            "moved": moved,
            "method": method,
            "settings": {"lr": 0.001, "pull": 0.0} if method == "fine-tune" else {},
            "parameter_map": {},
        }

    def _outcome(self, number: int) -> dict:
        rng, task = self.rng, self.popular(self.size.tasks, 2)
        source, method = self.popular(self.size.models), METHODS[self.popular(len(METHODS))]
        gain = self.quality[source] + self.ease[task] + rng.gauss(0, REST)
        low, high = gain - rng.uniform(0.02, 0.2), gain + rng.uniform(0.02, 0.2)
        folds = [round(0.6 + 0.1 * rng.random(), 4) for _ in range(5)]
        name = f"{self.names[source]}@1"
        return {
            "target": self.tasks[task],
            "source": name,
            "method": method,
            "settings": {},
            "handed_over": "transfer" if low > 0 else "from-scratch",
            "verdict": {
                "gain": gain,
                "low": low,
                "high": high,
                "metric": "accuracy",
                "level": 0.95,
                "kind": "helps" if low > 0 else "hurts" if high < 0 else "undecided",
            },
            "folds": {"transfer": folds, "from-scratch": folds},
            "splits": [_sha256(f"{task} {fold}")[:16] for fold in range(5)],
            "ranking": [_ranked(name)],
            "arms": [_arm(name, method, folds), _arm("", "from-scratch", folds)],
            "seed": number,
            "cost": {"seconds": 12.5, "peak_mb": 900.0, "labels": 200.0},
            "versions": {"bequest": "0.1.0", "torch": "2.13.0", "scikit-learn": "1.9.1"},
            "labels_saved": None,
            "test": None,
            "moved": [],
            "parameter_map": {},
            "notes": [],
        }


def _ranked(name: str) -> dict:
    scores = {"logme": 0.41, "h_score": 1.2, "knn_score": 0.7}
    return {"source": name, "score": 1.2, "low": 0.9, "high": 1.5, "scores": scores, "reason": ""}


def _arm(name: str, method: str, folds: list[float]) -> dict:
    return {
        "source": name,
        "method": method,
        "settings": {},
        "score": 0.65,
        "folds": folds,
        "seconds": 3.5,
        "reason": "",
    }


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
