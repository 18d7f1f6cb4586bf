"""scikit-learn's learners as small models of vectors.

N samples, D numbers, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from bequest.core import Card, InputSpec, Task
from bequest.frameworks.sklearn_model import SklearnModel

__all__ = ["boosting_estimator", "linear_estimator", "text_estimator", "vector_model"]

Array = NDArray[Any]
TEXT_STRENGTH = 100.0
ALPHAS = tuple(10.0**power for power in np.arange(-2.0, 4.5, 0.5))


def linear_estimator(task: Task, strength: float, categorical: Sequence[bool] = ()) -> Any:
    """Logistic regression at a given strength, or ridge at the strength that leave-one-out picks.

    The strength is the inverse of the regularisation, scikit-learn's C; regression needs none. Of D
    columns the last ones may be `categorical` and hold codes: each level becomes a column. The
    pipeline standardises first, and is not fitted. Where all rows are of one class, it is an
    estimator that predicts that class.

    References
    ----------
    Hoerl and Kennard, Ridge Regression, Technometrics 1970.

    Examples
    --------
    >>> X = np.array([[0.0], [1.0], [2.0], [3.0]])
    >>> task = Task.from_arrays(X, ["a", "a", "b", "b"])
    >>> linear_estimator(task, strength=1.0).fit(X, task.labels).predict([[9.0]]).tolist()
    ['b']
    """
    if task.kind == "regression":
        return make_pipeline(_columns(categorical), RidgeCV(alphas=ALPHAS))
    if len(np.unique(task.targets)) < 2:
        return DummyClassifier(strategy="prior")  # a fold may hold one class only
    return make_pipeline(_columns(categorical), LogisticRegression(C=strength, max_iter=2000))


def text_estimator(task: Task, strength: float) -> Any:
    """As `linear_estimator`, of counts of words as `TextEncoder` gives them, sparse (N, D).

    They are not standardised, which would raise the rarest words to the weight of all others. A
    row has length one in each half, a standardised one the root of D: so C is higher here.
    """
    if task.kind == "regression":
        return RidgeCV(alphas=ALPHAS)
    if len(np.unique(task.targets)) < 2:
        return DummyClassifier(strategy="prior")
    return LogisticRegression(C=TEXT_STRENGTH * strength, max_iter=2000)


def _columns(categorical: Sequence[bool]) -> Any:
    if not any(categorical):
        return StandardScaler()
    levels = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    if all(categorical):
        return levels  # a scaler refuses to scale no columns
    codes = sum(categorical)
    return ColumnTransformer(
        [("numbers", StandardScaler(), slice(0, -codes)), ("codes", levels, slice(-codes, None))]
    )


def boosting_estimator(task: Task, leaf: int, categorical: list[bool], seed: int) -> Any:
    """Histogram gradient boosting, not fitted: 100 shallow trees of 15 leaves at most.

    `leaf` is the least rows in a leaf; `categorical` says which of D columns hold codes. Where all
    rows are of one class, it is an estimator that predicts that class.

    References
    ----------
    Ke et al., LightGBM, NeurIPS 2017.

    Examples
    --------
    >>> X = np.arange(40.0)[:, None]
    >>> task = Task.from_arrays(X, ["a"] * 20 + ["b"] * 20)
    >>> estimator = boosting_estimator(task, leaf=5, categorical=[False], seed=0)
    >>> estimator.fit(X, task.labels).predict([[9.0], [39.0]]).tolist()
    ['a', 'b']
    """
    if task.kind == "classification" and len(np.unique(task.targets)) < 2:
        return DummyClassifier(strategy="prior")
    regression = task.kind == "regression"
    made = HistGradientBoostingRegressor if regression else HistGradientBoostingClassifier
    return made(
        max_iter=100,
        learning_rate=0.1,
        max_leaf_nodes=15,
        min_samples_leaf=leaf,
        l2_regularization=1.0,
        categorical_features=categorical if any(categorical) else None,
        early_stopping=False,
        random_state=seed,
    )


def vector_model(estimator: Any, matrix: Array, task: Task) -> SklearnModel:
    """Fit `estimator`, in place, on a matrix (N, D) and the task's targets, and name its classes.

    The model of vectors (D,) has the task's classes, also those without a row.

    Examples
    --------
    >>> X = np.array([[0.0], [1.0], [2.0], [3.0]])
    >>> task = Task.from_arrays(X, ["a", "a", "b", "b"])
    >>> vector_model(linear_estimator(task, 1.0), 10 * X, task).predict([[90.0]]).tolist()
    ['b']
    """
    estimator.fit(matrix, task.labels)
    return SklearnModel(
        estimator,
        spec=InputSpec("vector", (matrix.shape[1],)),
        classes=task.classes,
        card=Card(),
    )
