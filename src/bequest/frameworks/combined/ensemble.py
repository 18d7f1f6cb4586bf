"""The equal-weight average of models.

N samples, C classes, D features, M members.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, final

import numpy as np
from numpy.typing import NDArray
from torch import nn

from bequest.core import (
    Card,
    InputSpec,
    Label,
    Model,
    Predicts,
    features_of,
    output_of,
)
from bequest.core.computed_once import computed_once
from bequest.core.model import parameters_within
from bequest.errors import ModelError, NotApplicable
from bequest.frameworks.combined.nested import (
    check_nesting,
    counted,
    load_inside,
    load_parts,
    same_model,
    save_inside,
    save_parts,
    shared_models,
)
from bequest.frameworks.files.folder import spec_from_config, write_folder
from bequest.frameworks.portable.to_onnx import export_onnx
from bequest.frameworks.portable.to_torch import AverageLayers, layers_of, whole_model

if TYPE_CHECKING:
    from bequest.frameworks.torch.model import Network

__all__ = ["Ensemble", "MemberSummary", "load_ensemble", "sharpened"]

Array = NDArray[Any]


@final
@dataclass(frozen=True)
class MemberSummary:
    """One member of an ensemble.

    Parameters
    ----------
    name : str
    method : str
        What made it; empty where its card does not say.
    settings : mapping
        The method's.
    source : str
        The models that it was made from, with commas between them; empty for one from scratch.
    """

    name: str
    method: str
    settings: Mapping[str, Any]
    source: str

    @classmethod
    def of(cls, card: Card) -> Self:
        """What a card says."""
        return cls(card.name, card.method, card.settings, ", ".join(map(str, card.parents)))


@final
@dataclass(frozen=True, eq=False, repr=False)
class Ensemble(Model):
    """The mean of what its members give, each with the same weight.

    Parameters
    ----------
    members : sequence of Model
        At least one; all predict the same classes in the same order, or are regressors.
    card : Card
    spec : InputSpec
        What it takes. Default: what the first member takes.
    temperature : float
        Of classifiers, above zero: the mean probabilities become
        ``softmax(log(mean) / temperature)``. Below 1 sharpens them, 1 changes nothing.

    Raises
    ------
    ModelError
        There is no member, one does not predict or has other classes, or the temperature is not
        above zero, or not 1 for regressors.

    References
    ----------
    Lakshminarayanan, Pritzel and Blundell, Simple and Scalable Predictive Uncertainty Estimation
    using Deep Ensembles, NeurIPS 2017. Guo et al., On Calibration of Modern Neural Networks, ICML
    2017 (the temperature).

    Examples
    --------
    >>> from bequest.frameworks.combined.function_model import FunctionModel
    >>> one, two = (
    ...     FunctionModel(lambda X, k=k: k * X[:, 0], spec=InputSpec("vector", (1,)), classes=(),
    ...                   card=Card())
    ...     for k in (1.0, 3.0)
    ... )
    >>> Ensemble((one, two), card=Card()).predict([[5.0]]).tolist()
    [10.0]
    """

    members: tuple[Model, ...]
    _: KW_ONLY
    card: Card
    spec: InputSpec = None  # type: ignore[assignment]  # the first member's, set below
    temperature: float = 1.0
    classes: tuple[Label, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "members", tuple(self.members))
        if not self.members:
            raise ModelError("an ensemble needs at least one member.")
        first = self.members[0]
        for place, member in enumerate(self.members):
            title = f"member {place} ({member.name or 'without a name'})"
            if not isinstance(member, Predicts):
                raise ModelError(f"{title} gives features only: an ensemble averages predictions.")
            if member.classes != first.classes:
                raise ModelError(
                    f"{title} predicts {_said(member)}, member 0 {_said(first)}: an ensemble "
                    "averages models of one task."
                )
        heat = self.temperature
        sound = isinstance(heat, int | float) and not isinstance(heat, bool)
        if not (sound and math.isfinite(heat) and heat > 0):
            raise ModelError(f"the temperature is a number above zero, not {heat!r}.")
        if heat != 1.0 and not first.classes:
            raise ModelError("values have no temperature: leave it at 1 for a regression.")
        object.__setattr__(self, "spec", vars(self)["spec"] or first.spec)
        object.__setattr__(self, "classes", first.classes)

    def output(self, X: Any) -> Array:
        """Probabilities (N, C) or values (N,), float64; a part that members share runs once."""
        with computed_once(self._shared_parts()):
            total = output_of(self.members[0], X).astype(np.float64)
            for member in self.members[1:]:
                total = total + output_of(member, X)
        mean = total / len(self.members)
        return sharpened(mean, self.temperature) if self.classes else np.asarray(mean)

    def features(self, X: Any, layer: str | None = None) -> Array:
        """Those of the source that all members stand on.

        Raises
        ------
        NotApplicable
            There is no such one, or it has no features.
        """
        below, *others = map(_trunk, self.members)
        if not all(same_model(below, other) for other in others):
            raise NotApplicable(
                "the members of this ensemble stand on different models: it has no features of "
                "its own. Take those of one member: ensemble.members[0]."
            )
        return features_of(below, X, layer)

    def parameters(self) -> Mapping[str, Array]:
        """Every member's under ``members.0.`` and so on, of those that show theirs.

        What members share stands under each of them, as the same memory.
        """
        numbered = enumerate(self.members)
        return parameters_within({f"members.{place}": member for place, member in numbered})

    def explain(self) -> tuple[MemberSummary, ...]:
        """What each member is, in their order, as its card says it."""
        return tuple(MemberSummary.of(member.card) for member in self.members)

    def layers(self, trunks: list[Network]) -> nn.Module:
        """The members' average; see `bequest.frameworks.portable.to_torch.HasLayers`."""
        found: list[nn.Module] = []
        refused: list[str] = []
        able: list[int] = []
        for place, member in enumerate(self.members):
            try:
                found.append(layers_of(member, trunks))
                able.append(place)
            except NotApplicable as reason:
                refused.append(f"members[{place}]: {reason}")
        if refused:
            raise NotApplicable(
                f"{self.name or 'this model'} averages {len(self.members)} models, which torch "
                f"cannot compute as one: {' '.join(refused)} {_ways_on(able)}"
            )
        return AverageLayers(found, len(self.classes), self.temperature)

    def to_torch(self) -> nn.Module:
        """The average as one module, shared networks run once; see `bequest.core.Model`."""
        return whole_model(self)

    def to_onnx(self, path: str | Path) -> None:
        """The average as one ONNX file; see `bequest.core.Model`."""
        export_onnx(self, path)

    @property
    def structure(self) -> Mapping[str, Any]:
        """The members', and the temperature."""
        return {
            "ensemble": [dict(member.structure) for member in self.members],
            "temperature": self.temperature,
        }

    def parts(self) -> tuple[object, ...]:
        """The members', each once."""
        found = [part for member in self.members for part in member.parts()]
        return tuple({id(part): part for part in found}.values())

    def inner(self) -> tuple[Model, ...]:
        """The members."""
        return self.members

    def _shared_parts(self) -> list[object]:
        """Those of at least two members."""
        each = [{id(part): part for part in member.parts()} for member in self.members]
        counts = Counter(number for parts in each for number in parts)
        return [part for parts in each for number, part in parts.items() if counts[number] > 1]

    def save(self, folder: str | Path) -> None:
        """Write every member into a folder of its own inside this one, shared models once."""
        shared = shared_models(self.members)
        config = {
            "members": len(self.members),
            "parts": len(shared),
            "temperature": float(self.temperature),
            "spec": asdict(self.spec),
        }

        def write(place: Path) -> None:
            with save_parts(shared, place):
                for number, member in enumerate(self.members):
                    save_inside(member, place / "members" / str(number))

        write_folder(folder, kind="ensemble", config=config, card=self.card, write=write)


def load_ensemble(
    folder: Path, config: Mapping[str, Any], card: Card, modules: Sequence[type] = ()
) -> Ensemble:
    """Load what members share, then the members; `ModelError` where a reference leads astray."""
    parts, members = counted(config["parts"], "parts"), counted(config["members"], "members")
    with load_parts(folder, parts, modules):
        model = Ensemble(
            tuple(
                load_inside(folder, "members", str(number), modules=modules)
                for number in range(members)
            ),
            card=card,
            spec=spec_from_config(config["spec"]),
            temperature=config["temperature"],
        )
    check_nesting(model)
    return model


def _trunk(model: Model) -> Model:
    """The model at the bottom, on which others stand."""
    while (held := model.inner()) and not isinstance(model, Ensemble):
        model = held[0]
    return model


def _ways_on(able: Sequence[int]) -> str:
    """What of an ensemble leaves as torch all the same."""
    if not able:
        return "None of them is a torch network."
    calls = ", ".join(f"model.members[{place}].to_torch()" for place in able)
    return f"What can be one module by itself: {calls}."


def _said(model: Model) -> str:
    return f"the classes {', '.join(map(str, model.classes[:5]))}" if model.classes else "values"


def sharpened(probabilities: Array, temperature: float) -> Array:
    """Probabilities (N, C) whose logarithms are divided by a temperature, summing to one again.

    References
    ----------
    Guo et al., On calibration of modern neural networks, ICML 2017.

    Examples
    --------
    >>> sharpened(np.array([[0.8, 0.2]]), 0.5).round(3).tolist()
    [[0.941, 0.059]]
    """
    if temperature == 1.0:
        return probabilities
    top = probabilities.max(axis=1, keepdims=True)
    raised = (probabilities / top) ** (1 / temperature)
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))
