"""The head of a network that changes its classes.

D features, C classes of the target.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

from bequest.core import Task, Trains
from bequest.mapping.rules.pick import Classes
from bequest.training.estimators import linear_estimator
from bequest.training.fit import target_scale

__all__ = ["new_head", "probe_head", "rescaled_head"]

STRENGTH = 1.0  # of the probe: inverse of the regularisation, scikit-learn's C
PROBED = "a linear probe's, then tuned"


def new_head(module: nn.Module, source: Trains, task: Task) -> str:
    """Give `module`, a copy of the source's, the target's head; say where its rows come from.

    Rows of classes that both know are the source's; the others start as torch's linear layer does.
    A regression keeps its row, brought to the target's scale.

    Parameters
    ----------
    module : torch.nn.Module
        Its last linear layer is replaced in place: as many rows as the task has classes, one for a
        regression.
    source : Trains
        Names the layer, the classes of its rows, and the scale of its values.
    task : Task

    Returns
    -------
    str
        For the card: ``"new"``, ``"copied, then tuned"``, ``"rows of 2 shared classes"``, or that
        it was brought to the target's scale.

    Examples
    --------
    >>> import bequest as bq, copy
    >>> source = bq.wrap(nn.Sequential(nn.Linear(2, 2)), classes=["cat", "dog"])
    >>> module = copy.deepcopy(source.module)
    >>> task = Task.from_arrays([[0.0, 1.0], [1.0, 0.0]] * 2, ["dog", "eel"] * 2)
    >>> new_head(module, source, task)
    'rows of 1 shared class'
    >>> bool((module[0].weight[0] == source.module[0].weight[1]).all())
    True
    """
    layer = module.get_submodule(source.head)
    old = module.get_parameter(f"{source.head}.weight").detach().cpu()
    old_bias = _bias(layer, old)
    if task.kind == "regression" and not source.classes and len(old) == 1:
        return _rescaled(layer, old, old_bias, source.target_scale, target_scale(task))
    known = source.classes if len(source.classes) == len(old) else ()
    rule = Classes(0, Classes.between(known, task.classes).rows or (-1,))
    bound = 1.0 / math.sqrt(old.shape[1])
    fresh = torch.empty(len(rule.rows), old.shape[1]).uniform_(-bound, bound)
    shared = rule.filled(len(rule.rows))
    bias = rule.apply(old_bias, torch.zeros(len(rule.rows)))
    _set(layer, rule.apply(old, fresh) if shared else fresh, bias)
    if not shared:
        return "new"
    if shared == len(rule.rows) == len(old):
        return "copied, then tuned"
    return f"rows of {shared} shared class{'es' if shared > 1 else ''}"


def rescaled_head(
    module: nn.Module, head: str, old: tuple[float, float], new: tuple[float, float]
) -> None:
    """Bring a regression's last layer from one (mean, scale) of its values to another, in place.

    Examples
    --------
    >>> net = nn.Sequential(nn.Linear(1, 1))
    >>> before = net(torch.ones(1, 1)) * 3 + 1
    >>> rescaled_head(net, "0", (1.0, 3.0), (5.0, 2.0))
    >>> torch.allclose(net(torch.ones(1, 1)) * 2 + 5, before)
    True
    """
    layer = module.get_submodule(head)
    weight = module.get_parameter(f"{head}.weight").detach().cpu()
    _rescaled(layer, weight, _bias(layer, weight), old, new)


def probe_head(module: nn.Module, source: Trains, task: Task) -> str:
    """Give `module` the head that a linear probe finds on the source's features.

    The features of a classification are as they are: to standardise them raises those that the
    source hardly uses to the weight of all others.

    Returns
    -------
    str
        For the card, as `new_head` does.
    """
    layer = module.get_submodule(source.head)
    features = source.features(task.inputs).astype(np.float64)
    if task.kind == "regression":
        return _regressed(layer, features, task)
    if len(np.unique(task.targets)) < 2:
        return "new"  # a fold with one class only: there is nothing to probe
    linear = LogisticRegression(C=STRENGTH, max_iter=2000).fit(features, task.targets)
    coefficients, intercepts = linear.coef_, linear.intercept_
    if len(coefficients) == 1:
        coefficients = np.concatenate([-coefficients, coefficients]) / 2
        intercepts = np.concatenate([-intercepts, intercepts]) / 2
    weight = torch.zeros(len(task.classes), features.shape[1])
    bias = torch.full((len(weight),), float(intercepts.min()) - 5.0)
    rows = torch.as_tensor(linear.classes_)
    weight[rows] = torch.as_tensor(coefficients, dtype=torch.float32)
    bias[rows] = torch.as_tensor(intercepts, dtype=torch.float32)
    _set(layer, weight, bias)
    return PROBED


def _regressed(layer: nn.Module, features: NDArray[np.float64], task: Task) -> str:
    mean, scale = target_scale(task)
    ridge = linear_estimator(task, STRENGTH).fit(features, (task.targets - mean) / scale)
    weight = np.atleast_2d(ridge[-1].coef_) / ridge[0].scale_
    bias = np.atleast_1d(ridge[-1].intercept_) - weight @ ridge[0].mean_
    _set(layer, torch.as_tensor(weight).float(), torch.as_tensor(bias).float())
    return PROBED


def _bias(layer: nn.Module, weight: Tensor) -> Tensor:
    bias = getattr(layer, "bias", None)
    return torch.zeros(len(weight)) if bias is None else bias.detach().cpu()


def _rescaled(
    layer: nn.Module,
    weight: Tensor,
    bias: Tensor,
    old: tuple[float, float],
    new: tuple[float, float],
) -> str:
    """The same values in the target's unit: (w x + b) * old + mean stays what it was."""
    _set(layer, weight * old[1] / new[1], (bias * old[1] + old[0] - new[0]) / new[1])
    return "copied, brought to the target's scale, then tuned"


def _set(layer: nn.Module, weight: Tensor, bias: Tensor) -> None:
    layer.weight = nn.Parameter(weight.clone())
    layer.bias = nn.Parameter(bias.clone())
    if isinstance(layer, nn.Linear):
        layer.out_features = len(weight)
