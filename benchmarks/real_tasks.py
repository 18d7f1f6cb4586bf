"""Real transfer tasks from ../shared/data and scikit-learn: sources' rows, target rows, test rows.

Nothing here is tuned: the draws depend on the seed alone.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits, load_svmlight_file

from bequest.core import Task

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
WINE = [
    *("fixed_acidity", "volatile_acidity", "citric_acid", "residual_sugar", "chlorides"),
    *("free_sulfur_dioxide", "total_sulfur_dioxide", "density", "ph", "sulphates", "alcohol"),
    "quality",
]


@dataclass(frozen=True)
class RealTask:
    """A source task with many labels, and a target of which few labels are drawn."""

    name: str
    nets: tuple[str, ...]  # the sources: what is trained on the source task
    load: Callable[[], tuple[Task, Task, Task | None]]  # source, target pool, test rows or None

    def draw(self, labels: int, seed: int) -> Task:
        """`labels` rows a class (of a regression: six times as many rows), the others held out."""
        _, pool, test = self.load()
        rng = np.random.default_rng([seed, labels])
        order = rng.permutation(len(pool))
        if pool.kind == "regression":
            few = order[: 6 * labels]
        else:
            few = np.concatenate([_some(order, pool, c, labels) for c in range(len(pool.classes))])
        held_out = test if test is not None else pool.take(np.setdiff1d(order, few))
        return pool.take(few).with_test(held_out)


def _some(order, pool, place, labels):
    rows = order[pool.targets[order] == place]
    return rows[: min(labels, len(rows) // 2)]


def missing_folders() -> list[str]:
    wanted = ["fashion_mnist", "mnist_t10k", "heart_disease_uci", "uci_tabular"]
    wanted.append("amazon_reviews_msda5000")
    return [name for name in wanted if not (DATA / name).is_dir()]


@cache
def _digits():
    images, digits = load_digits(return_X_y=True)
    pixels = (images.reshape(-1, 1, 8, 8) / 16.0).astype(np.float32)
    low = digits < 5
    source = Task.from_arrays(pixels[low], digits[low], name="digits 0-4")
    return source, Task.from_arrays(pixels[~low], digits[~low], name="digits 5-9"), None


@cache
def _fashion_arrays(part):
    with np.load(DATA / "fashion_mnist" / f"fashion_mnist_{part}.npz") as file:
        images, labels = file["x"].reshape(-1, 1, 28, 28), file["y"].astype(int)
    order = np.random.default_rng(0).permutation(len(labels))  # the file is sorted by class
    return (images[order] / 255.0).astype(np.float32), labels[order]


@cache
def _mnist_arrays():
    folder = DATA / "mnist_t10k"
    raw = gzip.decompress((folder / "t10k-images-idx3-ubyte.gz").read_bytes())
    labels = gzip.decompress((folder / "t10k-labels-idx1-ubyte.gz").read_bytes())
    images = np.frombuffer(raw, np.uint8, offset=16).reshape(-1, 1, 28, 28)
    return (images / 255.0).astype(np.float32), np.frombuffer(labels, np.uint8, offset=8).astype(
        int
    )


@cache
def _fashion_split():
    (X, y), (X_test, y_test) = _fashion_arrays("train"), _fashion_arrays("test")
    low, high, high_test = y < 5, y >= 5, y_test >= 5
    source = Task.from_arrays(X[low][:10_000], y[low][:10_000], name="fashion 0-4")
    pool = Task.from_arrays(X[high][:10_000], y[high][:10_000], name="fashion 5-9")
    return source, pool, Task.from_arrays(X_test[high_test], y_test[high_test], name="fashion 5-9")


@cache
def _fashion_to_mnist():
    X, y = _fashion_arrays("train")
    source = Task.from_arrays(X[:20_000], [f"fashion {c}" for c in y[:20_000]], name="fashion")
    X, y = _mnist_arrays()
    half = len(X) // 2
    pool = Task.from_arrays(X[:half], y[:half], name="mnist")
    return source, pool, Task.from_arrays(X[half:], y[half:], name="mnist")


def _read(path):
    lines = [line.split(",") for line in path.read_text().split()]
    return {title: [line[i] for line in lines[1:]] for i, title in enumerate(lines[0])}


@cache
def _hospital(name):
    cells = _read(DATA / "heart_disease_uci" / f"processed.{name}.data")
    ill = ["healthy" if cell == "0" else "ill" for cell in cells.pop("target")]
    inputs = {
        title: [np.nan if cell in ("", "?") else float(cell) for cell in column]
        for title, column in cells.items()
    }
    # the draws hold as many ill as healthy, whatever the hospital: the metric must not depend on it
    return Task.from_table(
        {**inputs, "ill": ill}, "ill", metric="balanced_accuracy", name=f"heart, {name}"
    )


def _heart(name):
    return _hospital("cleveland"), _hospital(name), None


@cache
def _wine():
    def read(colour):
        rows = np.loadtxt(DATA / "uci_tabular" / f"winequality-{colour}.csv", delimiter=",")
        columns = {title: rows[:, place] for place, title in enumerate(WINE)}
        return Task.from_table(columns, "quality", kind="regression", name=f"{colour} wine")

    return read("white"), read("red"), None


@cache
def _reviews(name, part):
    X, y = load_svmlight_file(
        str(DATA / "amazon_reviews_msda5000" / f"{name}_{part}.svmlight"),
        n_features=5000,
        zero_based=True,
    )
    counts = np.log1p(X.toarray()).astype(np.float32)
    return Task.from_arrays(counts, (y > y.mean()).astype(int), name=name)


def _amazon(source, target):
    return _reviews(source, "train"), _reviews(target, "train"), _reviews(target, "test")


PAIRS = (("books", "dvd"), ("dvd", "electronics"), ("electronics", "kitchen"), ("kitchen", "books"))
TASKS = {
    task.name: task
    for task in (
        RealTask("digits 0-4 to 5-9", ("resnet",), _digits),
        RealTask("fashion 0-4 to 5-9", ("resnet",), _fashion_split),
        RealTask("fashion to mnist", ("resnet",), _fashion_to_mnist),
        *(
            RealTask(
                f"heart: cleveland to {name}", ("mlp", "linear", "boosting"), partial(_heart, name)
            )
            for name in ("hungarian", "switzerland", "va")
        ),
        RealTask("wine: white to red", ("mlp", "linear", "boosting"), _wine),
        *(
            RealTask(f"reviews: {a} to {b}", ("mlp", "linear"), partial(_amazon, a, b))
            for a, b in PAIRS
        ),
    )
}
