"""Every model class of the installed transformers, built small and on the CPU, nothing downloaded.

A class is built from its own default configuration, in which widths, layers, heads, vocabularies,
experts and images are made small by the names of the settings. Not every architecture stands
every change, so several degrees are tried, the strongest first; each is built on the meta device
before it is built for real, which shows its size at no cost.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import product
from typing import Any

import torch
import transformers
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.models.auto import modeling_auto

PARAMETERS = 30_000_000  # the largest network that is built
WIDTH, WIDER, HEADS, GROUPS, VOCABULARY, PLACES, PIXELS = 32, 64, 4, 2, 99, 64, 64
TOKENS = re.compile(r"(?:^|_)token_(?:id|ids|index)$|^(?:image|video|audio)_token")

# Settings by their names: the first pattern that matches says how far the value is lowered.
LAYERS = (
    (r"^(?:num|n)_.*(?:layers?|blocks?)(?:_\w+)?$", 2),
    (r"^(?:\w+_)?layers?$|^depth$|^\w+_depth$|^num_block\w*$|^num_resblocks$", 2),
    (r"^(?:num|n|moe)_.*experts$|^num_experts?$|^n_routed_experts$|^moe_num_experts$", 4),
    (r"experts_per_tok|^moe_top\w*k$|^top_k_experts$|^moe_k$", 2),
    (r"^n_group$|^topk_group$", 1),
)
VOCABULARIES = (
    (r"vocab\w*size\w*$|^vocab\w*size|^n_vocab$|^num_embeddings$", VOCABULARY),
    (r"^codebook_size$", 64),
    (r"^max_.*position|^n_positions$|^n_ctx$|^max_sequence_length$", PLACES),
)
COMMON = (
    (r"(?:key_value|kv)_(?:attention_)?heads$|^num_.*kv_heads$", GROUPS),
    (r"heads$|^n_heads?$", HEADS),
    (
        r"^(?:\w+_)?head_dim$|^d_head$|^(?:v|qk_nope|qk_rope)_head_dim$|^d_kv$|^kv_channels$",
        WIDTH // HEADS,
    ),
    (r"(?:intermediate|ffn|mlp|inner|ff)_?(?:size|dim|hidden_size)$|^d_ff$|^n_inner$", WIDER),
    (r"(?:hidden|embedding|embed)_(?:size|dim)$|^d_model$|^n_embd$|^dim$|^width$", WIDTH),
    (r"^(?:encoder|decoder)_ffn_dim$|^hidden_dim$|^embed_dims?$", WIDTH),
)
FURTHER = (
    (r"(?:_dim|_size|_channels|_features|_rank)$", WIDTH),
    (r"^(?:num|n)_(?:queries|mel_bins|labels|codebooks|quantizers)$", 16),
)
PICTURES = ((r"^(?:image|input|img)_size$", PIXELS),)
LISTS = (
    (r"depths?$|^(?:num|n)_.*layers?$|^layers$|^num_blocks$|^stage_num_blocks$", 1),
    (r"(?:sizes|dims?|channels|widths?|features?|out_channels|filters)$", 8),
)
REQUIRED = {
    "prediction_length": 4,
    "context_length": 8,
    "vocab_size": VOCABULARY,
}  # have no default
UNSET = {"head_dim": WIDTH // HEADS, "num_key_value_heads": GROUPS, "num_experts_per_tok": 2}
PUT = {
    "width_coefficient": 0.25,
    "depth_coefficient": 0.1,
    "attention_window": 8,
    "relative_attention": True,
}
KEPT = re.compile(
    r"patch|feat_extract|kernel|stride|window|conv_bias|pool(?!er)|_ratio|chunk|num_labels|num_channels"
)
DEGREES = (
    (*LAYERS, *VOCABULARIES, *COMMON, *PICTURES, *FURTHER),
    (*LAYERS, *VOCABULARIES, *COMMON, *PICTURES),
    (*LAYERS, *VOCABULARIES, *COMMON),
    (*LAYERS, *VOCABULARIES, *PICTURES),
    (*LAYERS, *VOCABULARIES),
    (*VOCABULARIES,),
    (),
)


class NotBuiltError(Exception):
    """No degree of shrinking gave a network; says what each ended in."""


@cache
def families() -> dict[str, dict[str, tuple[str, ...]]]:
    """By type of model: the automatic classes that have one, and the names of theirs."""
    found: dict[str, dict[str, tuple[str, ...]]] = {}
    for table, models in vars(modeling_auto).items():
        if table.startswith("MODEL_") and table.endswith("_MAPPING_NAMES"):
            for family, names in models.items():
                several = (names,) if isinstance(names, str) else tuple(names)
                found.setdefault(family, {})[table.removesuffix("_MAPPING_NAMES")] = several
    return found


@cache
def classes() -> list[str]:
    """Names of all model classes, sorted."""
    return sorted({n for tables in families().values() for names in tables.values() for n in names})


def class_of(name: str) -> type[PreTrainedModel]:
    """The class; `NotBuiltError` where it needs a package that is not installed."""
    try:
        found = getattr(transformers, name)
    except (ImportError, AttributeError) as error:
        raise NotBuiltError(f"not importable: {error}") from error
    if not (isinstance(found, type) and issubclass(found, PreTrainedModel)):
        raise NotBuiltError("needs a package that is not installed")
    return found


def build(name: str) -> PreTrainedModel:
    """A small network of a class, in evaluation mode; initialised anew in every call."""
    return build_of(class_of(name), small_config(name))


def build_of(cls: type[PreTrainedModel], config: PreTrainedConfig) -> PreTrainedModel:
    with torch.device("cpu"):
        return cls(copy.deepcopy(config)).float().eval()


@cache
def small_config(name: str) -> PreTrainedConfig:
    """The smallest configuration with which the class can be built."""
    cls, said = class_of(name), []
    for config in _configs(cls):
        if isinstance(config, Exception):
            said.append(_line(config))
            continue
        try:
            size = _size(cls, config)
            if size > PARAMETERS:
                said.append(f"{size:,} parameters")
                continue
            build_of(cls, config)
        except TimeoutError:
            raise
        except Exception as error:  # whatever a class of other people raises
            said.append(_line(error))
            continue
        return config
    raise NotBuiltError("; ".join(dict.fromkeys(said)))


def _configs(cls: type[PreTrainedModel]) -> Iterator[PreTrainedConfig | Exception]:
    """Of each degree; at the end once more, with what some classes need and others leave open."""
    for unset in ({}, UNSET):
        for rules, lists in product(DEGREES, (True, False)):
            try:
                config = cls.config_class()
                shrink(config, rules, lists=lists, required=REQUIRED | unset)
            except TimeoutError:
                raise
            except Exception as error:
                yield error
            else:
                yield config


def _size(cls: type[PreTrainedModel], config: PreTrainedConfig) -> int:
    with torch.device("meta"):
        model = cls(copy.deepcopy(config))
    return sum(p.numel() for p in model.parameters())


def shrink(config: Any, rules: tuple, *, lists: bool, required: Mapping = REQUIRED) -> None:
    """Lower the settings of a configuration and of those inside it, in place."""
    values = config if isinstance(config, dict) else vars(config)
    for key, value in list(values.items()):
        if not isinstance(key, str) or key in ("id2label", "label2id"):
            continue
        if value is None and key in required:
            _put(config, key, required[key])
        elif isinstance(value, PreTrainedConfig | dict) and not key.startswith("_"):
            shrink(value, rules, lists=lists, required=required)
        elif (made := _lowered(key, value, rules, lists)) != value:
            _put(config, key, made)
    _agree(config, values)


def _lowered(key: str, value: Any, rules: tuple, lists: bool) -> Any:
    if TOKENS.search(key):
        return _token(value)
    if key in PUT and rules:
        return PUT[key]
    if KEPT.search(key) or isinstance(value, bool):
        return value
    if isinstance(value, int):
        most = next((most for pattern, most in rules if re.search(pattern, key)), value)
        return min(value, most)
    whole = isinstance(value, list | tuple) and value and all(type(v) is int for v in value)
    if not (whole and lists and rules):
        return value
    if re.search(LISTS[0][0], key):
        return type(value)(min(v, LISTS[0][1]) for v in value)
    if re.search(LISTS[1][0], key) and min(value) >= 4 * LISTS[1][1]:
        share = min(value) // (2 * LISTS[1][1])
        return type(value)(v // share for v in value)
    return value


def _token(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return type(value)(map(_token, value))
    return value % (VOCABULARY - 4) if isinstance(value, int) and value >= VOCABULARY else value


def _agree(config: Any, values: dict) -> None:
    """Lists of one item a layer are cut to the layers that are left."""
    layers = values.get("num_hidden_layers", values.get("n_layer", values.get("num_layers")))
    for key in ("layer_types", "mlp_layer_types", "layers_block_type", "no_rope_layers"):
        found = values.get(key, values.get(f"_{key}"))
        if isinstance(found, list) and isinstance(layers, int) and len(found) > layers:
            _put(config, key if key in values else f"_{key}", _spread(found, layers))


def _spread(found: list, count: int) -> list:
    """As many kinds as fit, in their order."""
    kinds = list(dict.fromkeys(found))[:count]
    return kinds + found[len(kinds) : count]


def _put(config: Any, key: str, value: Any) -> None:
    if isinstance(config, dict):
        config[key] = value
    else:
        setattr(config, key, value)


def _line(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:160] if text else ''}"


def fill(model: nn.Module, seed: int = 0) -> None:
    """Give each tensor that a state dict holds numbers of its own, near those that it had."""
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if name.endswith("num_batches_tracked"):
                tensor.fill_(int(torch.randint(1, 10**6, (), generator=rng)))
            elif tensor.is_floating_point():
                tensor.add_(0.02 * torch.rand(tensor.shape, generator=rng).to(tensor.dtype))
