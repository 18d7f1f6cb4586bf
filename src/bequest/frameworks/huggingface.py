"""A folder of the Hugging Face Hub as a model: nothing of it runs, nothing is fetched.

transformers is never given the folder. Its config is audited as plain values, its weights are
read by our own reader, and the classes that build the network are transformers' own.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from bequest.core import Card, InputSpec, Texts
from bequest.errors import ModelError
from bequest.frameworks.folder import spec_from_config
from bequest.frameworks.huggingface_config import audited, classes_of
from bequest.frameworks.huggingface_files import (
    folder_weights,
    licence_of,
    pixels_of,
    pooled_by_first,
    tokens_of,
)
from bequest.frameworks.huggingface_inputs import Pixels, Tokens
from bequest.frameworks.huggingface_network import HuggingFaceNetwork, Pooling
from bequest.frameworks.huggingface_write import OF_OURS, OWN_HEAD, SECTION
from bequest.frameworks.torch_model import TorchModel, find_head
from bequest.optional import need

__all__ = ["load_foreign", "load_huggingface"]

Modality = Literal["text", "image"]
Reader = Tokens | Pixels
SPARE = 10**6  # numbers that a network may have beyond twice those of its files
SIDE = 64  # pixels of the image that a network is tried on

logger = logging.getLogger(__name__)


def load_foreign(folder: Path, values: Mapping[str, Any]) -> TorchModel:
    """Make a model of a Hugging Face folder.

    Parameters
    ----------
    folder : path
        With ``config.json``, ``model.safetensors`` (or its shards and their index), and
        ``tokenizer.json`` or ``preprocessor_config.json``.
    values : mapping
        Content of ``config.json``.

    Returns
    -------
    TorchModel
        A classifier or a regressor of texts or images. Of any other network its body, whose
        features can be probed and tuned.

    Raises
    ------
    UnsafeModel
        It brings code, holds pickles only, or names files outside of the folder.
    ModelError
        A file is missing or damaged, or transformers does not know the network.
    """
    where = folder.name
    config = audited(values, where)
    network, modality, headed = _built(config, folder_weights(folder), where)
    reader: Reader = (
        tokens_of(folder, config, network) if modality == "text" else pixels_of(folder, config)
    )
    pooling = _pooling(folder, config, network, modality, headed)
    module, head = _module(network, modality, config, pooling, reader, where)
    outputs = len(module.get_parameter(f"{head}.weight"))
    return TorchModel(
        module.eval(),
        spec=InputSpec(modality),
        classes=classes_of(config, outputs, where) if headed else (),
        card=Card(name=where, licence=licence_of(folder)),
        encoder=reader,
        head=head,
    )


def load_huggingface(
    folder: Path, config: Mapping[str, Any], card: Card, modules: Sequence[type] = ()
) -> TorchModel:
    """Load the folder that such a model was saved to.

    Parameters
    ----------
    folder : path
    config : mapping
        Content of its ``config.json``.
    card : Card
    modules : sequence of classes
        Not used: only classes of transformers are built.
    """
    ours = config[SECTION]
    theirs = {key: value for key, value in config.items() if key not in OF_OURS}
    theirs = audited(theirs, folder.name)
    tensors = folder_weights(folder)
    own = {name: tensors.pop(name) for name in list(tensors) if name.startswith(OWN_HEAD)}
    bias = tensors.pop(ours["added_bias"]) if ours["added_bias"] else None
    network, modality, _ = _built(theirs, tensors, folder.name)
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
    return TorchModel(
        module.eval(),
        spec=spec_from_config(ours["spec"]),
        classes=tuple(ours["classes"]),
        card=card,
        encoder=reader,
        head=head,
        target_scale=(mean, scale),
    )


def _built(
    config: Mapping[str, Any], tensors: Mapping[str, Tensor], where: str
) -> tuple[nn.Module, Modality, bool]:
    """The network with its weights, what it reads, and whether it has a head of its own."""
    auto = need("transformers.models.auto", extra="hf", purpose="a Hugging Face model")
    broken = need("huggingface_hub.errors", extra="hf", purpose="a Hugging Face model")
    kind = config["model_type"]
    if kind not in auto.CONFIG_MAPPING:
        raise ModelError(
            f"{where} is a network of type {kind[:60]!a}, which transformers "
            f"{need('transformers', extra='hf', purpose='it').__version__} does not know."
        )
    try:
        with _quiet(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)  # what is not in the files, and not used, is the same each time
            settings = auto.CONFIG_MAPPING[kind].from_dict({**config, "dtype": "float32"})
            made, modality, headed = _class_of(auto.modeling_auto, settings, config, where)
            _check_size(made, settings, tensors, where)
            network, told = made.from_pretrained(
                None,
                config=settings,
                state_dict=dict(tensors),
                dtype=torch.float32,
                ignore_mismatched_sizes=True,  # they are told in one line, not in a table
                output_loading_info=True,
            )
    except ModelError:
        raise
    except (
        ArithmeticError, AssertionError, AttributeError, ImportError, LookupError, MemoryError,
        OSError, RuntimeError, TypeError, ValueError, broken.StrictDataclassError,
    ) as error:  # fmt: skip
        problem = " ".join(str(error).split())[:200] or type(error).__name__
        raise ModelError(f"{where}/config.json describes no network: {problem}") from error
    _check_loaded(network, told, where, headed)
    return network, modality, headed


def _class_of(
    auto: Any, settings: Any, config: Mapping[str, Any], where: str
) -> tuple[Any, Modality, bool]:
    """What transformers builds of this config: a class with a head that predicts, or the body."""
    kind = type(settings)
    named = config.get("architectures") or [""]
    wanted = str(named[0]) if isinstance(named, list) else ""
    mappings: tuple[tuple[Any, Modality], ...] = (
        (auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING, "text"),
        (auto.MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING, "image"),
    )
    for mapping, modality in mappings:
        for made in _all(mapping, kind):
            if made.__name__ == wanted:
                return made, modality, True
    texts = (
        auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING, auto.MODEL_FOR_MASKED_LM_MAPPING,
        auto.MODEL_FOR_CAUSAL_LM_MAPPING, auto.MODEL_FOR_TEXT_ENCODING_MAPPING,
    )  # fmt: skip
    images = _all(auto.MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING, kind)
    reads_text = any(_all(mapping, kind) for mapping in texts)
    whole = getattr(settings, "is_encoder_decoder", False)
    # of an encoder and a decoder, the encoder is what features come from
    bodies = _all(auto.MODEL_FOR_TEXT_ENCODING_MAPPING if whole else auto.MODEL_MAPPING, kind)
    if not bodies or not (images or reads_text):
        raise ModelError(
            f"{where} is a {wanted or kind.__name__}: classifiers and regressors of texts or "
            "images are read, and the bodies of networks that could be one."
        )
    return bodies[0], "image" if images and not reads_text else "text", False


def _all(mapping: Any, kind: type) -> tuple[Any, ...]:
    if kind not in mapping:
        return ()
    made = mapping[kind]
    return tuple(made) if isinstance(made, tuple | list) else (made,)


def _check_size(made: Any, settings: Any, tensors: Mapping[str, Tensor], where: str) -> None:
    """Refuse a config that describes far more numbers than the files hold, before it is built."""
    with torch.device("meta"):
        needed = sum(weight.numel() for weight in made(settings).parameters())
    held = sum(tensor.numel() for tensor in tensors.values())
    if needed > 2 * held + SPARE:
        raise ModelError(
            f"{where}/config.json describes {needed:,} numbers, the files hold {held:,}: they are "
            "not of one model."
        )


def _check_loaded(network: Any, told: Mapping[str, Any], where: str, headed: bool) -> None:
    """Every number of the network must come from the files; what they hold beyond it is told."""
    mismatched = sorted(told["mismatched_keys"])
    if mismatched:
        name, stored, wanted = mismatched[0]
        raise ModelError(
            f"{where} stores {name} {tuple(stored)}, its config describes {tuple(wanted)}"
            f"{_and_more(mismatched)}."
        )
    missing = sorted(told["missing_keys"])
    if not headed and missing and all(name.startswith("pooler.") for name in missing):
        network.pooler = None  # features are not taken from it
        missing = []
    if missing or told.get("error_msgs"):
        raise ModelError(
            f"{where} does not hold all of {type(network).__name__}: "
            f"{', '.join(missing[:3])}{_and_more(missing, 3)} missing."
        )
    left = sorted(told["unexpected_keys"])
    if left:
        logger.warning(
            "%s: left out, no part of %s: %s%s.",
            where, type(network).__name__, ", ".join(left[:3]), _and_more(left, 3),
        )  # fmt: skip


def _and_more(names: Collection[Any], shown: int = 1) -> str:
    return f" and {len(names) - shown} more" if len(names) > shown else ""


def _pooling(
    folder: Path, config: Mapping[str, Any], network: nn.Module, modality: Modality, headed: bool
) -> Pooling:
    if headed:
        # decoders put the head on every token and take the last one's logits
        return "last" if isinstance(getattr(network, "score", None), nn.Linear) else ""
    if modality == "image":
        return "image"
    return "first" if pooled_by_first(folder, config) else "mean"


def _module(
    network: nn.Module,
    modality: Modality,
    config: Mapping[str, Any],
    pooling: Pooling,
    reader: Reader,
    where: str,
) -> tuple[HuggingFaceNetwork, str]:
    """The module, tried on a tiny batch, and the name of its head."""
    module = HuggingFaceNetwork(network, modality=modality, config=config, pooling=pooling).eval()
    example = torch.from_numpy(reader.encode(_tiny(reader)))
    try:
        with torch.no_grad(), _quiet():
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


@contextmanager
def _quiet() -> Iterator[None]:
    """transformers' bars and tables kept from a person's terminal; its settings come back."""
    chatter = need("transformers.utils.logging", extra="hf", purpose="a Hugging Face model")
    level, bars = chatter.get_verbosity(), chatter.is_progress_bar_enabled()
    chatter.set_verbosity(logging.CRITICAL)
    chatter.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        chatter.set_verbosity(level)
        if bars:
            chatter.enable_progress_bar()
