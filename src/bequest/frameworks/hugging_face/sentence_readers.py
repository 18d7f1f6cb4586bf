"""The settings of each module behind a transformer, as values that `SentenceLayers` is made of."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from bequest.core.plain_values import escaped, quoted
from bequest.core.wording import listed
from bequest.errors import ModelError, UnsafeModel
from bequest.frameworks.hugging_face.sentence_modules import (
    ACTIVATIONS,
    MODES,
    SENTENCE,
    STATES,
    TOKENS,
)
from bequest.frameworks.hugging_face.sentence_settings import Config, flag, number

__all__ = ["READERS", "WITH_WEIGHTS", "Step", "Widths"]

MOST_MODES = 64
OLD_MODES = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
ACTIVATION = re.compile(r"torch\.nn\.(?:modules\.\w{1,40}\.)?(?P<name>\w{1,40})")

Step = dict[str, Any]
Widths = dict[str, int]  # features under each name that modules read and write


def _fitting(stated: int, widths: Widths, name: str, where: str) -> None:
    if name not in widths:
        raise ModelError(f"{where} reads {quoted(name)}, which no module before it gives.")
    if stated != widths[name]:
        raise ModelError(
            f"{where} reads {stated} features, what comes before it gives {widths[name]}."
        )


def _pooling(values: Config, widths: Widths, where: str) -> Step:
    stated = _dimension(values, widths, where)
    _fitting(stated, widths, TOKENS, where)
    modes = _modes(values, where)
    widths[SENTENCE] = stated * len(modes)
    whole = flag(values, "include_prompt", True, where)
    return {"layer": "pooling", "modes": modes, "whole": whole}


def _dimension(values: Config, widths: Widths, where: str) -> int:
    """Features of a token, under the new name of that setting, the old one, or both alike."""
    names = [name for name in ("embedding_dimension", "word_embedding_dimension") if name in values]
    stated = {number(values, name, where) for name in names} or {widths[TOKENS]}
    if len(stated) > 1:
        raise ModelError(f"{where} contradicts itself: {listed(sorted(stated))} features a token.")
    return stated.pop()


def _modes(values: Config, where: str) -> list[str]:
    """How tokens are pooled, by one of the two forms in which that is written, or by both alike."""
    old = [key for key in values if key.startswith("pooling_mode_")]
    unknown = [key for key in old if key not in OLD_MODES]
    if unknown:
        raise ModelError(f"{where} has a setting that is not read: {escaped(unknown[0])}.")
    chosen = [mode for key, mode in OLD_MODES.items() if flag(values, key, False, where)]
    modes = values.get("pooling_mode")
    if modes is None:
        modes = chosen
    modes = [modes] if isinstance(modes, str) else modes
    if not isinstance(modes, list) or not modes:
        raise ModelError(f"{where} says no way to pool the tokens.")
    odd = [mode for mode in modes if not isinstance(mode, str) or mode not in MODES]
    if odd or len(modes) > MOST_MODES:
        raise ModelError(f"{where} pools by {quoted(modes, 100)}: known are {', '.join(MODES)}.")
    if old and sorted(chosen) != sorted(modes):
        raise ModelError(
            f"{where} contradicts itself: pooling_mode says {listed(modes)}, the older settings "
            f"say {listed(chosen) or 'none'}."
        )
    return modes


def _dense(values: Config, widths: Widths, where: str) -> Step:
    inputs, outputs = (number(values, name, where) for name in ("in_features", "out_features"))
    source, target = _names(values, where)
    _fitting(inputs, widths, source, where)
    widths[target] = outputs
    called = values.get("activation_function", "torch.nn.Tanh")
    found = ACTIVATION.fullmatch(called) if isinstance(called, str) else None
    if found is None or found["name"] not in ACTIVATIONS:
        raise UnsafeModel(
            f"{where} has the activation {quoted(called)}, which is not known here and never "
            f"imported: {', '.join(ACTIVATIONS)} of torch.nn are."
        )
    return {
        "layer": "dense",
        "inputs": inputs,
        "outputs": outputs,
        "bias": flag(values, "bias", True, where),
        "residual": flag(values, "use_residual", False, where),
        "activation": found["name"],
        "source": source,
        "target": target,
    }


def _names(values: Config, where: str) -> tuple[str, str]:
    """What a module reads and writes."""
    source = values.get("module_input_name", SENTENCE)
    target = values.get("module_output_name")
    target = source if target is None else target
    for name in (source, target):
        if name not in (TOKENS, SENTENCE):
            raise ModelError(f"{where} reads or writes {quoted(name)}: {TOKENS} or {SENTENCE}.")
    return source, target


def _normalize(values: Config, widths: Widths, where: str) -> Step | None:
    source, target = _names(values, where)
    if source not in widths:  # as in the library, which passes over it
        return None
    widths[target] = widths[source]
    return {"layer": "normalize", "source": source, "target": target}


def _layer_norm(values: Config, widths: Widths, where: str) -> Step:
    width = number(values, "dimension", where)
    _fitting(width, widths, SENTENCE, where)
    return {"layer": "layer-norm", "width": width}


def _dropout(values: Config, widths: Widths, where: str) -> Step:
    share = values.get("dropout", 0.2)
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share < 1:
        raise ModelError(f"{where} has dropout = {quoted(share)}: from 0 to below 1.")
    if SENTENCE not in widths:
        raise ModelError(f"{where} comes before any Pooling.")
    return {"layer": "dropout", "share": float(share)}


def _weighted_layers(values: Config, widths: Widths, where: str) -> Step | None:
    if STATES not in widths:  # as in the library: a network whose config keeps its states to itself
        return None
    _fitting(_dimension(values, widths, where), widths, TOKENS, where)
    layers = {"num_hidden_layers": 12, "layer_start": 4, **values}
    depth = number(layers, "num_hidden_layers", where)
    start = layers["layer_start"]
    if depth + 1 != widths[STATES] or type(start) is not int or not 0 <= start <= depth:
        raise ModelError(
            f"{where} weighs the layers {quoted(start)} to {depth}, the network's are 0 to "
            f"{widths[STATES] - 1}."
        )
    return {"layer": "weighted-layers", "count": depth + 1 - start}


WITH_WEIGHTS = ("Dense", "LayerNorm", "WeightedLayerPooling")
READERS: Mapping[str, Callable[[Config, Widths, str], Step | None]] = {
    "WeightedLayerPooling": _weighted_layers,
    "Pooling": _pooling,
    "Dense": _dense,
    "Normalize": _normalize,
    "LayerNorm": _layer_norm,
    "Dropout": _dropout,
}
