"""What an estimator of scikit-learn tells of itself, and what it reads.

N samples, D features.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from bequest.core import Label, Table, Texts
from bequest.core.model import plain_labels
from bequest.core.table import absent_columns
from bequest.errors import DataError, ModelError
from bequest.optional import need

__all__ = [
    "check_fitted", "described", "estimator_inputs", "fitted_numbers", "labels_of", "last_hidden",
    "path_of", "title",
]  # fmt: skip

Array = NDArray[Any]
FITTED_NUMBERS = (
    "coef_", "intercept_", "coefs_", "intercepts_", "theta_", "var_", "class_prior_", "means_",
    "covariances_", "weights_", "feature_log_prob_", "class_log_prior_", "dual_coef_",
    "support_vectors_",
)  # fmt: skip


def check_fitted(estimator: Any) -> None:
    """Raise `ModelError` unless it is a fitted estimator."""
    try:
        check_is_fitted(estimator)
    except NotFittedError as error:
        raise ModelError(f"{title(estimator)} is not fitted: call its fit(X, y) first.") from error
    except TypeError as error:
        raise ModelError(f"{title(estimator)} is no scikit-learn estimator.") from error


def labels_of(estimator: Any) -> tuple[Label, ...]:
    """A classifier's labels as plain Python values, in its own order."""
    labels = getattr(estimator, "classes_", None)
    if labels is None:
        raise ModelError(f"{title(estimator)} has no classes_: it is no classifier.")
    if isinstance(labels, list) or np.ndim(labels) != 1:
        raise ModelError(f"{title(estimator)} predicts several labels a row, one is wanted.")
    return plain_labels(labels)


def estimator_inputs(estimator: Any, inputs: Any) -> Any:
    """An array (N, D), or a DataFrame where the estimator was fitted on one, or for a table."""
    names = getattr(estimator, "feature_names_in_", None)
    if isinstance(inputs, Texts):
        return inputs.tolist()
    if isinstance(inputs, Table):
        return _frame(inputs, inputs.names if names is None else list(names))
    if not hasattr(inputs, "__array__"):
        return inputs  # of a plug-in's modality: only its own estimators read them
    array = np.asarray(inputs).reshape(len(inputs), -1)
    if names is not None and array.shape[1] == len(names):
        pandas = need("pandas", extra="", purpose="a model that was fitted on a DataFrame")
        return pandas.DataFrame(array, columns=list(names))
    return array


def _frame(table: Table, names: Sequence[str]) -> Any:
    absent = [name for name in names if name not in table.columns]
    if absent:
        named = absent_columns(absent, table.names)
        raise DataError(f"the table lacks columns that the model reads: {named}.")
    pandas = need("pandas", extra="", purpose="a model that was fitted on a DataFrame")
    return pandas.DataFrame({name: _cells(table.columns[name]) for name in names})


def _cells(column: Array) -> Array:
    """Missing text as NaN: scikit-learn's imputers and encoders do not take None for missing."""
    if column.dtype != object:
        return column
    cells = column.copy()
    cells[[cell is None for cell in column]] = np.nan
    return cells


def fitted_numbers(estimator: Any) -> dict[str, Array]:
    """Fitted coefficients by scikit-learn's names; lists of layers are numbered."""
    found: dict[str, Array] = {}
    for name in FITTED_NUMBERS:
        value = getattr(estimator, name, None)
        if isinstance(value, list):
            found |= {f"{name}.{i}": np.asarray(part) for i, part in enumerate(value)}
        elif isinstance(value, np.ndarray | float) and np.asarray(value).dtype.kind == "f":
            found[name] = np.asarray(value)
    return found


def last_hidden(network: Any, inputs: Array) -> Array:
    """The forward pass of an MLP up to its last hidden layer, as scikit-learn computes it."""
    hidden = inputs
    for weights, offset in zip(network.coefs_[:-1], network.intercepts_[:-1], strict=True):
        hidden = _activated(hidden @ weights + offset, network.activation)
    return hidden


def _activated(values: Array, activation: str) -> Array:
    if activation == "relu":
        return np.asarray(np.maximum(values, 0.0))
    if activation == "tanh":
        return np.asarray(np.tanh(values))
    return np.asarray(expit(values)) if activation == "logistic" else values


def described(value: Any) -> Any:
    """A setting as JSON can hold it; objects by class, what is not finite by its name."""
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, float) and not np.isfinite(value):
        return str(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [described(item) for item in value]
    if isinstance(value, dict):
        return {str(key): described(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return {"array": list(value.shape)}
    return path_of(value)


def path_of(value: Any) -> str:
    """Import path of a class or function, or of an object's class."""
    kind = value if hasattr(value, "__qualname__") else type(value)
    return f"{kind.__module__}.{kind.__qualname__}"


def title(estimator: Any) -> str:
    """What error lines call it: its class."""
    return type(estimator).__name__
