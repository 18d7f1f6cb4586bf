"""BART and T5 of transformers against plain ones.

B texts, T tokens, D width. Every layer is D × D.
"""

from collections.abc import Mapping

import torch
from tests.mapping.pairs.pair import Pair, State, moved, scrambled, stacked, token_ids
from tests.mapping.pairs.plain_blocks import OpaqueAttention, RootMeanSquare
from torch import Tensor, nn
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    T5Config,
    T5ForConditionalGeneration,
)

WIDTH, HEADS, DEPTH, VOCABULARY, PLACES = 32, 4, 2, 41, 12


class Positional(nn.Module):
    """The library's model, called with (ids, target ids) by position."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, ids: Tensor, target_ids: Tensor) -> Tensor:
        return self.inner(input_ids=ids, decoder_input_ids=target_ids, use_cache=False).logits


class TorchSeq2Seq(nn.Module):
    """PyTorch's own layers, decoder first; places begin at 2, as in BART."""

    def __init__(self) -> None:
        super().__init__()
        options = {"activation": "gelu", "batch_first": True}
        self.writer = nn.TransformerDecoder(
            nn.TransformerDecoderLayer(WIDTH, HEADS, WIDTH, **options), DEPTH
        )
        self.reader = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(WIDTH, HEADS, WIDTH, **options), DEPTH
        )
        self.words = nn.Embedding(VOCABULARY, WIDTH)
        self.places = nn.ParameterDict(
            {side: torch.randn(PLACES + 2, WIDTH) for side in ("write", "read")}
        )
        self.norms = nn.ModuleDict({side: nn.LayerNorm(WIDTH) for side in ("write", "read")})
        self.register_buffer("shift", torch.zeros(VOCABULARY))

    def forward(self, ids: Tensor, target_ids: Tensor) -> Tensor:
        length = target_ids.shape[1]
        later = torch.ones(length, length, dtype=torch.bool).triu(1)
        memory = self.reader(self._entered(ids, "read"))
        x = self.writer(self._entered(target_ids, "write"), memory, tgt_mask=later)
        return x @ self.words.weight.mT + self.shift

    def _entered(self, ids: Tensor, side: str) -> Tensor:
        return self.norms[side](self.words(ids) + self.places[side][2 : 2 + ids.shape[1]])


BART_ENDS = {
    "model.shared": "words",
    "model.encoder.embed_positions.weight": "places.read",
    "model.decoder.embed_positions.weight": "places.write",
    "model.encoder.layernorm_embedding": "norms.read",
    "model.decoder.layernorm_embedding": "norms.write",
}
READER = {"self_attn": "self_attn"}
WRITER = READER | {"encoder_attn": "multihead_attn"}
BART_SIDES = {"encoder": ("reader", READER), "decoder": ("writer", WRITER)}


def _bart_layer(state: Mapping[str, Tensor], left: str, right: str, attentions: dict) -> State:
    result = moved(state, {f"{left}.fc1": f"{right}.linear1", f"{left}.fc2": f"{right}.linear2"})
    norms = [*(f"{name}_layer_norm" for name in attentions), "final_layer_norm"]
    places = {f"{left}.{norm}": f"{right}.norm{i}" for i, norm in enumerate(norms, start=1)}
    for name, torchs in attentions.items():
        places[f"{left}.{name}.out_proj"] = f"{right}.{torchs}.out_proj"
        fused = stacked(state, [f"{left}.{name}.{kind}_proj" for kind in "qkv"], "in_proj")
        result |= {f"{right}.{torchs}.{k.replace('.', '_')}": v for k, v in fused.items()}
    return result | moved(state, places)


def _bart_truth(state: Mapping[str, Tensor]) -> State:
    state = {name.removeprefix("inner."): tensor for name, tensor in state.items()}
    result = moved(state, BART_ENDS) | {"shift": state["final_logits_bias"][0]}
    for side, (name, attentions) in BART_SIDES.items():
        for i in range(DEPTH):
            left, right = f"model.{side}.layers.{i}", f"{name}.layers.{i}"
            result |= _bart_layer(state, left, right, attentions)
    return result


class T5Part(nn.Module):
    """Norm, then something, then the sum; the norm is registered last."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.f = inner
        self.n = RootMeanSquare(WIDTH)

    def forward(self, x: Tensor, *arguments: Tensor, **options: object) -> Tensor:
        return x + self.f(self.n(x), *arguments, **options)


def _parts(*kinds: str) -> nn.ModuleDict:
    def feed() -> nn.Module:
        return nn.Sequential(
            nn.Linear(WIDTH, WIDTH, bias=False), nn.ReLU(), nn.Linear(WIDTH, WIDTH, bias=False)
        )

    return nn.ModuleDict(
        {
            k: T5Part(feed() if k == "z" else OpaqueAttention(WIDTH, HEADS, bias=False))
            for k in kinds
        }
    )


class PlainT5(nn.Module):
    """Tables of words and of distances in one dictionary; z feeds, y crosses, x looks at itself."""

    def __init__(self) -> None:
        super().__init__()
        self.tables = nn.ParameterDict(
            {
                "far": torch.randn(32, HEADS),
                "near": torch.randn(32, HEADS),
                "words": torch.randn(VOCABULARY, WIDTH),
            }
        )
        self.down = nn.ModuleList(_parts("z", "y", "x") for _ in range(DEPTH))
        self.up = nn.ModuleList(_parts("z", "x") for _ in range(DEPTH))
        self.ends = nn.ModuleList(RootMeanSquare(WIDTH) for _ in range(2))

    def forward(self, ids: Tensor, target_ids: Tensor) -> Tensor:
        memory = self.tables["words"][ids]
        bias = self._bias("near", ids.shape[1], causal=False)
        for parts in self.up:
            memory = parts["z"](parts["x"](memory, bias=bias, scale=1.0))
        memory = self.ends[1](memory)
        x = self.tables["words"][target_ids]
        bias = self._bias("far", target_ids.shape[1], causal=True)
        for parts in self.down:
            x = parts["x"](x, bias=bias, scale=1.0, causal=True)
            x = parts["z"](parts["y"](x, memory, scale=1.0))
        return self.ends[0](x) * WIDTH**-0.5 @ self.tables["words"].mT

    def _bias(self, table: str, length: int, *, causal: bool) -> Tensor:
        """One number per head and distance; up to distance 8 the buckets hold one distance each."""
        assert length <= 9
        where = torch.arange(length)
        ahead = where[None, :] - where[:, None]
        buckets = (-ahead).clamp(min=0) if causal else ahead.abs() + 16 * (ahead > 0)
        return self.tables[table][buckets].permute(2, 0, 1)


def _t5_truth(state: Mapping[str, Tensor]) -> State:
    near = "block.0.layer.0.SelfAttention.relative_attention_bias.weight"
    places = {
        "inner.shared.weight": "tables.words",
        f"inner.encoder.{near}": "tables.near",
        f"inner.decoder.{near}": "tables.far",
        "inner.decoder.final_layer_norm.weight": "ends.0.gain",
        "inner.encoder.final_layer_norm.weight": "ends.1.gain",
    }
    looks = {"SelfAttention": "x", "EncDecAttention": "y"}
    for side, name, kinds in (("encoder", "up", ["x", "z"]), ("decoder", "down", ["x", "y", "z"])):
        for i in range(DEPTH):
            for step, kind in enumerate(kinds):
                left, right = f"inner.{side}.block.{i}.layer.{step}", f"{name}.{i}.{kind}"
                places[f"{left}.layer_norm.weight"] = f"{right}.n.gain"
                parts = {"DenseReluDense.wi": "0", "DenseReluDense.wo": "2"}
                if kind != "z":
                    look = next(key for key, value in looks.items() if value == kind)
                    parts = {f"{look}.{k}": v for k, v in zip("qkvo", "cabd", strict=True)}
                places |= {f"{left}.{k}": f"{right}.f.{v}" for k, v in parts.items()}
    return moved(state, places)


def _example(seed: int) -> tuple[Tensor, Tensor]:
    """The two texts differ in length, so that their positions cannot be mixed up."""
    ids = token_ids(2, 9, vocabulary=VOCABULARY, seed=seed)
    return ids, token_ids(2, 7, vocabulary=VOCABULARY, seed=seed + 1)


def bart() -> Pair:
    config = BartConfig(
        d_model=WIDTH,
        encoder_layers=DEPTH,
        decoder_layers=DEPTH,
        encoder_attention_heads=HEADS,
        decoder_attention_heads=HEADS,
        encoder_ffn_dim=WIDTH,
        decoder_ffn_dim=WIDTH,
        vocab_size=VOCABULARY,
        max_position_embeddings=PLACES,
    )
    left = scrambled(Positional(BartForConditionalGeneration(config)), seed=100)
    return Pair(left, scrambled(TorchSeq2Seq(), seed=101), _example(102), _bart_truth)


def t5() -> Pair:
    config = T5Config(
        d_model=WIDTH,
        d_kv=WIDTH // HEADS,
        d_ff=WIDTH,
        num_layers=DEPTH,
        num_heads=HEADS,
        vocab_size=VOCABULARY,
    )
    left = scrambled(Positional(T5ForConditionalGeneration(config)), seed=104)
    return Pair(left, scrambled(PlainT5(), seed=105), _example(106), _t5_truth)
