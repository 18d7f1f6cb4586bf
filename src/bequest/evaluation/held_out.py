"""Both candidates on rows that chose nothing.

N test rows, B bootstrap samples.
"""

from __future__ import annotations

import numpy as np

from bequest.core import Model, Task, TestResult, output_of
from bequest.data.splits import resampling_units
from bequest.evaluation.replay import row_weights

__all__ = ["compare_on_test"]


def compare_on_test(
    test: Task,
    transfer: Model,
    scratch: Model,
    *,
    rng: np.random.Generator,
    n_boot: int = 2000,
    level: float = 0.95,
) -> TestResult:
    """Compare two fitted models on held-out rows.

    Parameters
    ----------
    test : Task
        Held-out rows, which neither trained nor chose either model. Rows of one group, or of one
        block of time, are resampled together; its weights count.
    transfer, scratch : Model
        Both predict the classes of `test`.
    rng : numpy.random.Generator
    n_boot : int
        Bootstrap samples of the rows; both models are judged by the same ones.
    level : float
        Coverage of the interval, 0 to 1.

    Returns
    -------
    TestResult
        Metric of each, their difference, and its percentile interval.

    Raises
    ------
    DataError
        There is only one row, or only one group.
    NotApplicable
        The metric is undefined on these rows, such as an AUC on rows of one class.

    References
    ----------
    Efron and Tibshirani, An introduction to the bootstrap, 1993, chapter 13.

    Examples
    --------
    >>> from bequest.core import Card
    >>> from bequest.frameworks.combined.function_model import FunctionModel
    >>> X = np.random.default_rng(0).normal(size=(200, 1))
    >>> test = Task.from_arrays(X, X[:, 0] > 0)
    >>> sign, guess = (
    ...     FunctionModel(rule, spec=test.spec, classes=test.classes, card=Card())
    ...     for rule in (lambda X: X[:, 0] > 0, lambda X: X[:, 0] > 1)
    ... )
    >>> result = compare_on_test(test, sign, guess, rng=np.random.default_rng(0))
    >>> result.transfer, result.low > 0
    (1.0, True)
    """
    metric, units = test.metric, resampling_units(test)
    better, base = (
        metric.linearise(
            test.targets, output_of(model, test.inputs), weights=test.weights, groups=test.groups
        )
        for model in (transfer, scratch)
    )
    if metric.units == "group":
        units = None  # each contribution is one already
    weights = row_weights(len(better), units, rng, n_boot)
    gains = weights @ (better - base) / weights.sum(axis=1)
    low, high = np.quantile(gains, [(1 - level) / 2, (1 + level) / 2])
    return TestResult(
        rows=len(test),
        transfer=float(better.mean()),
        scratch=float(base.mean()),
        gain=float((better - base).mean()),
        low=float(low),
        high=float(high),
    )
