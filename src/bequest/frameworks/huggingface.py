"""A folder of the Hugging Face Hub as a model: nothing of it runs, nothing is fetched.

transformers is never given the folder. Its config is audited as plain values, its weights are
read by our own reader, and the classes that build the network are transformers' own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from bequest.core import Card, InputSpec, Label, Texts
from bequest.errors import ModelError
from bequest.frameworks.folder import spec_from_config
from bequest.frameworks.forward import find_head
from bequest.frameworks.huggingface_build import Modality, build_network, quiet
from bequest.frameworks.huggingface_config import audited, classes_of
from bequest.frameworks.huggingface_files import (
    folder_weights,
    licence_of,
    pixels_of,
    pooled_by_first,
    tokens_from,
    tokens_of,
)
from bequest.frameworks.huggingface_inputs import Pixels, Tokens
from bequest.frameworks.huggingface_network import (
    OF_OURS,
    OWN_HEAD,
    SECTION,
    HuggingFaceNetwork,
    Pooling,
)
from bequest.frameworks.torch_model import Network, TorchFeatures, TorchModel
from bequest.frameworks.unchanged import evaluating

__all__ = ["load_foreign", "load_huggingface", "wrap_network"]

Reader = Tokens | Pixels
HEADED = ("ForSequenceClassification", "ForImageClassification")
SIDE = 64  # pixels of the image that a network is tried on


def load_foreign(
    folder: Path, values: Mapping[str, Any], card: Card, modules: Sequence[type] = ()
) -> Network:
    """Make a model of a Hugging Face folder with the content of its ``config.json``.

    The folder holds ``model.safetensors`` (or its shards and their index), and ``tokenizer.json``
    or ``preprocessor_config.json``. It becomes a classifier or a regressor of texts or images,
    under a card with its name and licence; of any other network the body, whose features can be
    probed and tuned. `UnsafeModel` where it brings code, holds pickles only, or names files outside
    of itself.
    """
    where = folder.name
    config = audited(values, where)
    network, modality, headed = build_network(config, folder_weights(folder), where)
    reader: Reader = (
        tokens_of(folder, config, network) if modality == "text" else pixels_of(folder, config)
    )
    first = modality == "text" and pooled_by_first(folder, config)
    card = replace(card, name=where, licence=licence_of(folder))
    return _model(network.eval(), config, reader, card, headed=headed, first=first)


def wrap_network(
    network: Any,
    processor: Any,
    *,
    classes: tuple[Label, ...],
    name: str,
    batch_size: int | None = None,
) -> Network:
    """Make a model of a network of transformers that is in memory; it is not copied.

    `processor` makes its inputs: an image processor, or a tokenizer, of which the fast ones are
    known. The config's classes are taken where there are none.
    """
    values = json.loads(network.config.to_json_string())
    config = {key: value for key, value in values.items() if key not in ("auto_map", "format")}
    config = audited(config, name)
    backend = getattr(processor, "backend_tokenizer", None)
    reader: Reader
    if backend is not None:
        special = {f"{key}": str(value) for key, value in processor.special_tokens_map.items()}
        told = {**special, "model_max_length": processor.model_max_length}
        reader = tokens_from(backend.to_str(), told, config, network, name)
    elif hasattr(processor, "image_mean"):
        channels = int(config.get("num_channels", 3))
        reader = Pixels.from_preprocessor(processor.to_dict(), channels, name)
    else:
        raise ModelError(
            f"a {type(network).__name__} reads what a tokenizer or an image processor makes: "
            "bequest.wrap(network, processor=...). Of tokenizers the fast ones are known."
        )
    headed = type(network).__name__.endswith(HEADED)
    about: dict[str, Any] = {"headed": headed, "classes": classes, "batch_size": batch_size}
    return _model(network, config, reader, Card(name=name), first=False, **about)


def _model(
    network: nn.Module,
    config: Mapping[str, Any],
    reader: Reader,
    card: Card,
    *,
    headed: bool,
    first: bool,
    classes: tuple[Label, ...] = (),
    batch_size: int | None = None,
) -> Network:
    """The network with what makes its inputs; its head is found, and its classes are named."""
    modality: Modality = "text" if isinstance(reader, Tokens) else "image"
    pooling = _pooling(network, modality, headed, first)
    module, head = _module(network, modality, config, pooling, reader, card.name)
    outputs = len(module.get_parameter(f"{head}.weight"))
    if headed and not classes:
        classes = classes_of(config, outputs, card.name)
    if len(classes) not in (0, outputs):
        raise ModelError(f"{card.name} has {outputs} outputs, {len(classes)} classes are named.")
    given: dict[str, Any] = {"spec": InputSpec(modality), "card": card, "encoder": reader}
    given |= {"head": head, "batch_size": batch_size}
    return (
        TorchModel(module, **given, classes=classes) if outputs else TorchFeatures(module, **given)
    )


def load_huggingface(
    folder: Path, config: Mapping[str, Any], card: Card, modules: Sequence[type] = ()
) -> Network:
    """Load the folder that such a model was saved to; only classes of transformers are built."""
    ours = config[SECTION]
    theirs = {key: value for key, value in config.items() if key not in OF_OURS}
    theirs = audited(theirs, folder.name)
    tensors = folder_weights(folder)
    own = {name: tensors.pop(name) for name in list(tensors) if name.startswith(OWN_HEAD)}
    bias = tensors.pop(ours["added_bias"]) if ours["added_bias"] else None
    network, modality, _ = build_network(theirs, tensors, folder.name)
    told = ours["encoder"]
    reader: Reader = Tokens.read(folder, told) if modality == "text" else Pixels.from_config(told)
    module = HuggingFaceNetwork(
        network, modality=modality, config=theirs, pooling=ours["pooling"], width=ours["width"]
    )
    head = str(ours["head"])
    layer: Any = module.get_submodule(head)
    if bias is not None:
        layer.bias = nn.Parameter(bias)
    for name, tensor in own.items():
        setattr(layer, name.removeprefix(OWN_HEAD), nn.Parameter(tensor))
        layer.out_features = len(tensor)
    mean, scale = map(float, ours["target_scale"])
    given: dict[str, Any] = {"spec": spec_from_config(ours["spec"]), "card": card}
    given |= {"encoder": reader, "head": head, "batch_size": ours["batch_size"]}
    if not len(module.get_parameter(f"{head}.weight")):
        return TorchFeatures(module.eval(), **given)
    classes = tuple(ours["classes"])
    return TorchModel(module.eval(), **given, classes=classes, target_scale=(mean, scale))


def _pooling(network: nn.Module, modality: Modality, headed: bool, first: bool) -> Pooling:
    if headed:
        # decoders put the head on every token and take the last one's logits
        return "last" if isinstance(getattr(network, "score", None), nn.Linear) else ""
    if modality == "image":
        return "image"
    return "first" if first else "mean"


def _module(
    network: nn.Module,
    modality: Modality,
    config: Mapping[str, Any],
    pooling: Pooling,
    reader: Reader,
    where: str,
) -> tuple[HuggingFaceNetwork, str]:
    """The module, tried on a tiny batch, and the name of its head."""
    module = HuggingFaceNetwork(network, modality=modality, config=config, pooling=pooling)
    example = torch.from_numpy(reader.encode(_tiny(reader)))
    try:
        with evaluating(module), quiet():
            if pooling not in ("", "last"):
                module.add_head(module.pooled(example).shape[1])
                return module, "head"
            head = find_head(module, example)
            outputs = module(example).shape
    except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        problem = " ".join(str(error).split())[:200]
        raise ModelError(f"{where} cannot read a tiny batch: {problem}") from error
    layer: Any = module.get_submodule(head) if head else None
    if layer is None or len(outputs) != 2 or layer.out_features != outputs[1]:
        raise ModelError(f"{where} does not end in a linear layer: its head cannot be found.")
    return module, head


def _tiny(reader: Reader) -> Any:
    if isinstance(reader, Tokens):
        return Texts(["a", "a few words"])
    return np.zeros((2, reader.channels, SIDE, SIDE), dtype=np.float32)
