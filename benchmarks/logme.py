"""LogME: its time against one product and one eigen-decomposition, and against the reference.

Run: python benchmarks/logme.py [--quick]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.linalg import svd
from scipy.optimize import minimize

from bequest.selection import Moments, logme, logme_from_moments


def reference(features: np.ndarray, labels: np.ndarray) -> float:
    """LogME as published (You et al., 2021): fixed-point steps, 11 at most, from an SVD of D × D.

    Written from the paper's algorithm. With N < D it sums log(alpha + beta s) over all D values of
    s, N of them real; the later, faster version keeps N of them, and so drops (D - N) log alpha.
    """
    return _reference(features, labels, *svd(features.T @ features)[:2])


def fast_reference(features: np.ndarray, labels: np.ndarray) -> float:
    """The published later version: the same steps from a thin SVD, with min(N, D) values of s."""
    _, values, right = svd(features, full_matrices=False)
    return _reference(features, labels, right.T, values**2)


def _reference(features: np.ndarray, labels: np.ndarray, v: np.ndarray, s: np.ndarray) -> float:
    (rows, columns), evidences = features.shape, []
    for label in np.unique(labels):
        y = (labels == label).astype(float)
        alpha = beta = 1.0
        for _ in range(11):
            before, gamma = alpha / beta, (s / (s + alpha / beta)).sum()
            m = v @ (beta * (v.T @ (features.T @ y)) / (alpha + beta * s))
            weight, error = m @ m, ((y - features @ m) ** 2).sum()
            alpha, beta = gamma / (weight + 1e-5), (rows - gamma) / (error + 1e-5)
            if abs(alpha / beta - before) / before < 0.01:
                break
        evidence = columns / 2 * np.log(alpha) + rows / 2 * np.log(beta / (2 * np.pi))
        evidence -= 0.5 * np.log(alpha + beta * s).sum() + beta / 2 * error + alpha / 2 * weight
        evidences.append(evidence / rows)
    return float(np.mean(evidences))


def exact(features: np.ndarray, labels: np.ndarray) -> float:
    """Brute force: the labels' log density by Cholesky, over a grid and then Nelder and Mead."""
    kernel, rows = features @ features.T, len(labels)
    width = np.log(np.trace(kernel) / rows)
    found = []
    for label in np.unique(labels):
        y = (labels == label).astype(float)
        energy = np.log(y.mean())

        def negative(logs: np.ndarray, y: np.ndarray = y) -> float:
            try:
                covariance = np.exp(-logs[1]) * np.eye(rows) + np.exp(-logs[0]) * kernel
                lower = np.linalg.cholesky(covariance)
            except np.linalg.LinAlgError:
                return np.inf
            white = np.linalg.solve(lower, y)
            return 0.5 * (white @ white + rows * np.log(2 * np.pi)) + np.log(lower.diagonal()).sum()

        grid = np.linspace(-10, 10, 21)
        start = min(((a + width - energy, b - energy) for a in grid for b in grid), key=negative)
        options = {"xatol": 1e-9, "fatol": 1e-12, "maxiter": 4000}
        found.append(-minimize(negative, start, method="Nelder-Mead", options=options).fun / rows)
    return float(np.mean(found))


def run(quick: bool) -> dict[str, Any]:
    """Plain figures; `quick` has a fourth of the features and rows, and three repeats."""
    rng, repeats = np.random.default_rng(0), 3 if quick else 5
    rows, columns = (2500, 512) if quick else (10_000, 2048)
    features, labels = _sample(rng, rows, columns)
    small, few = _sample(rng, 100, 512 if quick else 2048)

    def product_and_decomposition() -> None:
        np.linalg.eigh(features.T @ features)

    barest, ours = _medians([product_and_decomposition, lambda: logme(features, labels)], repeats)
    wide, published, faster = _medians(
        [
            lambda: logme(small, few),
            lambda: reference(small, few),
            lambda: fast_reference(small, few),
        ],
        1 if quick else 3,
    )
    checks = [_sample(rng, *shape) for shape in [(60, 10), (40, 200), (30, 30)]]
    chunks = Moments()
    for start in range(0, rows, 1000):
        chunks.update(features[start : start + 1000], labels[start : start + 1000])
    return {
        "rows": rows,
        "columns": columns,
        "classes": 10,
        "logme_cpu_s": ours,
        "product_and_eigh_cpu_s": barest,
        "ratio": ours / barest,
        "ratio_target": 1.6,
        "wide_shape": list(small.shape),
        "wide_cpu_s": wide,
        "wide_target_s": 0.1,
        "wide_published_cpu_s": published,
        "wide_published_later_cpu_s": faster,
        "wide_logme": logme(small, few),
        "wide_published_later": fast_reference(small, few),
        "largest_error_against_brute_force": max(abs(logme(*c) - exact(*c)) for c in checks),
        "largest_error_of_the_published_later": max(
            abs(fast_reference(*c) - exact(*c)) for c in checks
        ),
        "error_target": 1e-6,
        "chunked_against_whole": abs(logme_from_moments(chunks) - logme(features, labels)),
    }


def _sample(rng: np.random.Generator, rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    labels = rng.permutation(np.arange(rows) % 10)
    means = rng.normal(size=(10, columns))
    return np.maximum(0.3 * means[labels] + rng.normal(size=(rows, columns)), 0), labels


def _medians(tasks: list[Callable[[], object]], repeats: int) -> list[float]:
    """CPU seconds of each, in turn, so that a busy machine disturbs all alike."""
    seconds: list[list[float]] = [[] for _ in tasks]
    for _ in range(repeats):
        for task, own in zip(tasks, seconds, strict=True):
            start = time.process_time()
            task()
            own.append(time.process_time() - start)
    return [statistics.median(own) for own in seconds]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    for name, figure in run(parser.parse_args().quick).items():
        print(f"{name:40} {figure:.6g}" if isinstance(figure, float) else f"{name:40} {figure}")
