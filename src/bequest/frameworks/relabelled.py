"""A source that predicts as it is, under the target's labels and class priors.

N samples, C classes of the target, Z classes of the source.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from bequest.core import Card, Label, Model
from bequest.frameworks.folder import load, write_folder

__all__ = ["Relabelled", "load_relabelled"]

Array = NDArray[Any]


@final
class Relabelled(Model):
    """Columns of the source's probabilities, each times a weight, brought back to sum one.

    Parameters
    ----------
    source : Model
        A classifier with Z classes.
    classes : tuple
        The C labels to predict.
    columns : sequence of int
        For each label the source's column, from 0 to Z - 1.
    weights : sequence of float
        For each label the factor; target prior over source prior corrects a label shift.
    card : Card
    """

    def __init__(
        self,
        source: Model,
        *,
        classes: tuple[Label, ...],
        columns: Sequence[int],
        weights: Sequence[float],
        card: Card,
    ) -> None:
        self.source = source
        self.spec = source.spec
        self.classes = classes
        self.columns = list(columns)
        self.weights = list(weights)
        self.card = card

    def output(self, X: Any) -> Array:
        """Probabilities (N, C); uniform where the source gives the C labels no mass at all."""
        mass = self.source.output(X)[:, self.columns] * np.asarray(self.weights)
        total = mass.sum(axis=1, keepdims=True)
        even = np.full_like(mass, 1.0 / len(self.classes))
        return np.asarray(np.divide(mass, total, out=even, where=total > 0))

    def features(self, X: Any, layer: str | None = None) -> Array:
        """The source's."""
        return self.source.features(X, layer)

    def parameters(self) -> Mapping[str, Array]:
        """The source's."""
        return self.source.parameters()

    @property
    def structure(self) -> Mapping[str, Any]:
        """The source's, named as such."""
        return {"relabelled": dict(self.source.structure)}

    def with_card(self, card: Card) -> Relabelled:
        """The same model under another card."""
        return Relabelled(
            self.source,
            classes=self.classes,
            columns=self.columns,
            weights=self.weights,
            card=card,
        )

    def save(self, folder: str | Path) -> None:
        """Write the source into a folder of its own inside this one."""
        config = {
            "classes": list(self.classes),
            "columns": self.columns,
            "weights": self.weights,
        }
        write_folder(
            folder,
            kind="relabelled",
            config=config,
            card=self.card,
            write=lambda place: self.source.save(place / "source"),
        )


def load_relabelled(
    folder: Path, config: Mapping[str, Any], card: Card, modules: Sequence[type] = ()
) -> Relabelled:
    """Load the source, then the labels put on it."""
    return Relabelled(
        load(folder / "source", modules=modules),
        classes=tuple(config["classes"]),
        columns=[int(place) for place in config["columns"]],
        weights=[float(weight) for weight in config["weights"]],
        card=card,
    )
