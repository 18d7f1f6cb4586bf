"""A model: something fitted that predicts.

N samples, C classes, D features.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bequest.core.card import Card
from bequest.core.inputs import InputSpec
from bequest.core.task import Label, Task
from bequest.errors import NotApplicable

__all__ = ["Model"]

Array = NDArray[Any]


class Model(ABC):
    """A fitted predictor; what it cannot do raises `NotApplicable`.

    Attributes
    ----------
    spec : InputSpec
        What it takes.
    classes : tuple
        The labels that it predicts, in the order of `predict_proba`'s columns; empty for
        regression.
    card : Card
        What it says of itself.
    """

    spec: InputSpec
    classes: tuple[Label, ...]
    card: Card

    @property
    def name(self) -> str:
        """What people call it."""
        return self.card.name

    @property
    def kind(self) -> str:
        """classification or regression."""
        return "classification" if self.classes else "regression"

    @property
    def predicts(self) -> bool:
        """Whether it predicts; what has no head gives features only."""
        return True

    def applies(self, task: Task) -> NotApplicable | None:
        """None where it can read the task's inputs, else the reason why not."""
        return self.spec.accepts(task.spec)

    def predict(self, X: Any) -> Array:
        """Labels (N,) for a classifier, values (N,) float64 for a regressor.

        Parameters
        ----------
        X : array, tensor, Table, DataFrame
            N samples as the model's `spec` describes them.
        """
        output = self.output(X)
        if not self.classes:
            return output
        return np.asarray(np.array(self.classes)[output.argmax(axis=1)])

    def predict_proba(self, X: Any) -> Array:
        """Class probabilities, shape (N, C), float64, rows summing to one."""
        if not self.classes:
            raise NotApplicable("a regressor has no class probabilities.")
        return self.output(X)

    @abstractmethod
    def output(self, X: Any) -> Array:
        """Probabilities (N, C) of a classifier, or values (N,) of a regressor, float64."""

    def features(self, X: Any, layer: str | None = None) -> Array:
        """What the model computes just before its head, shape (N, D).

        Parameters
        ----------
        X
            As in `predict`.
        layer : str, optional
            Another layer's output, flattened.
        """
        raise NotApplicable(f"{self.name or 'this model'} gives predictions only, no features.")

    def parameters(self) -> Mapping[str, Array]:
        """The fitted numbers by name."""
        raise NotApplicable(f"{self.name or 'this model'} does not show its parameters.")

    @property
    @abstractmethod
    def structure(self) -> Mapping[str, Any]:
        """The architecture as plain values, ready for JSON."""

    @abstractmethod
    def with_card(self, card: Card) -> Model:
        """The same model under another card."""

    @abstractmethod
    def save(self, folder: str | Path) -> None:
        """Write a model folder: weights, `config.json`, `card.json`, `README.md`; no pickle."""
