"""A made hub of any size, of the shape that real ones have: rows of a registry, no files.

100,000 models, 20,000 tasks and 300,000 outcomes take 40 s and 1.5 GB of disk.

Run: python -m benchmarks.hub_made FOLDER [--models 100000 --tasks 20000 --outcomes 300000]

What is like in real hubs: few models and few tasks have most of the outcomes (a power law); a model
has a quality, a task has a level, and models that were trained on a task of the same field do
better on it; six of ten models were made from an earlier one; licences as they are on public hubs.
All tasks are of one modality, kind and metric, which is the hardest for a prediction of gains. No
file stands behind an entry: what reads weights cannot be measured on it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import islice
from pathlib import Path

import numpy as np

from bequest.core import ArmResult, Card, Outcome, RankedSource, Task, Verdict
from bequest.hub.entry import Entry, StoredFile
from bequest.hub.registry import Records
from bequest.hub.sketch import sketch

LICENCES = ("Apache-2.0", "MIT", "CC-BY-4.0", "CC-BY-NC-4.0", "GPL-3.0-only", "CC-BY-SA-4.0")
_SHARES = (0.45, 0.25, 0.12, 0.08, 0.05, 0.05)
_FIELDS = 40  # clusters of tasks
_CHUNK = 20_000  # rows a transaction
_SKETCHED = 200  # different sketches; more would only take longer to make
_WORDS = ("wards", "birds", "roads", "wines", "leaves", "coins", "skies", "scans", "faults", "maps")


@dataclass(frozen=True, eq=False)
class Made:
    """The truth of a made hub: T tasks, M models, n outcomes.

    Parameters
    ----------
    field : int array, shape (T,)
        Which tasks are alike.
    level : array, shape (T,)
        What every model gains on a task.
    origin, parent : int arrays, shape (M,)
        The task that a model was trained on, and the earlier model that it was made from, or -1.
    quality : array, shape (M,)
    licence : int array, shape (M,)
    model, task : int arrays, shape (n,)
    gain, width : arrays, shape (n,)
        The gain and half the width of its interval.
    """

    field: np.ndarray
    level: np.ndarray
    origin: np.ndarray
    parent: np.ndarray
    quality: np.ndarray
    licence: np.ndarray
    model: np.ndarray
    task: np.ndarray
    gain: np.ndarray
    width: np.ndarray

    def task_name(self, task: int) -> str:
        return f"{_WORDS[self.field[task] % len(_WORDS)]} {self.field[task]}-{task}"

    def model_name(self, model: int) -> str:
        return f"team{model % 977}/{_WORDS[self.field[self.origin[model]] % len(_WORDS)]}-{model}"


def make(models: int, tasks: int, outcomes: int, seed: int = 0) -> Made:
    """Draw a hub's truth."""
    rng = np.random.default_rng(seed)
    field = rng.integers(_FIELDS, size=tasks)
    origin = rng.integers(tasks, size=models)
    parent = (np.arange(models) * rng.random(models)).astype(int)
    parent[(rng.random(models) > 0.6) | (parent == np.arange(models))] = -1
    quality, level = rng.normal(0, 0.03, models), rng.normal(0, 0.02, tasks)
    model = np.minimum((models * rng.random(outcomes) ** 2).astype(int), models - 1)
    task = np.minimum((tasks * rng.random(outcomes) ** 2).astype(int), tasks - 1)
    match = 0.04 * (field[origin[model]] == field[task])
    gain = level[task] + quality[model] + match + rng.normal(0, 0.02, outcomes)
    width = rng.uniform(0.01, 0.05, outcomes)
    licence = rng.choice(len(LICENCES), size=models, p=_SHARES)
    return Made(field, level, origin, parent, quality, licence, model, task, gain, width)


def fill(
    folder: str | Path,
    models: int = 100_000,
    tasks: int = 20_000,
    outcomes: int = 300_000,
    seed: int = 0,
    *,
    sketched: float = 0.0,
) -> Made:
    """Write a made hub into a new folder.

    Parameters
    ----------
    folder : path
    models, tasks, outcomes, seed : int
    sketched : float
        Share of the tasks, 0 to 1, of which the card of a model trained on it has a sketch
        (5 kB each).

    Returns
    -------
    Made
        What the hub was drawn from.
    """
    made = make(models, tasks, outcomes, seed)
    place = Path(folder)
    place.mkdir(parents=True)
    records = Records(place / "registry.sqlite", 30.0)
    records.create()
    _write(records, "INSERT INTO entries VALUES (?, ?, ?, ?)", _entries(made, sketched))
    _write(records, "INSERT INTO uses VALUES (?, ?, ?)", sorted(_uses(made)))
    _write(records, "INSERT INTO outcomes (digest, record) VALUES (?, ?)", _outcomes(made))
    return made


def about(made: Made, task: int) -> dict:
    """What a card or an outcome says of a task."""
    return {
        "name": made.task_name(task),
        "fingerprint": _hash(f"task {task}"),
        "modality": "vector",
        "kind": "classification",
        "metric": "accuracy",
        "rows": 200 + task % 1800,
        "classes": ["no", "yes"],
        "class_shares": [0.5, 0.5],
    }


def task_of(field: int, seed: int = 0) -> Task:
    """A new task of this field, with rows to sketch."""
    rng = np.random.default_rng(seed)
    centre = np.random.default_rng(1000 + field).normal(size=6)
    rows = rng.normal(size=(60, 6)) * 0.5 + centre
    return Task.from_arrays(rows, np.array(["no", "yes"])[np.arange(60) % 2], name="new")


def outcome_like(task: Task, source: str = "team0/new@1", gain: float = 0.01) -> Outcome:
    """One more outcome."""
    return _outcome(task.describe(), source, Verdict(gain, gain - 0.02, gain + 0.02, "accuracy"))


def _write(records: Records, statement: str, rows: Iterator[tuple] | list[tuple]) -> None:
    rows = iter(rows)
    while chunk := list(islice(rows, _CHUNK)):
        with records.writing() as db:
            db.executemany(statement, chunk)


def _files(model: int) -> dict[str, StoredFile]:
    size = 10_000 + model % 10**6
    return {
        "card.json": StoredFile(_hash(f"card {model}"), 700),
        "config.json": StoredFile(_hash(f"config {model % 50}"), 300),
        "model.safetensors": StoredFile(_hash(f"weights {model}"), size),
    }


def _entries(made: Made, sketched: float) -> Iterator[tuple]:
    sketches, done = _sketches() if sketched else {}, set()
    for model in range(len(made.origin)):
        task, parent = int(made.origin[model]), int(made.parent[model])
        said = about(made, task)
        if task < sketched * len(made.field) and task not in done:
            done.add(task)
            said["sketch"] = sketches[int(made.field[task]), task % (_SKETCHED // _FIELDS)]
        card = Card(
            name=made.model_name(model),
            task=said,
            metrics={"accuracy": round(0.8 + float(made.quality[model]), 4)},
            licence=LICENCES[made.licence[model]],
            parents=() if parent < 0 else (f"{made.model_name(parent)}@1",),
            method="" if parent < 0 else ("fine-tune", "lora", "probe")[model % 3],
        )
        files = _files(model)
        listed = json.dumps({path: files[path].digest for path in sorted(files)})
        when = f"2026-{1 + model % 12:02}-{1 + model % 28:02}T12:00:00+00:00"
        entry = Entry(card.name, 1, _hash(listed), when, card, files)
        record = json.dumps(entry.to_dict())
        yield card.name, 1, record, _hash(record)


def _uses(made: Made) -> Iterator[tuple]:
    for model in range(len(made.origin)):
        for file in _files(model).values():
            yield file.digest, made.model_name(model), 1


@cache
def _sketches() -> dict[tuple[int, int], dict]:
    """A few sketches a field; what differs between them is the sample."""
    found = {}
    for field, place in np.ndindex(_FIELDS, _SKETCHED // _FIELDS):
        rng = np.random.default_rng([field, place])
        found[field, place] = sketch(task_of(field, place), epsilon=4.0, rng=rng).to_dict()
    return found


def _outcomes(made: Made) -> Iterator[tuple]:
    """As `Outcome.to_json` writes them: the text of one, with its own values put in."""
    parts = _template().split("@@")
    for row in range(len(made.gain)):
        model, task = int(made.model[row]), int(made.task[row])
        gain, width = float(made.gain[row]), float(made.width[row])
        low, high = gain - width, gain + width
        values = {
            "target": json.dumps(about(made, task), indent=2).replace("\n", "\n  "),
            "source": f"{made.model_name(model)}@1",
            "other": f"{made.model_name((model + 1) % len(made.origin))}@1",
            "method": ("fine-tune", "lora", "probe")[row % 3],
            "handed": "transfer" if gain > 0 else "from-scratch",
            "gain": repr(gain),
            "low": repr(low),
            "high": repr(high),
            "kind": "helps" if low > 0 else "hurts" if high < 0 else "undecided",
            "score": repr(100 * gain + 1),
            "beside": repr(100 * float(made.quality[(model + 1) % len(made.origin)]) + 1),
            "metric": repr(0.8 + gain),
            "seed": str(row),
        }
        record = "".join(values[p] if place % 2 else p for place, p in enumerate(parts))
        yield _hash(record), record


def _template() -> str:
    nan = float("nan")
    one = _outcome({}, "@@source@@", Verdict(nan, nan, nan, "accuracy"))
    text, unset = one.to_json(), '"float:nan"'
    for key, value in (("gain", "@@gain@@"), ("low", "@@low@@"), ("high", "@@high@@")):
        text = text.replace(f'"{key}": {unset}', f'"{key}": {value}')
    text = text.replace('"target": {}', '"target": @@target@@')
    text = text.replace('"handed_over": "transfer"', '"handed_over": "@@handed@@"')
    text = text.replace('"kind": "undecided"', '"kind": "@@kind@@"')
    text = text.replace('"seed": 0', '"seed": @@seed@@')
    halves = text.split('"arms"')
    for value in ("@@score@@", "@@beside@@"):
        for old in (f'"score": {unset}', '"linear": 0.5'):
            halves[0] = halves[0].replace(old, f"{old.split()[0]} {value}", 1)
    halves[1] = halves[1].replace(f'"score": {unset}', '"score": @@metric@@')
    return '"arms"'.join(halves)


def _outcome(target: dict, source: str, verdict: Verdict) -> Outcome:
    nan = float("nan")
    ranked = [RankedSource(name, nan, 0.5, 1.5, {"linear": 0.5}) for name in (source, "@@other@@")]
    arm = ArmResult(source, "@@method@@", {"lr": 0.001}, nan, (0.8, 0.81, 0.79), 1.5)
    return Outcome(
        target=target,
        source=source,
        method="@@method@@",
        settings={"lr": 0.001},
        handed_over="transfer",
        verdict=verdict,
        folds={"transfer": (0.8, 0.81, 0.79), "from-scratch": (0.8, 0.8, 0.79)},
        splits=("0f" * 32,),
        ranking=tuple(ranked),
        arms=(arm, replace(arm, source="", method="from-scratch")),
        seed=0,
        cost={"seconds": 12.5, "peak_memory_mb": 512.0, "labels": 200.0},
        versions={"bequest": "0.1", "numpy": "2.4"},
    )


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    for name, size in (("models", 100_000), ("tasks", 20_000), ("outcomes", 300_000), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=size)
    parser.add_argument("--sketched", type=float, default=0.0)
    asked = vars(parser.parse_args())
    start = time.perf_counter()
    fill(asked.pop("folder"), **asked)
    print(f"{time.perf_counter() - start:.1f} s")
