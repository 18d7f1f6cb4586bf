"""CatBoost's trees.

N rows, D columns, C classes, T trees.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar, final

import numpy as np
from numpy.typing import NDArray

from bequest.core.model import plain_labels
from bequest.errors import ModelError, NotApplicable
from bequest.frameworks.boosting.library import ANY, Booster, Growth, TreeLibrary
from bequest.optional import need

__all__ = ["CatBoost"]

Array = NDArray[Any]
SEVERAL_ANSWERS = ("MultiLogloss", "MultiCrossEntropy", "MultiRMSE", "RMSEWithUncertainty")
ONE_HOT = 255  # levels that CatBoost gives a split of their own at most
RANKS = ("YetiRank", "PairLogit", "Query", "StochasticRank", "LambdaMart", "StochasticFilter")
DEEPEST = 16  # of CatBoost's symmetric trees


@final
class CatBoost(TreeLibrary):
    """`CatBoostClassifier`, `CatBoostRegressor` and `CatBoost`."""

    name: ClassVar[str] = "catboost"
    package: ClassVar[str] = "catboost"
    file: ClassVar[str] = "trees.json"

    def owns(self, trained: Any, module: Any) -> bool:
        """Any of its models."""
        return isinstance(trained, module.CatBoost)

    def read(self, trained: Any, module: Any) -> Booster:
        """A copy; CatBoost has cut it at the best round itself, where it was to."""
        if not trained.is_fitted():
            raise ModelError(f"{type(trained).__name__} is not fitted: call fit(X, y) first.")
        _refuse_unsupported(trained)
        names = tuple(map(str, trained.feature_names_))
        coded = [names[place] for place in trained.get_cat_feature_indices()]
        made_up = names == tuple(map(str, range(len(names)))) and not coded
        return Booster(
            trained.copy(),
            columns=() if made_up else names,
            width=len(names),
            categories=dict.fromkeys(coded, ANY),
            classes=plain_labels(trained.classes_),
        )

    def output(self, booster: Booster, rows: Any) -> Array:
        """As CatBoost predicts."""
        if booster.classes:
            said = booster.trees.predict(rows, prediction_type="Probability", thread_count=1)
        else:
            said = booster.trees.predict(rows, thread_count=1)
        return np.asarray(said, dtype=np.float64)

    def leaves(self, booster: Booster, rows: Any) -> Array:
        """CatBoost numbers the leaves of each tree from 0."""
        said = booster.trees.calc_leaf_indexes(rows, thread_count=1)
        return np.asarray(said, dtype=np.int64).reshape(len(rows), -1)

    def leaf_numbers(self, booster: Booster) -> list[Array]:
        """From 0, as many as CatBoost says."""
        return [np.arange(int(count)) for count in booster.trees.get_tree_leaf_counts()]

    def write(self, booster: Booster, path: Path) -> None:
        """CatBoost's JSON."""
        booster.trees.save_model(str(path), format="json")

    def load(self, path: Path, module: Any, *, regression: bool) -> Any:
        """A classifier or a regressor."""
        empty = module.CatBoostRegressor() if regression else module.CatBoostClassifier()
        return empty.load_model(str(path), format="json")

    def check(self, text: str, width: int) -> None:
        """Each tree has as many values as leaves, and splits on columns that are there."""
        try:
            values = json.loads(text)
            info = values["features_info"]
            floats = len(info.get("float_features", ()))
            if floats + len(info.get("categorical_features", ())) != width:
                raise ModelError(f"CatBoost's JSON does not have its config's {width} columns.")
            splits = sum(
                len(one.get("borders") or one.get("values") or ())
                for key in ("float_features", "categorical_features", "ctrs")
                for one in info.get(key) or ()
            )
            for place, tree in enumerate(values["oblivious_trees"]):
                if not all(0 <= one["split_index"] < splits for one in tree["splits"] or ()):
                    raise ModelError(f"tree {place} of CatBoost's JSON is damaged.")
                _check_tree(tree, floats, len(values["scale_and_bias"][1]), f"tree {place}")
        except (KeyError, TypeError, ValueError, IndexError, RecursionError) as error:
            if isinstance(error, ModelError):
                raise
            raise ModelError("CatBoost's JSON is damaged.") from error

    def continued(self, booster: Booster, rows: Any, targets: Array, growth: Growth) -> Any:
        """CatBoost's `init_model`."""
        catboost = need("catboost", extra="", purpose="boosting further")
        settings: dict[str, Any] = {
            "iterations": growth.rounds,
            "learning_rate": growth.lr,
            "depth": 3,
            "min_data_in_leaf": growth.leaf,
            # new statistics of the categories would be averaged with those that the old trees
            # read, and change what they say
            "one_hot_max_size": ONE_HOT,
            "random_seed": growth.seed,
            "loss_function": booster.trees.get_all_params()["loss_function"],
            "allow_writing_files": False,
            "thread_count": 1,
            "verbose": False,
        }
        coded = [p for p, name in enumerate(booster.columns) if name in booster.categories]
        for place in coded:
            levels = len(set(rows.iloc[:, place]))
            if levels > ONE_HOT:
                raise NotApplicable(
                    f"CatBoost goes on with categories of {ONE_HOT} levels at most: "
                    f"{booster.columns[place]!r} has {levels}."
                )
        named = {"cat_features": coded, "feature_names": list(booster.columns) or None}
        if not booster.classes:
            pool = catboost.Pool(rows, targets, **named)
            return catboost.CatBoostRegressor(**settings).fit(pool, init_model=booster.trees)
        # CatBoost counts the classes among the rows: one of each stands there, without weight
        classes = np.array(booster.trees.classes_)
        places = [*range(len(rows)), *(0 for _ in classes)]
        labels = np.concatenate([classes[targets], classes])
        weights = np.concatenate([np.ones(len(rows)), np.zeros(len(classes))])
        taken = rows.iloc[places] if hasattr(rows, "iloc") else rows[places]
        pool = catboost.Pool(taken, labels, weight=weights, **named)
        return catboost.CatBoostClassifier(**settings).fit(pool, init_model=booster.trees)


def _refuse_unsupported(trained: Any) -> None:
    loss = str(trained.get_all_params().get("loss_function", ""))
    if loss.partition(":")[0] in SEVERAL_ANSWERS:
        raise ModelError(f"CatBoost's loss {loss} gives several answers a row: one is wanted.")
    if loss.startswith(RANKS):
        raise ModelError(f"CatBoost's loss {loss} ranks: it is neither classes nor values.")
    if trained.get_all_params().get("grow_policy", "SymmetricTree") != "SymmetricTree":
        raise ModelError("CatBoost's trees that are not symmetric are not supported.")
    if trained.get_text_feature_indices() or trained.get_embedding_feature_indices():
        raise ModelError("CatBoost's columns of texts and embeddings are not supported.")


def _check_tree(tree: dict[str, Any], floats: int, outputs: int, what: str) -> None:
    splits = tree["splits"] or []
    places = [split.get("float_feature_index", 0) for split in splits]
    sound = len(splits) <= DEEPEST and len(tree["leaf_values"]) == outputs * 2 ** len(splits)
    if not sound or not all(0 <= place < max(floats, 1) for place in places):
        raise ModelError(f"{what} of CatBoost's JSON is damaged.")
