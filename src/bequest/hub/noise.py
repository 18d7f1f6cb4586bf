"""How much noise makes published sums differentially private."""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq
from scipy.stats import norm

from bequest.errors import DataError

__all__ = ["gaussian_noise", "sensitivity"]


def sensitivity(classes: int) -> float:
    """The most that one row moves all published numbers together, as Euclidean length.

    Its features have length 1 and stand in the sum of all rows and in that of its class; its class
    counts one more.

    Parameters
    ----------
    classes : int
        0 for regression, which has no sums a class.
    """
    return float(np.sqrt(3.0 if classes else 2.0))


def gaussian_noise(epsilon: float, delta: float, sensitivity: float) -> float:
    """Standard deviation that makes a sum (epsilon, delta)-differentially private.

    Parameters
    ----------
    epsilon : float
        Above zero.
    delta : float
        Between 0 and 1.
    sensitivity : float
        The most that one row moves the sum, as Euclidean length.

    Returns
    -------
    float
        The smallest that suffices, in the unit of `sensitivity`.

    Raises
    ------
    DataError
        Epsilon or delta are out of range.

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
        half, rest = sensitivity / np.exp(log_noise) / 2, epsilon * np.exp(log_noise) / sensitivity
        # exp(epsilon) may overflow where the tail beside it is nothing.
        tail = np.exp(epsilon + norm.logcdf(-half - rest))
        return float(norm.cdf(half - rest) - tail - delta)

    return float(np.exp(brentq(excess, -20.0 + np.log(sensitivity), 30.0 + np.log(sensitivity))))
