"""BERT, RoBERTa and DistilBERT classifiers of transformers against plain ones.

B texts, T tokens, D width; queries, keys, values, outputs and both layers of the feed-forward
part are all D × D.
"""

from collections.abc import Mapping

import torch
from tests.mapping.pairs.pair import Pair, State, moved, scrambled, stacked, token_ids
from tests.mapping.pairs.plain_blocks import FeedForward, OpaqueAttention, attend
from torch import Tensor, nn
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    RobertaConfig,
    RobertaForSequenceClassification,
)

WIDTH, HEADS, DEPTH, VOCABULARY, PLACES, CLASSES = 32, 4, 2, 41, 12, 3
EPS = 1e-12
SIZES = {
    "hidden_size": WIDTH,
    "num_hidden_layers": DEPTH,
    "num_attention_heads": HEADS,
    "intermediate_size": WIDTH,
    "vocab_size": VOCABULARY,
    "max_position_embeddings": PLACES,
    "num_labels": CLASSES,
}


class TorchEncoder(nn.Module):
    """PyTorch's own encoder, whose fast path calls none of its layers."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(
            WIDTH, HEADS, WIDTH, activation="gelu", layer_norm_eps=EPS, batch_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, DEPTH)
        self.tables = nn.ModuleList(nn.Embedding(n, WIDTH) for n in (VOCABULARY, PLACES, 2))
        self.norm = nn.LayerNorm(WIDTH, eps=EPS)
        self.head = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.Tanh(), nn.Linear(WIDTH, CLASSES))

    def forward(self, ids: Tensor) -> Tensor:
        words, places, kinds = self.tables
        x = words(ids) + places(torch.arange(ids.shape[1])) + kinds(torch.zeros_like(ids))
        return self.head(self.encoder(self.norm(x))[:, 0])


class OpaqueLayer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.p = nn.ModuleList(nn.LayerNorm(WIDTH, eps=EPS) for _ in range(2))
        self.q = nn.ModuleList([FeedForward(WIDTH, WIDTH), OpaqueAttention(WIDTH, HEADS)])

    def forward(self, x: Tensor) -> Tensor:
        x = self.p[1](x + self.q[1](x))
        return self.p[0](x + self.q[0](x))


class OpaqueEncoder(nn.Module):
    """Tables in a dictionary of parameters; places begin at 2, as in RoBERTa."""

    def __init__(self) -> None:
        super().__init__()
        sizes = {"k": 1, "p": PLACES, "w": VOCABULARY}
        self.t = nn.ParameterDict({name: torch.randn(n, WIDTH) for name, n in sizes.items()})
        self.h1 = nn.Linear(WIDTH, CLASSES)
        self.h0 = nn.Linear(WIDTH, WIDTH)
        self.n = nn.LayerNorm(WIDTH, eps=EPS)
        self.s = nn.Sequential(*(OpaqueLayer() for _ in range(DEPTH)))

    def forward(self, ids: Tensor) -> Tensor:
        x = self.t["w"][ids] + self.t["p"][2 : 2 + ids.shape[1]] + self.t["k"][0]
        return self.h1(self.h0(self.s(self.n(x))[:, 0]).tanh())


class PairedLayer(nn.Module):
    """Keys and values come from one layer; values first."""

    def __init__(self) -> None:
        super().__init__()
        self.vk = nn.Linear(WIDTH, 2 * WIDTH)
        self.ask = nn.Linear(WIDTH, WIDTH)
        self.blend = nn.Linear(WIDTH, WIDTH)
        self.after_blend = nn.LayerNorm(WIDTH, eps=EPS)
        self.dense = FeedForward(WIDTH, WIDTH)
        self.after_dense = nn.LayerNorm(WIDTH, eps=EPS)

    def forward(self, x: Tensor) -> Tensor:
        values, keys = self.vk(x).chunk(2, dim=-1)
        x = self.after_blend(x + self.blend(attend(self.ask(x), keys, values, HEADS)))
        return self.after_dense(x + self.dense(x))


class PairedEncoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.places = nn.Parameter(torch.randn(1, PLACES, WIDTH))
        self.words = nn.Embedding(VOCABULARY, WIDTH)
        self.layers = nn.ModuleList(PairedLayer() for _ in range(DEPTH))
        self.enter = nn.LayerNorm(WIDTH, eps=EPS)
        self.leave = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, CLASSES))

    def forward(self, ids: Tensor) -> Tensor:
        x = self.enter(self.words(ids) + self.places[:, : ids.shape[1]])
        for layer in self.layers:
            x = layer(x)
        return self.leave(x[:, 0])


def _bert_truth(state: Mapping[str, Tensor]) -> State:
    places = {
        "bert.embeddings.word_embeddings": "tables.0",
        "bert.embeddings.position_embeddings": "tables.1",
        "bert.embeddings.token_type_embeddings": "tables.2",
        "bert.embeddings.LayerNorm": "norm",
        "bert.pooler.dense": "head.0",
        "classifier": "head.2",
    }
    result: State = {}
    for i in range(DEPTH):
        left, right = f"bert.encoder.layer.{i}", f"encoder.layers.{i}"
        places[f"{left}.attention.output.dense"] = f"{right}.self_attn.out_proj"
        places[f"{left}.attention.output.LayerNorm"] = f"{right}.norm1"
        places[f"{left}.intermediate.dense"] = f"{right}.linear1"
        places[f"{left}.output.dense"] = f"{right}.linear2"
        places[f"{left}.output.LayerNorm"] = f"{right}.norm2"
        split = [f"{left}.attention.self.{kind}" for kind in ("query", "key", "value")]
        for name, tensor in stacked(state, split, "in_proj").items():
            result[f"{right}.self_attn.{name.replace('.', '_')}"] = tensor
    return result | moved(state, places)


def _roberta_truth(state: Mapping[str, Tensor]) -> State:
    tables = {"word": "w", "position": "p", "token_type": "k"}
    places = {f"roberta.embeddings.{k}_embeddings.weight": f"t.{v}" for k, v in tables.items()}
    places["roberta.embeddings.LayerNorm"] = "n"
    places |= {"classifier.dense": "h0", "classifier.out_proj": "h1"}
    parts = {
        "attention.self.query": "q.1.c",
        "attention.self.key": "q.1.a",
        "attention.self.value": "q.1.b",
        "attention.output.dense": "q.1.d",
        "attention.output.LayerNorm": "p.1",
        "intermediate.dense": "q.0.grow",
        "output.dense": "q.0.shrink",
        "output.LayerNorm": "p.0",
    }
    for i in range(DEPTH):
        places |= {f"roberta.encoder.layer.{i}.{k}": f"s.{i}.{v}" for k, v in parts.items()}
    return moved(state, places)


def _distilbert_truth(state: Mapping[str, Tensor]) -> State:
    places = {
        "distilbert.embeddings.word_embeddings": "words",
        "distilbert.embeddings.LayerNorm": "enter",
        "pre_classifier": "leave.0",
        "classifier": "leave.2",
    }
    parts = {
        "attention.q_lin": "ask",
        "attention.out_lin": "blend",
        "sa_layer_norm": "after_blend",
        "ffn.lin1": "dense.grow",
        "ffn.lin2": "dense.shrink",
        "output_layer_norm": "after_dense",
    }
    table = state["distilbert.embeddings.position_embeddings.weight"]
    result: State = {"places": table[None]}
    for i in range(DEPTH):
        left = f"distilbert.transformer.layer.{i}"
        places |= {f"{left}.{k}": f"layers.{i}.{v}" for k, v in parts.items()}
        split = [f"{left}.attention.{kind}_lin" for kind in "vk"]
        result |= stacked(state, split, f"layers.{i}.vk")
    return result | moved(state, places)


def _example(seed: int) -> tuple[Tensor]:
    return (token_ids(2, 9, vocabulary=VOCABULARY, seed=seed),)


def bert() -> Pair:
    left = BertForSequenceClassification(BertConfig(**SIZES))
    right = scrambled(TorchEncoder(), seed=71)
    return Pair(scrambled(left, seed=70), right, _example(72), _bert_truth)


def roberta() -> Pair:
    config = RobertaConfig(**SIZES, type_vocab_size=1, layer_norm_eps=EPS)
    left = RobertaForSequenceClassification(config)
    right = scrambled(OpaqueEncoder(), seed=74)
    return Pair(scrambled(left, seed=73), right, _example(75), _roberta_truth)


def distilbert() -> Pair:
    config = DistilBertConfig(
        dim=WIDTH,
        n_layers=DEPTH,
        n_heads=HEADS,
        hidden_dim=WIDTH,
        vocab_size=VOCABULARY,
        max_position_embeddings=PLACES,
        num_labels=CLASSES,
    )
    left = DistilBertForSequenceClassification(config)
    right = scrambled(PairedEncoder(), seed=77)
    return Pair(scrambled(left, seed=76), right, _example(78), _distilbert_truth)
