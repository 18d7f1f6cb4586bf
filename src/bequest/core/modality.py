"""Modalities: what kind of samples a task has, one object per kind; plug-ins add theirs.

Shapes: N samples, D features, C channels, H and W pixels, P numbers per sample, L dimensions.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, final, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from bequest.core.registry import Registry
from bequest.core.table import ColumnKind
from bequest.errors import NotApplicable

__all__ = [
    "ENCODERS",
    "MODALITIES",
    "Encoder",
    "GivesCodes",
    "InputSpec",
    "Inputs",
    "Modality",
    "dense",
    "digests",
]

Array = NDArray[Any]


@runtime_checkable
class Inputs(Protocol):
    """Samples that can be counted and taken by row: an array, a `Table`, images, `Texts`.

    ``inputs[rows]`` takes a slice, numbers or a mask, and gives inputs of the same modality; what
    is read lazily stays to be read.
    """

    def __len__(self) -> int: ...
    def __getitem__(self, rows: Any, /) -> Any: ...


class Encoder(Protocol):
    """What turns inputs into numbers; fitted on training rows, part of the model."""

    def encode(self, inputs: Inputs) -> Any:
        """Numbers, shape (N, ...): float32, tokens of texts int64, counts of words sparse."""

    def to_config(self) -> dict[str, Any]:
        """Plain values; ``"encoder"`` is a name of `ENCODERS`, whose from_config reads them."""


@runtime_checkable
class GivesCodes(Protocol):
    """An encoder whose last columns are codes of categories, 0 to one below the cardinality."""

    @property
    def cardinalities(self) -> tuple[int, ...]:
        """Levels of each code column."""


WAYS_ON = {  # from what a model reads and a task offers to what a person can do
    ("text", "table"): (
        " Where one column holds the texts to learn from, name it: --text COLUMN on the command "
        'line, Task.from_text(table, text="COLUMN", target=...) in Python.'
    ),
    ("vector", "table"): (
        " Where its places stand for columns, name these in their order: "
        'bequest.wrap(model, columns=[...]); on the command line, what its save("FOLDER") wrote.'
    ),
}


@final
@dataclass(frozen=True)
class InputSpec:
    """What a model takes, or what a task offers.

    Parameters
    ----------
    modality : str
        A name of `MODALITIES`: vector, table, image, text, or a plug-in's.
    shape : tuple of int or None
        Shape of one sample without N: ``(D,)`` or ``(C, H, W)``; None means any, or not known.
    columns : tuple of str
        For tables: the columns that a model reads, or that a task offers.
    kinds : tuple of {"number", "category", "date"}
        The kind of each of `columns`; empty where not known.
    """

    modality: str
    shape: tuple[int, ...] | None = None
    columns: tuple[str, ...] = ()
    kinds: tuple[ColumnKind, ...] = ()

    def accepts(self, offered: InputSpec) -> NotApplicable | None:
        """None where a model with this spec can read `offered`, else the reason why not.

        Examples
        --------
        >>> model = InputSpec("vector", (64,))
        >>> model.accepts(InputSpec("vector", (30,))).reason
        'the source takes vectors of shape (64,), the task has (30,).'
        """
        if self.modality != offered.modality:
            way_on = WAYS_ON.get((self.modality, offered.modality), "")
            return NotApplicable(
                f"the source takes {self.modality} inputs, the task has {offered.modality} inputs."
                f"{way_on}"
            )
        return MODALITIES[self.modality].accepts(self, offered)


class Modality(ABC):
    """A kind of samples: how they are recognised, described, told apart and turned into numbers.

    The defaults are made from `vectors`, and ask that a sample's vector depends on that sample
    alone and that all have one length P.

    Attributes
    ----------
    name : str
        Its name in `MODALITIES`.
    encoder : str
        A name of `ENCODERS`: what is fitted to such inputs; by default standardised `vectors`.
    networks : tuple of str
        What from scratch trains on it, the most promising first: of "linear", "boosting", "mlp" and
        "resnet".
    default_network : str
        The one of them that is trained where none is named.
    augmentations : tuple of str
        Names of `bequest.training.AUGMENTATIONS` that suit it, the most useful first.
    """

    name: ClassVar[str]
    encoder: ClassVar[str] = "vectors"
    networks: ClassVar[tuple[str, ...]] = ("linear",)
    default_network: ClassVar[str] = "linear"
    augmentations: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def recognise(self, samples: Any) -> Inputs | None:
        """What a person holds, as inputs of this modality; None, no error, where it is no such."""

    @abstractmethod
    def holds(self, inputs: Inputs) -> bool:
        """Whether these are inputs that `recognise` gave, or rows of such."""

    @abstractmethod
    def vectors(self, inputs: Inputs) -> Array:
        """What scores take for the bare inputs, shape (N, P), float64, columns of like scale."""

    @abstractmethod
    def row_digests(self, inputs: Inputs) -> Array:
        """`digests` of each row's exact content: objects of 32 bytes, shape (N,)."""

    def read_files(self, samples: Any, spec: InputSpec) -> Any:
        """New samples for a model of this modality: those in files are read, as `spec` says.

        What is no file stays as it is, which the default always does.
        """
        return samples

    def describe(self, inputs: Inputs) -> InputSpec:
        """The spec of these inputs: by default the name, and a sample's shape where it has one."""
        return InputSpec(self.name, tuple(getattr(inputs, "shape", ()))[1:] or None)

    def accepts(self, wanted: InputSpec, offered: InputSpec) -> NotApplicable | None:
        """None where a model of `wanted` reads `offered`, both of this modality; else why not."""
        if wanted.shape is None or wanted.shape == offered.shape:
            return None
        return NotApplicable(
            f"the source takes {self.name}s of shape {wanted.shape}, the task has {offered.shape}."
        )

    def fingerprints(self, inputs: Inputs) -> NDArray[np.uint64]:
        """Equal for near duplicates, shape (N,); see `bequest.data.near_duplicates`."""
        return MODALITIES["vector"].fingerprints(self.vectors(inputs))

    def fit_encoder(self, inputs: Inputs) -> Encoder:
        """What turns such inputs into numbers, fitted on these."""
        encoder: Encoder = ENCODERS[self.encoder].fit(inputs)
        return encoder

    def fit_dense_encoder(self, inputs: Inputs) -> Encoder:
        """As `fit_encoder`, for a learner that holds every number; fewer than what is sparse."""
        return self.fit_encoder(inputs)

    def points(self, inputs: Inputs, direction: Callable[[str], Array]) -> Array:
        """Every row as a point of the hub's common space, shape (N, L).

        `direction` gives the fixed direction of a name, shape (L,). A point depends on its own row
        alone, or else sketches are not private: the default asks for the vector of each row without
        the others. `NotApplicable` where there is no such point, and so no sketch.
        """
        alone = [self.vectors(inputs[np.array([row])]) for row in range(len(inputs))]
        if len({vector.shape for vector in alone}) > 1:
            raise NotApplicable(
                f"{self.name} inputs have no points: their vectors differ in length."
            )
        return MODALITIES["vector"].points(np.concatenate(alone), direction)


MODALITIES: Registry[Modality] = Registry(
    "modality",
    {
        "text": "bequest.modalities.text:TEXT",
        "table": "bequest.modalities.table:TABLE",
        "image": "bequest.modalities.image:IMAGE",
        "vector": "bequest.modalities.vector:VECTOR",
    },
    group="bequest.modalities",
    of=Modality,
)
ENCODERS: Registry[Any] = Registry(
    "encoder",
    {
        "columns": "bequest.frameworks.encoders.columns:Columns",
        "pixels": "bequest.frameworks.encoders.pixels:Pixels",
        "scaler": "bequest.frameworks.encoders.encoder:Scaler",
        "table": "bequest.frameworks.encoders.encoder:TableEncoder",
        "text": "bequest.frameworks.encoders.text_encoder:TextEncoder",
        "unit-rows": "bequest.frameworks.encoders.unit_rows:UnitRows",
        "vectors": "bequest.frameworks.encoders.encoder:VectorEncoder",
    },
    group="bequest.encoders",
)


def dense(encoder: Encoder, inputs: Inputs) -> Array:
    """Encoded inputs as a linear model reads them: not sparse, flat, one column per level.

    Returns
    -------
    array, shape (N, D)
    """
    encoded = encoder.encode(inputs)
    if hasattr(encoded, "toarray"):
        return np.asarray(encoded.toarray())
    flat = np.asarray(encoded).reshape(len(encoded), -1)
    levels = encoder.cardinalities if isinstance(encoder, GivesCodes) else ()
    start = flat.shape[1] - len(levels)
    columns = [np.eye(n)[flat[:, start + i].astype(np.int64)] for i, n in enumerate(levels)]
    return np.concatenate([flat[:, :start], *columns], axis=1)


def digests(contents: Iterable[bytes]) -> Array:
    """The sha256 of each row's content, shape (N,): objects of 32 bytes.

    Examples
    --------
    >>> [len(digest) for digest in digests([b"a", b""])]
    [32, 32]
    """
    return np.array([hashlib.sha256(content).digest() for content in contents], dtype=object)
