"""GPT-2 and Llama of transformers against plain ones.

B texts, T tokens, D width, H heads, K heads of keys and values.
"""

from collections.abc import Mapping

import torch
from tests.mapping.pairs.pair import Pair, State, moved, scrambled, stacked, token_ids
from tests.mapping.pairs.plain_blocks import (
    FeedForward,
    FusedAttention,
    OpaqueAttention,
    RootMeanSquare,
    attend,
)
from torch import Tensor, nn
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

WIDTH, HEADS, DEPTH, VOCABULARY, PLACES = 32, 4, 2, 41, 12
KEY_HEADS = 2


class GPTBlock(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.think = FeedForward(WIDTH, WIDTH, approximate="tanh")
        self.before_think = nn.LayerNorm(WIDTH)
        self.recall = FusedAttention(WIDTH, HEADS, causal=True)
        self.before_recall = nn.LayerNorm(WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.recall(self.before_recall(x))
        return x + self.think(self.before_think(x))


class LinearGPT(nn.Module):
    """The output layer is registered first and shares the table of words."""

    def __init__(self) -> None:
        super().__init__()
        self.unembed = nn.Linear(WIDTH, VOCABULARY, bias=False)
        self.final = nn.LayerNorm(WIDTH)
        self.blocks = nn.ModuleList(GPTBlock() for _ in range(DEPTH))
        self.tokens = nn.Embedding(VOCABULARY, WIDTH)
        self.places = nn.Parameter(torch.randn(PLACES, WIDTH))
        self.unembed.weight = self.tokens.weight

    def forward(self, ids: Tensor) -> Tensor:
        x = self.tokens(ids) + self.places[: ids.shape[1]]
        for block in self.blocks:
            x = block(x)
        return self.unembed(self.final(x))


class OpaqueGPT(nn.Module):
    """Attention in four square layers; the table is used twice, without a second name."""

    def __init__(self) -> None:
        super().__init__()
        self.tables = nn.ParameterDict(
            {"p": torch.randn(PLACES, WIDTH), "t": torch.randn(VOCABULARY, WIDTH)}
        )
        kinds = {
            "a": lambda: OpaqueAttention(WIDTH, HEADS),
            "f": lambda: FeedForward(WIDTH, WIDTH, approximate="tanh"),
            "n": lambda: nn.LayerNorm(WIDTH),
            "m": lambda: nn.LayerNorm(WIDTH),
        }
        self.layers = nn.ModuleDict(
            {kind: nn.ModuleList(make() for _ in range(DEPTH)) for kind, make in kinds.items()}
        )
        self.n = nn.LayerNorm(WIDTH)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.tables["t"][ids] + self.tables["p"][: ids.shape[1]]
        for i in range(DEPTH):
            attention, feed, first, second = (self.layers[kind][i] for kind in "afmn")
            x = x + attention(first(x), causal=True)
            x = x + feed(second(x))
        return self.n(x) @ self.tables["t"].mT


def turned(x: Tensor, heads: int, *, neighbours: bool = False) -> Tensor:
    """Rotary positions.

    A head's points have their two coordinates in the head's two halves, or in neighbours.
    """
    shape = (heads, -1, 2) if neighbours else (heads, 2, -1)
    axis = -1 if neighbours else -2
    first, second = x.unflatten(-1, shape).unbind(axis)
    half = first.shape[-1]
    speeds = 10000.0 ** (-torch.arange(half) / half)
    angles = torch.arange(x.shape[1])[:, None, None] * speeds
    cos, sin = angles.cos(), angles.sin()
    points = (first * cos - second * sin, second * cos + first * sin)
    return torch.stack(points, dim=axis).flatten(2)


def grouped(queries: Tensor, keys: Tensor, values: Tensor, *, neighbours: bool = False) -> Tensor:
    """Causal attention where several heads of queries share one head of keys and values."""
    shared = (turned(keys, KEY_HEADS, neighbours=neighbours), values)
    spread = (
        x.unflatten(-1, (KEY_HEADS, -1)).repeat_interleave(HEADS // KEY_HEADS, dim=2).flatten(2)
        for x in shared
    )
    queries = turned(queries, HEADS, neighbours=neighbours)
    return attend(queries, *spread, HEADS, causal=True)


def _flat(inputs: int, outputs: int) -> nn.Linear:
    return nn.Linear(inputs, outputs, bias=False)


class SplitLlamaBlock(nn.Module):
    """w1 gates, w3 goes up, w2 comes down: all three are square here."""

    neighbours = False

    def __init__(self) -> None:
        super().__init__()
        narrow = WIDTH * KEY_HEADS // HEADS
        self.w1, self.w2, self.w3 = (_flat(WIDTH, WIDTH) for _ in range(3))
        self.wk, self.wo = _flat(WIDTH, narrow), _flat(WIDTH, WIDTH)
        self.wq, self.wv = _flat(WIDTH, WIDTH), _flat(WIDTH, narrow)
        self.ffn_norm, self.attention_norm = RootMeanSquare(WIDTH), RootMeanSquare(WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        y = self.attention_norm(x)
        x = x + self.wo(self._grouped(y))
        y = self.ffn_norm(x)
        return x + self.w2(nn.functional.silu(self.w1(y)) * self.w3(y))

    def _grouped(self, y: Tensor) -> Tensor:
        return grouped(self.wq(y), self.wk(y), self.wv(y), neighbours=self.neighbours)


class NeighbourLlamaBlock(SplitLlamaBlock):
    """The layout of the original Llama, whose checkpoints the library reorders."""

    neighbours = True


class FusedLlamaBlock(nn.Module):
    """One layer for queries, keys and values, one for gate and up; opaque names."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes = [WIDTH, WIDTH * KEY_HEADS // HEADS, WIDTH * KEY_HEADS // HEADS]
        self.m0 = _flat(WIDTH, WIDTH)
        self.m1 = _flat(WIDTH, 2 * WIDTH)
        self.m2 = _flat(WIDTH, WIDTH)
        self.m3 = _flat(WIDTH, sum(self.sizes))
        self.g = nn.ModuleDict({"0": RootMeanSquare(WIDTH), "1": RootMeanSquare(WIDTH)})

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.m2(grouped(*self.m3(self.g["1"](x)).split(self.sizes, dim=-1)))
        gate, up = self.m1(self.g["0"](x)).chunk(2, dim=-1)
        return x + self.m0(nn.functional.silu(gate) * up)


class PlainLlama(nn.Module):
    def __init__(self, block: type[nn.Module]) -> None:
        super().__init__()
        self.output = _flat(WIDTH, VOCABULARY)
        self.norm = RootMeanSquare(WIDTH)
        self.stack = nn.Sequential(*(block() for _ in range(DEPTH)))
        self.tok = nn.Embedding(VOCABULARY, WIDTH)

    def forward(self, ids: Tensor) -> Tensor:
        return self.output(self.norm(self.stack(self.tok(ids))))


# The library's GPT-2 keeps its layers as (inputs, outputs).
GPT_LAYERS = ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")


def _as_linear(state: Mapping[str, Tensor]) -> State:
    turned_round = tuple(f"{layer}.weight" for layer in GPT_LAYERS)
    return {k: v.mT if k.endswith(turned_round) else v for k, v in state.items()}


def _linear_gpt_truth(state: Mapping[str, Tensor]) -> State:
    places = {
        "transformer.wte": "tokens",
        "transformer.wpe.weight": "places",
        "transformer.ln_f": "final",
        "lm_head": "unembed",
    }
    norms = {"ln_1": "before_recall", "ln_2": "before_think"}
    layers = ("recall.to_qkv", "recall.to_out", "think.grow", "think.shrink")
    parts = dict(zip(GPT_LAYERS, layers, strict=True)) | norms
    for i in range(DEPTH):
        places |= {f"transformer.h.{i}.{k}": f"blocks.{i}.{v}" for k, v in parts.items()}
    return moved(_as_linear(state), places)


def _opaque_gpt_truth(state: Mapping[str, Tensor]) -> State:
    places = {"transformer.wte.weight": "tables.t", "transformer.wpe.weight": "tables.p"}
    places["transformer.ln_f"] = "n"
    result: State = {}
    linear = _as_linear(state)
    for i in range(DEPTH):
        left = f"transformer.h.{i}"
        places |= {f"{left}.ln_1": f"layers.m.{i}", f"{left}.ln_2": f"layers.n.{i}"}
        places[f"{left}.attn.c_proj"] = f"layers.a.{i}.d"
        places[f"{left}.mlp.c_fc"] = f"layers.f.{i}.grow"
        places[f"{left}.mlp.c_proj"] = f"layers.f.{i}.shrink"
        for kind in ("weight", "bias"):
            parts = linear[f"{left}.attn.c_attn.{kind}"].chunk(3)
            result |= {
                f"layers.a.{i}.{name}.{kind}": part for name, part in zip("cab", parts, strict=True)
            }
    return result | moved(linear, places)


LLAMA_ENDS = {"model.embed_tokens": "tok", "model.norm.weight": "norm.gain", "lm_head": "output"}


def _split_llama_truth(state: Mapping[str, Tensor]) -> State:
    places = dict(LLAMA_ENDS)
    parts = {f"self_attn.{kind}_proj": f"w{kind}" for kind in "qkvo"}
    parts |= {"mlp.gate_proj": "w1", "mlp.down_proj": "w2", "mlp.up_proj": "w3"}
    parts["input_layernorm.weight"] = "attention_norm.gain"
    parts["post_attention_layernorm.weight"] = "ffn_norm.gain"
    for i in range(DEPTH):
        places |= {f"model.layers.{i}.{k}": f"stack.{i}.{v}" for k, v in parts.items()}
    return moved(state, places)


def _neighbour_llama_truth(state: Mapping[str, Tensor]) -> State:
    result = _split_llama_truth(state)
    for name, tensor in result.items():
        if name.endswith((".wq.weight", ".wk.weight")):
            heads = KEY_HEADS if name.endswith(".wk.weight") else HEADS
            result[name] = tensor.unflatten(0, (heads, 2, -1)).transpose(1, 2).flatten(0, 2)
    return result


def _fused_llama_truth(state: Mapping[str, Tensor]) -> State:
    places = dict(LLAMA_ENDS)
    result: State = {}
    parts = {"self_attn.o_proj": "m2", "mlp.down_proj": "m0"}
    parts["input_layernorm.weight"] = "g.1.gain"
    parts["post_attention_layernorm.weight"] = "g.0.gain"
    for i in range(DEPTH):
        left, right = f"model.layers.{i}", f"stack.{i}"
        places |= {f"{left}.{k}": f"{right}.{v}" for k, v in parts.items()}
        heads = [f"{left}.self_attn.{kind}_proj" for kind in "qkv"]
        result |= stacked(state, heads, f"{right}.m3")
        result |= stacked(state, [f"{left}.mlp.{k}_proj" for k in ("gate", "up")], f"{right}.m1")
    return result | moved(state, places)


def _example(seed: int) -> tuple[Tensor]:
    return (token_ids(2, 9, vocabulary=VOCABULARY, seed=seed),)


def _gpt2(seed: int) -> nn.Module:
    config = GPT2Config(
        n_embd=WIDTH,
        n_layer=DEPTH,
        n_head=HEADS,
        n_inner=WIDTH,
        vocab_size=VOCABULARY,
        n_positions=PLACES,
        bos_token_id=0,
        eos_token_id=0,
    )
    return scrambled(GPT2LMHeadModel(config), seed)


def _llama(seed: int) -> nn.Module:
    config = LlamaConfig(
        hidden_size=WIDTH,
        num_hidden_layers=DEPTH,
        num_attention_heads=HEADS,
        num_key_value_heads=KEY_HEADS,
        intermediate_size=WIDTH,
        vocab_size=VOCABULARY,
        max_position_embeddings=PLACES,
    )
    return scrambled(LlamaForCausalLM(config), seed)


def gpt2_linear() -> Pair:
    return Pair(_gpt2(80), scrambled(LinearGPT(), 81), _example(82), _linear_gpt_truth)


def gpt2_split() -> Pair:
    return Pair(_gpt2(83), scrambled(OpaqueGPT(), 84), _example(85), _opaque_gpt_truth)


def llama_split() -> Pair:
    right = scrambled(PlainLlama(SplitLlamaBlock), 87)
    return Pair(_llama(86), right, _example(88), _split_llama_truth)


def llama_fused() -> Pair:
    right = scrambled(PlainLlama(FusedLlamaBlock), 90)
    return Pair(_llama(89), right, _example(91), _fused_llama_truth)


def llama_neighbours() -> Pair:
    right = scrambled(PlainLlama(NeighbourLlamaBlock), 93)
    return Pair(_llama(92), right, _example(94), _neighbour_llama_truth)
