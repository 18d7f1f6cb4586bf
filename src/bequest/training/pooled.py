"""One linear model of two sets of rows, with a column that says which is whose.

N rows, D columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.pipeline import make_pipeline

from bequest.training.estimators import (
    ALPHAS,
    MOST_STEPS,
    TEXT_STRENGTH,
    Scaling,
    column_scaler,
)

__all__ = ["fit_pooled"]

Array = NDArray[Any]


def fit_pooled(
    matrix_ND: Any,
    labels: Array,
    *,
    weights: Array,
    own: NDArray[np.bool_],
    kind: str,
    strength: float,
    scaling: Scaling,
    categorical: Sequence[bool],
) -> Any:
    """Fit logistic or ridge regression to all rows, as it predicts for the `own` ones.

    A column of ones and zeros says which rows are own; its coefficient becomes part of the
    intercept, so that the model reads D columns.

    Parameters
    ----------
    matrix_ND : array or sparse matrix, shape (N, D)
    labels : array, shape (N,)
    weights : array, shape (N,)
        What a row counts.
    own : bool array, shape (N,)
    kind : {"classification", "regression"}
    strength, scaling, categorical
        As for `linear_estimator`; of a sparse matrix a hundredth of the strength, and no scaling.

    Returns
    -------
    Pipeline
        Fitted.

    Examples
    --------
    >>> X = np.array([[0.0], [1.0], [2.0], [3.0]])
    >>> y = X[:, 0] + np.array([0, 0, 9, 9])
    >>> model = fit_pooled(
    ...     X, y, weights=np.ones(4), own=X[:, 0] > 1.5, kind="regression", strength=1.0,
    ...     scaling="standard", categorical=[False],
    ... )
    >>> model.predict([[0.0]]).round().tolist()
    [9.0]
    """
    if kind == "classification" and len(np.unique(labels)) < 2:
        return DummyClassifier(strategy="prior").fit(matrix_ND, labels)
    counts = sparse.issparse(matrix_ND)
    scaler: Any = "passthrough" if counts else column_scaler(scaling, categorical)
    scaled = matrix_ND if scaler == "passthrough" else scaler.fit_transform(matrix_ND)
    column = own[:, None].astype(np.float64)
    both: Any = np.hstack([scaled, column]) if not counts else _beside(scaled, column)
    if kind == "regression":
        model: Any = RidgeCV(alphas=ALPHAS)
    else:
        model = LogisticRegression(
            C=strength * (TEXT_STRENGTH if counts else 1), max_iter=MOST_STEPS
        )
    model.fit(both, labels, sample_weight=weights)
    model.intercept_ = model.intercept_ + model.coef_[..., -1]
    model.coef_ = model.coef_[..., :-1]
    model.n_features_in_ -= 1
    return make_pipeline(scaler, model)


def _beside(counts: Any, column: Array) -> Any:
    return sparse.hstack([sparse.csr_matrix(counts), sparse.csr_matrix(column)], format="csr")
