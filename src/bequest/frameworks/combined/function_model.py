"""A function that predicts, and shows nothing else of itself.

N samples, C classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from bequest.core import Card, Inputs, InputSpec, Label, Model, as_inputs
from bequest.core.feature_cache import cached
from bequest.core.model import plain_labels
from bequest.errors import BequestError, ModelError, NotApplicable

__all__ = ["FunctionModel"]

Array = NDArray[Any]
SUM_TOLERANCE = 1e-3  # probabilities that were rounded to three digits still count as such


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class FunctionModel(Model):
    """A function from inputs to predictions: a source that is only asked.

    Parameters
    ----------
    function : callable
        Takes the samples as `bequest.core.as_inputs` gives them and returns probabilities (N, C),
        labels (N,), or, without classes, values (N,) or (N, 1).
    spec : InputSpec
        What it takes; shape None is anything of that modality.
    classes : tuple
        Labels in the order of the probabilities; empty for regression.
    card : Card

    Examples
    --------
    >>> card = Card(name="sign")
    >>> model = FunctionModel(
    ...     lambda X: np.where(X[:, 0] > 0, "up", "down"),
    ...     spec=InputSpec("vector"), classes=("down", "up"), card=card,
    ... )
    >>> model.predict_proba([[3.0], [-1.0]]).tolist()
    [[0.0, 1.0], [1.0, 0.0]]
    """

    function: Callable[[Any], Any] = field(kw_only=False)
    spec: InputSpec
    classes: tuple[Label, ...]
    card: Card

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", plain_labels(self.classes))

    def output(self, X: Any) -> Array:
        """Probabilities (N, C) or values (N,), float64; labels become ones and zeros.

        Raises
        ------
        ModelError
            The function fails, or gives another shape, a label that is no class, numbers that are
            not finite, or rows that are no probabilities.
        """
        given = cached(self.function, "", as_inputs(X), self._given)
        if self.classes:
            return self._from_labels(given) if given.ndim == 1 else self._probabilities(given)
        if given.size != len(given):
            raise ModelError(
                f"{self._title} gives values of shape {given.shape}, one a row is wanted; for a "
                "classifier, name its classes."
            )
        return self._finite(given).reshape(-1)

    def _given(self, inputs: Inputs) -> Array:
        try:
            given = self.function(inputs)
        except (BequestError, MemoryError):
            raise
        except Exception as error:  # anybody's code: one source that fails must not end a race
            said = " ".join(f"{type(error).__name__}: {error}".split())
            raise ModelError(f"{self._title} fails on {len(inputs)} rows: {said}") from error
        given = np.asarray(given.detach().cpu() if hasattr(given, "detach") else given)
        if len(inputs) == 0 or given.ndim == 0 or len(given) != len(inputs):
            raise ModelError(
                f"{self._title} gives predictions of shape {given.shape} for {len(inputs)} rows."
            )
        return given

    def _from_labels(self, given: Array) -> Array:
        places = {label: place for place, label in enumerate(self.classes)}
        labels = given.tolist()
        unknown = sorted({str(label) for label in labels if label not in places})
        if unknown:
            raise ModelError(
                f"{self._title} predicts labels that are not among its {len(places)} classes: "
                f"{', '.join(unknown[:5])}."
            )
        return np.eye(len(places))[[places[label] for label in labels]]

    def _probabilities(self, given: Array) -> Array:
        if given.shape != (len(given), len(self.classes)):
            raise ModelError(
                f"{self._title} gives predictions of shape {given.shape} for "
                f"{len(self.classes)} classes."
            )
        probabilities = self._finite(given)
        sums = probabilities.sum(axis=1, keepdims=True)
        if probabilities.min() < 0 or np.abs(sums - 1.0).max() > SUM_TOLERANCE:
            raise ModelError(
                f"{self._title} gives rows that are no probabilities: the least number is "
                f"{probabilities.min():.3g}, the sums run from {sums.min():.3g} to "
                f"{sums.max():.3g}. Wrap logits in a softmax."
            )
        return np.asarray(probabilities / sums)

    def _finite(self, given: Array) -> Array:
        try:
            values = given.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise ModelError(f"{self._title} gives no numbers: {error}.") from error
        if not np.isfinite(values).all():
            raise ModelError(f"{self._title} gives numbers that are not finite.")
        return values

    @property
    def _title(self) -> str:
        return self.name or "the function"

    @property
    def structure(self) -> Mapping[str, Any]:
        """Its name: nothing else is known of it."""
        kind = type(self.function)
        return {"function": getattr(self.function, "__qualname__", kind.__qualname__)}

    def parts(self) -> tuple[object, ...]:
        """The function."""
        return (self.function,)

    def save(self, folder: str | Path) -> None:
        """Never works: a function is code, and model folders hold none."""
        raise NotApplicable(
            f"{self._title} is a function, and a model folder holds no code: save what it calls, a "
            "torch module or a scikit-learn estimator, with bequest.wrap(...).save(folder)."
        )
