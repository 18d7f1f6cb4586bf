"""scikit-learn's linear models as layers of torch.

N samples, D features, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import is_classifier
from sklearn.calibration import CalibratedClassifierCV
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge, RidgeCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import Normalizer, StandardScaler
from torch import Tensor, nn

from bequest.core import Label
from bequest.errors import NotApplicable
from bequest.frameworks.sklearn.parts import labels_of, title

__all__ = ["linear_layers"]

Array = NDArray[Any]
REGRESSIONS = (Ridge, RidgeCV, LinearRegression)


def linear_layers(estimator: Any, classes: Sequence[Label]) -> nn.Sequential:
    """A fitted linear model, with what scales its input, as torch layers.

    Parameters
    ----------
    estimator : LogisticRegression, Ridge, RidgeCV, LinearRegression, or a Pipeline that ends so
        Before it may stand a StandardScaler or a Normalizer, around it a temperature.
    classes : sequence
        The order of the columns; one that the estimator does not know has probability 0. Empty for
        a regression.

    Returns
    -------
    torch.nn.Sequential
        Takes features (N, D); gives logits (N, C), whose softmax is ``predict_proba``, or values
        (N, 1).

    Raises
    ------
    NotApplicable
        It is another kind of estimator.

    Examples
    --------
    >>> fitted = LogisticRegression().fit([[0.0], [1.0]], ["no", "yes"])
    >>> layers = linear_layers(fitted, ["yes", "no", "maybe"])
    >>> layers(torch.tensor([[9.0]])).softmax(1).round(decimals=2).tolist()
    [[0.9800000190734863, 0.019999999552965164, 0.0]]
    """
    temperature = 1.0
    fitted = estimator
    if isinstance(fitted, CalibratedClassifierCV):
        fitted, temperature = _calibrated(fitted)
    *before, last = [step for _, step in fitted.steps] if isinstance(fitted, Pipeline) else [fitted]
    weight, bias = _coefficients(last)
    if is_classifier(last):
        weight, bias = _all_classes(weight, bias, labels_of(estimator), classes, temperature)
    return nn.Sequential(*(_scaling(step) for step in before), _linear(weight, bias))


def _calibrated(classifier: CalibratedClassifierCV) -> tuple[Any, float]:
    """What is calibrated, and by which temperature."""
    parts = classifier.calibrated_classifiers_
    if classifier.method != "temperature" or len(parts) != 1:
        raise NotApplicable("its calibration is no single temperature")
    return parts[0].estimator, 1.0 / float(parts[0].calibrators[0].beta_)


def _coefficients(last: Any) -> tuple[Array, Array]:
    if isinstance(last, LogisticRegression):
        if len(last.coef_) > 1:
            return last.coef_, last.intercept_
        # as two logits, of which scikit-learn's one is the difference
        return np.vstack([-last.coef_, last.coef_]) / 2, np.r_[
            -last.intercept_, last.intercept_
        ] / 2
    if isinstance(last, REGRESSIONS):
        weight = np.atleast_2d(last.coef_)
        return weight, np.broadcast_to(last.intercept_, len(weight)).astype(np.float64)
    raise NotApplicable(f"it ends in a {title(last)} of scikit-learn, which is no linear model")


def _all_classes(
    weight: Array, bias: Array, known: Sequence[Label], classes: Sequence[Label], temperature: float
) -> tuple[Array, Array]:
    """Rows in the order of `classes`; those that it does not know have no probability."""
    # scikit-learn's temperature divides two logits that lie twice as far apart
    temperature = temperature if temperature == 1.0 or len(known) > 2 else temperature / 2
    every_CD = np.zeros((len(classes), weight.shape[1]))
    every_C = np.full(len(classes), -np.inf)
    places = [list(classes).index(label) for label in known]
    every_CD[places], every_C[places] = weight / temperature, bias / temperature
    return every_CD, every_C


def _scaling(step: Any) -> nn.Module:
    if isinstance(step, str):
        return nn.Identity()  # passthrough
    if isinstance(step, Normalizer) and step.norm == "l2":
        return _UnitRows()
    if isinstance(step, StandardScaler):
        return _Standardised(step)
    raise NotApplicable(f"a {title(step)} of scikit-learn stands before its head")


def _linear(weight: Array, bias: Array) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], len(weight))
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(weight))
        layer.bias.copy_(torch.from_numpy(bias))
    return layer


@final
class _UnitRows(nn.Module):
    """Each row divided by its length; a row of zeros stays one."""

    def forward(self, features: Tensor) -> Tensor:
        length = features.norm(dim=1, keepdim=True)
        return features / torch.where(length > 0, length, torch.ones_like(length))


@final
class _Standardised(nn.Module):
    mean: Tensor
    scale: Tensor

    def __init__(self, scaler: StandardScaler) -> None:
        super().__init__()
        width = scaler.n_features_in_
        mean = np.zeros(width) if scaler.mean_ is None else scaler.mean_
        scale = np.ones(width) if scaler.scale_ is None else scaler.scale_
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32))
        self.register_buffer("scale", torch.tensor(scale, dtype=torch.float32))

    def forward(self, features: Tensor) -> Tensor:
        return (features - self.mean) / self.scale
