"""A model: something fitted that predicts.

N samples, C classes, D features.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from bequest.core.card import Card
from bequest.core.feature_cache import cached
from bequest.core.inputs import InputSpec, as_inputs
from bequest.core.modality import MODALITIES
from bequest.core.task import Label, Task
from bequest.errors import BequestError, ModelError, NotApplicable

__all__ = [
    "NO_SINGLE_NETWORK", "GivesFeatures", "HasMembers", "HasParameters", "Model", "Predicts",
    "Trains", "features_of", "output_of", "parameters_of", "parameters_within", "plain_labels",
]  # fmt: skip

Array = NDArray[Any]
NO_SINGLE_NETWORK = "an ensemble has no single network: take result.best_single."


@runtime_checkable
class Predicts(Protocol):
    """What a model with outputs can do."""

    @property
    def classes(self) -> tuple[Label, ...]:
        """The labels, in the order of the columns of `output`; empty for regression."""

    def output(self, X: Any) -> Array:
        """Probabilities (N, C) of a classifier, or values (N,) of a regressor, float64."""


@runtime_checkable
class GivesFeatures(Protocol):
    """What a model with an inner representation can do."""

    def features(self, X: Any, layer: str | None = None) -> Array:
        """What the model computes just before its head, or another layer's output, shape (N, D)."""


@runtime_checkable
class HasParameters(Protocol):
    """What a model that shows its parameters can do."""

    def parameters(self) -> Mapping[str, Array]:
        """The fitted parameters by name."""


@runtime_checkable
class Trains(GivesFeatures, HasParameters, Protocol):
    """A network with a last linear layer, a copy of which can be trained further.

    `module` is the network, and is left as it is; the others are as in `Model` and as in
    `bequest.frameworks.torch.model.TorchModel`.
    """

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def spec(self) -> InputSpec: ...  # noqa: D102
    @property
    def classes(self) -> tuple[Label, ...]: ...  # noqa: D102
    @property
    def card(self) -> Card: ...  # noqa: D102
    @property
    def structure(self) -> Mapping[str, Any]: ...  # noqa: D102
    @property
    def module(self) -> Any: ...  # noqa: D102
    @property
    def encoder(self) -> Any: ...  # noqa: D102
    @property
    def head(self) -> str: ...  # noqa: D102
    @property
    def target_scale(self) -> tuple[float, float]: ...  # noqa: D102

    def applies(self, task: Task) -> NotApplicable | None:
        """None where it can read the task's inputs, else the reason why not."""

    def encode(self, X: Any) -> Array:
        """The samples as the module takes them, shape (N, ...)."""

    def retrained(
        self,
        module: Any,
        *,
        classes: tuple[Label, ...],
        target_scale: tuple[float, float],
        structure: Mapping[str, Any] | None = None,
        head: str | None = None,
    ) -> Model:
        """The model of a trained copy of the network, whose head may have other outputs.

        The default of `structure` is this model's with as many outputs as the copy's head has,
        that of `head` this model's.
        """


@runtime_checkable
class HasMembers(Protocol):
    """What a model that is made of others, and has no single network, can do."""

    @property
    def members(self) -> tuple[Model, ...]:
        """The models that it averages."""


class Model(ABC):
    """Something fitted; what it can do is asked of the protocols, such as `Predicts`.

    A class has a capability where its kind can ever have it; an instance that cannot raises
    `NotApplicable`. Subclasses are frozen dataclasses.

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

    def applies(self, task: Task) -> NotApplicable | None:
        """None where it can read the task's inputs, else the reason why not."""
        return self.spec.accepts(task.spec)

    def predict(self, X: Any) -> Array:
        """Labels (N,) for a classifier, values (N,) float64 for a regressor.

        Parameters
        ----------
        X : array, tensor, Table, DataFrame, list of str, of paths or of PIL images
            N samples as the model's `spec` describes them; for a model of images the files of
            photos, too, which are read in the size that it was trained on.
        """
        output = output_of(self, self._samples(X))
        if not self.classes:
            return output
        return np.asarray(np.array(self.classes)[output.argmax(axis=1)])

    def predict_proba(self, X: Any) -> Array:
        """Class probabilities, shape (N, C), float64, rows summing to one."""
        if isinstance(self, Predicts) and not self.classes:
            raise NotApplicable("a regressor has no class probabilities.")
        return output_of(self, self._samples(X))

    def _samples(self, X: Any) -> Any:
        return MODALITIES[self.spec.modality].read_files(X, self.spec)

    def parts(self) -> tuple[object, ...]:
        """The objects that compute its answers, as `bequest.core.feature_cache` knows them."""
        return (self,)

    def inner(self) -> tuple[Model, ...]:
        """The models that it asks, and saves inside its own folder; none by default."""
        return ()

    @property
    @abstractmethod
    def structure(self) -> Mapping[str, Any]:
        """The architecture as plain values, ready for JSON."""

    def with_card(self, card: Card) -> Self:
        """The same model under another card."""
        if hasattr(self, "__dataclass_fields__"):
            return replace(self, card=card)  # type: ignore[type-var]
        renamed = copy.copy(self)
        renamed.card = card
        return renamed

    def no_network(self) -> str:
        """Why torch cannot compute it, without a full stop."""
        return f"{self.name or 'this model'} is no single torch network"

    def to_torch(self) -> Any:
        """A copy as one ``torch.nn.Module`` in evaluation mode, with what prepares the samples.

        Returns
        -------
        torch.nn.Module
            Takes float samples (N, ...) as this model does, where what prepares them is torch's:
            nothing, standardising, or a network's image settings; otherwise (texts, tables) what
            ``model.encode`` gives. Gives logits (N, C), whose softmax is ``predict_proba``, or one
            logit (N,) or (N, 1) for the second of two classes; values (N,) of a regression;
            features (N, D) where the model has no outputs. A linear head on a frozen network's
            features becomes a layer; an average of such models runs a shared network once. Images
            are resized by torch's
            antialiased filter, within 2 of 256 levels of Pillow's.

        Raises
        ------
        NotApplicable
            Torch cannot compute it: trees, support vector machines and other estimators of
            scikit-learn, functions, ONNX files; an average with such a member, which is named.
        """
        raise NotApplicable(f"{self.no_network()}.")

    def to_onnx(self, path: str | Path) -> None:
        """Write the model as one ONNX file, which its programs read without torch or bequest.

        Parameters
        ----------
        path : str or path
            Ends in ``.onnx``. An ONNX file there is replaced, anything else is left.

        Notes
        -----
        The file takes any number of rows, by one input. ``samples``: float32 (N, ...) as this model
        takes them, standardised inside; images must have the size that the network reads (the file
        says it) and values from 0 to 1, for nothing is resized or cut inside. ``input_ids``: int64
        (N, T), the tokens of texts with -1 behind the shorter ones, as ``model.encode`` gives them.
        ``encoded``: a table as ``model.encode`` gives it. Outputs are ``probabilities`` (N, C) or
        ``values`` (N, 1), and ``features`` (N, D), the input of the last linear layer. The file was
        run, and gave what the network gives, before it takes its place.

        Raises
        ------
        NotApplicable
            As for `to_torch`; or torch's exporter does not manage it, or it is above 2 GiB.
        ModelError
            The path does not end in ``.onnx``, or something else is there.
        MissingExtra
            The extra ``onnx`` is not installed.
        """
        raise NotApplicable(f"{self.no_network()}, and that is what is written as ONNX.")

    @abstractmethod
    def save(self, folder: str | Path) -> None:
        """Write a model folder: weights, `config.json`, `card.json`, `README.md`; no pickle.

        Of a model that was loaded from a folder of another library, that folder's files, each byte
        for byte, with ours in ``bequest/`` inside.
        """


def output_of(model: Model, X: Any) -> Array:
    """Probabilities (N, C) or values (N,) of a model; `NotApplicable` where it does not predict."""
    if not isinstance(model, Predicts):
        raise NotApplicable(f"{model.name or 'this model'} has no head: it gives features only.")
    with _failing_as_model(model):
        return _kept(model, "output", X, model.output)


def features_of(model: Model, X: Any, layer: str | None = None) -> Array:
    """Features (N, D) of a model; `NotApplicable` where it has none."""
    if not isinstance(model, GivesFeatures):
        raise NotApplicable(f"{model.name or 'this model'} gives predictions only, no features.")
    with _failing_as_model(model):
        return _kept(model, f"features {layer}", X, partial(model.features, layer=layer))


@contextmanager
def _failing_as_model(model: Model) -> Iterator[None]:
    """Whatever a model's own code raises is a `ModelError` that names the model."""
    try:
        yield
    except BequestError:
        raise
    except Exception as error:
        name = model.name or "this model"
        # torch's allocator has no class of its own
        if isinstance(error, MemoryError) or "allocate memory" in str(error):
            raise ModelError(f"{name} ran out of memory.") from error
        said = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise ModelError(f"{name} fails: {said}") from error


def _kept(model: Model, key: str, X: Any, compute: Callable[[Any], Array]) -> Array:
    """Of a model that keeps nothing itself, what it computes is kept here."""
    if any(part is model for part in model.parts()):
        return cached(model, key, as_inputs(X), compute)
    return compute(X)


def parameters_of(model: Model) -> Mapping[str, Array]:
    """A model's parameters by name; `NotApplicable` where it does not show them."""
    if not isinstance(model, HasParameters):
        raise NotApplicable(f"{model.name or 'this model'} does not show its parameters.")
    return model.parameters()


def parameters_within(held: Mapping[str, Model]) -> Mapping[str, Array]:
    """The parameters of models under ``KEY.`` each; those that do not show theirs are left out.

    Raises
    ------
    NotApplicable
        None of them shows any.
    """
    found: dict[str, Array] = {}
    refused: NotApplicable | None = None
    for key, model in held.items():
        try:
            found |= {f"{key}.{name}": values for name, values in parameters_of(model).items()}
        except NotApplicable as reason:  # boosted trees on a network's features, say
            refused = refused or reason
    if refused is not None and not found:
        raise refused
    return found


def plain_labels(classes: Iterable[Any]) -> tuple[Label, ...]:
    """Labels as plain values: those of numpy and torch become Python's."""
    return tuple(label.item() if hasattr(label, "item") else label for label in classes)
