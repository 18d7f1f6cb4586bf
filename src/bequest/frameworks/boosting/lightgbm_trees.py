"""LightGBM's trees.

N rows, D columns, C classes, T trees.
"""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any, ClassVar, final

import numpy as np
from numpy.typing import NDArray

from bequest.core.model import plain_labels
from bequest.errors import ModelError
from bequest.frameworks.boosting.levels import level_texts
from bequest.frameworks.boosting.library import Booster, Growth, TreeLibrary, check_tree
from bequest.optional import need

__all__ = ["LightGBM"]

Array = NDArray[Any]
BINARY = ("binary",)
SEVERAL = ("multiclass", "multiclassova")
VALUES = (
    "regression", "regression_l1", "huber", "fair", "poisson", "quantile", "mape", "gamma",
    "tweedie", "cross_entropy", "cross_entropy_lambda",
)  # fmt: skip
CATEGORICAL = 1  # bit of a node's decision_type
PER_NODE = ("split_feature", "threshold", "decision_type", "left_child", "right_child")


@final
class LightGBM(TreeLibrary):
    """`LGBMClassifier`, `LGBMRegressor` and `Booster`."""

    name: ClassVar[str] = "lightgbm"
    package: ClassVar[str] = "lightgbm"
    file: ClassVar[str] = "trees.txt"

    def owns(self, trained: Any, module: Any) -> bool:
        """A Booster, or one of its estimators."""
        return isinstance(trained, module.Booster | module.LGBMModel)

    def read(self, trained: Any, module: Any) -> Booster:
        """A copy through its text, which ends at the best round."""
        labels = None
        booster = trained
        if isinstance(trained, module.LGBMModel):
            if not trained.__sklearn_is_fitted__():
                raise ModelError(f"{type(trained).__name__} is not fitted: call fit(X, y) first.")
            booster, labels = trained.booster_, getattr(trained, "classes_", None)
        text = booster.model_to_string()
        if re.search(r"^is_linear=1$", text, re.MULTILINE):
            raise ModelError("LightGBM's linear trees are not supported: train constant leaves.")
        trees = module.Booster(model_str=text)
        numbers = tuple(range(_outputs(trees, text)))
        names = tuple(booster.feature_name())
        made_up = names == tuple(f"Column_{place}" for place in range(len(names)))
        return Booster(
            trees,
            columns=() if made_up else names,
            width=len(names),
            categories=_categories(text, names, booster.pandas_categorical or []),
            classes=numbers if labels is None or not numbers else plain_labels(labels),
        )

    def plain_name(self, column: str) -> str:
        """Blanks become underscores."""
        return column.replace(" ", "_")

    def output(self, booster: Booster, rows: Any) -> Array:
        """As LightGBM predicts."""
        said = np.asarray(booster.trees.predict(rows, num_threads=1))
        if len(booster.classes) == 2 and said.ndim == 1:
            return np.stack([1.0 - said, said], axis=1)
        return said

    def leaves(self, booster: Booster, rows: Any) -> Array:
        """LightGBM numbers the leaves of each tree from 0."""
        said = booster.trees.predict(rows, pred_leaf=True, num_threads=1)
        return np.asarray(said, dtype=np.int64).reshape(len(rows), -1)

    def leaf_numbers(self, booster: Booster) -> list[Array]:
        """From 0, as many as the text says."""
        counts = re.findall(r"^num_leaves=(\d+)$", booster.trees.model_to_string(), re.MULTILINE)
        return [np.arange(int(count)) for count in counts]

    def write(self, booster: Booster, path: Path) -> None:
        """LightGBM's text."""
        path.write_text(booster.trees.model_to_string(), encoding="utf-8")

    def load(self, path: Path, module: Any, *, regression: bool) -> Any:
        """A Booster."""
        return module.Booster(model_str=path.read_text(encoding="utf-8"))

    def check(self, text: str, width: int) -> None:
        """Each tree is one, over the model's columns and inside its own arrays."""
        if not re.search(r"^end of trees$", text, re.MULTILINE):
            raise ModelError("LightGBM's text is truncated.")
        head, *trees = re.split(r"^Tree=\d+$", text, flags=re.MULTILINE)
        _check_head(_fields(head), width)
        for place, tree in enumerate(trees):
            _check_tree(_fields(tree), width, f"tree {place}")

    def continued(self, booster: Booster, rows: Any, targets: Array, growth: Growth) -> Any:
        """LightGBM's `init_model`."""
        lightgbm = need("lightgbm", extra="", purpose="boosting further")
        objective, *settings = _fields(booster.trees.model_to_string())["objective"].split(" ")
        params: dict[str, Any] = {
            **dict(setting.split(":") for setting in settings if ":" in setting),
            "objective": objective,
            "learning_rate": growth.lr,
            "num_leaves": 8,
            "min_data_in_leaf": growth.leaf,
            "min_data_per_group": growth.leaf,
            "lambda_l2": 1.0,
            "seed": growth.seed,
            "deterministic": True,
            "force_row_wise": True,
            "num_threads": 1,
            "verbosity": -1,
        }
        names = booster.trees.feature_name()
        coded = [p for p, name in enumerate(booster.columns) if name in booster.categories]
        data = lightgbm.Dataset(
            rows, targets, feature_name=names, categorical_feature=coded, params={"verbosity": -1}
        )
        grown = lightgbm.train(params, data, growth.rounds, init_model=booster.trees)
        return lightgbm.Booster(model_str=grown.model_to_string())


def _outputs(trees: Any, text: str) -> int:
    """Classes; 0 for a regression."""
    objective = _fields(text.partition("\nTree=")[0]).get("objective", "custom").split(" ")[0]
    if objective in BINARY:
        return 2
    if objective in SEVERAL:
        return int(trees.num_model_per_iteration())
    if objective in VALUES:
        return 0
    raise ModelError(f"LightGBM's objective {objective!r} is neither classes nor values.")


def _categories(
    text: str, names: tuple[str, ...], levels: list[list[Any]]
) -> dict[str, tuple[str, ...]]:
    """The columns of a DataFrame that were categories, in order, and their levels.

    LightGBM keeps the levels and not whose they are. Ordered categories are numbers to it.
    """
    if not levels:
        return {}
    listed = re.search(r"^\[categorical_feature: ([\d,]*)\]$", text, re.MULTILINE)
    infos = _fields(text.partition("\nTree=")[0]).get("feature_infos", "").split(" ")
    coded = [int(one) for one in listed[1].split(",")] if listed and listed[1] else []
    chosen = coded if len(coded) == len(levels) else _with_ordered(coded, infos, levels)
    if len(chosen) != len(levels):
        raise ModelError(
            f"LightGBM keeps levels of {len(levels)} columns and does not say which: give "
            "bequest.wrap(..., example=) a DataFrame as it was trained on."
        )
    return {names[place]: level_texts(one) for place, one in zip(chosen, levels, strict=True)}


def _with_ordered(coded: list[int], infos: list[str], levels: list[list[Any]]) -> list[int]:
    """The one choice of whole-number columns beside the coded ones whose codes fit the levels."""
    others = [p for p, info in enumerate(infos) if p not in coded and re.match(r"\[0:\d+\]$", info)]
    missing = len(levels) - len(coded)
    if missing < 0 or len(others) > 16:
        return []
    fitting = []
    for extra in itertools.combinations(others, missing):
        chosen = sorted([*coded, *extra])
        tops = [int(infos[p][3:-1]) if p in extra else -1 for p in chosen]
        if all(top < len(one) for top, one in zip(tops, levels, strict=True)):
            fitting.append(chosen)
    return fitting[0] if len(fitting) == 1 else []


def _fields(block: str) -> dict[str, str]:
    lines = (line.partition("=") for line in block.splitlines())
    return {key: value for key, equals, value in lines if equals}


def _check_head(head: dict[str, str], width: int) -> None:
    if head.get("max_feature_idx") != str(width - 1):
        raise ModelError(f"LightGBM's text does not have the {width} columns of its config.")
    outputs = re.search(r" num_class:(\d+)", head.get("objective", ""))
    wanted = outputs[1] if outputs else "1"  # the objective writes as many values as it says
    if not head.get("num_class") == head.get("num_tree_per_iteration") == wanted:
        raise ModelError("LightGBM's text contradicts itself about the number of classes.")


def _check_tree(tree: dict[str, str], width: int, what: str) -> None:
    try:
        leaves, groups = int(tree["num_leaves"]), int(tree["num_cat"])
        linear = tree.get("is_linear", "0") != "0"
        values = {key: tree.get(key, "").split() for key in (*PER_NODE, "leaf_value")}
        bounds = [int(one) for one in tree.get("cat_boundaries", "0").split()]
        words = len(tree.get("cat_threshold", "").split())
        nodes = {key: [float(one) for one in values[key]] for key in PER_NODE}
    except (KeyError, ValueError) as error:
        raise ModelError(f"{what} of LightGBM's text is damaged.") from error
    inner = leaves - 1
    sound = not linear and leaves >= 1 and len(values["leaf_value"]) == leaves
    sound = sound and all(len(one) == inner for one in nodes.values())
    sound = sound and all(0 <= one < width for one in nodes["split_feature"])
    if groups:
        steps = np.diff(bounds)
        sound = sound and len(bounds) == groups + 1 and bounds[0] == 0 and bool((steps > 0).all())
        sound = sound and bounds[-1] == words
    coded = [
        threshold
        for threshold, kind in zip(nodes["threshold"], nodes["decision_type"], strict=False)
        if int(kind) & CATEGORICAL
    ]
    if not sound or not all(0 <= one < groups for one in coded):
        raise ModelError(f"{what} of LightGBM's text is damaged.")
    if inner:
        # a child below zero is leaf number ~child: here the leaves follow the inner nodes
        children = [
            [int(one) if one >= 0 else inner + ~int(one) for one in nodes[key]] + [-1] * leaves
            for key in ("left_child", "right_child")
        ]
        check_tree(children[0], children[1], inner + leaves, what)
