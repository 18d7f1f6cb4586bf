"""A small model on top of what a frozen source gives.

N samples, D numbers, C classes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import softmax
from torch import Tensor, nn

from bequest.core import Card, Encoder, InputSpec, Label, Model, as_inputs
from bequest.core.modality import dense
from bequest.core.model import features_of, output_of, parameters_within
from bequest.errors import NotApplicable
from bequest.frameworks.combined.nested import load_inside, save_inside
from bequest.frameworks.encoders.encoder import encoder_from_config
from bequest.frameworks.files.folder import spec_from_config, write_folder
from bequest.frameworks.portable.linear_layers import linear_layers
from bequest.frameworks.portable.to_onnx import export_onnx
from bequest.frameworks.portable.to_torch import (
    TrunkOutput,
    layers_of,
    place_of,
    whole_model,
    whole_network,
)
from bequest.frameworks.sklearn.model import SklearnModel
from bequest.frameworks.torch.model import Network, TorchModel

__all__ = ["Stacked", "View", "load_stacked", "log_probabilities", "view_of"]

Array = NDArray[Any]
View = Literal["features", "outputs", "inputs"]
FLOOR = 1e-6  # least probability whose logarithm is taken


@final
@dataclass(frozen=True, eq=False, repr=False)
class Stacked(Model):
    """A head that reads a source's features or outputs, and the inputs where asked.

    Parameters
    ----------
    source : Model
        Frozen.
    head : Model
        Reads vectors: what the views give, side by side.
    views : sequence of {"features", "outputs", "inputs"}
    encoder : Encoder or None
        For the view ``"inputs"``.
    offset : bool
        The head corrects the source: log-probabilities, or values, are added up. The source must
        then have the head's classes.
    spec : InputSpec or None
        What it takes, where the encoder reads more than the source does.
    card : Card
    """

    source: Model
    head: Model
    _: KW_ONLY
    views: tuple[View, ...]
    card: Card
    encoder: Encoder | None = None
    offset: bool = False
    spec: InputSpec = None  # type: ignore[assignment]  # the source's, set below
    classes: tuple[Label, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "views", tuple(self.views))
        object.__setattr__(self, "spec", vars(self)["spec"] or self.source.spec)
        object.__setattr__(self, "classes", self.head.classes)

    def output(self, X: Any) -> Array:
        """Probabilities (N, C) or values (N,), float64."""
        inputs = as_inputs(X)
        below = output_of(self.source, inputs) if self.offset or "outputs" in self.views else None
        matrix = view_of(self.source, inputs, self.views, self.encoder, below)
        above = output_of(self.head, matrix)
        if not self.offset or below is None:
            return above
        if not self.classes:
            return np.asarray(below + above)
        # What the head says is not cut: it was fitted as logits, which know no least probability.
        correction = np.log(np.maximum(above, np.finfo(np.float64).tiny))
        return np.asarray(softmax(log_probabilities(below) + correction, axis=1))

    def features(self, X: Any, layer: str | None = None) -> Array:
        """The source's."""
        return features_of(self.source, X, layer)

    def parameters(self) -> Mapping[str, Array]:
        """The source's under ``source.``, the head's under ``head.``, of those that show theirs."""
        return parameters_within({"source": self.source, "head": self.head})

    def layers(self, trunks: list[Network]) -> nn.Module:
        """The head on the features of the network; see `to_torch.HasLayers`."""
        head = self._head_layers()
        own = "outputs" in self.views or self.offset
        below = layers_of(self.source, trunks) if own else None
        place = place_of(self.source, trunks) if "features" in self.views else None
        return _HeadLayers(self, head, place, below)

    def _head_layers(self) -> nn.Module:
        title = self.name or "this model"
        if "inputs" in self.views:
            raise NotApplicable(f"{title} reads the samples beside what a network gives.")
        if isinstance(self.head, TorchModel):
            return whole_network(self.head)
        if not isinstance(self.head, SklearnModel):
            raise NotApplicable(f"{self.head.no_network()}.")
        try:
            return linear_layers(self.head.estimator, self.classes)
        except NotApplicable as reason:
            raise NotApplicable(f"{title} is no single torch network: {reason}.") from reason

    def to_torch(self) -> nn.Module:
        """The network and the head as one module; see `bequest.core.Model`."""
        return whole_model(self)

    def to_onnx(self, path: str | Path) -> None:
        """The network and the head as one ONNX file; see `bequest.core.Model`."""
        export_onnx(self, path)

    @property
    def structure(self) -> Mapping[str, Any]:
        """Source, head, and what passes between them."""
        return {
            "source": dict(self.source.structure),
            "head": dict(self.head.structure),
            "views": list(self.views),
            "offset": self.offset,
        }

    def parts(self) -> tuple[object, ...]:
        """The source's and the head's."""
        return self.source.parts() + self.head.parts()

    def inner(self) -> tuple[Model, ...]:
        """The source and the head."""
        return (self.source, self.head)

    def save(self, folder: str | Path) -> None:
        """Write source and head, each into a folder of its own inside this one."""
        config = {
            "views": list(self.views),
            "offset": self.offset,
            "encoder": None if self.encoder is None else self.encoder.to_config(),
            "spec": asdict(self.spec),
        }

        def write(place: Path) -> None:
            save_inside(self.source, place / "source")
            save_inside(self.head, place / "head")

        write_folder(folder, kind="stacked", config=config, card=self.card, write=write)


@final
class _HeadLayers(nn.Module):
    """A linear head on the views of a source."""

    def __init__(
        self, model: Stacked, head: nn.Module, place: int | None, below: nn.Module | None
    ) -> None:
        super().__init__()
        self.views, self.offset, self.place = model.views, model.offset, place
        self.of_source, self.classes = len(model.source.classes), len(model.classes)
        self.head, self.below = head, below

    def forward(self, given: Sequence[TrunkOutput]) -> Tensor:
        """Logits (N, C) or values (N,)."""
        said = None if self.below is None else self._said(self.below(given))
        read = [
            given[self.place][0] if view == "features" and self.place is not None else said
            for view in self.views
        ]
        answer: Tensor = self.head(torch.cat([one for one in read if one is not None], dim=1))
        answer = answer.log_softmax(dim=1) if self.classes else answer
        answer = answer + said if self.offset and said is not None else answer
        return answer if self.classes else answer.reshape(-1)

    def _said(self, below: Tensor) -> Tensor:
        """As `view_of` gives outputs: log-probabilities with a floor, or a column of values."""
        if not self.of_source:
            return below.reshape(-1, 1)
        return below.log_softmax(dim=1).clamp(min=math.log(FLOOR))


def load_stacked(
    folder: Path, config: Mapping[str, Any], card: Card, modules: Sequence[type] = ()
) -> Stacked:
    """Load the source and the head."""
    return Stacked(
        load_inside(folder, "source", modules=modules),
        load_inside(folder, "head", modules=modules),
        views=config["views"],
        card=card,
        encoder=encoder_from_config(config["encoder"]),
        offset=bool(config["offset"]),
        spec=spec_from_config(config["spec"]),
    )


def view_of(
    source: Model,
    X: Any,
    views: Sequence[View],
    encoder: Encoder | None = None,
    output: Array | None = None,
) -> Array:
    """What a head reads of `source` on the samples `X`, float64, shape (N, D).

    The views stand side by side in their order; codes of categories become one column per level. Of
    a classifier's outputs it is log-probabilities, none below log 1e-6, of a regression's the
    values; `output` is the source's, where it is at hand. `NotApplicable` where the source shows no
    features.

    Examples
    --------
    >>> from bequest.frameworks.combined.function_model import FunctionModel
    >>> source = FunctionModel(
    ...     lambda X: 2 * X[:, 0], spec=InputSpec("vector", (2,)), classes=(), card=Card(),
    ... )
    >>> view_of(source, [[1.0, 5.0], [3.0, 7.0]], ["outputs"]).tolist()
    [[2.0], [6.0]]
    """
    parts = []
    for view in views:
        if view == "features":
            parts.append(features_of(source, X))
        elif view == "outputs":
            given = output_of(source, X) if output is None else output
            parts.append(log_probabilities(given) if source.classes else given[:, None])
        elif encoder is not None:
            parts.append(dense(encoder, as_inputs(X)))
    return np.concatenate(parts, axis=1).astype(np.float64)


def log_probabilities(probabilities: Array) -> Array:
    """Logarithms of probabilities (N, C), none below that of one in a million."""
    return np.asarray(np.log(np.clip(probabilities, FLOOR, 1.0)))
