"""A made hub of any size, of the shape that real ones have: rows of a registry, no files.

100,000 models, 20,000 tasks and 300,000 outcomes take 40 s and 1.5 GB of disk.

Run: python -m benchmarks.hub_made FOLDER [--models 100000 --tasks 20000 --outcomes 300000]

What is like in real hubs: few models and few tasks have most of the outcomes (a power law); a model
has a quality, a task has a level, and models that were trained on a task of the same field do
better on it; more than half of the models were made from earlier ones, a few merged from three,
and some hold the features of what they were made from; licences as they are on public hubs. The
spread of the gains is that of a table of fine-tuning (PARC: Bolya, Mittapalli and Hoffman, NeurIPS
2021; 71 models on 7 tasks, accuracy with standard deviations of 0.136 between models, 0.151 between
tasks and 0.119 beyond both). All tasks are of one modality, kind and metric, which is the hardest
for a prediction of gains. No file stands behind an entry: what reads weights cannot be measured on
it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import islice
from pathlib import Path

import numpy as np

from bequest.core import ArmResult, Card, Outcome, RankedSource, Task, TaskSummary, Verdict
from bequest.hub.records.entry import Entry, StoredFile, manifest_digest
from bequest.hub.sketches.task_sketch import sketch
from bequest.hub.storage.folder.registry import Records

LICENCES = ("Apache-2.0", "MIT", "CC-BY-4.0", "CC-BY-NC-4.0", "GPL-3.0-only", "CC-BY-SA-4.0")
_SHARES = (0.45, 0.25, 0.12, 0.08, 0.05, 0.05)
METHODS = ("fine-tune", "probe", "lora", "reuse", "stack", "parameters")  # the first the most often
_BETWEEN_MODELS, _BETWEEN_TASKS, _FIELD, _REST = 0.136, 0.151, 0.1, 0.118
_MADE, _MERGED = 0.55, 0.03  # shares of the models: made from one, from three
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
    origin : int array, shape (M,)
        The task that a model was trained on.
    parents : tuple of tuples of int, M of them
        The earlier models that it was made from.
    method : int array, shape (M,)
        How, where it was made from one.
    quality : array, shape (M,)
    licence : int array, shape (M,)
    model, task : int arrays, shape (n,)
    gain, width : arrays, shape (n,)
        The gain and half the width of its interval.
    """

    field: np.ndarray
    level: np.ndarray
    origin: np.ndarray
    parents: tuple[tuple[int, ...], ...]
    method: np.ndarray
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
    quality = rng.normal(0, _BETWEEN_MODELS, models)
    level = rng.normal(0, _BETWEEN_TASKS, tasks)
    model, task = _popular(rng, models, 3, outcomes), _popular(rng, tasks, 2, outcomes)
    match = _FIELD * (field[origin[model]] == field[task])
    gain = level[task] + quality[model] + match + rng.normal(0, _REST, outcomes)
    width = rng.uniform(0.02, 0.2, outcomes)
    licence = rng.choice(len(LICENCES), size=models, p=_SHARES)
    parents, method = _parents(rng, models), _popular(rng, len(METHODS), 3, models)
    return Made(field, level, origin, parents, method, quality, licence, model, task, gain, width)


def _popular(rng: np.random.Generator, count: int, power: int, size: int) -> np.ndarray:
    """Of the first `count`, the earliest the most often."""
    return np.minimum((count * rng.random(size) ** power).astype(int), count - 1)


def _parents(rng: np.random.Generator, models: int) -> tuple[tuple[int, ...], ...]:
    drawn = rng.random(models)
    number = np.where(drawn < _MADE, 1, np.where(drawn < _MADE + _MERGED, 3, 0))
    chosen = (np.arange(models) * (rng.random((3, models)) ** 3)).astype(int)
    return tuple(
        tuple(sorted(set(chosen[: number[m], m].tolist()))) if m > 0 else () for m in range(models)
    )


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
    _write(records, "INSERT INTO entries VALUES (?, ?, ?, ?)", _rows(entries(made, sketched)))
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


def _files(made: Made, model: int) -> dict[str, StoredFile]:
    """What an entry is made of; probes and stacks hold the features of another."""
    files = {
        path: StoredFile(_hash(f"{path} {model}"), 500 + model % 4500)
        for path in ("README.md", "card.json", "config.json")
    }
    weights = StoredFile(_weights(made, model), 40_000_000)
    if not _holds(made, model):
        return files | {"model.safetensors": weights}
    head = StoredFile(_hash(f"head {model}"), 20_000)
    return files | {"head/model.safetensors": head, "source/model.safetensors": weights}


def _weights(made: Made, model: int) -> str:
    while _holds(made, model):
        (model,) = made.parents[model]
    return _hash(f"weights {model}")


def _holds(made: Made, model: int) -> bool:
    return len(made.parents[model]) == 1 and METHODS[made.method[model]] in ("probe", "stack")


def entries(made: Made, sketched: float = 0.0) -> Iterator[Entry]:
    """Every model after what it was made from."""
    sketches, done = _sketches() if sketched else {}, set()
    for model, parents in enumerate(made.parents):
        task = int(made.origin[model])
        said = about(made, task)
        if task < sketched * len(made.field) and task not in done:
            done.add(task)
            said["sketch"] = sketches[int(made.field[task]), task % (_SKETCHED // _FIELDS)]
        method = METHODS[made.method[model]] if len(parents) == 1 else ""
        card = Card(
            name=made.model_name(model),
            task=TaskSummary.from_dict(said),
            metrics={"accuracy": round(0.6 + float(made.quality[model]), 4)},
            licence=LICENCES[made.licence[model]],
            parents=tuple(f"{made.model_name(parent)}@1" for parent in parents),
            method=method,
            settings={"lr": 0.001, "pull": 0.0} if method == "fine-tune" else {},
        )
        files = _files(made, model)
        when = f"2026-{1 + model % 12:02}-{1 + model % 28:02}T12:00:00+00:00"
        yield Entry(card.name, 1, manifest_digest(files), when, card, files)


def _rows(made: Iterable[Entry]) -> Iterator[tuple]:
    for entry in made:
        record = json.dumps(entry.to_dict())
        yield entry.name, entry.version, record, _hash(record)


def _uses(made: Made) -> Iterator[tuple]:
    for model in range(len(made.origin)):
        for digest in {file.digest for file in _files(made, model).values()}:
            yield digest, made.model_name(model), 1


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
            "method": METHODS[int(len(METHODS) * (row / len(made.gain)) ** 3)],
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
    one = _outcome(TaskSummary(), "@@source@@", Verdict(nan, nan, nan, "accuracy"))
    text, unset = one.to_json(), '"float:nan"'
    for key, value in (("gain", "@@gain@@"), ("low", "@@low@@"), ("high", "@@high@@")):
        text = text.replace(f'"{key}": {unset}', f'"{key}": {value}')
    text = text.replace('"target": {}', '"target": @@target@@')
    text = text.replace('"selected": "transfer"', '"selected": "@@handed@@"')
    text = text.replace('"kind": "undecided"', '"kind": "@@kind@@"')
    text = text.replace('"seed": 0', '"seed": @@seed@@')
    halves = text.split('"arms"')
    for value in ("@@score@@", "@@beside@@"):
        for old in (f'"score": {unset}', '"linear": 0.5'):
            halves[0] = halves[0].replace(old, f"{old.split()[0]} {value}", 1)
    halves[1] = halves[1].replace(f'"score": {unset}', '"score": @@metric@@')
    return '"arms"'.join(halves)


def _outcome(target: TaskSummary, source: str, verdict: Verdict) -> Outcome:
    nan = float("nan")
    ranked = [RankedSource(name, nan, 0.5, 1.5, {"linear": 0.5}) for name in (source, "@@other@@")]
    arm = ArmResult(source, "@@method@@", {"lr": 0.001}, nan, (0.8, 0.81, 0.79), 1.5)
    return Outcome(
        target=target,
        source=source,
        method="@@method@@",
        settings={"lr": 0.001},
        selected="transfer",
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
