"""How much noise makes published sums differentially private."""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq
from scipy.special import log_ndtr, ndtr

from bequest.errors import DataError

__all__ = ["delta_of", "gaussian_noise", "sensitivity"]


def sensitivity(classes: int) -> float:
    """The most that one row moves all published numbers together, as Euclidean length.

    Its features have length 1 and stand in the sum of all rows and in that of its class; its class
    counts one more. Regression, with no classes, has no sums a class.
    """
    return float(np.sqrt(3.0 if classes else 2.0))


def gaussian_noise(epsilon: float, delta: float, sensitivity: float) -> float:
    """The least standard deviation that makes a sum (epsilon, delta)-differentially private.

    It is in the unit of `sensitivity`, the most that one row moves the sum. `DataError` where
    epsilon or delta are out of range.

    References
    ----------
    Balle and Wang, "Improving the Gaussian mechanism", ICML 2018, theorem 8.

    Examples
    --------
    >>> round(gaussian_noise(1.0, 1e-5, 1.0), 2)
    3.73
    """
    if not (0 < epsilon < np.inf and 0 < delta < 1):
        raise DataError(f"epsilon {epsilon} must be above 0, delta {delta} between 0 and 1.")

    def excess(log_noise: float) -> float:
        return delta_of(epsilon, float(np.exp(log_noise)), sensitivity) - delta

    return float(np.exp(brentq(excess, -20.0 + np.log(sensitivity), 30.0 + np.log(sensitivity))))


def delta_of(epsilon: float, noise: float, sensitivity: float) -> float:
    """The delta, 0 to 1, that a sum with this much noise has for an epsilon: the same theorem.

    Examples
    --------
    >>> round(delta_of(1.0, gaussian_noise(1.0, 1e-5, 1.0), 1.0), 9)
    1e-05
    """
    half, rest = sensitivity / noise / 2, epsilon * noise / sensitivity
    # exp(epsilon) may overflow where the tail beside it is nothing.
    tail = np.exp(epsilon + log_ndtr(-half - rest))
    return float(ndtr(half - rest) - tail)
