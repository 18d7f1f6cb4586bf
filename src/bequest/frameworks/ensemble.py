"""The equal-weight average of models.

N samples, C classes, D features, M members.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, asdict, dataclass, field
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from bequest.core import Card, InputSpec, Label, Model, Predicts, output_of, parameters_of
from bequest.errors import ModelError
from bequest.frameworks.folder import load, spec_from_config, write_folder

__all__ = ["Ensemble", "load_ensemble"]

Array = NDArray[Any]


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
    >>> from bequest.frameworks.function_model import FunctionModel
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
        if not (isinstance(heat, int | float) and math.isfinite(heat) and heat > 0):
            raise ModelError(f"the temperature is a number above zero, not {heat!r}.")
        if heat != 1.0 and not first.classes:
            raise ModelError("values have no temperature: leave it at 1 for a regression.")
        object.__setattr__(self, "spec", vars(self)["spec"] or first.spec)
        object.__setattr__(self, "classes", first.classes)

    def output(self, X: Any) -> Array:
        """Probabilities (N, C) or values (N,), float64."""
        total = output_of(self.members[0], X).astype(np.float64)
        for member in self.members[1:]:
            total = total + output_of(member, X)
        mean = total / len(self.members)
        if self.temperature == 1.0:
            return np.asarray(mean)
        with np.errstate(divide="ignore"):  # the logarithm of zero leaves a zero
            return np.asarray(softmax(np.log(mean) / self.temperature, axis=1))

    def parameters(self) -> Mapping[str, Array]:
        """Every member's, those of the first under ``members.0.``."""
        return {
            f"members.{place}.{name}": values
            for place, member in enumerate(self.members)
            for name, values in parameters_of(member).items()
        }

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

    def save(self, folder: str | Path) -> None:
        """Write every member into a folder of its own inside this one."""
        config = {
            "members": len(self.members),
            "temperature": float(self.temperature),
            "spec": asdict(self.spec),
        }

        def write(place: Path) -> None:
            for number, member in enumerate(self.members):
                member.save(place / "members" / str(number))

        write_folder(folder, kind="ensemble", config=config, card=self.card, write=write)


def load_ensemble(
    folder: Path, config: Mapping[str, Any], card: Card, modules: Sequence[type] = ()
) -> Ensemble:
    """Load the members."""
    places = (folder / "members" / str(number) for number in range(config["members"]))
    return Ensemble(
        tuple(load(place, modules=modules) for place in places),
        card=card,
        spec=spec_from_config(config["spec"]),
        temperature=config["temperature"],
    )


def _said(model: Model) -> str:
    return f"the classes {', '.join(map(str, model.classes[:5]))}" if model.classes else "values"
