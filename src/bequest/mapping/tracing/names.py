"""How alike two names of tensors are, by the words that the field uses for the same thing."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

__all__ = ["CANON", "PLAIN", "by_module", "likeness", "natural", "projection", "words"]

SYNONYMS = (
    ("query", "q", "wq", "q_proj", "to_q", "q_lin", "q_linear", "queries"),
    ("key", "k", "wk", "k_proj", "to_k", "k_lin", "k_linear", "keys"),
    ("value", "v", "wv", "v_proj", "to_v", "v_lin", "v_linear", "values"),
    ("out", "o", "wo", "o_proj", "to_out", "out_lin", "out_proj", "proj", "c_proj"),
    ("qkv", "in_proj", "c_attn", "qkv_proj", "query_key_value", "wqkv"),
    ("gate", "gate_proj", "w1", "wi_0"),
    ("up", "up_proj", "fc1", "c_fc", "lin1", "linear1", "intermediate", "wi", "w3", "wi_1"),
    ("down", "down_proj", "fc2", "lin2", "linear2", "w2"),
    ("norm", "ln", "layernorm", "layer_norm", "bn", "batchnorm", "normalization", "rmsnorm", "gn"),
    ("conv", "convolution", "conv2d", "conv1d"),
    ("attention", "attn", "self_attn", "self_attention", "mha", "selfattention"),
    ("embedding", "embeddings", "embed", "emb", "wte", "embed_tokens", "tok", "token", "word"),
    ("position", "pos", "wpe", "positional", "position_embeddings", "pos_embed"),
    ("type", "segment", "seg", "token_type", "token_type_embeddings"),
    ("class", "cls", "cls_token"),
    ("head", "classifier", "fc", "lm_head", "logits", "score", "output_layer"),
    ("shortcut", "downsample", "skip", "carry", "residual", "proj_shortcut"),
    ("down_stage", "downsampling"),
    ("patch", "patches", "patchify"),
)
CANON = {word: group[0] for group in SYNONYMS for word in group}
PLAIN = frozenset(
    {
        "weight", "bias", "module", "model", "layer", "layers", "block", "blocks", "net", "body",
        "encoder", "transformer", "h", "base", "stages", "stage", "sequential", "self",
    }
)  # fmt: skip
SPLIT = re.compile(r"[._]|(?<=[a-z])(?=[A-Z])")


def natural(name: str) -> tuple[tuple[int, int | str], ...]:
    """A sorting key that counts digits as numbers.

    Examples
    --------
    >>> sorted(["a.10", "a.9"], key=natural)
    ['a.9', 'a.10']
    """
    parts = re.split(r"(\d+)", name)
    return tuple((0, int(part)) if part.isdigit() else (1, part) for part in parts)


def by_module(names: Iterable[str]) -> dict[str, dict[str, str]]:
    """The tensors of each module by their names inside of it.

    Examples
    --------
    >>> by_module(["a.b.weight"])
    {'a': {'b.weight': 'a.b.weight'}, 'a.b': {'weight': 'a.b.weight'}}
    """
    found: dict[str, dict[str, str]] = {}
    for name in names:
        parts = name.split(".")
        for n in range(1, len(parts)):
            found.setdefault(".".join(parts[:n]), {})[".".join(parts[n:])] = name
    return found


@lru_cache(maxsize=65536)
def words(name: str) -> frozenset[str]:
    """What a name says, in canonical words, without numbers and words that say nothing.

    Examples
    --------
    >>> sorted(words("encoder.layer.3.attention.self.q_proj.weight"))
    ['attention', 'query']
    """
    found: set[str] = set()
    for component in name.lower().split("."):
        bare = component.rstrip("0123456789") if component not in CANON else component
        if bare in CANON:
            found.add(CANON[bare])
            continue
        for part in SPLIT.split(component):
            short = part if part in CANON else part.rstrip("0123456789")
            if short and short not in PLAIN:
                found.add(CANON.get(short, short))
    return frozenset(found - PLAIN)


def likeness(one: str, other: str) -> float:
    """From 0 to 1: shared words over all words; one half where a name says nothing.

    Examples
    --------
    >>> likeness("h.0.attn.q_proj", "layer.0.attention.query"), likeness("a", "b")
    (1.0, 0.0)
    """
    if one == other:
        return 1.0
    first, second = words(one), words(other)
    if not first or not second:
        return 0.5
    return len(first & second) / len(first | second)


def projection(name: str) -> str:
    """q, k, v, gate or up, where the last words of a name say so; else nothing."""
    for component in reversed(name.lower().split(".")):
        said = CANON.get(component, "")
        if said in ("query", "key", "value", "gate", "up"):
            return said
    return ""
