"""Multinomial logistic regression that starts from somebody else's logits.

N samples, D numbers, C classes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import logsumexp
from torch import nn

from bequest.core import Card, InputSpec, Task
from bequest.frameworks.encoders.encoder import Scaler
from bequest.frameworks.torch.model import TorchModel
from bequest.frameworks.torch.networks import build

__all__ = ["fit_offset"]

Array = NDArray[Any]


def fit_offset(matrix_ND: Array, offset_NC: Array, task: Task, strength: float) -> TorchModel:
    """Fit the linear correction W x + b, of a matrix (N, D), that the logits `offset_NC` need.

    Minimises the summed cross-entropy plus ``|W|² / (2 strength)`` on standardised numbers, so that
    a weak strength leaves the offset as it is. The model is the correction alone, of vectors (D,):
    its probabilities times those of the offset, brought to sum one, are the prediction.

    References
    ----------
    McCullagh and Nelder, Generalized Linear Models, 1989 (offsets).

    Examples
    --------
    >>> X = np.array([[0.0], [1.0], [2.0], [3.0]])
    >>> task = Task.from_arrays(X, ["a", "a", "b", "b"])
    >>> even = np.log(np.full((4, 2), 0.5))
    >>> fit_offset(X, even, task, strength=10.0).predict(X).tolist()
    ['a', 'a', 'b', 'b']
    >>> weak = fit_offset(X, even, task, strength=1e-6).predict_proba(X)
    >>> bool(np.allclose(weak, 0.5, atol=1e-4))
    True
    """
    scaler = Scaler.fit(matrix_ND)
    x_ND = scaler.encode(matrix_ND).astype(np.float64)
    d = x_ND.shape[1]
    c = offset_NC.shape[1]
    hits_NC = np.eye(c)[task.targets]

    def loss(flat: Array) -> tuple[float, Array]:
        weight_DC, bias_C = flat[: d * c].reshape(d, c), flat[d * c :]
        logits_NC = offset_NC + x_ND @ weight_DC + bias_C
        log_NC = logits_NC - logsumexp(logits_NC, axis=1, keepdims=True)
        excess_NC = np.exp(log_NC) - hits_NC
        # the bias is held a little too: a class without a row must not run to minus infinity
        value = -(hits_NC * log_NC).sum() + 0.5 * (flat**2).sum() / strength
        slope = np.concatenate([(x_ND.T @ excess_NC).ravel(), excess_NC.sum(axis=0)])
        return float(value), slope + flat / strength

    best = minimize(loss, np.zeros(d * c + c), jac=True, method="L-BFGS-B").x
    config = {"numbers": d, "outputs": c, "widths": []}
    with torch.random.fork_rng(devices=[]):  # its first weights, which nobody needs, are drawn
        module = build("mlp", config)
    head = module.get_submodule("head")
    head.weight = nn.Parameter(torch.tensor(best[: d * c].reshape(d, c).T, dtype=torch.float32))
    head.bias = nn.Parameter(torch.tensor(best[d * c :], dtype=torch.float32))
    return TorchModel(
        module.eval(),
        spec=InputSpec("vector", (d,)),
        classes=task.classes,
        card=Card(),
        encoder=scaler,
        structure={"net": "mlp", "config": config},
    )
