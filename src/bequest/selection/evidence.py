"""The largest evidence of a linear model over both of its precisions.

The model: ``y ~ N(0, I / beta + F F' / alpha)``. With ``t = beta / alpha``, the eigenvalues ``s``
of ``F F'`` and the target's energy along their eigenvectors, the best beta has a closed form for
each t; what is left is a search over one number.

Shapes: N rows, C targets, R directions with ``s > 0``, G grid points, J local maxima.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

__all__ = ["FLOOR", "max_evidence"]

Array = NDArray[Any]

FLOOR = 1e-12  # a share of the target's energy outside of the span below this is rounding
# In log t every term is a logistic curve, and Q(t) has its poles and its zeros on the negative
# axis of t: so the curve is analytic within pi of the real axis, and no bump is narrower than this.
STEP = 0.5
MARGIN = 20.0  # beyond every curve's bend by this much the evidence has reached its limit


def max_evidence(s: Array, along: Array, rest: Array, rows: int) -> Array:
    """Log evidence of each target at its best alpha and beta, shape (C,), in nats for all N rows.

    `s` (R,) are the positive eigenvalues of ``F F'``, `along` (R, C) the squared projections of the
    targets on their eigenvectors, `rest` (C,) their squared length outside of the span.

    Three places are searched: between the limits; no signal (alpha to infinity); and, where the
    features span all N rows, no noise (beta to infinity), whose evidence is the finite density
    ``N(y; 0, F F' / alpha)``. Where a target lies in the span of fewer than N directions the
    density has no bound: its share outside of the span is taken as 1e-12 of its energy, as rounding
    of the labels would leave it.
    """
    total = along.sum(axis=0) + rest
    constant = -0.5 * rows * (np.log(2 * np.pi) + 1 - np.log(rows))
    best = np.array(constant - 0.5 * rows * np.log(total))
    if len(s) == 0:
        return best
    spans_all = len(s) == rows
    rest = np.zeros_like(rest) if spans_all else np.maximum(rest, FLOOR * total)
    log_s = np.log(s)
    left = -log_s.max() - MARGIN
    right = -log_s.min() + MARGIN - (0.0 if spans_all else np.log(FLOOR))
    grid_G = np.arange(left, right + STEP, STEP)
    values_GC = _on_grid(grid_G, log_s, along, rest, rows)
    best = np.maximum(best, constant + values_GC.max(axis=0))
    if spans_all:
        quotient = (along / s[:, None]).sum(axis=0)
        best = np.maximum(best, constant - 0.5 * rows * np.log(quotient) - 0.5 * log_s.sum())
    at, target = _peaks(values_GC)
    if len(at):
        tops = _climb(grid_G[at], log_s, along.T[target], rest[target], rows)
        np.maximum.at(best, target, constant + tops)
    return np.asarray(best)


def _on_grid(grid: Array, log_s: Array, along: Array, rest: Array, rows: int) -> Array:
    bend = grid[:, None] + log_s
    quadratic = expit(-bend) @ along + rest
    penalty = np.logaddexp(0.0, bend).sum(axis=1)
    return np.asarray(-0.5 * rows * np.log(quadratic) - 0.5 * penalty[:, None])


def _peaks(values: Array) -> tuple[Array, Array]:
    inner = values[1:-1]
    at, target = np.nonzero((inner >= values[:-2]) & (inner >= values[2:]))
    return at + 1, target


def _climb(start: Array, log_s: Array, along: Array, rest: Array, rows: int) -> Array:
    """The value on top of each peak: Newton's steps, halved back into their bracket."""
    tau, low, high = start.copy(), start - STEP, start + STEP
    for _ in range(60):
        _, slope, bend = _derivatives(tau, log_s, along, rest, rows)
        low, high = np.where(slope > 0, tau, low), np.where(slope > 0, high, tau)
        with np.errstate(divide="ignore", invalid="ignore"):
            step = tau - slope / bend
        good = (bend < 0) & (step > low) & (step < high)
        new = np.where(good, step, 0.5 * (low + high))
        done = np.abs(new - tau).max() < 1e-7
        tau = new
        if done:
            break
    return _derivatives(tau, log_s, along, rest, rows)[0]


def _derivatives(
    tau: Array, log_s: Array, along: Array, rest: Array, rows: int
) -> tuple[Array, Array, Array]:
    """Value, slope and curvature in log t at J places; `along` is (J, R), `rest` (J,)."""
    bend = tau[:, None] + log_s
    p, q = expit(bend), expit(-bend)
    quadratic = (along * q).sum(axis=1) + rest
    first = -(along * p * q).sum(axis=1) / quadratic
    second = -(along * p * q * (q - p)).sum(axis=1) / quadratic
    value = -0.5 * rows * np.log(quadratic) - 0.5 * np.logaddexp(0.0, bend).sum(axis=1)
    slope = -0.5 * rows * first - 0.5 * p.sum(axis=1)
    curvature = -0.5 * rows * (second - first**2) - 0.5 * (p * q).sum(axis=1)
    return value, slope, curvature
