"""The config of a Hugging Face folder: read as plain values and audited, before anything is built.

transformers looks up classes by what stands in it, and some keys make it fetch or run code.
C classes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from bequest.core import Label
from bequest.core.plain_values import quoted
from bequest.errors import ModelError, UnsafeModel

__all__ = ["audited", "classes_of", "with_classes"]

CODE = ("auto_map", "custom_pipelines", "trust_remote_code")
ELSEWHERE = ("use_pretrained_backbone", "use_timm_backbone", "backbone")
# How attention is computed, and where the files came from: not part of the model. The first can
# name a kernel on the Hub, which transformers would fetch and run.
PASSED_OVER = (
    "_attn_implementation", "_attn_implementation_internal", "attn_implementation",
    "_experts_implementation", "experts_implementation", "_name_or_path", "use_kernels",
    "transformers_weights", "device_map",
)  # fmt: skip
REPEATED = re.compile(r"layers?|depths?|blocks?|stages?|experts|heads")
# What a network has at least one of, whatever its type; null is transformers' own choice.
COUNTED = frozenset((
    "d_model", "depths", "dim", "embed_dim", "embedding_size", "head_dim", "hidden_size",
    "hidden_sizes", "image_size", "n_embd", "n_head", "n_heads", "n_layer",
    "n_layers", "num_attention_heads", "num_channels", "num_heads", "num_hidden_layers",
    "num_key_value_heads", "num_layers", "patch_size", "vocab_size",
))  # fmt: skip
PERHAPS_NONE = frozenset(("max_position_embeddings", "n_positions", "type_vocab_size"))
MOST_REPEATS = 4096  # of layers, heads or experts; the deepest public models have about 200
DEFAULT_LABEL = re.compile(r"LABEL_(\d+)")


def audited(values: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The config without what is not part of the model, or an error that says why not.

    `UnsafeModel` where it asks for code of its own (``auto_map``), or for weights from elsewhere.

    Examples
    --------
    >>> audited({"model_type": "bert", "_name_or_path": "/home/ann"}, "here")
    {'model_type': 'bert'}
    """
    for key, value in _items(values):
        if isinstance(value, float) and math.isnan(value):
            raise ModelError(f"{where}/config.json says {key} = NaN.")
        if key in CODE and value:
            raise UnsafeModel(
                f"{where} brings code of its own ({key} in config.json), which is never run. Load "
                "it with transformers where you trust it, and hand the model to bequest.wrap."
            )
        if key in ELSEWHERE and value:
            raise UnsafeModel(f"{where} takes weights from elsewhere ({key} in config.json).")
        if key == "quantization_config" and value:
            raise ModelError(
                f"{where} is quantised: its numbers cannot be moved. Take the model that it was "
                "made from."
            )
        if REPEATED.search(str(key)) and _largest(value) > MOST_REPEATS:
            raise ModelError(
                f"{where}/config.json says {key} = {str(value)[:40]}, at most {MOST_REPEATS} are "
                "built."
            )
    for key in sorted((COUNTED | PERHAPS_NONE).intersection(values)):
        least = int(key in COUNTED)
        if _smallest(values[key]) < least:
            raise ModelError(
                f"{where}/config.json says {key} = {str(values[key])[:40]}: it is {least} or more."
            )
    if not isinstance(values.get("id2label") or {}, Mapping):
        raise ModelError(f"{where}/config.json says id2label = {quoted(values['id2label'])}.")
    if not isinstance(values.get("model_type"), str):
        raise ModelError(f"{where}/config.json names no model_type: it is no Hugging Face model.")
    return {key: _without(value) for key, value in values.items() if key not in PASSED_OVER}


def classes_of(config: Mapping[str, Any], outputs: int, where: str) -> tuple[Label, ...]:
    """The labels of a classifier with C `outputs`, in their order; empty for a regression.

    ``LABEL_3``, which transformers writes where nobody named the classes, is the number 3.

    Examples
    --------
    >>> classes_of({"id2label": {"0": "bad", "1": "good"}}, 2, "here")
    ('bad', 'good')
    >>> classes_of({}, 2, "here")
    (0, 1)
    """
    problem = config.get("problem_type")
    if problem == "multi_label_classification":
        raise ModelError(f"{where} predicts several labels a row; one is wanted.")
    if problem == "regression" or (problem is None and outputs == 1):
        if outputs != 1:
            raise ModelError(f"{where} predicts {outputs} values a row; one is wanted.")
        return ()
    named = config.get("id2label")
    if named is None:
        return tuple(range(outputs))
    if not isinstance(named, Mapping) or {str(key) for key in named} != set(
        map(str, range(outputs))
    ):
        count = len(named) if isinstance(named, Mapping | list) else "no"
        raise ModelError(
            f"{where}/config.json names {count} classes in id2label, the head has {outputs} "
            f"outputs: it must name each of 0 to {outputs - 1}."
        )
    by_place = {int(place): str(label) for place, label in named.items()}
    labels = [by_place[place] for place in range(outputs)]
    if all(DEFAULT_LABEL.fullmatch(label) for label in labels):
        numbers = [int(label.removeprefix("LABEL_")) for label in labels]
        labels = numbers if numbers == [*range(outputs)] else labels  # type: ignore[assignment]
    if len(set(labels)) < outputs:
        doubled = sorted({label for label in labels if labels.count(label) > 1})
        raise ModelError(f"{where}/config.json names two classes alike: {doubled[:3]}.")
    return tuple(labels)


def with_classes(config: Mapping[str, Any], classes: tuple[Label, ...]) -> dict[str, Any]:
    """The config that transformers reads these classes from; no classes are a regression.

    Examples
    --------
    >>> with_classes({"model_type": "bert"}, ("no", "yes"))["id2label"]
    {'0': 'no', '1': 'yes'}
    """
    labels = [str(label) for label in classes] or ["value"]
    rest = {key: value for key, value in config.items() if key != "num_labels"}
    return {
        **rest,
        "id2label": {str(place): label for place, label in enumerate(labels)},
        "label2id": {label: place for place, label in enumerate(labels)},
        "problem_type": "single_label_classification" if classes else "regression",
    }


def _items(values: Any) -> Iterator[tuple[str, Any]]:
    """Every key and value of a nested config."""
    stack = [values]
    while stack:
        item = stack.pop()
        if isinstance(item, Mapping):
            yield from item.items()
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)


def _without(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without(inner) for key, inner in value.items() if key not in PASSED_OVER}
    return [_without(inner) for inner in value] if isinstance(value, list) else value


def _smallest(value: Any) -> float:
    if isinstance(value, list):
        return min((_smallest(inner) for inner in value), default=0)
    return value if isinstance(value, int | float) else 1


def _largest(value: Any) -> float:
    if isinstance(value, list):
        return max((_largest(inner) for inner in value), default=0)
    return value if isinstance(value, int | float) else 0
