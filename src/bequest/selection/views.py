"""What a source shows of a task's rows, and what the bare inputs show: alike, so they compare.

Shapes: N samples, D features, Z source classes, P numbers per input, R directions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from bequest.core import (
    GivesFeatures,
    Inputs,
    Model,
    Predicts,
    features_of,
    modality_of,
    output_of,
)
from bequest.errors import ModelError, NotApplicable
from bequest.selection.arrays import check_features, check_probabilities
from bequest.selection.score import Needs
from bequest.selection.scores.nleep import ROWS_PER_CLUSTER, cluster_probabilities
from bequest.selection.spectrum import principal

__all__ = ["View", "raw_inputs", "raw_view", "untrained_view", "view_of", "with_clusters"]

Array = NDArray[Any]

WIDEST = 64  # principal directions that are kept, as GBC does: what makes resampling cheap
SHARPEST = 1e-3  # probabilities below this are as good as this: their logarithm is no outlier
RANDOM_UNITS = 256


@final
@dataclass(frozen=True)
class View:
    """Features (N, R), the source's `own` or its outputs, and class probabilities (N, Z)."""

    features: Array
    probabilities: Array | None = None
    own: bool = True

    def offers(self, needs: Needs) -> Array | None:
        """What a score asks for, or None."""
        if needs == "features":
            return self.features
        if self.probabilities is None or needs == "probabilities":
            return self.probabilities
        return np.asarray(self.probabilities.argmax(axis=1))


def view_of(source: Model, inputs: Inputs) -> View:
    """What the source makes of these rows; its outputs are its features where it has no others."""
    output = _output(source, inputs)
    if output is None:
        return View(_widest(check_features(features_of(source, inputs))))
    probabilities = check_probabilities(output) if source.classes else None
    own = True
    try:
        features = check_features(features_of(source, inputs))
    except NotApplicable:
        own = False
        if probabilities is None:
            features = check_features(output.reshape(len(output), -1))
        else:
            features = np.log(np.maximum(probabilities, SHARPEST))
    return View(_widest(features), probabilities, own)


def _output(source: Model, inputs: Inputs) -> Array | None:
    """Its outputs; None of a network for features, which has none or does not say what they mean.

    Of a classifier what goes wrong is raised.
    """
    if not isinstance(source, Predicts):
        return None
    try:
        return np.asarray(output_of(source, inputs), dtype=np.float64)
    except ModelError:
        if source.classes or not isinstance(source, GivesFeatures):
            raise
        return None


def raw_inputs(inputs: Inputs) -> Array:
    """The inputs as numbers, shape (N, P): the `vectors` of their modality."""
    return check_features(modality_of(inputs).vectors(inputs))


def raw_view(raw: Array) -> View:
    """What the raw inputs (N, P) show."""
    return View(_widest(raw))


def untrained_view(plain: View, rng: np.random.Generator) -> View:
    """Random units of the raw inputs' view: an untrained layer, as from scratch starts with."""
    inputs = plain.features[:, :-1] / plain.features[0, -1]
    weights = rng.normal(size=(inputs.shape[1], RANDOM_UNITS))
    units = np.maximum(inputs @ weights + 0.5 * rng.normal(size=RANDOM_UNITS), 0.0)
    return View(_widest(units))


def with_clusters(view: View, classes: int) -> View:
    """The view with clusters of its features in place of classes, as many as a source has."""
    rows = len(view.features)
    components = max(1, min(classes, rows // ROWS_PER_CLUSTER))
    clusters = cluster_probabilities(view.features[:, :-1], components=components, seed=0)
    return View(view.features, clusters)


def _widest(features: Array) -> Array:
    """The first principal coordinates, and a column that stands for an offset, shape (N, R)."""
    coordinates = principal(features, WIDEST)
    size = np.sqrt((coordinates**2).sum(axis=1).mean()) or 1.0
    return np.hstack([coordinates, np.full((len(features), 1), size)])
