"""Wrap what somebody has trained already."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, final

import torch
from torch import nn

from bequest.core import Card, InputSpec, Label, Model, as_inputs, spec_of
from bequest.core.model import plain_labels
from bequest.errors import ModelError
from bequest.frameworks.boosting import BoostedTrees, wrap_boosted
from bequest.frameworks.boosting.prepared import wrap_prepared
from bequest.frameworks.combined.function_model import FunctionModel
from bequest.frameworks.combined.relabelled import Relabelled
from bequest.frameworks.encoders.columns import Columns, table_spec
from bequest.frameworks.encoders.encoder import plain_rows
from bequest.frameworks.encoders.image_settings import (
    channels_of,
    check_range,
    given_settings,
    image_settings,
)
from bequest.frameworks.onnx.model import OnnxModel
from bequest.frameworks.sklearn.model import SklearnModel, wrap_estimator
from bequest.frameworks.torch.device import AUTO
from bequest.frameworks.torch.forward import FIRST, find_head
from bequest.frameworks.torch.model import TorchModel
from bequest.optional import need

__all__ = ["wrap"]


def wrap(
    trained: Any,
    *,
    classes: Sequence[Label] | None = None,
    labels: Mapping[Any, Label] | None = None,
    name: str = "",
    example: Any = None,
    config: Mapping[str, Any] | None = None,
    processor: Any = None,
    pooling: Literal["mean", "first", "last"] | None = None,
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    size: int | tuple[int, int] | None = None,
    crop: int | tuple[int, int] | None = None,
    batch_size: int | None = None,
    device: str = AUTO,
    dtype: Literal["float32", "bfloat16", "float16"] | None = None,
    columns: Sequence[str] | None = None,
) -> Model:
    """Make a model of something that is already trained.

    Parameters
    ----------
    trained : torch.nn.Module, estimator, pipeline, booster, or callable
        Estimators and pipelines of scikit-learn; classifiers, regressors and boosters of LightGBM,
        XGBoost and CatBoost. A module gives logits (N, C) or values (N,); a callable gives
        probabilities (N, C), labels or values (N,), and is a source of predictions only.
    classes : sequence, optional
        Labels in the order of the outputs. An estimator knows its own; a module or callable
        without classes is a regression.
    labels : mapping, optional
        From each class that it predicts to the task's label for it, all of them:
        ``{0: "benign", 1: "malignant"}``.
    name : str
        What to call it; the class's name where left out.
    example : array, optional
        A batch of inputs as `predict` will be given them: tells the input's shape and the last
        linear layer to run, on its first rows. Without it the last linear layer registered counts.
        For LightGBM, which renames columns: a table with their names as they were.
    config : mapping, optional
        For a module: the keyword arguments that build its class. `save` then stores the class's
        import path and these, and loading needs ``modules=[TheClass]``. Without it `save` writes
        a portable graph that loads without the class.
    processor : tokenizer or image processor of transformers, optional
        For a network of transformers: what makes its inputs from texts or images.
    pooling : {"mean", "first", "last"}, optional
        For a network of transformers for texts without a head: which of its last hidden states are
        the features, as in `bequest.load`. Default: the mean, or what its config says.
    mean, std : float or C floats, optional
        For a network of images (N, C, H, W) with pixels from 0 to 1: what it was trained with, as
        torchvision's ``Normalize`` means them; the default is 0 and 1.
    size : int or (H, W), optional
        For a network of images: the shorter side that an image is resized to, or both sides, as
        torchvision's ``Resize`` does it on a photo (bilinear, antialiased).
    crop : int or (H, W), optional
        For a network of images: the middle that is kept of it, as ``CenterCrop`` does it.
    batch_size : int, optional
        For a network: the most rows in one forward pass. Default: as many as keep the
        activations below 16 MB on a CPU and 256 MB on an accelerator, 1,024 at most.
    device : str
        For a network: "auto" (its own device, or from the CPU the accelerator that there is), or a
        torch device such as "cpu" or "cuda:1", where it runs and trains. A folder that is loaded
        where that device is missing runs on "auto", with a warning in the log.
    dtype : {"float32", "bfloat16", "float16"}, optional
        For a network: what its predictions are computed in. Default: the half precision of its
        parameters where they have one, else bfloat16 on a CUDA device that has it, float32
        elsewhere. Training is in float32 with bfloat16 products on such a device.
    columns : sequence of str, optional
        For a model that was fitted on an array (N, D): the names of the D columns that a task's
        table has for its places, all of them numbers. The model then reads tables.

    Returns
    -------
    Model

    Raises
    ------
    ModelError
        It is none of these, is not fitted, cannot read `example`, `labels` does not name each of
        its classes once, or a setting is impossible, is for another kind of model, or names a
        device that is not here.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> estimator = LogisticRegression().fit([[0.0], [1.0]], ["no", "yes"])
    >>> wrap(estimator, name="threshold").predict([[2.0]]).tolist()
    ['yes']
    >>> net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Flatten())
    >>> images = torch.full((2, 3, 40, 30), 0.5)
    >>> wrap(net, classes=range(144), size=10, crop=8, mean=0.5, std=0.5).encode(images).shape
    (2, 3, 8, 8)
    """
    model = _wrapped(
        trained,
        classes=classes,
        name=name,
        example=example,
        config=config,
        processor=processor,
        pooling=pooling,
        images={"mean": mean, "std": std, "size": size, "crop": crop},
        running={"batch_size": batch_size, "device": device, "dtype": dtype},
    )
    model = model if columns is None else _on_columns(model, columns)
    return model if labels is None else _labelled(model, labels)


def _wrapped(
    trained: Any,
    *,
    classes: Sequence[Label] | None,
    name: str,
    example: Any,
    config: Mapping[str, Any] | None,
    processor: Any,
    pooling: Any,
    images: Mapping[str, Any],
    running: Mapping[str, Any],
) -> Model:
    if isinstance(trained, Model):
        return trained
    title = name or type(trained).__name__
    labels = _labels(classes)
    if config is not None and not isinstance(config, Mapping):
        raise ModelError(
            f"config holds a class's keyword arguments, not a {type(config).__name__}."
        )
    if isinstance(trained, type):
        raise ModelError(
            f"{trained.__name__} is a class, nothing is trained in it yet: give one of its objects."
        )
    transformers = sys.modules.get("transformers")
    if transformers is not None and isinstance(trained, transformers.PreTrainedModel):
        _refuse(given_settings(images), trained, "its processor says how images are prepared")
        door = need(
            "bequest.frameworks.hugging_face.model", extra="hf", purpose="a Hugging Face model"
        )
        foreign: Model = door.wrap_network(
            trained, processor, classes=labels, name=title, pooling=pooling, running=running
        )
        return foreign
    _refuse(["pooling"] if pooling is not None else [], trained, "it is not transformers'")
    if processor is not None:
        raise ModelError(f"a {type(trained).__name__} takes no processor: it is not transformers'.")
    if isinstance(trained, nn.Module):
        return _module(trained, labels, title, example, config, images, running)
    on = [] if running["device"] == AUTO else ["device"]
    others = given_settings({**images, **running, "device": None})
    _refuse([*others, *on], trained, "it is no torch module")
    boosted = wrap_boosted(trained, name=title, classes=classes)
    if boosted is not None:
        return boosted if example is None else boosted.named_as(as_inputs(example))
    base = sys.modules.get("sklearn.base")
    if base is not None and isinstance(trained, base.BaseEstimator):
        prepared = wrap_prepared(trained, name=title, classes=classes, example=example)
        if prepared is not None:
            return prepared
        return wrap_estimator(trained, classes=classes, name=title, example=example)
    if callable(trained):
        spec = InputSpec("vector") if example is None else spec_of(as_inputs(example))
        return FunctionModel(trained, spec=spec, classes=labels, card=Card(name=title))
    raise ModelError(
        f"cannot wrap a {type(trained).__name__}: give a torch module, a fitted estimator of "
        "scikit-learn, LightGBM, XGBoost or CatBoost, or a function from inputs to predictions."
    )


def _on_columns(model: Model, columns: Any) -> Model:
    """The model with a table's columns in the places of the array that it was fitted on."""
    title = model.name or "the model"
    if isinstance(model, BoostedTrees):
        return model.with_columns(columns)
    width = model.spec.shape[0] if model.spec.shape else None
    spec = table_spec(columns, width, title)
    if model.spec.modality == "vector":
        if isinstance(model, OnnxModel):
            return replace(model, spec=spec)
        if isinstance(model, SklearnModel | TorchModel):
            return replace(model, spec=spec, encoder=Columns(spec.columns, model.encoder))
        if isinstance(model, FunctionModel):
            return replace(model, spec=spec, function=_OfColumns(model.function, spec.columns))
    why = "a transfer made it" if model.spec.modality == "vector" else "it was fitted on no array"
    raise ModelError(f"{title} reads {model.spec.modality} inputs and takes no columns: {why}.")


@final
@dataclass(frozen=True)
class _OfColumns:
    """A function of an array, asked for the columns of a table."""

    function: Callable[[Any], Any]
    names: tuple[str, ...]

    def __call__(self, inputs: Any) -> Any:
        return self.function(Columns(self.names).encode(inputs))


def _labelled(model: Model, labels: Any) -> Model:
    """The model under other labels, one for each of its classes."""
    if not isinstance(labels, Mapping):
        raise ModelError(f"labels maps each class to a label, it is not {labels!r}.")
    if not model.classes:
        raise ModelError(f"{model.name} has no classes: it takes no labels.")
    unknown = [label for label in labels if label not in model.classes]
    absent = [label for label in model.classes if label not in labels]
    if unknown or absent:
        what = f"names {unknown[0]!r}, which is none" if unknown else f"leaves out {absent[0]!r}"
        raise ModelError(f"labels {what} of the model's classes {list(model.classes)[:10]}.")
    named = plain_labels(labels[label] for label in model.classes)
    if len(set(named)) < len(named):
        raise ModelError(f"labels gives two classes one label: {list(named)[:10]}.")
    if isinstance(model, BoostedTrees | OnnxModel | TorchModel):
        return replace(model, classes=named)
    even = [1.0] * len(named)
    return Relabelled(
        model, classes=named, columns=range(len(named)), weights=even, card=model.card
    )


def _refuse(names: Sequence[str], trained: Any, why: str) -> None:
    if names:
        raise ModelError(f"a {type(trained).__name__} takes no {', '.join(names)}: {why}.")


def _labels(classes: Any) -> tuple[Label, ...]:
    if classes is None:
        return ()
    if isinstance(classes, str) or not isinstance(classes, Iterable):
        raise ModelError(
            f"classes is a list of labels in the order of the outputs, not {classes!r}."
        )
    return plain_labels(classes)


def _module(
    module: nn.Module,
    classes: tuple[Label, ...],
    name: str,
    example: Any,
    config: Mapping[str, Any] | None,
    images: Mapping[str, Any],
    running: Mapping[str, Any],
) -> TorchModel:
    structure = {}
    if config is not None:
        kind = type(module)
        structure = {"import": f"{kind.__module__}:{kind.__qualname__}", "config": dict(config)}
    given = None if example is None else as_inputs(example)
    encoder = None
    if asked := given_settings(images):
        encoder = image_settings(channels_of(module, given, asked), **images)
        check_range(images["mean"], images["std"], given)
    sized = encoder is not None and encoder.read_shape is not None
    if given is None:
        linear = [part for part, layer in module.named_modules() if isinstance(layer, nn.Linear)]
        image = any(isinstance(layer, nn.Conv2d) for layer in module.modules())
        spec = InputSpec("image" if image or encoder else "vector")
        head = linear[-1] if linear else ""
    else:
        rows = plain_rows(given[:FIRST])
        batch = torch.from_numpy(rows if encoder is None else encoder.encode(rows))
        # what is resized may have any size
        spec = InputSpec("image") if sized else spec_of(given)
        try:
            head = find_head(module, batch)
        except (RuntimeError, IndexError, TypeError, ValueError) as error:
            first = str(error).partition("\n")[0]
            raise ModelError(f"the network cannot read the example: {first}") from error
    return TorchModel(
        module,
        spec=spec,
        classes=classes,
        card=Card(name=name),
        encoder=encoder,
        structure=structure,
        head=head,
        **running,
    )
