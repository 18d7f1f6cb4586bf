"""Load untrusted trees and ask them once: a script for `bequest.core.child_process`.

What crashes here, in a process with little memory, would otherwise crash the one that loads.
"""

from __future__ import annotations

import importlib
import json
import os
import random
import sys
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

ODD = (float("nan"), 0.0, -1.0, 1.0, 1e30, -1e30)
ROWS = 64


def _rows(width: int, texts: Collection[int]) -> list[list[Any]]:
    """Rows of odd numbers, and of texts in the columns of these places."""
    rng = random.Random(0)
    rows = [[rng.choice([*ODD, rng.gauss(0, 9)]) for _ in range(width)] for _ in range(ROWS)]
    return [["nan" if place in texts else one for place, one in enumerate(row)] for row in rows]


def _lightgbm(path: Path, told: dict[str, Any]) -> None:
    numpy, lightgbm = map(importlib.import_module, ("numpy", "lightgbm"))
    trees = lightgbm.Booster(model_str=path.read_text(encoding="utf-8"))
    trees.predict(numpy.array(_rows(told["width"], ())), num_threads=1)


def _xgboost(path: Path, told: dict[str, Any]) -> None:
    numpy, xgboost = map(importlib.import_module, ("numpy", "xgboost"))
    trees = xgboost.Booster(model_file=bytearray(path.read_bytes()))
    rows = numpy.array(_rows(told["width"], ()))
    small = numpy.abs(numpy.nan_to_num(rows)) % 3  # a category is a small whole number
    names = {"feature_names": trees.feature_names, "feature_types": trees.feature_types}
    trees.predict(xgboost.DMatrix(small.round(), nthread=1, **names))


def _catboost(path: Path, told: dict[str, Any]) -> None:
    catboost = importlib.import_module("catboost")
    model = catboost.CatBoostRegressor() if told["regression"] else catboost.CatBoostClassifier()
    model.load_model(str(path), format="json")
    rows = _rows(told["width"], told["coded"])
    pool = catboost.Pool(rows, cat_features=told["coded"], feature_names=model.feature_names_)
    model.predict(pool, thread_count=1)


ASK: dict[str, Callable[[Path, dict[str, Any]], None]] = {
    "lightgbm": _lightgbm,
    "xgboost": _xgboost,
    "catboost": _catboost,
}

if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    told = json.loads(sys.argv[2])
    try:
        ASK[told["library"]](Path(sys.argv[1]), told)
    except Exception as error:  # the library's own words, in one line
        sys.exit(" ".join(str(error).split())[:200] or type(error).__name__)
