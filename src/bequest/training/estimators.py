"""scikit-learn's learners as small models of vectors.

N samples, D numbers, C classes. What these functions make is not fitted: `fit_in_steps` does it.
Where all rows are of one class, as in a fold they may be, each makes an estimator that predicts it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
)
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.model_selection import StratifiedKFold
from sklearn.naive_bayes import ComplementNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, OneHotEncoder, StandardScaler
from sklearn.svm import SVC

from bequest.core import Card, InputSpec, Task
from bequest.frameworks.sklearn.model import SklearnModel
from bequest.training.growing import fit_in_steps

__all__ = [
    "ALPHAS",
    "MOST_STEPS",
    "TEXT_STRENGTH",
    "Scaling",
    "bayes_estimator",
    "boosting_estimator",
    "calibrated",
    "column_scaler",
    "linear_estimator",
    "svm_estimator",
    "text_estimator",
    "trees_estimator",
    "vector_model",
]

Array = NDArray[Any]
Scaling = Literal["standard", "none", "l2"]
TEXT_STRENGTH = 100.0
ALPHAS = tuple(10.0**power for power in np.arange(-2.0, 4.5, 0.5))
MOST_STEPS = 5000  # of logistic regression; raw columns of unlike scales need some thousand
TREES = 100
CALIBRATION_FOLDS = 5


def linear_estimator(
    task: Task, strength: float, categorical: Sequence[bool] = (), scaling: Scaling = "standard"
) -> Any:
    """Logistic regression at a given strength, or ridge at the strength that leave-one-out picks.

    Parameters
    ----------
    task : Task
        Says whether it is a regression.
    strength : float
        Inverse of the regularisation, scikit-learn's C; regression needs none.
    categorical : sequence of bool
        Of D columns the last ones may hold codes: each level becomes a column.
    scaling : {"standard", "none", "l2"}
        Each column to mean zero and variance one, or nothing, or each row to length one.

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
        return make_pipeline(column_scaler(scaling, categorical), RidgeCV(alphas=ALPHAS))
    if _one_class(task):
        return DummyClassifier(strategy="prior")
    classifier = LogisticRegression(C=strength, max_iter=MOST_STEPS)
    return make_pipeline(column_scaler(scaling, categorical), classifier)


def text_estimator(task: Task, strength: float) -> Any:
    """As `linear_estimator`, of counts of words as `TextEncoder` gives them, sparse (N, D).

    They are not standardised, which would raise the rarest words to the weight of all others. A
    row has length one in each half, a standardised one the root of D: so C is higher here.
    """
    if task.kind == "regression":
        return RidgeCV(alphas=ALPHAS)
    if _one_class(task):
        return DummyClassifier(strategy="prior")
    return LogisticRegression(C=TEXT_STRENGTH * strength, max_iter=MOST_STEPS)


def bayes_estimator(task: Task, strength: float) -> Any:
    """Complement naive Bayes, of counts (N, D), sparse or not: none may be below zero.

    The strength is the inverse of what is added to each count, scikit-learn's alpha.

    References
    ----------
    Rennie et al., Tackling the Poor Assumptions of Naive Bayes Text Classifiers, ICML 2003.

    Examples
    --------
    >>> X = np.array([[3.0, 0.0], [2.0, 1.0], [0.0, 4.0]])
    >>> task = Task.from_arrays(X, ["a", "a", "b"])
    >>> bayes_estimator(task, strength=1.0).fit(X, task.labels).predict([[1.0, 9.0]]).tolist()
    ['b']
    """
    if _one_class(task):
        return DummyClassifier(strategy="prior")
    return ComplementNB(alpha=1.0 / strength)


def svm_estimator(
    task: Task,
    strength: float,
    categorical: Sequence[bool] = (),
    scaling: Scaling = "standard",
    *,
    seed: int,
) -> Any:
    """A support vector machine with a Gaussian kernel, as wide as the columns' variance says.

    Its decision values become probabilities by `calibrated`. Of a regression it is kernel ridge,
    the machine with a squared loss, on standardised values.

    Parameters
    ----------
    task, strength, categorical, scaling
        As for `linear_estimator`.
    seed : int
        Of the folds, and of libsvm.

    References
    ----------
    Cortes and Vapnik, Support-Vector Networks, Machine Learning 1995; Saunders, Gammerman and Vovk,
    Ridge Regression Learning Algorithm in Dual Variables, ICML 1998.

    Examples
    --------
    >>> X = np.array([[0.0], [1.0], [5.0], [6.0], [11.0], [12.0]])
    >>> task = Task.from_arrays(X, list("aabbaa"))
    >>> svm = svm_estimator(task, strength=10.0, seed=0).fit(X, task.labels)
    >>> svm.predict([[5.5], [11.5]]).tolist()
    ['b', 'a']
    """
    if task.kind == "regression":
        ridge = KernelRidge(alpha=1.0 / strength, kernel="rbf")
        machine = make_pipeline(column_scaler(scaling, categorical), ridge)
        return TransformedTargetRegressor(machine, transformer=StandardScaler())
    if _one_class(task):
        return DummyClassifier(strategy="prior")
    # libsvm draws no number here, and scikit-learn its seed from the global generator all the same
    machine = SVC(C=strength, random_state=seed)
    return calibrated(make_pipeline(column_scaler(scaling, categorical), machine), task, seed)


def calibrated(classifier: Any, task: Task, seed: int) -> Any:
    """The classifier under one temperature, fitted on what it predicts out of fold.

    Five folds, or as many as the rarest class has rows; where that is one, or for a regression,
    the classifier itself.

    References
    ----------
    Guo et al., On Calibration of Modern Neural Networks, ICML 2017.

    Examples
    --------
    >>> task = Task.from_arrays([[0.0], [1.0], [2.0], [3.0]], ["a", "a", "b", "b"])
    >>> calibrated(linear_estimator(task, 1.0), task, seed=0).cv.n_splits
    2
    """
    if task.kind == "regression" or _one_class(task):
        return classifier
    counts = np.bincount(task.targets)
    rarest = int(counts[counts > 0].min())
    if rarest < 2:
        return classifier
    folds = StratifiedKFold(min(CALIBRATION_FOLDS, rarest), shuffle=True, random_state=seed)
    return CalibratedClassifierCV(classifier, method="temperature", cv=folds, ensemble=False)


def trees_estimator(task: Task, leaf: int, seed: int) -> Any:
    """Extremely randomised trees, 200 of them, of `leaf` rows at least in a leaf.

    References
    ----------
    Geurts, Ernst and Wehenkel, Extremely Randomized Trees, Machine Learning 2006.

    Examples
    --------
    >>> X = np.arange(40.0)[:, None]
    >>> task = Task.from_arrays(X, ["a"] * 20 + ["b"] * 20)
    >>> trees = trees_estimator(task, leaf=3, seed=0).fit(X, task.labels)
    >>> trees.predict([[9.0], [39.0]]).tolist()
    ['a', 'b']
    """
    if _one_class(task):
        return DummyClassifier(strategy="prior")
    made = ExtraTreesRegressor if task.kind == "regression" else ExtraTreesClassifier
    return made(n_estimators=TREES, min_samples_leaf=leaf, random_state=seed)


def boosting_estimator(task: Task, leaf: int, categorical: list[bool], seed: int) -> Any:
    """Histogram gradient boosting: 100 shallow trees of 15 leaves at most.

    `leaf` is the least rows in a leaf; `categorical` says which of D columns hold codes.

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
    if _one_class(task):
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
    estimator = fit_in_steps(estimator, matrix, task.labels)
    return SklearnModel(
        estimator,
        spec=InputSpec("vector", (matrix.shape[1],)),
        classes=task.classes,
        card=Card(),
    )


def _one_class(task: Task) -> bool:
    return task.kind == "classification" and len(np.unique(task.targets)) < 2


def column_scaler(scaling: Scaling, categorical: Sequence[bool]) -> Any:
    """What stands before a linear model or a kernel: of codes each level becomes a column.

    Parameters
    ----------
    scaling, categorical
        As for `linear_estimator`.

    Returns
    -------
    transformer, or "passthrough"
        The first step of a pipeline, not fitted.
    """
    if scaling != "standard":
        return Normalizer() if scaling == "l2" else "passthrough"
    if not any(categorical):
        return StandardScaler()
    levels = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    if all(categorical):
        return levels  # a scaler refuses to scale no columns
    codes = sum(categorical)
    return ColumnTransformer(
        [("numbers", StandardScaler(), slice(0, -codes)), ("codes", levels, slice(-codes, None))]
    )
