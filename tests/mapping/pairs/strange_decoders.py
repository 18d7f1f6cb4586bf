"""Decoders of transformers against one plain decoder with many switches.

B texts, T tokens, D width, H heads, K heads of keys and values.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from tests.mapping.pairs.pair import Pair, State, moved, scrambled, token_ids
from tests.mapping.pairs.plain_blocks import RootMeanSquare, attend
from torch import Tensor, nn
from transformers import (
    BloomConfig,
    BloomForCausalLM,
    FalconConfig,
    FalconForCausalLM,
    GemmaConfig,
    GemmaForCausalLM,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    OPTConfig,
    OPTForCausalLM,
    Phi3Config,
    Phi3ForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

WIDTH, HEADS, DEPTH, VOCABULARY, PLACES = 32, 4, 2, 41, 16
HEAD = WIDTH // HEADS


@dataclass(frozen=True)
class Style:
    """What differs between the decoders."""

    norm: Callable[[int], nn.Module]
    key_heads: int = HEADS
    bias: bool = True  # of queries, keys and values
    other_bias: bool = True
    rotary: float = 0.0  # the share of a head that is turned
    slopes: bool = False  # distances push scores down
    head_norms: bool = False
    gated: bool = False
    at_once: str = ""  # attention and feed-forward read the same: with "one" norm or "two"
    act: Callable[[Tensor], Tensor] = nn.functional.gelu
    tied: bool = False
    scale: float = 1.0  # of the tokens


def rotated(x: Tensor, share: float) -> Tensor:
    """The first share of each head (B, T, heads, width), turned by its place."""
    some = int(x.shape[-1] * share)
    if not some:
        return x
    turn, rest = x[..., :some], x[..., some:]
    first, second = turn.chunk(2, dim=-1)
    speeds = 10000.0 ** (-torch.arange(some // 2) * 2 / some)
    angles = torch.arange(x.shape[1])[:, None, None] * speeds
    cos, sin = angles.cos(), angles.sin()
    return torch.cat([first * cos - second * sin, second * cos + first * sin, rest], dim=-1)


class Look(nn.Module):
    """Output first; a holds keys, b values, c queries."""

    def __init__(self, style: Style) -> None:
        super().__init__()
        self.style = style
        narrow = HEAD * style.key_heads
        self.d = nn.Linear(WIDTH, WIDTH, bias=style.other_bias)
        self.b = nn.Linear(WIDTH, narrow, bias=style.bias)
        self.a = nn.Linear(WIDTH, narrow, bias=style.bias)
        self.c = nn.Linear(WIDTH, WIDTH, bias=style.bias)
        if style.head_norms:
            self.of_a, self.of_c = RootMeanSquare(HEAD), RootMeanSquare(HEAD)

    def forward(self, x: Tensor) -> Tensor:
        style = self.style
        q, k, v = (part(x).unflatten(-1, (-1, HEAD)) for part in (self.c, self.a, self.b))
        if style.head_norms:
            q, k = self.of_c(q), self.of_a(k)
        q, k = rotated(q, style.rotary), rotated(k, style.rotary)
        k, v = (y.repeat_interleave(HEADS // style.key_heads, dim=2) for y in (k, v))
        bias: Tensor | float = 0.0
        if style.slopes:
            slopes = 2.0 ** (-8 / HEADS * torch.arange(1, HEADS + 1))
            bias = slopes[:, None, None] * torch.arange(x.shape[1])
        return self.d(attend(*(y.flatten(2) for y in (q, k, v)), HEADS, causal=True, bias=bias))


class Feed(nn.Module):
    def __init__(self, style: Style) -> None:
        super().__init__()
        self.style = style
        names = ("low", "high", "door") if style.gated else ("low", "high")
        self.parts = nn.ModuleDict(
            {name: nn.Linear(WIDTH, WIDTH, bias=style.other_bias) for name in names}
        )

    def forward(self, x: Tensor) -> Tensor:
        if not self.style.gated:
            return self.parts["low"](self.style.act(self.parts["high"](x)))
        return self.parts["low"](self.style.act(self.parts["door"](x)) * self.parts["high"](x))


class Step(nn.Module):
    def __init__(self, style: Style) -> None:
        super().__init__()
        self.style = style
        self.feed = Feed(style)
        self.look = Look(style)
        if style.at_once != "one":
            self.n2 = style.norm(WIDTH)
        self.n1 = style.norm(WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        if self.style.at_once:
            second = self.n1 if self.style.at_once == "one" else self.n2
            return x + self.feed(second(x)) + self.look(self.n1(x))
        x = x + self.look(self.n1(x))
        return x + self.feed(self.n2(x))


class Decoder(nn.Module):
    def __init__(self, style: Style, *, places: int = 0, first_norm: bool = False) -> None:
        super().__init__()
        self.style = style
        self.say = nn.Linear(WIDTH, VOCABULARY, bias=False)
        self.end = style.norm(WIDTH)
        self.steps = nn.ModuleList(Step(style) for _ in range(DEPTH))
        self.start = style.norm(WIDTH) if first_norm else nn.Identity()
        self.see = nn.Embedding(VOCABULARY, WIDTH)
        if places:
            self.where = nn.Parameter(torch.randn(places, WIDTH))
        if style.tied:
            self.say.weight = self.see.weight
        self.offset = places - PLACES

    def forward(self, ids: Tensor) -> Tensor:
        x = self.see(ids) * self.style.scale
        if hasattr(self, "where"):
            x = x + self.where[self.offset : self.offset + ids.shape[1]]
        x = self.start(x)
        for step in self.steps:
            x = step(x)
        return self.say(self.end(x))


SIZES = {
    "vocab_size": VOCABULARY,
    "hidden_size": WIDTH,
    "num_hidden_layers": DEPTH,
    "num_attention_heads": HEADS,
    "bos_token_id": 0,
    "eos_token_id": 0,
    "pad_token_id": 0,
}


def unwoven(rows: Tensor, parts: int = 3) -> tuple[Tensor, ...]:
    """Head by head, each with its q, k and v, into all q, all k, all v."""
    heads = rows.unflatten(0, (HEADS, parts, -1))
    return tuple(heads[:, part].flatten(0, 1) for part in range(parts))


def _split(state: Mapping[str, Tensor], left: str, right: str, cut) -> State:
    """A fused layer's rows as queries (c), keys (a) and values (b)."""
    result = {}
    for kind in ("weight", "bias"):
        if f"{left}.{kind}" in state:
            parts = zip("cab", cut(state[f"{left}.{kind}"]), strict=True)
            result |= {f"{right}.{name}.{kind}": part for name, part in parts}
    return result


def _truth(
    state: Mapping[str, Tensor],
    ends: Mapping[str, str],
    block: str,
    inside: Mapping[str, str],
    fused: str = "",
    cut: Callable[[Tensor], tuple[Tensor, ...]] = unwoven,
) -> State:
    places = dict(ends)
    result: State = {}
    for i in range(DEPTH):
        places |= {f"{block}.{i}.{k}": f"steps.{i}.{v}" for k, v in inside.items()}
        if fused:
            result |= _split(state, f"{block}.{i}.{fused}", f"steps.{i}.look", cut)
    return result | moved(state, places)


def _pair(left: nn.Module, right: nn.Module, truth, seed: int) -> Pair:
    example = (token_ids(2, 9, vocabulary=VOCABULARY, seed=seed),)
    return Pair(scrambled(left, seed + 1), scrambled(right, seed + 2), example, truth)


def gpt_neox() -> Pair:
    """Pythia: woven heads, a quarter of each turned, both branches at once."""
    config = GPTNeoXConfig(**SIZES, intermediate_size=WIDTH, max_position_embeddings=PLACES)
    config.rope_parameters["partial_rotary_factor"] = 0.25
    style = Style(nn.LayerNorm, rotary=0.25, at_once="two")
    ends = {"gpt_neox.embed_in": "see", "gpt_neox.final_layer_norm": "end", "lm_head": "say"}
    inside = {
        "input_layernorm": "n1",
        "post_attention_layernorm": "n2",
        "attention.dense": "look.d",
        "mlp.dense_h_to_4h": "feed.parts.high",
        "mlp.dense_4h_to_h": "feed.parts.low",
    }
    left = GPTNeoXForCausalLM(config)
    if "embed_out.weight" in left.state_dict():  # its name in older versions
        ends["embed_out"] = ends.pop("lm_head")
    truth = partial(
        _truth,
        ends=ends,
        block="gpt_neox.layers",
        inside=inside,
        fused="attention.query_key_value",
    )
    return _pair(left, Decoder(style), truth, seed=200)


def bloom() -> Pair:
    config = BloomConfig(
        **{k: v for k, v in SIZES.items() if "num" not in k}, n_layer=DEPTH, n_head=HEADS
    )
    style = Style(
        nn.LayerNorm,
        slopes=True,
        tied=True,
        act=partial(nn.functional.gelu, approximate="tanh"),
    )

    class Wide(Feed):
        def __init__(self, style: Style) -> None:
            super().__init__(style)
            self.parts["low"] = nn.Linear(4 * WIDTH, WIDTH)
            self.parts["high"] = nn.Linear(WIDTH, 4 * WIDTH)

    right = Decoder(style, first_norm=True)
    for step in right.steps:
        step.feed = Wide(style)
    ends = {
        "transformer.word_embeddings": "see",
        "transformer.word_embeddings_layernorm": "start",
        "transformer.ln_f": "end",
        "lm_head": "say",
    }
    inside = {
        "input_layernorm": "n1",
        "post_attention_layernorm": "n2",
        "self_attention.dense": "look.d",
        "mlp.dense_h_to_4h": "feed.parts.high",
        "mlp.dense_4h_to_h": "feed.parts.low",
    }
    truth = partial(
        _truth,
        ends=ends,
        block="transformer.h",
        inside=inside,
        fused="self_attention.query_key_value",
    )
    return _pair(BloomForCausalLM(config), right, truth, seed=203)


def falcon() -> Pair:
    """All heads of queries share one key and one value; one norm for both branches."""
    config = FalconConfig(
        **SIZES, ffn_hidden_size=WIDTH, max_position_embeddings=PLACES, alibi=False
    )
    style = Style(
        nn.LayerNorm,
        key_heads=1,
        rotary=1.0,
        at_once="one",
        bias=False,
        other_bias=False,
        tied=True,
    )
    ends = {
        "transformer.word_embeddings": "see",
        "transformer.ln_f": "end",
        "lm_head": "say",
    }
    inside = {
        "input_layernorm": "n1",
        "self_attention.dense": "look.d",
        "mlp.dense_h_to_4h": "feed.parts.high",
        "mlp.dense_4h_to_h": "feed.parts.low",
    }
    truth = partial(
        _truth,
        ends=ends,
        block="transformer.h",
        inside=inside,
        fused="self_attention.query_key_value",
        cut=lambda rows: rows.split([WIDTH, HEAD, HEAD]),
    )
    return _pair(FalconForCausalLM(config), Decoder(style), truth, seed=206)


SEPARATE = {
    f"self_attn.{kind}_proj": f"look.{name}" for kind, name in zip("qkv", "cab", strict=True)
}


def opt() -> Pair:
    """Places begin at 2."""
    config = OPTConfig(
        **SIZES, ffn_dim=WIDTH, max_position_embeddings=PLACES, word_embed_proj_dim=WIDTH
    )
    style = Style(nn.LayerNorm, act=nn.functional.relu, tied=True)
    ends = {
        "model.decoder.embed_tokens": "see",
        "model.decoder.embed_positions.weight": "where",
        "model.decoder.final_layer_norm": "end",
        "lm_head": "say",
    }
    inside = SEPARATE | {
        "self_attn_layer_norm": "n1",
        "final_layer_norm": "n2",
        "self_attn.out_proj": "look.d",
        "fc1": "feed.parts.high",
        "fc2": "feed.parts.low",
    }
    truth = partial(_truth, ends=ends, block="model.decoder.layers", inside=inside)
    return _pair(OPTForCausalLM(config), Decoder(style, places=PLACES + 2), truth, seed=209)


LLAMA_LIKE = {
    "input_layernorm.weight": "n1.gain",
    "post_attention_layernorm.weight": "n2.gain",
    "self_attn.o_proj": "look.d",
    "mlp.down_proj": "feed.parts.low",
}
SEPARATE_GATE = {"mlp.gate_proj": "feed.parts.door", "mlp.up_proj": "feed.parts.high"}
ENDS = {"model.embed_tokens": "see", "model.norm.weight": "end.gain", "lm_head": "say"}
GROUPED = SIZES | {
    "num_key_value_heads": 2,
    "intermediate_size": WIDTH,
    "max_position_embeddings": PLACES,
}
GATED = {
    "norm": RootMeanSquare,
    "key_heads": 2,
    "other_bias": False,
    "rotary": 1.0,
    "gated": True,
    "act": nn.functional.silu,
}


def qwen2() -> Pair:
    """Queries, keys and values have a bias, the other layers none."""
    config = Qwen2Config(**GROUPED, tie_word_embeddings=False)
    inside = SEPARATE | LLAMA_LIKE | SEPARATE_GATE
    truth = partial(_truth, ends=ENDS, block="model.layers", inside=inside)
    return _pair(Qwen2ForCausalLM(config), Decoder(Style(**GATED)), truth, seed=212)


def qwen3() -> Pair:
    """Each head of queries and keys is normalised."""
    config = Qwen3Config(**GROUPED, head_dim=HEAD, tie_word_embeddings=False)
    inside = SEPARATE | LLAMA_LIKE | SEPARATE_GATE
    inside |= {
        "self_attn.q_norm.weight": "look.of_c.gain",
        "self_attn.k_norm.weight": "look.of_a.gain",
    }
    truth = partial(_truth, ends=ENDS, block="model.layers", inside=inside)
    style = Style(**GATED, bias=False, head_norms=True)
    return _pair(Qwen3ForCausalLM(config), Decoder(style), truth, seed=215)


def phi3() -> Pair:
    """Fused q, k, v and fused gate and up, against split ones."""
    config = Phi3Config(**GROUPED, rms_norm_eps=1e-6, tie_word_embeddings=False)

    def truth(state: Mapping[str, Tensor]) -> State:
        narrow = HEAD * 2
        result = _truth(
            state,
            ENDS,
            "model.layers",
            LLAMA_LIKE,
            "self_attn.qkv_proj",
            lambda rows: rows.split([WIDTH, narrow, narrow]),
        )
        for i in range(DEPTH):
            gate, up = state[f"model.layers.{i}.mlp.gate_up_proj.weight"].chunk(2)
            parts = f"steps.{i}.feed.parts"
            result |= {f"{parts}.door.weight": gate, f"{parts}.high.weight": up}
        return result

    style = Style(**GATED, bias=False)
    left = Phi3ForCausalLM(config)
    return _pair(left, Decoder(style), truth, seed=218)


def gemma() -> Pair:
    """The factor of a norm is kept less one."""
    config = GemmaConfig(**GROUPED, head_dim=HEAD, hidden_activation="gelu_pytorch_tanh")

    def truth(state: Mapping[str, Tensor]) -> State:
        grown = {k: v + 1 if "norm" in k else v for k, v in state.items()}
        inside = SEPARATE | LLAMA_LIKE | SEPARATE_GATE
        return _truth(grown, ENDS, "model.layers", inside)

    changed = {"act": partial(nn.functional.gelu, approximate="tanh"), "tied": True}
    style = Style(**(GATED | changed), bias=False, scale=WIDTH**0.5)
    return _pair(GemmaForCausalLM(config), Decoder(style), truth, seed=221)
