"""A folder of the Hugging Face Hub as a model: nothing of it runs, nothing is fetched.

transformers is never given the folder. Its config is audited as plain values, its weights are
read by our own reader, and the classes that build the network are transformers' own.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn

from bequest.core import Card, InputSpec, Label, Texts
from bequest.core.plain_values import quoted
from bequest.errors import ModelError
from bequest.frameworks.encoders.pixels import Pixels
from bequest.frameworks.encoders.static_embedding import STATIC
from bequest.frameworks.encoders.tokens import Tokens
from bequest.frameworks.files.folder import read_json, spec_from_config
from bequest.frameworks.files.original_folder import original_files
from bequest.frameworks.hugging_face.build import (
    Modality,
    build_network,
    classifier_of,
    other_head,
    quiet,
)
from bequest.frameworks.hugging_face.config import audited, classes_of, with_classes
from bequest.frameworks.hugging_face.files import (
    folder_weights,
    licence_of,
    pixels_of,
    tokens_from,
    tokens_of,
)
from bequest.frameworks.hugging_face.network import (
    OF_OURS,
    OWN_HEAD,
    OWN_LAYERS,
    SECTION,
    HuggingFaceNetwork,
    Pooling,
)
from bequest.frameworks.hugging_face.sentence_folder import (
    SentenceFolder,
    layers_of,
    read_sentence_folder,
)
from bequest.frameworks.hugging_face.sentence_modules import SentenceLayers, layers_from
from bequest.frameworks.torch.device import running_from_config
from bequest.frameworks.torch.forward import find_head
from bequest.frameworks.torch.model import Network, TorchFeatures, TorchModel
from bequest.frameworks.torch.unchanged import evaluating

__all__ = ["load_foreign", "load_huggingface", "model_with_head", "wrap_network"]

T = TypeVar("T")
Reader = Tokens | Pixels
POOLINGS: Mapping[str, Pooling] = {"mean": "mean", "first": "first", "last": "last-token"}
HEADED = ("ForSequenceClassification", "ForImageClassification")
SIDE = 64  # pixels of the image that a network is tried on


def load_foreign(
    folder: Path,
    values: Mapping[str, Any],
    card: Card | None,
    modules: Sequence[type] = (),
    *,
    say: bool = True,
    pooling: str | None = None,
) -> Network:
    """Make a model of a Hugging Face folder with the content of its ``config.json``.

    The folder holds ``model.safetensors`` (or its shards and their index), and ``tokenizer.json``
    or ``preprocessor_config.json``. It becomes a classifier or a regressor of texts or images,
    under a card with its name and licence; of any other network the body, whose features can be
    probed and tuned. One of sentence-transformers gives the features that this library gives.
    `card` is one that it has already, `say` logs what of the files is left out, and `pooling` is
    as in `load`. `UnsafeModel` where it brings code, holds pickles only, or names files outside of
    itself.
    """
    where = folder.name
    card = Card(name=where, licence=licence_of(folder)) if card is None else card
    sentence = read_sentence_folder(folder)
    if sentence is not None and pooling is not None:
        raise ModelError(f"{where} says how its features are made: load it without pooling=.")
    if sentence is not None:
        model: Network = _sentence_model(folder, sentence, card, say)
        return replace(model, origin=original_files(folder))
    config = audited(values, where)
    network, modality, headed = build_network(config, folder_weights(folder), where, say=say)
    reader: Reader = (
        tokens_of(folder, config, network, None)
        if modality == "text"
        else pixels_of(folder, config)
    )
    way = _pooling(network, config, modality, headed, pooling, where)
    model = _model(network.eval(), config, reader, card, pooling=way)
    return replace(model, origin=original_files(folder))


def _sentence_model(folder: Path, sentence: SentenceFolder, card: Card, say: bool) -> TorchFeatures:
    """The network of a sentence-transformers folder with all that comes behind it."""
    place, where = sentence.transformer, folder.name
    config = {"model_type": STATIC} if sentence.static else audited(_config_of(place), where)
    network, modality, _ = build_network(config, folder_weights(place), where, body=True, say=say)
    if modality != "text":
        raise ModelError(f"{where} is for {modality}s: of sentence-transformers texts are read.")
    tokens = tokens_of(place, config, network, sentence)
    module = HuggingFaceNetwork(
        network.eval(), modality="text", config=config, pooling="layers", layers=SentenceLayers([])
    )
    hidden, mask, states = _tried(module, tokens, where, module.hidden)
    sizes = (hidden.shape[2], len(states), tokens.prompt_tokens)
    steps, tensors = layers_of(sentence, folder, *sizes, folder_weights)
    layers = module.sentence = layers_from(steps, tensors)
    features = _tried(module, tokens, where, lambda _: layers(hidden, mask, states))
    module.add_head(features.shape[1])
    given: dict[str, Any] = {"spec": InputSpec("text"), "card": card, "encoder": tokens}
    return TorchFeatures(module.eval(), **given)


def _config_of(folder: Path) -> dict[str, Any]:
    if not (folder / "config.json").is_file():
        raise ModelError(f"{folder} has no config.json: it holds no transformer.")
    return read_json(folder / "config.json")


def wrap_network(
    network: Any,
    processor: Any,
    *,
    classes: tuple[Label, ...],
    name: str,
    pooling: str | None,
    running: Mapping[str, Any],
) -> Network:
    """Make a model of a network of transformers that is in memory; it is not copied.

    `processor` makes its inputs: an image processor, or a tokenizer, of which the fast ones are
    known. The config's classes are taken where there are none. `pooling` is as in `load`, `running`
    its batch_size, device and dtype, as in `TorchModel`.
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
        reader = Pixels.from_preprocessor(json.loads(processor.to_json_string()), channels, name)
    else:
        raise ModelError(
            f"a {type(network).__name__} reads what a tokenizer or an image processor makes: "
            "bequest.wrap(network, processor=...). Of tokenizers the fast ones are known."
        )
    headed = type(network).__name__.endswith(HEADED)
    if not headed and network.base_model is not network:
        does = other_head(type(network).__name__) or "has a head that predicts no labels"
        raise ModelError(
            f"a {type(network).__name__} {does}, which is not transferred: for its features give "
            "bequest.wrap(network.base_model, processor=...)."
        )
    modality: Modality = "text" if isinstance(reader, Tokens) else "image"
    about: dict[str, Any] = {"classes": classes, "running": running}
    about["pooling"] = _pooling(network, config, modality, headed, pooling, name)
    return _model(network, config, reader, Card(name=name), **about)


def _model(
    network: nn.Module,
    config: Mapping[str, Any],
    reader: Reader,
    card: Card,
    *,
    pooling: Pooling,
    classes: tuple[Label, ...] = (),
    running: Mapping[str, Any] = MappingProxyType({}),
) -> Network:
    """The network with what makes its inputs; its head is found, and its classes are named."""
    modality: Modality = "text" if isinstance(reader, Tokens) else "image"
    module = HuggingFaceNetwork(network, modality=modality, config=config, pooling=pooling)
    head = _tried(module, reader, card.name, lambda example: _head(module, example, card.name))
    outputs = len(module.get_parameter(f"{head}.weight"))
    if outputs and not classes:
        classes = classes_of(config, outputs, card.name)
    if len(classes) not in (0, outputs):
        raise ModelError(f"{card.name} has {outputs} outputs, {len(classes)} classes are named.")
    given: dict[str, Any] = {"spec": InputSpec(modality), "card": card, "encoder": reader}
    given |= {"head": head, **running}
    return (
        TorchModel(module, **given, classes=classes) if outputs else TorchFeatures(module, **given)
    )


def model_with_head(
    base: Network, changes: Mapping[str, torch.Tensor], head: Mapping[str, torch.Tensor], card: Card
) -> Network:
    """A classifier of the base's type with changed weights and another head.

    `changes` are added to weights of the base's network, by name; `head` are tensors by the names
    that the classifier gives them.
    """
    module: Any = base.module
    network, config = module.network, module.config
    tensors = {name: tensor.detach().cpu() for name, tensor in network.state_dict().items()}
    tensors = {n: t + changes[n].to(t) if n in changes else t for n, t in tensors.items()}
    headed = network.base_model is not network
    prefix = "" if headed else f"{network.base_model_prefix}."
    whole = {prefix + name: tensor for name, tensor in tensors.items()} | dict(head)
    layers = [name for name in head if name.endswith("weight")]
    # of several layers the last one's rows are the outputs: classifier.out_proj, not pre_classifier
    outputs = len(head[max(layers, key=lambda name: (not name.startswith("pre_"), name))])
    numbers = tuple(range(outputs))
    named = headed and len(base.classes) == outputs and base.classes != numbers
    labels = base.classes if named else tuple(f"LABEL_{number}" for number in numbers)
    kind = type(network).__name__ if headed else classifier_of(network.config)
    about = {**with_classes(config, labels if outputs > 1 else ()), "architectures": [kind]}
    made, modality, _ = build_network(about, whole, card.name)
    reader: Any = base.encoder
    way = _pooling(made, about, modality, headed=True, where=card.name)
    return _model(made.eval(), about, reader, card, pooling=way)


def load_huggingface(
    folder: Path, config: Mapping[str, Any], card: Card, modules: Sequence[type] = ()
) -> Network:
    """Load the folder that such a model was saved to; only classes of transformers are built."""
    ours = config[SECTION]
    theirs = {key: value for key, value in config.items() if key not in OF_OURS}
    theirs = audited(theirs, folder.name)
    tensors = folder_weights(folder)
    own = {name: tensors.pop(name) for name in list(tensors) if name.startswith(OWN_HEAD)}
    between = {name: tensors.pop(name) for name in list(tensors) if name.startswith(OWN_LAYERS)}
    between = {name.removeprefix(OWN_LAYERS): tensor for name, tensor in between.items()}
    bias = tensors.pop(ours["added_bias"]) if ours["added_bias"] else None
    pooling, steps = ours["pooling"], ours["layers"]
    network, modality, _ = build_network(theirs, tensors, folder.name, body=pooling == "layers")
    layers = layers_from(steps, between) if pooling == "layers" else None
    told = ours["encoder"]
    reader: Reader = Tokens.read(folder, told) if modality == "text" else Pixels.from_config(told)
    module = HuggingFaceNetwork(
        network,
        modality=modality,
        config=theirs,
        pooling=pooling,
        width=ours["width"],
        layers=layers,
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
    given |= {"encoder": reader, "head": head, **running_from_config(ours, card.name)}
    if not len(module.get_parameter(f"{head}.weight")):
        return TorchFeatures(module.eval(), **given)
    classes = tuple(ours["classes"])
    return TorchModel(module.eval(), **given, classes=classes, target_scale=(mean, scale))


def _pooling(
    network: nn.Module,
    config: Mapping[str, Any],
    modality: Modality,
    headed: bool,
    asked: str | None = None,
    where: str = "",
) -> Pooling:
    """How features come from tokens: as `asked`, else as the config says."""
    if asked not in (None, *POOLINGS):
        raise ModelError(f"pooling is {', '.join(POOLINGS)} or None, not {quoted(asked)}.")
    if asked is not None and (headed or modality != "text"):
        raise ModelError(f"{where} is no network of texts without a head: pooling= is for those.")
    if asked is not None:
        return POOLINGS[asked]
    if headed:
        # decoders put the head on every token and take the last one's logits
        return "last" if isinstance(getattr(network, "score", None), nn.Linear) else ""
    if modality == "image":
        return "image"
    return "first" if config.get("classifier_pooling") == "cls" else "mean"


def _tried(
    module: HuggingFaceNetwork, reader: Reader, where: str, use: Callable[[torch.Tensor], T]
) -> T:
    """What comes of using the module on a tiny batch."""
    example = torch.from_numpy(reader.encode(_tiny(reader)))
    try:
        with evaluating(module), quiet():
            return use(example)
    except ModelError:
        raise
    except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        problem = " ".join(str(error).split())[:200]
        raise ModelError(f"{where} cannot read a tiny batch: {problem}") from error


def _head(module: HuggingFaceNetwork, example: torch.Tensor, where: str) -> str:
    """The name of the module's head, which it is given where the network has none."""
    if module.pooling not in ("", "last"):
        module.add_head(module.pooled(example).shape[1])
        return "head"
    head = find_head(module, example)
    outputs = module(example).shape
    layer: Any = module.get_submodule(head) if head else None
    if layer is None or len(outputs) != 2 or layer.out_features != outputs[1]:
        raise ModelError(f"{where} does not end in a linear layer: its head cannot be found.")
    return head


def _tiny(reader: Reader) -> Any:
    if isinstance(reader, Tokens):
        return Texts(["a", "a few words"])
    return np.zeros((2, reader.channels, SIDE, SIDE), dtype=np.float32)
