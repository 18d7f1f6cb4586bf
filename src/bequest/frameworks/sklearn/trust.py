"""Whether a fitted estimator's arrays are safe to hand to scikit-learn's compiled code.

That code follows the indices in a tree, counts support vectors and reads neighbours' classes
without asking whether they lie inside of their arrays: a crafted file would crash the process, or
read memory that is not the model's. D features, V support vectors, C classes.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor
from sklearn.ensemble._forest import BaseForest
from sklearn.ensemble._hist_gradient_boosting.gradient_boosting import BaseHistGradientBoosting
from sklearn.neighbors import BallTree, KDTree
from sklearn.neighbors._base import NeighborsBase
from sklearn.preprocessing import FunctionTransformer, OrdinalEncoder
from sklearn.svm._base import BaseLibSVM
from sklearn.tree import BaseDecisionTree

from bequest.errors import UnsafeModel

__all__ = ["check_fitted_parts", "check_tree", "parts_of", "rebuild_search_trees"]

Array = NDArray[Any]
ELSEWHERE: dict[str, Any] = {"memory": None, "n_jobs": None, "verbose": 0}
SEARCH_TREES = {"kd_tree": KDTree, "ball_tree": BallTree}


def parts_of(estimator: Any) -> list[Any]:
    """The estimator and every object inside of it, each once.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> [type(part).__name__ for part in parts_of(make_pipeline(StandardScaler()))]
    ['Pipeline', 'StandardScaler']
    """
    found: list[Any] = []
    seen: dict[int, Any] = {}
    queue = [estimator]
    while queue:
        item = queue.pop(0)
        if item is None or isinstance(item, str | bytes | int | float) or id(item) in seen:
            continue
        seen[id(item)] = item
        queue.extend(_inside(item))
        if hasattr(item, "__dict__") and not isinstance(item, type | np.ufunc):
            found.append(item)
    return found


def _inside(item: Any) -> Iterator[Any]:
    if isinstance(item, np.ndarray):
        yield from item.ravel() if item.dtype == object else ()
    elif isinstance(item, dict):
        yield from item.values()
    elif isinstance(item, list | tuple | set):
        yield from item
    elif isinstance(item, functools.partial):
        yield from (item.args, item.keywords)
    if hasattr(item, "__dict__") and not isinstance(item, type):
        yield from vars(item).values()


def check_tree(
    *, n_features: int, n_classes: Array, n_outputs: int, node_count: int, nodes: Array,
    values: Array,
) -> None:  # fmt: skip
    """Raise `UnsafeModel` unless every index of a decision tree lies inside of its arrays.

    `nodes` are scikit-learn's records (node_count,), `values` (node_count, n_outputs,
    max(n_classes)).
    """
    sound = n_classes.ndim == 1 and n_classes.dtype.kind == "i" and len(n_classes) == n_outputs
    sound = sound and n_outputs >= 1 and int(n_classes.min()) >= 1 and n_features >= 1
    sound = sound and nodes.ndim == 1 and len(nodes) == node_count >= 1
    if not sound or values.shape != (node_count, n_outputs, int(n_classes.max())):
        raise UnsafeModel("a tree's sizes contradict each other.")
    if not {"left_child", "right_child", "feature"} <= set(nodes.dtype.names or ()):
        raise UnsafeModel("a tree's nodes lack their children.")
    left, right, feature = (nodes[key] for key in ("left_child", "right_child", "feature"))
    # scikit-learn takes a node without a left child for a leaf
    _check_branches(left, right, feature, left == -1, n_features)


def _check_branches(left: Array, right: Array, feature: Array, leaf: Array, width: int) -> None:
    """Children come after their parents (so no walk is endless); features lie below `width`."""
    if any(part.dtype.kind not in "iu" for part in (left, right, feature)):
        raise UnsafeModel("a tree's indices are no whole numbers.")
    rows = np.flatnonzero(~leaf)
    for child in (left, right):
        chosen = child[rows].astype(np.int64)
        if (chosen <= rows).any() or (chosen >= len(left)).any():
            raise UnsafeModel("a tree's children lie outside of it.")
    chosen = feature[rows].astype(np.int64)
    if (chosen < 0).any() or (chosen >= width).any():
        raise UnsafeModel(f"a tree asks for features that are not among its {width}.")


def check_fitted_parts(estimator: Any) -> None:
    """Raise `UnsafeModel` unless all parts fit each other where compiled code relies on it.

    Settings that are no part of what was learned go back to their defaults: ``memory`` (a folder of
    pickles), ``n_jobs`` and ``verbose``.
    """
    try:
        for part in parts_of(estimator):
            for name, value in ELSEWHERE.items():
                if hasattr(part, "get_params") and name in vars(part):
                    setattr(part, name, value)
            for kind, fitted, check in CHECKS:
                if isinstance(part, kind) and hasattr(part, fitted):
                    check(part)
    except (AttributeError, LookupError, MemoryError, TypeError, ValueError) as error:
        if isinstance(error, UnsafeModel):
            raise
        raise UnsafeModel(
            f"its fitted parts are not sound: {str(error).splitlines()[0]}"
        ) from error


def _check_decision_tree(model: Any) -> None:
    _demand(model.tree_.n_features == model.n_features_in_, model)


def _check_forest(model: Any) -> None:
    for tree in model.estimators_:
        _demand(isinstance(tree, BaseDecisionTree), model)
        _demand(tree.tree_.n_features == model.n_features_in_, model)


def _check_boosting(model: Any) -> None:
    stages = model.estimators_
    _demand(isinstance(stages, np.ndarray) and stages.ndim == 2, model)
    for tree in stages.ravel():
        _demand(isinstance(tree, BaseDecisionTree), model)
        _demand(tree.tree_.n_features == model.n_features_in_, model)
        _demand(tree.tree_.n_outputs == tree.tree_.max_n_classes == 1, model)
    # compiled code adds to this array with the stages' number of columns
    start = model._raw_predict_init(np.zeros((1, model.n_features_in_), dtype=np.float32))
    _demand(start.shape == (1, stages.shape[1]), model)


def _check_histogram_boosting(model: Any) -> None:
    width = model.n_features_in_
    categorical = np.asarray(model._bin_mapper.is_categorical_)
    _demand(categorical.shape == (width,), model)
    if model._preprocessor is not None:
        _check_preprocessor(model, width)
    for predictor in (tree for stage in model._predictors for tree in stage):
        nodes, sets = predictor.nodes, predictor.raw_left_cat_bitsets
        _check_branches(
            nodes["left"], nodes["right"], nodes["feature_idx"], nodes["is_leaf"] != 0, width
        )
        splits = nodes[(nodes["is_leaf"] == 0) & (nodes["is_categorical"] != 0)]
        _demand(len(nodes) > 0 and sets.ndim == 2 and sets.shape[1] == 8, model)
        _demand(bool((splits["bitset_idx"] < len(sets)).all()), model)
        _demand(bool((categorical[splits["feature_idx"]] != 0).all()), model)


def _check_preprocessor(model: Any, width: int) -> None:
    """What the trees read is the preprocessor's output: it must be as wide as they believe."""
    _demand(model._preprocessor.n_features_in_ == width, model)
    total = 0
    for _, step, columns in model._preprocessor.transformers_:
        if isinstance(step, str) and step == "drop":
            continue
        total += _count(columns, width)
        if isinstance(step, FunctionTransformer):
            step = getattr(step.func, "func", step.func)
            _demand(step is None or getattr(step, "__name__", "") == "check_array", model)
        else:
            _demand(isinstance(step, OrdinalEncoder) or step == "passthrough", model)
    _demand(total == width, model)


def _count(columns: Any, width: int) -> int:
    if isinstance(columns, slice):
        return len(range(width)[columns])
    chosen = np.asarray(columns)
    return int(chosen.sum()) if chosen.dtype == bool else len(chosen)


def _check_support_vectors(model: Any) -> None:
    vectors, counts, weights = model.support_vectors_, model._n_support, model._dual_coef_
    _demand(isinstance(vectors, np.ndarray) and vectors.ndim == 2, model)
    _demand(not callable(model.kernel) and model.kernel != "precomputed", model)
    _demand(vectors.shape[1] == model.n_features_in_ and not model._sparse, model)
    classifies = model._impl in ("c_svc", "nu_svc")
    size = len(model.classes_) if classifies else 2
    pairs = size * (size - 1) // 2
    _demand(counts.shape == (size,) and int(counts.min()) >= 0, model)
    counted = counts.sum() if classifies else counts[0]
    _demand(int(counted) == len(vectors) == len(model.support_), model)
    _demand(weights.shape == (size - 1, len(vectors)), model)
    _demand(model._intercept_.shape == (pairs,), model)
    for fitted in (model._probA, model._probB):
        _demand(fitted.shape in ((0,), (pairs,)), model)
    _demand(len(model._probA) == len(model._probB), model)


def _check_neighbours(model: Any) -> None:
    _demand(model._tree is None and model._fit_method in (*SEARCH_TREES, "brute"), model)
    _demand(isinstance(model.effective_metric_, str), model)
    rows = model._fit_X
    _demand(isinstance(rows, np.ndarray) and rows.ndim == 2, model)
    _demand(rows.shape[1] == model.n_features_in_, model)
    _demand(getattr(model, "n_samples_fit_", len(rows)) == len(rows), model)
    labels = getattr(model, "_y", None)
    if labels is None:
        return
    _demand(len(labels) == len(rows), model)
    if hasattr(model, "classes_"):
        _demand(labels.ndim == 1 and labels.dtype.kind == "i", model)
        _demand(int(labels.min()) >= 0 and int(labels.max()) < len(model.classes_), model)


def rebuild_search_trees(estimator: Any) -> None:
    """Give nearest-neighbour models the search trees that their files leave out."""
    for part in parts_of(estimator):
        if not isinstance(part, NeighborsBase) or part.__dict__.get("_fit_method") == "brute":
            continue
        if not hasattr(part, "_fit_X"):
            continue  # a template that was never fitted
        try:
            part._tree = SEARCH_TREES[part._fit_method](
                part._fit_X,
                part.leaf_size,
                metric=part.effective_metric_,
                **part.effective_metric_params_,
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise UnsafeModel(
                f"the neighbours of its {type(part).__name__} cannot be indexed: {error}"
            ) from error


def _demand(sound: bool, model: Any) -> None:
    if not sound:
        raise UnsafeModel(f"the fitted parts of its {type(model).__name__} contradict each other.")


# Without the attribute a part is a template that was never fitted, and predicts nothing.
CHECKS = (
    (BaseDecisionTree, "tree_", _check_decision_tree),
    (BaseForest, "estimators_", _check_forest),
    (GradientBoostingClassifier | GradientBoostingRegressor, "estimators_", _check_boosting),
    (BaseHistGradientBoosting, "_predictors", _check_histogram_boosting),
    (BaseLibSVM, "support_vectors_", _check_support_vectors),
    (NeighborsBase, "_fit_X", _check_neighbours),
)
