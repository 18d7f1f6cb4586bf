"""A scikit-learn estimator or pipeline as a model.

N samples, D features, C classes.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from scipy.special import expit, softmax
from sklearn.base import is_classifier, is_regressor
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import Pipeline

from bequest.core import Card, Inputs, InputSpec, Label, Model, as_inputs, fingerprint, spec_of
from bequest.core.feature_cache import cached
from bequest.core.model import plain_labels
from bequest.errors import DataError, ModelError, NotApplicable
from bequest.frameworks.encoders.encoder import Encoder, encoder_from_config
from bequest.frameworks.files.folder import spec_from_config, write_folder
from bequest.frameworks.sklearn.file import read_estimator, write_estimator
from bequest.frameworks.sklearn.parts import (
    check_fitted,
    described,
    estimator_inputs,
    fitted_numbers,
    labels_of,
    last_hidden,
    path_of,
    title,
)

__all__ = ["SklearnModel", "load_sklearn", "wrap_estimator"]

Array = NDArray[Any]
FILE = "model.skops"
PACKAGES = ("scikit-learn", "skops", "numpy")

logger = logging.getLogger(__name__)


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class SklearnModel(Model):
    """A fitted estimator with what turns samples into its input.

    Parameters
    ----------
    estimator : estimator or Pipeline
        Fitted; a classifier of one output, or a regressor of one output.
    spec : InputSpec
        What it takes.
    classes : tuple
        Labels in the order of the probabilities; the estimator may know fewer of them, and in
        another order. Empty for regression.
    card : Card
    encoder : Encoder or None
        None: arrays are passed as they are, and tables as a DataFrame of the columns that the
        estimator was fitted on.

    Raises
    ------
    ModelError
        The estimator is not fitted, predicts several outputs, or knows labels that `classes`
        lacks.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> estimator = LogisticRegression().fit([[0.0], [1.0]], ["no", "yes"])
    >>> spec = InputSpec("vector", (1,))
    >>> model = SklearnModel(estimator, spec=spec, classes=("yes", "no", "maybe"), card=Card())
    >>> model.predict([[9.0]]).tolist(), model.predict_proba([[9.0]]).round(2).tolist()
    (['yes'], [[0.98, 0.02, 0.0]])
    """

    estimator: Any = field(kw_only=False)
    spec: InputSpec
    classes: tuple[Label, ...]
    card: Card
    encoder: Encoder | None = None

    def __post_init__(self) -> None:
        check_fitted(self.estimator)
        object.__setattr__(self, "classes", plain_labels(self.classes))
        unknown = [label for label in self._known if label not in self.classes]
        if unknown:
            raise ModelError(
                f"{title(self.estimator)} predicts labels that are not among the "
                f"{len(self.classes)} classes: {unknown[:5]}."
            )

    @cached_property
    def _known(self) -> tuple[Label, ...]:
        """The labels that the estimator knows, in its own order."""
        return labels_of(self.estimator) if self.classes else ()

    @cached_property
    def _preprocessing(self) -> str:
        return "" if self.encoder is None else fingerprint(json.dumps(self.encoder.to_config()))

    @property
    def structure(self) -> Mapping[str, Any]:
        """Class and settings of the estimator, ready for JSON."""
        settings = self.estimator.get_params(deep=True)
        return {
            "estimator": path_of(self.estimator),
            "settings": {name: described(value) for name, value in settings.items()},
        }

    def no_network(self) -> str:
        """What the estimator is."""
        name = self.name or "this model"
        return f"{name} is a {title(self.estimator)} of scikit-learn, no torch network"

    def to_onnx(self, path: str | Path) -> None:
        """Refused: `NotApplicable` that says what converts estimators."""
        raise NotApplicable(
            f"{self.no_network()}. The package skl2onnx converts it: "
            "skl2onnx.to_onnx(model.estimator, X[:1])."
        )

    def encode(self, X: Any) -> Any:
        """The samples as the estimator takes them: an array (N, D) or a DataFrame."""
        inputs = self._inputs(X)
        if self.encoder is None:
            return estimator_inputs(self.estimator, inputs)
        encoded = self.encoder.encode(inputs)
        if issparse(encoded):
            return encoded
        # in single precision a kernel's distances depend on which rows are asked together
        precise = encoded if self.spec.modality == "image" else encoded.astype(np.float64)
        return precise.reshape(len(encoded), -1)

    def _inputs(self, X: Any) -> Inputs:
        """The samples; an array of numbers keeps its precision where nothing encodes it."""
        if len(X) == 0:
            raise DataError("there are no rows to predict.")
        plain = isinstance(X, np.ndarray) and X.ndim == 2 and X.dtype.kind in "fiub"
        return X if plain and self.encoder is None else as_inputs(X)

    def output(self, X: Any) -> Array:
        """Probabilities (N, C) or values (N,), float64.

        Probabilities come from ``predict_proba``; where there is none, from the logistic function
        (two classes) or the softmax of ``decision_function``, which are uncalibrated; where there
        is neither, a row holds a one at the class predicted. Classes that the estimator does not
        know have probability 0.

        Raises
        ------
        DataError
            The estimator cannot read `X`.
        ModelError
            It gives NaN or infinite numbers.
        """
        what = f"{'probabilities' if self.classes else 'values'}:{self._preprocessing}"
        raw = cached(self.estimator, what, self._inputs(X), self._raw)
        if not np.isfinite(raw).all():
            raise ModelError(f"{self.name or 'the model'} gives numbers that are not finite.")
        if not self.classes:
            return raw
        aligned = np.zeros((len(raw), len(self.classes)))
        # float32 probabilities sum to one to 1e-7 only, which log_loss warns of
        columns = [self.classes.index(label) for label in self._known]
        aligned[:, columns] = raw / raw.sum(axis=1, keepdims=True)
        return aligned

    def _raw(self, inputs: Any) -> Array:
        samples = self.encode(inputs)
        with self._reading(), np.errstate(all="ignore"):  # what is not finite is refused later
            return self._probabilities(samples) if self.classes else self._values(samples)

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except ModelError:
            raise
        except (ValueError, TypeError) as error:
            problem = " ".join(str(error).split())
            raise DataError(f"{title(self.estimator)} cannot read the inputs: {problem}") from error

    def _probabilities(self, samples: Any) -> Array:
        """Probabilities (N, known classes), columns in the estimator's order."""
        known = len(self._known)
        if hasattr(self.estimator, "predict_proba"):
            return np.asarray(self.estimator.predict_proba(samples), dtype=np.float64)
        if hasattr(self.estimator, "decision_function"):
            scores = np.asarray(self.estimator.decision_function(samples), dtype=np.float64)
            if scores.ndim == 1 and known == 2:
                second = expit(scores)
                return np.stack([1.0 - second, second], axis=1)
            if scores.shape == (len(scores), known):
                return np.asarray(softmax(scores, axis=1))
        predicted = np.asarray(self.estimator.predict(samples))
        hits: Array = predicted[:, None] == np.asarray(self.estimator.classes_)[None, :]
        return hits.astype(np.float64)

    def _values(self, samples: Any) -> Array:
        values = np.asarray(self.estimator.predict(samples), dtype=np.float64)
        if values.size != len(values):
            raise ModelError(f"{title(self.estimator)} predicts {values.shape[1:]} values a row.")
        return values.reshape(-1)

    def features(self, X: Any, layer: str | None = None) -> Array:
        """What the last step reads, shape (N, D), float64.

        Of a network (MLPClassifier, MLPRegressor), alone or as the last step: its last hidden
        layer. Of another pipeline: the output of all steps but the last.

        Parameters
        ----------
        X
            As in `predict`.
        layer : str, optional
            Name of a pipeline's step, whose output is given.

        Raises
        ------
        NotApplicable
            The estimator has no such inner representation.
        """
        steps = self.estimator.steps if isinstance(self.estimator, Pipeline) else []
        names = [name for name, _ in steps[:-1]]
        if layer is not None and layer not in names:
            known = f"it has {', '.join(names)}." if names else "it has no steps."
            raise NotApplicable(f"{title(self.estimator)} has no step {layer!r}; {known}")
        last = steps[-1][1] if steps else self.estimator
        network = isinstance(last, MLPClassifier | MLPRegressor) and layer is None
        stop = len(names) if layer is None else names.index(layer) + 1
        if not network and stop == 0:
            raise NotApplicable(
                f"{type(last).__name__} reads its inputs directly: it has no features of its own."
            )

        def compute(inputs: Any) -> Array:
            hidden = self.encode(inputs)
            with self._reading():
                dense = _dense(self.estimator[:stop].transform(hidden) if stop else hidden)
                return last_hidden(last, dense) if network else dense

        what = f"features:{layer}:{self._preprocessing}"
        return cached(self.estimator, what, self._inputs(X), compute)

    def parameters(self) -> Mapping[str, Array]:
        """Fitted coefficients by name; a pipeline's last step, a network layer by layer."""
        last = self.estimator[-1] if isinstance(self.estimator, Pipeline) else self.estimator
        found = fitted_numbers(last)
        if not found:
            raise NotApplicable(f"{type(last).__name__} has no array of fitted coefficients.")
        return found

    def parts(self) -> tuple[object, ...]:
        """The estimator."""
        return (self.estimator,)

    def save(self, folder: str | Path) -> None:
        """Write the estimator as skops beside a config that names the versions it needs."""
        config = {
            "spec": asdict(self.spec),
            "classes": list(self.classes),
            "encoder": None if self.encoder is None else self.encoder.to_config(),
            "structure": self.structure,
            "versions": {package: version(package) for package in PACKAGES},
        }
        write_folder(
            folder,
            kind="sklearn",
            config=config,
            card=self.card,
            write=lambda place: write_estimator(place / FILE, self.estimator),
        )


def load_sklearn(
    folder: Path, config: Mapping[str, Any], card: Card, modules: Sequence[type] = ()
) -> SklearnModel:
    """Build the model of a folder whose config was read; nothing is unpickled.

    Where it cannot be built and was saved by another version of scikit-learn, both are named.
    """
    now = {package: version(package) for package in PACKAGES}
    saved = config.get("versions")
    then = saved if isinstance(saved, dict) else {}
    changed = [
        f"{package} {then.get(package, 'of no known version')} (here {now[package]})"
        for package in ("scikit-learn", "skops")
        if _minor(then.get(package)) != _minor(now[package])
    ]
    try:
        estimator = read_estimator(folder / FILE)
        model = SklearnModel(
            estimator,
            spec=spec_from_config(config["spec"]),
            classes=tuple(config["classes"]),
            card=card,
            encoder=encoder_from_config(config["encoder"]),
        )
    except KeyError as error:
        raise ModelError(f"{folder}/config.json lacks {error}: it is damaged.") from error
    except ModelError as error:
        if not changed:
            raise
        raise type(error)(f"{error} It was saved with {', '.join(changed)}.") from error
    if changed:
        logger.warning("%s was saved with %s.", folder, ", ".join(changed))
    return model


def wrap_estimator(
    estimator: Any,
    *,
    classes: Sequence[Label] | None = None,
    name: str,
    example: Any = None,
) -> SklearnModel:
    """Make a model of an estimator that is fitted already; its own order of classes is the default.

    `example` is for estimators that do not tell what they were fitted on; it is predicted, so that
    a misfit shows now.
    """
    check_fitted(estimator)
    if not is_classifier(estimator) and not is_regressor(estimator):
        raise ModelError(f"{title(estimator)} is neither a classifier nor a regressor.")
    known = labels_of(estimator) if is_classifier(estimator) else ()
    order = tuple(classes) if classes is not None else known
    if bool(order) != bool(known):
        raise ModelError(f"{title(estimator)} is a regressor: it takes no classes.")
    model = SklearnModel(
        estimator, spec=estimator_spec(estimator, example), classes=order, card=Card(name=name)
    )
    if example is not None:
        model.output(example)
    return model


def estimator_spec(estimator: Any, example: Any) -> InputSpec:
    """What a fitted estimator takes, by what it says, else by the example."""
    names = getattr(estimator, "feature_names_in_", None)
    if names is not None:
        return InputSpec("table", None, tuple(str(name) for name in names))
    if example is not None:
        return spec_of(as_inputs(example))
    width = getattr(estimator, "n_features_in_", None)
    return InputSpec("vector", None if width is None else (int(width),))


def _dense(hidden: Any) -> Array:
    if hasattr(hidden, "toarray"):
        hidden = hidden.toarray()
    array = np.asarray(hidden, dtype=np.float64)
    return array.reshape(len(array), -1)


def _minor(package_version: Any) -> list[str]:
    return str(package_version).split(".")[:2]
