"""A source that says labels only, read as evidence: how likely each class is, given what it says.

N samples, C classes of the target, Z classes of the source.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, final

import numpy as np
from numpy.typing import NDArray

from bequest.core import Card, InputSpec, Label, Model, features_of, output_of, parameters_of
from bequest.errors import ModelError
from bequest.frameworks.files.folder import load, write_folder

__all__ = ["LabelPosterior", "load_label_posterior"]

Array = NDArray[Any]


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class LabelPosterior(Model):
    """The classes' probabilities given the label that the source says.

    Parameters
    ----------
    source : Model
        A classifier with Z classes.
    classes : tuple
        The C labels to predict.
    posteriors : sequence of Z sequences of C floats
        For each label of the source the probabilities of the classes, which sum to one.
    card : Card

    Raises
    ------
    ModelError
        The posteriors are no such probabilities.

    References
    ----------
    Dawid and Skene, Maximum Likelihood Estimation of Observer Error-Rates, Applied Statistics
    1979.

    Examples
    --------
    >>> from bequest.frameworks.combined.function_model import FunctionModel
    >>> source = FunctionModel(
    ...     lambda X: np.where(X[:, 0] > 0, "up", "down"),
    ...     spec=InputSpec("vector"), classes=("down", "up"), card=Card(),
    ... )
    >>> model = LabelPosterior.counted(
    ...     source, [[1.0], [2.0], [-1.0]], np.array([1, 1, 0]), classes=("falls", "rises"),
    ...     named=(0, 1), card=Card(),
    ... )
    >>> model.predict_proba([[9.0], [-9.0]]).round(2).tolist()
    [[0.2, 0.8], [0.75, 0.25]]
    """

    source: Model = field(kw_only=False)
    classes: tuple[Label, ...]
    posteriors: Sequence[Sequence[float]]
    card: Card
    spec: InputSpec = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "spec", self.source.spec)
        rows = np.asarray(self.posteriors, dtype=np.float64)
        shape = (len(self.source.classes), len(self.classes))
        if rows.shape != shape or not (rows >= 0).all() or not np.allclose(rows.sum(axis=1), 1.0):
            raise ModelError(f"the posteriors of labels are no {shape} probabilities.")

    @classmethod
    def counted(
        cls,
        source: Model,
        X: Any,
        targets: Array,
        *,
        classes: tuple[Label, ...],
        named: Sequence[int],
        card: Card,
    ) -> Self:
        """Count on N rows how often each class occurs where the source says each label.

        Each class counts once more than it is seen with a label (Laplace), and the class that the
        label names once more than that: so an unseen label still speaks for its own name.

        Parameters
        ----------
        source, classes, card
            As of the class.
        X
            N samples.
        targets : int array, shape (N,)
            Places of their classes.
        named : sequence of int
            For each of the C classes the source's place of its name.
        """
        said_NZ = output_of(source, X)
        counts_ZC = said_NZ.T @ np.eye(len(classes))[targets] + 1.0
        counts_ZC[list(named), np.arange(len(classes))] += 1.0
        posteriors = counts_ZC / counts_ZC.sum(axis=1, keepdims=True)
        return cls(source, classes=classes, posteriors=posteriors.tolist(), card=card)

    def output(self, X: Any) -> Array:
        """Probabilities (N, C)."""
        return np.asarray(output_of(self.source, X) @ np.asarray(self.posteriors))

    def features(self, X: Any, layer: str | None = None) -> Array:
        """The source's."""
        return features_of(self.source, X, layer)

    def parameters(self) -> Mapping[str, Array]:
        """The source's."""
        return parameters_of(self.source)

    @property
    def structure(self) -> Mapping[str, Any]:
        """The source's, named as such."""
        return {"label posterior": dict(self.source.structure)}

    def parts(self) -> tuple[object, ...]:
        """The source's."""
        return self.source.parts()

    def save(self, folder: str | Path) -> None:
        """Write the source into a folder of its own inside this one."""
        write_folder(
            folder,
            kind="label-posterior",
            config={
                "classes": list(self.classes),
                "posteriors": [list(row) for row in self.posteriors],
            },
            card=self.card,
            write=lambda place: self.source.save(place / "source"),
        )


def load_label_posterior(
    folder: Path, config: Mapping[str, Any], card: Card, modules: Sequence[type] = ()
) -> LabelPosterior:
    """Load the source, then what its labels say."""
    return LabelPosterior(
        load(folder / "source", modules=modules),
        classes=tuple(config["classes"]),
        posteriors=[[float(share) for share in row] for row in config["posteriors"]],
        card=card,
    )
