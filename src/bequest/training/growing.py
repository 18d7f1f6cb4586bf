"""Fitting scikit-learn's estimators, those that grow tree by tree under the eye of the deadline.

N samples, D numbers.
"""

from __future__ import annotations

import logging
import time
from typing import Any

from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble._forest import BaseForest
from sklearn.ensemble._hist_gradient_boosting.gradient_boosting import BaseHistGradientBoosting

from bequest.core import check_time

__all__ = ["fit_in_steps"]

logger = logging.getLogger(__name__)
STEP = 20  # trees, or rounds of boosting, between two looks at the clock


def fit_in_steps(estimator: Any, matrix: Any, targets: Any) -> Any:
    """Fit an estimator, in place: ``estimator.fit(matrix, targets)`` to the last bit.

    Forests and boosting grow 20 trees at a time; other estimators are fitted at once.

    Parameters
    ----------
    estimator : estimator
        Not fitted.
    matrix : array or sparse matrix, shape (N, D)
    targets : array, shape (N,)

    Returns
    -------
    estimator
        The same, fitted; of a calibrated classifier for whose values no temperature can be found,
        a copy of the classifier alone.

    Raises
    ------
    OutOfTime
        The trees that are left would take longer than there is time.

    Examples
    --------
    >>> from sklearn.ensemble import ExtraTreesRegressor
    >>> trees = ExtraTreesRegressor(n_estimators=30, random_state=0)
    >>> len(fit_in_steps(trees, [[0.0], [1.0]], [0.0, 1.0]).estimators_)
    30
    """
    if isinstance(estimator, BaseForest):
        size = "n_estimators"
    elif isinstance(estimator, BaseHistGradientBoosting):
        size = "max_iter"
    else:
        return _at_once(estimator, matrix, targets)
    whole = getattr(estimator, size)
    start = time.perf_counter()
    estimator.set_params(warm_start=True)
    for grown in (*range(STEP, whole, STEP), whole):
        estimator.set_params(**{size: grown}).fit(matrix, targets)
        spent = time.perf_counter() - start
        check_time("growing trees", rest=spent * (whole - grown) / grown, spent=spent)
    return estimator.set_params(warm_start=False)


def _at_once(estimator: Any, matrix: Any, targets: Any) -> Any:
    """Fit; where no temperature can be found for a classifier, it stays without one."""
    try:
        return estimator.fit(matrix, targets)
    except RuntimeError as error:
        if not isinstance(estimator, CalibratedClassifierCV):
            raise
        logger.warning("probabilities are not calibrated: %s", error)
        return clone(estimator.estimator).fit(matrix, targets)
