"""Which tensors of a checkpoint are the network that is to be mapped.

A checkpoint may also hold optimiser states and counters, which are left out; an adapter or
quantised weights, which are refused; or several networks (student and teacher, weights and their
moving average), of which one has to be named. Only names and shapes are looked at.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence, Set
from difflib import get_close_matches

from bequest.core.wording import listed, pluralise
from bequest.errors import MapError
from bequest.mapping.sources.several_networks import CONTAINERS, Shapes, meant_part, quoted

__all__ = ["check_weights", "network_names"]

TRAINING = re.compile(
    r"(\w+_)?(optimi[sz]ers?|optim|(lr_)?schedulers?)(_states?)?(_dicts?)?"
    r"|callbacks|loops|(grad_)?scaler(_state(_dict)?)?|(random|rng)_states?"
)
MOMENTS = frozenset(
    {"exp_avg", "exp_avg_sq", "max_exp_avg_sq", "exp_inf", "momentum_buffer", "square_avg"}
)
ADAPTER = re.compile(
    r"lora_(A|B|E|up|down|mid|embedding_A|embedding_B|magnitude_vector)"
    r"|hada_(w|t)[12](_[ab])?|lokr_(w|t)[12](_[ab])?|ia3_l|b?oft_[rRsS]|oft_blocks"
    r"|vera_lambda_[bd]|prompt_embeddings"
)
QUANTISED = frozenset({"qweight", "qzeros", "quant_map", "absmax", "SCB", "weight_packed"})


def network_names(
    shapes: Shapes, target: Shapes, where: str, prefix: str | None = None
) -> tuple[list[str], list[str]]:
    """The names of the network's tensors, in their order, and sentences on what was left out.

    Parameters
    ----------
    shapes : mapping of str to shape
        Every tensor of the checkpoint.
    target : mapping of str to shape
        The network that is to be filled: where a checkpoint holds two networks with the same names,
        it shows whether both are meant (an encoder and a decoder), or which.
    where : str
        What the checkpoint is called in messages.
    prefix : str, optional
        Beginning of the names that are meant, up to a dot; empty: all of them.

    Raises
    ------
    MapError
        It is empty, an adapter, quantised, an optimiser's state, or holds several networks; or no
        name begins with `prefix`.

    Examples
    --------
    >>> two = {f"{net}.{n}.weight": (2, 2) for net in ("student", "teacher") for n in range(4)}
    >>> network_names(two, {f"{n}.weight": (2, 2) for n in range(4)}, "a.safetensors")
    Traceback (most recent call last):
        ...
    bequest.errors.MapError: a.safetensors holds 2 networks, 'student' and 'teacher': prefix=...
    """
    if not shapes:
        raise MapError(f"{where} holds no tensors.")
    names = list(shapes) if not prefix else _under(shapes, prefix, where)
    check_weights(names, target, where)
    target_parts = _parts(target)
    if prefix == "":
        return names, []
    kept = _without_training(names, target_parts, where)
    kept = _without_counters(kept, shapes, target_parts)
    network = set(kept)
    notes = _left_out([name for name in names if name not in network])
    part = meant_part({name: shapes[name] for name in kept}, target, where)
    if part:
        inside = _under(kept, part, where)
        rest = pluralise(len(kept) - len(inside), "tensor")
        notes.append(f"Of the source {part!r} is mapped, which the target is; {rest} left out.")
        kept = inside
    return kept, notes


def _under(names: Iterable[str], prefix: str, where: str) -> list[str]:
    names = list(names)
    inside = [name for name in names if name.startswith(f"{prefix.rstrip('.')}.")]
    if inside:
        return inside
    known = {".".join(parts[:n]) for name in names if (parts := name.split(".")) for n in (1, 2, 3)}
    known -= set(names)
    close = get_close_matches(prefix, known, n=1)
    hint = f"Did you mean {close[0]!r}?" if close else f"It has {quoted(sorted(_tops(names)))}."
    raise MapError(
        f"no tensor of {where} has a name that begins with '{prefix.rstrip('.')}.'. {hint}"
    )


def _parts(names: Iterable[str]) -> set[str]:
    return {part for name in names for part in name.split(".")}


def check_weights(names: Sequence[str], target: Iterable[str], where: str) -> None:
    """Refuse adapters and quantised weights, unless the target's tensors are named like them.

    Raises
    ------
    MapError
        With the way to plain weights.
    """
    target_parts = _parts(target)
    adapted = [name for name in names if _adapter_part(name, target_parts)]
    if adapted:
        raise MapError(
            f"{where} holds an adapter ({listed(adapted[:1])} and "
            f"{pluralise(len(adapted) - 1, 'tensor')} like it), not a network: merge it into its "
            "base first (peft: model.merge_and_unload().save_pretrained(FOLDER)), and map that."
        )
    quantised = [n for n in names if n.rpartition(".")[2] in QUANTISED - target_parts]
    if quantised:
        raise MapError(
            f"{where} is quantised ({listed(quantised[:1])}): dequantise it with the library that "
            "wrote it, or take the checkpoint that it was made from."
        )


def _adapter_part(name: str, target_parts: Set[str]) -> bool:
    return any(ADAPTER.fullmatch(part) and part not in target_parts for part in name.split("."))


def _without_training(names: Sequence[str], target_parts: Set[str], where: str) -> list[str]:
    """All but the states of optimisers, which hold moments and their number of steps."""
    moments = MOMENTS - target_parts
    states = {name.rpartition(".")[0] for name in names if name.rpartition(".")[2] in moments}
    tops = {
        top for name in names if TRAINING.fullmatch(top := name.partition(".")[0])
    } - target_parts
    kept = [
        name
        for name in names
        if name.rpartition(".")[0] not in states and name.partition(".")[0] not in tops
    ]
    if names and not kept:
        raise MapError(f"{where} holds an optimiser's state and no network: name the model's file.")
    return kept


def _without_counters(names: Sequence[str], shapes: Shapes, target_parts: Set[str]) -> list[str]:
    """Without the scalars next to the dictionary of the network, such as the best loss."""
    if not CONTAINERS & _tops(names):
        return list(names)
    return [
        name for name in names if "." in name or name in target_parts or math.prod(shapes[name]) > 1
    ]


def _tops(names: Iterable[str]) -> set[str]:
    return {name.partition(".")[0] for name in names if "." in name}


def _left_out(names: Sequence[str]) -> list[str]:
    if not names:
        return []
    parts = Counter(name.partition(".")[0] for name in names)
    said = listed(f"{part} ({count})" for part, count in parts.items())
    return [f"No part of the source's network, and left out: {said}."]
