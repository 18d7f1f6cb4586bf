"""transformers builds a network from an audited config and tensors that were read by us."""

from __future__ import annotations

import logging
import re
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn

from bequest.core.plain_values import escaped, quoted
from bequest.core.wording import listed
from bequest.errors import ModelError
from bequest.frameworks.encoders.static_embedding import STATIC, static_embedding
from bequest.optional import need

__all__ = ["Modality", "build_network", "classifier_of", "other_head", "quiet"]

Modality = Literal["text", "image"]
# What a head does that neither predicts one label or value a sample nor only trained the body.
OTHER_HEADS = {
    "ForObjectDetection": "finds objects in images",
    "ForZeroShotObjectDetection": "finds objects in images",
    "ForSemanticSegmentation": "labels the pixels of images",
    "ForInstanceSegmentation": "labels the pixels of images",
    "ForUniversalSegmentation": "labels the pixels of images",
    "ForImageSegmentation": "labels the pixels of images",
    "ForDepthEstimation": "estimates depth in images",
    "ForKeypointDetection": "finds points in images",
    "ForImageToImage": "makes images of images",
    "ForTokenClassification": "labels the tokens of texts",
    "ForQuestionAnswering": "marks answers in texts",
    "ForMultipleChoice": "chooses among several texts",
    "ForConditionalGeneration": "writes texts",
    "ForSpeechSeq2Seq": "writes down speech",
    "ForCTC": "writes down speech",
    "ForAudioClassification": "classifies sounds",
    "ForVideoClassification": "classifies videos",
    "ForVision2Seq": "writes texts about images",
    "ForImageTextToText": "writes texts about images",
}
ACTIVATIONS = ("hidden_act", "hidden_activation", "activation_function", "activation")
FIELD = re.compile(r"Field '(\w+)' expected (.+), got \w+ \(value: (.*)\)")
SPARE = 10**6  # numbers that a network may have beyond twice those of its files

logger = logging.getLogger(__name__)


def build_network(
    config: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    where: str,
    *,
    body: bool = False,
    say: bool = True,
) -> tuple[nn.Module, Modality, bool]:
    """Build the network that an audited config describes, and fill it with all that its files hold.

    `body` leaves out a head that predicts, whatever the config says of one; `say` logs what of the
    files is left out.

    Gives the network (float32, on the CPU, in evaluation mode), its modality, and whether it has a
    head of its own that predicts. `ModelError` where transformers does not know it, or config and
    weights do not fit each other.
    """
    auto = need("transformers.models.auto", extra="hf", purpose="a Hugging Face model")
    broken = need("huggingface_hub.errors", extra="hf", purpose="a Hugging Face model")
    kind = config["model_type"]
    if kind == STATIC:
        return static_embedding(tensors, where), "text", False
    if kind not in auto.CONFIG_MAPPING:
        raise ModelError(
            f"{where} is a network of type {kind[:60]!a}, which transformers "
            f"{need('transformers', extra='hf', purpose='it').__version__} does not know."
        )
    try:
        with quiet(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)  # what is not in the files, and not used, is the same each time
            settings = auto.CONFIG_MAPPING[kind].from_dict({**config, "dtype": "float32"})
            made, modality, headed = _class_of(auto.modeling_auto, settings, config, where, body)
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
        raise ModelError(
            f"{where}/config.json describes no network: {_problem(error, config)}"
        ) from error
    _check_loaded(network, told, where, headed)
    _keep_states(network)
    if say:
        _say_left_out(type(network).__name__, told, "" if body else _named(config), where)
    return network, modality, headed


def _keep_states(network: Any) -> None:
    """Let a network whose config asks for the states of all layers give them at every call.

    transformers puts its hooks for them on at the first call and remembers that it did, while we
    run a network so that it is left as it was, hooks too.
    """
    capturing = sys.modules.get("transformers.utils.output_capturing")
    asked = getattr(network.config, "output_hidden_states", False)
    if asked and capturing is not None and getattr(network, "_can_record_outputs", None):
        capturing.maybe_install_capturing_hooks(network)


def _problem(error: BaseException, config: Mapping[str, Any]) -> str:
    """What transformers found wrong with a config, by the setting where it names one."""
    text = " ".join(str(error).split())
    if wrong := FIELD.search(text):
        return f"{wrong[1]} = {wrong[3][:60]}, where {wrong[2][:60]} is wanted."
    known = need("transformers.activations", extra="hf", purpose="a Hugging Face model").ACT2FN
    for key in ACTIVATIONS:
        if isinstance(config.get(key), str) and config[key] not in known:
            return f"{key} = {quoted(config[key])} is no activation that transformers knows."
    if isinstance(error, KeyError) and (key := _said_by(config, error.args[0])):
        return f"{key} = {quoted(error.args[0])} is none that transformers knows."
    return text[:200] or type(error).__name__


def _said_by(config: Mapping[str, Any], value: Any) -> str:
    """The setting of this value, those inside of others too; empty where there is none."""
    for key, inner in config.items():
        if inner == value:
            return str(key)
        if isinstance(inner, Mapping) and (below := _said_by(inner, value)):
            return f"{key}.{below}"
    return ""


def _say_left_out(name: str, told: Mapping[str, Any], named: str, where: str) -> None:
    """Log what of the files is no part of the network `name`; `named` is their own class."""
    left = listed(sorted(told["unexpected_keys"]), 3)
    if does := other_head(named):
        logger.warning(
            "%s is a %s, which %s: that is not transferred, the features of its %s are.",
            where, escaped(named), does, name,
        )  # fmt: skip
    elif left:
        logger.warning("%s: left out, no part of %s: %s.", where, name, left)


def other_head(name: str) -> str:
    """What a network of this class does that no task here asks for; empty where a task may.

    Examples
    --------
    >>> other_head("DetrForObjectDetection"), other_head("BertForSequenceClassification")
    ('finds objects in images', '')
    """
    return next((does for end, does in OTHER_HEADS.items() if name.endswith(end)), "")


def classifier_of(settings: Any) -> str:
    """The class of transformers that classifies with this config's type of network."""
    auto = need("transformers.models.auto", extra="hf", purpose="a Hugging Face model")
    for mapping in (
        auto.modeling_auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING,
        auto.modeling_auto.MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING,
    ):
        for made in _all(mapping, type(settings)):
            return str(made.__name__)
    raise ModelError(f"transformers has no classifier of the type {type(settings).__name__}.")


def _named(config: Mapping[str, Any]) -> str:
    """The class that a config names first; empty where it names none."""
    named = config.get("architectures") or [""]
    return str(named[0])[:80] if isinstance(named, list) else ""


def _class_of(
    auto: Any, settings: Any, config: Mapping[str, Any], where: str, body: bool
) -> tuple[Any, Modality, bool]:
    """What transformers builds of this config: a class with a head that predicts, or the body."""
    kind = type(settings)
    wanted = _named(config)
    mappings: tuple[tuple[Any, Modality], ...] = (
        (auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING, "text"),
        (auto.MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING, "image"),
    )
    for mapping, modality in mappings:
        for made in _all(mapping, kind):
            if made.__name__ == wanted and not body:
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
        does = f", which {other_head(wanted)}" if other_head(wanted) else ""
        raise ModelError(
            f"{where} is a {escaped(wanted or kind.__name__)}{does}: classifiers and regressors of "
            "texts or images are read, and the bodies of networks that could be one. Of another "
            "network, load it with transformers and give bequest.wrap a module that gives one row "
            "of features a sample."
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
    """Every number of the network must come from the files."""
    mismatched = sorted(told["mismatched_keys"])
    if mismatched:
        name, stored, wanted = mismatched[0]
        others = f" and {len(mismatched) - 1} more" if len(mismatched) > 1 else ""
        raise ModelError(
            f"{where} stores {name} {tuple(stored)}, its config describes {tuple(wanted)}{others}."
        )
    missing = sorted(told["missing_keys"])
    if not headed and missing and all(name.startswith("pooler.") for name in missing):
        network.pooler = None  # features are not taken from it
        missing = []
    if missing or told.get("error_msgs"):
        raise ModelError(
            f"{where} does not hold all of {type(network).__name__}: {listed(missing, 3)} missing."
        )


@contextmanager
def quiet() -> Iterator[None]:
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
