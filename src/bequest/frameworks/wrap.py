"""Wrap what somebody has trained already."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from bequest.core import Card, InputSpec, Label, Model, as_inputs, spec_of
from bequest.core.model import plain_labels
from bequest.errors import ModelError
from bequest.frameworks.boosting import BoostedTrees, wrap_boosted
from bequest.frameworks.encoders import plain_rows
from bequest.frameworks.forward import find_head
from bequest.frameworks.function_model import FunctionModel
from bequest.frameworks.onnx_model import OnnxModel
from bequest.frameworks.relabelled import Relabelled
from bequest.frameworks.sklearn_model import wrap_estimator
from bequest.frameworks.torch_model import TorchModel
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
    batch_size: int | None = None,
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
        A batch of inputs as `trained` takes them: tells the input's shape and the last linear
        layer to run, on its first rows. Without it the last linear layer registered counts. For
        LightGBM, which renames columns: a table with their names as they were.
    config : mapping, optional
        For a module: the keyword arguments that build its class. `save` then stores the class's
        import path and these, and loading needs ``modules=[TheClass]``. Without it `save` writes
        a portable graph that loads without the class.
    processor : tokenizer or image processor of transformers, optional
        For a network of transformers: what makes its inputs from texts or images.
    batch_size : int, optional
        For a network: the most rows in one forward pass. Default: as many as keep the
        activations below 16 MB on a CPU and 256 MB on an accelerator, 1,024 at most.

    Returns
    -------
    Model

    Raises
    ------
    ModelError
        It is none of these, is not fitted, cannot read `example`, or `labels` does not name each
        of its classes once.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> estimator = LogisticRegression().fit([[0.0], [1.0]], ["no", "yes"])
    >>> wrap(estimator, name="threshold").predict([[2.0]]).tolist()
    ['yes']
    """
    model = _wrapped(
        trained,
        classes=classes,
        name=name,
        example=example,
        config=config,
        processor=processor,
        batch_size=batch_size,
    )
    return model if labels is None else _labelled(model, labels)


def _wrapped(
    trained: Any,
    *,
    classes: Sequence[Label] | None,
    name: str,
    example: Any,
    config: Mapping[str, Any] | None,
    processor: Any,
    batch_size: int | None,
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
        door = need("bequest.frameworks.huggingface", extra="hf", purpose="a Hugging Face model")
        foreign: Model = door.wrap_network(
            trained, processor, classes=labels, name=title, batch_size=batch_size
        )
        return foreign
    if processor is not None:
        raise ModelError(f"a {type(trained).__name__} takes no processor: it is not transformers'.")
    if isinstance(trained, nn.Module):
        return _module(trained, labels, title, example, config, batch_size)
    if batch_size is not None:
        raise ModelError(f"a {type(trained).__name__} takes no batch_size: it is no torch module.")
    boosted = wrap_boosted(trained, name=title, classes=classes)
    if boosted is not None:
        return boosted if example is None else boosted.named_as(as_inputs(example))
    base = sys.modules.get("sklearn.base")
    if base is not None and isinstance(trained, base.BaseEstimator):
        return wrap_estimator(trained, classes=classes, name=title, example=example)
    if callable(trained):
        spec = InputSpec("vector") if example is None else spec_of(as_inputs(example))
        return FunctionModel(trained, spec=spec, classes=labels, card=Card(name=title))
    raise ModelError(
        f"cannot wrap a {type(trained).__name__}: give a torch module, a fitted estimator of "
        "scikit-learn, LightGBM, XGBoost or CatBoost, or a function from inputs to predictions."
    )


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
    batch_size: int | None,
) -> TorchModel:
    structure = {}
    if config is not None:
        kind = type(module)
        structure = {"import": f"{kind.__module__}:{kind.__qualname__}", "config": dict(config)}
    if example is None:
        linear = [part for part, layer in module.named_modules() if isinstance(layer, nn.Linear)]
        image = any(isinstance(layer, nn.Conv2d) for layer in module.modules())
        spec, head = InputSpec("image" if image else "vector"), linear[-1] if linear else ""
    else:
        batch = torch.as_tensor(plain_rows(as_inputs(example)))
        spec = spec_of(batch.numpy())
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
        structure=structure,
        head=head,
        batch_size=batch_size,
    )
