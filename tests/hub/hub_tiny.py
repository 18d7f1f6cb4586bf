"""A model of a few numbers that loads without torch or scikit-learn."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from bequest.core import Card, InputSpec, Model
from bequest.frameworks.files.folder import KINDS, _digest, write_folder


class TinyModel(Model):
    """Predicts one of two classes by the sign of a weighted sum."""

    def __init__(self, weights, card: Card | None = None) -> None:
        self.weights = np.asarray(weights, dtype=np.float64)
        self.spec = InputSpec("vector", (len(self.weights),))
        self.classes = ("no", "yes")
        self.card = card or Card(name="tiny")

    def output(self, X):
        yes = 1 / (1 + np.exp(-np.asarray(X) @ self.weights))
        return np.stack([1 - yes, yes], axis=1)

    def parameters(self):
        return {"weights": self.weights}

    @property
    def structure(self):
        return {"columns": len(self.weights)}

    def with_card(self, card: Card) -> TinyModel:
        return TinyModel(self.weights, card)

    def save(self, folder) -> None:
        write_folder(
            folder,
            kind="tiny",
            config={"columns": len(self.weights)},
            card=self.card,
            write=lambda work: (work / "weights.f64").write_bytes(self.weights.tobytes()),
        )


def load_tiny(folder: Path, config, card: Card, modules=()) -> TinyModel:
    return TinyModel(np.frombuffer((folder / "weights.f64").read_bytes()), card)


def register() -> None:
    """Make `bequest.load` know this kind; twice does no harm."""
    if "tiny" not in KINDS:
        KINDS.add("tiny", load_tiny)


def reseal(folder: Path, change=None) -> None:
    """Write the hashes of a folder whose files were changed anew, as every stranger can."""
    place = folder / "config.json"
    config = json.loads(place.read_bytes())
    for name in config["files"]:
        if (folder / name).is_file():
            config["files"][name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    if change is not None:
        change(config)
    del config["digest"]
    config["digest"] = _digest(config)
    place.write_text(json.dumps(config))


@contextmanager
def quiet(level: int = logging.CRITICAL) -> Iterator[None]:
    """Nothing up to this level is logged inside; what others log afterwards is."""
    before = logging.root.manager.disable
    logging.disable(level)
    try:
        yield
    finally:
        logging.disable(before)
