"""XGBoost's trees.

N rows, D columns, C classes, T trees.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, final

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, softmax

from bequest.errors import ModelError
from bequest.frameworks.boosting.levels import level_texts
from bequest.frameworks.boosting.library import Booster, Growth, TreeLibrary, check_tree
from bequest.optional import need

__all__ = ["XGBoost"]

Array = NDArray[Any]
VALUES = ("reg:", "count:poisson")


@final
class XGBoost(TreeLibrary):
    """`XGBClassifier`, `XGBRegressor`, their random forests, and `Booster`."""

    name: ClassVar[str] = "xgboost"
    package: ClassVar[str] = "xgboost-cpu"
    file: ClassVar[str] = "trees.json"

    def owns(self, trained: Any, module: Any) -> bool:
        """A Booster, or one of its estimators."""
        return isinstance(trained, module.Booster | module.XGBModel)

    def read(self, trained: Any, module: Any) -> Booster:
        """A copy that ends at the best round."""
        trees = trained
        if isinstance(trained, module.XGBModel):
            if not trained.__sklearn_is_fitted__():
                raise ModelError(f"{type(trained).__name__} is not fitted: call fit(X, y) first.")
            trees = trained.get_booster()
        best = trees.attr("best_iteration")
        trees = trees if best is None else trees[: int(best) + 1]
        values = json.loads(trees.save_raw("json"))
        if values["learner"]["gradient_booster"]["name"] == "gblinear":
            raise ModelError("XGBoost's linear booster has no trees: it is not supported.")
        categories = _categories(trees)
        # with its own levels it would take no rows of codes to go on with
        _model(values)["cats"] = {"enc": [], "feature_segments": [], "sorted_idx": []}
        trees = module.Booster(model_file=bytearray(json.dumps(values).encode()))
        return Booster(
            trees,
            columns=tuple(trees.feature_names or ()),
            width=int(trees.num_features()),
            categories=categories,
            classes=tuple(range(_outputs(values))),
        )

    def output(self, booster: Booster, rows: Any) -> Array:
        """Probabilities whatever the objective, or values."""
        trees, data = booster.trees, _matrix(booster, rows)
        objective = _objective(trees)
        if not booster.classes or objective == "multi:softprob":
            return np.asarray(trees.predict(data), dtype=np.float64)
        if objective == "binary:logistic":
            second = np.asarray(trees.predict(data), dtype=np.float64)
            return np.stack([1.0 - second, second], axis=1)
        margin = np.asarray(trees.predict(data, output_margin=True), dtype=np.float64)
        if margin.ndim == 1:
            return np.stack([expit(-margin), expit(margin)], axis=1)
        return np.asarray(softmax(margin, axis=1))

    def leaves(self, booster: Booster, rows: Any) -> Array:
        """XGBoost numbers the nodes of each tree, leaves and others, from 0."""
        said = booster.trees.predict(_matrix(booster, rows), pred_leaf=True)
        return np.asarray(said, dtype=np.int64).reshape(len(rows), -1)

    def leaf_numbers(self, booster: Booster) -> list[Array]:
        """The nodes without children."""
        trees = _trees(json.loads(booster.trees.save_raw("json")))
        return [np.flatnonzero(np.asarray(tree["left_children"]) == -1) for tree in trees]

    def write(self, booster: Booster, path: Path) -> None:
        """XGBoost's JSON."""
        path.write_bytes(booster.trees.save_raw("json"))

    def load(self, path: Path, module: Any, *, regression: bool) -> Any:
        """A Booster."""
        return module.Booster(model_file=bytearray(path.read_bytes()))

    def check(self, text: str, width: int) -> None:
        """Each tree is one, over the model's columns and inside its own arrays."""
        try:
            values = json.loads(text)
            if int(values["learner"]["learner_model_param"]["num_feature"]) != width:
                raise ModelError(f"XGBoost's JSON does not have the {width} columns of its config.")
            _check_numbers(values)
            for place, tree in enumerate(_trees(values)):
                _check_tree(tree, width, f"tree {place}")
        except (KeyError, TypeError, ValueError, IndexError, RecursionError) as error:
            if isinstance(error, ModelError):
                raise
            raise ModelError("XGBoost's JSON is damaged.") from error

    def continued(self, booster: Booster, rows: Any, targets: Array, growth: Growth) -> Any:
        """XGBoost's `xgb_model`."""
        xgboost = need("xgboost", extra="", purpose="boosting further")
        values = json.loads(booster.trees.save_raw("json"))
        params: dict[str, Any] = {
            "objective": _objective(booster.trees),
            "booster": values["learner"]["gradient_booster"]["name"],
            "learning_rate": growth.lr,
            "max_depth": 3,
            # of a class's rows each weighs up to a quarter: p (1 - p)
            "min_child_weight": growth.leaf / (4 if booster.classes else 1),
            "seed": growth.seed,
            "nthread": 1,
            "verbosity": 0,
        }
        if len(booster.classes) > 2:
            params["num_class"] = len(booster.classes)
        data = _matrix(booster, rows, targets)
        return xgboost.train(params, data, growth.rounds, xgb_model=booster.trees.copy())


def _matrix(booster: Booster, rows: Array, targets: Array | None = None) -> Any:
    xgboost = need("xgboost", extra="", purpose="XGBoost's trees")
    return xgboost.DMatrix(
        rows,
        targets,
        feature_names=booster.trees.feature_names,
        feature_types=booster.trees.feature_types,
        nthread=1,
    )


def _objective(trees: Any) -> str:
    return str(json.loads(trees.save_config())["learner"]["objective"]["name"])


def _outputs(values: Mapping[str, Any]) -> int:
    """Classes; 0 for a regression."""
    objective = str(values["learner"]["objective"]["name"])
    param = values["learner"]["learner_model_param"]
    if int(param.get("num_target", 1)) > 1:
        raise ModelError("XGBoost predicts several targets a row here: one is wanted.")
    if objective.startswith("binary:"):
        return 2
    if objective.startswith("multi:"):
        return int(param["num_class"])
    if objective.startswith(VALUES):
        return 0
    raise ModelError(f"XGBoost's objective {objective!r} is neither classes nor values.")


def _categories(trees: Any) -> dict[str, tuple[str, ...]]:
    """Levels by column; those that were codes already have none to name."""
    if "c" not in (trees.feature_types or ()) or not trees.feature_names:
        return {}
    named = trees.get_categories(export_to_arrow=True).to_arrow()
    return {
        str(name): level_texts(levels.to_pylist()) for name, levels in named if levels is not None
    }


def _model(values: Mapping[str, Any]) -> dict[str, Any]:
    part = values["learner"]["gradient_booster"]
    found: dict[str, Any] = part["gbtree"]["model"] if part["name"] == "dart" else part["model"]
    return found


def _trees(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = _model(values)["trees"]
    return found


def _check_numbers(values: Mapping[str, Any]) -> None:
    """The trees are counted alike everywhere, and each adds to an output that there is."""
    model, part = _model(values), values["learner"]["gradient_booster"]
    trees = len(model["trees"])
    outputs = max(1, int(values["learner"]["learner_model_param"]["num_class"]))
    ends = model.get("iteration_indptr", [0, trees])
    sound = len(model["tree_info"]) == int(model["gbtree_model_param"]["num_trees"]) == trees
    sound = sound and all(0 <= int(one) < outputs for one in model["tree_info"])
    sound = sound and ends[0] == 0 and ends[-1] == trees and ends == sorted(ends)
    sound = sound and not model.get("cats", {}).get("enc")
    sound = sound and len(part.get("weight_drop", model["trees"])) == trees
    if not sound:
        raise ModelError("XGBoost's JSON contradicts itself about the number of its trees.")


def _check_tree(tree: Mapping[str, Any], width: int, what: str) -> None:
    left, right = tree["left_children"], tree["right_children"]
    nodes = len(left)
    per_node = ("right_children", "split_indices", "split_conditions", "split_type", "default_left")
    sound = nodes > 0 and all(len(tree[key]) == nodes for key in per_node)
    sound = sound and int(tree["tree_param"]["num_nodes"]) == nodes
    sound = sound and all(0 <= int(one) < width for one in tree["split_indices"])
    sizes, starts = tree["categories_sizes"], tree["categories_segments"]
    sound = sound and len(sizes) == len(starts) == len(tree["categories_nodes"])
    total = len(tree["categories"])
    sound = sound and all(
        start >= 0 and size > 0 and start + size <= total
        for start, size in zip(starts, sizes, strict=True)
    )
    sound = sound and all(0 <= int(one) < 2**24 for one in tree["categories"])
    coded = [node for node, kind in enumerate(tree["split_type"]) if kind == 1]
    sound = sound and tree["categories_nodes"] == coded
    if not sound:
        raise ModelError(f"{what} of XGBoost's JSON is damaged.")
    check_tree(left, right, nodes, f"{what} of XGBoost's JSON")
