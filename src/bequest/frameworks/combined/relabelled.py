"""A source that predicts as it is, under the target's labels and class priors.

N samples, C classes of the target, Z classes of the source.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bequest.core import Card, InputSpec, Label, Model, features_of, output_of, parameters_of
from bequest.frameworks.combined.nested import load_inside, save_inside
from bequest.frameworks.files.folder import write_folder
from bequest.frameworks.portable.to_onnx import export_onnx
from bequest.frameworks.portable.to_torch import TrunkOutput, layers_of, whole_model

if TYPE_CHECKING:
    from bequest.frameworks.torch.model import Network

__all__ = ["Relabelled", "load_relabelled"]

Array = NDArray[Any]


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
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

    source: Model = field(kw_only=False)
    classes: tuple[Label, ...]
    columns: Sequence[int]
    weights: Sequence[float]
    card: Card
    spec: InputSpec = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "spec", self.source.spec)

    def output(self, X: Any) -> Array:
        """Probabilities (N, C); uniform where the source gives the C labels no mass at all."""
        mass = output_of(self.source, X)[:, list(self.columns)] * np.asarray(self.weights)
        total = mass.sum(axis=1, keepdims=True)
        even = np.full_like(mass, 1.0 / len(self.classes))
        return np.asarray(np.divide(mass, total, out=even, where=total > 0))

    def features(self, X: Any, layer: str | None = None) -> Array:
        """The source's."""
        return features_of(self.source, X, layer)

    def parameters(self) -> Mapping[str, Array]:
        """The source's."""
        return parameters_of(self.source)

    def layers(self, trunks: list[Network]) -> nn.Module:
        """The source's, relabelled; see `bequest.frameworks.portable.to_torch.HasLayers`."""
        return _RelabelledLayers(layers_of(self.source, trunks), self.columns, self.weights)

    def to_torch(self) -> nn.Module:
        """The source and the labels put on it as one module; see `bequest.core.Model`."""
        return whole_model(self)

    def to_onnx(self, path: str | Path) -> None:
        """The source and the labels put on it as one ONNX file; see `bequest.core.Model`."""
        export_onnx(self, path)

    @property
    def structure(self) -> Mapping[str, Any]:
        """The source's, named as such."""
        return {"relabelled": dict(self.source.structure)}

    def parts(self) -> tuple[object, ...]:
        """The source's."""
        return self.source.parts()

    def inner(self) -> tuple[Model, ...]:
        """The source."""
        return (self.source,)

    def save(self, folder: str | Path) -> None:
        """Write the source into a folder of its own inside this one."""
        config = {
            "classes": list(self.classes),
            "columns": list(self.columns),
            "weights": list(self.weights),
        }
        write_folder(
            folder,
            kind="relabelled",
            config=config,
            card=self.card,
            write=lambda place: save_inside(self.source, place / "source"),
        )


@final
class _RelabelledLayers(nn.Module):
    """Some of the source's classes, weighted."""

    columns: Tensor
    shift: Tensor

    def __init__(self, source: nn.Module, columns: Sequence[int], weights: Sequence[float]) -> None:
        super().__init__()
        self.source = source
        self.register_buffer("columns", torch.tensor(list(columns)))
        self.register_buffer("shift", torch.tensor(list(weights), dtype=torch.float32).log())

    def forward(self, given: Sequence[TrunkOutput]) -> Tensor:
        """Logits (N, C)."""
        known: Tensor = self.source(given).log_softmax(dim=1)
        return known[:, self.columns] + self.shift


def load_relabelled(
    folder: Path, config: Mapping[str, Any], card: Card, modules: Sequence[type] = ()
) -> Relabelled:
    """Load the source, then the labels put on it."""
    return Relabelled(
        load_inside(folder, "source", modules=modules),
        classes=tuple(config["classes"]),
        columns=[int(place) for place in config["columns"]],
        weights=[float(weight) for weight in config["weights"]],
        card=card,
    )
