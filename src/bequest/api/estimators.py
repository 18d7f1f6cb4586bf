"""Transfer as scikit-learn estimators.

N samples, D features, C classes.
"""

from __future__ import annotations

from typing import Any, Self, final

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from bequest.api.arms import Methods
from bequest.api.sources import Sources
from bequest.api.transfer import transfer
from bequest.core import Task
from bequest.core.metric import Kind
from bequest.errors import DataError

__all__ = ["TransferClassifier", "TransferRegressor"]

Array = NDArray[Any]


class _Transfer(BaseEstimator):  # type: ignore[misc]
    """What the two share: the settings, and a fit by `transfer`."""

    def __init__(
        self,
        sources: Sources = (),
        *,
        methods: Methods = "auto",
        budget: float = 60.0,
        random_state: int = 0,
    ) -> None:
        self.sources = sources
        self.methods = methods
        self.budget = budget
        self.random_state = random_state

    def _fit(self, X: Any, y: Any, kind: Kind) -> Self:
        if len(y) < 2:
            raise DataError(f"there is nothing to learn from n_samples={len(y)}: give two or more.")
        task = Task.from_arrays(X, y, kind=kind, name=type(self).__name__)
        self.result_ = transfer(
            task,
            self.sources,
            methods=self.methods,
            budget=self.budget,
            seed=self.random_state,
        )
        self.verdict_ = self.result_.verdict
        return self

    def _read(self, X: Any) -> Array:
        check_is_fitted(self)
        checked: Array = validate_data(self, X, dtype=np.float64, reset=False)
        return checked


@final
class TransferClassifier(ClassifierMixin, _Transfer):  # type: ignore[misc]
    """A classifier that starts from source models where that helps.

    Parameters
    ----------
    sources : Hub, or iterable of Model, Task, Source, path and Hub
        Without any it trains from scratch.
    methods, budget
        As in `transfer`.
    random_state : int
        The seed.

    Attributes
    ----------
    classes_ : array, shape (C,)
    result_ : Result
        The outcome, the ranking, and the model.
    verdict_ : Verdict

    Examples
    --------
    >>> model = TransferClassifier().fit([[0.0], [1.0], [2.0], [3.0]], ["a", "a", "b", "b"])
    >>> model.predict([[-1.0], [4.0]]).tolist()
    ['a', 'b']
    """

    def fit(self, X: Any, y: Any) -> Self:
        """Fit to X (N, D) and labels y (N,)."""
        X, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        self.classes_ = np.unique(y)
        return self._fit(X, y, "classification")

    def predict_proba(self, X: Any) -> Array:
        """Class probabilities, shape (N, C)."""
        samples = self._read(X)
        return self.result_.model.predict_proba(samples)

    def predict(self, X: Any) -> Array:
        """Labels, shape (N,)."""
        best = self.predict_proba(X).argmax(axis=1)
        return np.asarray(self.classes_[best])


@final
class TransferRegressor(RegressorMixin, _Transfer):  # type: ignore[misc]
    """A regressor that starts from source models where that helps.

    Parameters and attributes are those of `TransferClassifier`, without the classes.

    Examples
    --------
    >>> model = TransferRegressor().fit([[0.0], [1.0], [2.0], [3.0]], [1.0, 2.0, 3.0, 4.5])
    >>> model.predict([[1.5]]).shape
    (1,)
    """

    def fit(self, X: Any, y: Any) -> Self:
        """Fit to X (N, D) and values y (N,)."""
        X, y = validate_data(self, X, y, dtype=np.float64, y_numeric=True)
        return self._fit(X, y, "regression")

    def predict(self, X: Any) -> Array:
        """Values, shape (N,)."""
        samples = self._read(X)
        return self.result_.model.predict(samples)
