"""Networks on tables, graphs, pairs of inputs and sets: plain PyTorch on both sides.

B samples, F fields, T tokens, D width.
"""

from collections.abc import Mapping

import torch
from tests.mapping.pairs.pair import Pair, State, moved, numbers, scrambled, token_ids
from tests.mapping.pairs.plain_blocks import OpaqueAttention, attend
from torch import Tensor, nn

WIDTH, FIELDS, ROWS = 16, 5, 20


class TabNet(nn.Module):
    """A table per field, all of one size, and PyTorch's encoder over the fields."""

    def __init__(self) -> None:
        super().__init__()
        self.cat_embed = nn.ModuleList(nn.Embedding(ROWS, WIDTH) for _ in range(FIELDS))
        self.num_norm = nn.BatchNorm1d(3)
        self.encoder = nn.TransformerEncoderLayer(WIDTH, 2, WIDTH, batch_first=True)
        self.head = nn.Sequential(
            nn.Linear(FIELDS * WIDTH + 3, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 3)
        )

    def forward(self, ids: Tensor, columns: Tensor) -> Tensor:
        x = torch.stack([table(ids[:, i]) for i, table in enumerate(self.cat_embed)], dim=1)
        x = self.encoder(x).flatten(1)
        return self.head(torch.cat([x, self.num_norm(columns)], dim=1))


class OpaqueTab(nn.Module):
    """The tables stand, and are read, in another order; their results are put in order after."""

    order = (3, 0, 4, 2, 1)

    def __init__(self) -> None:
        super().__init__()
        self.z = nn.Linear(WIDTH, 3)
        self.y = nn.Linear(FIELDS * WIDTH + 3, WIDTH)
        self.u = nn.ModuleDict({"n2": nn.LayerNorm(WIDTH), "n1": nn.LayerNorm(WIDTH)})
        self.g = nn.Linear(WIDTH, WIDTH)
        self.f = nn.Linear(WIDTH, WIDTH)
        self.at = OpaqueAttention(WIDTH, 2)
        self.w = nn.BatchNorm1d(3)
        self.t = nn.ParameterDict({f"t{n}": torch.randn(ROWS, WIDTH) for n in range(FIELDS)})

    def forward(self, ids: Tensor, columns: Tensor) -> Tensor:
        found = {i: self.t[f"t{n}"][ids[:, i]] for n, i in enumerate(self.order)}
        x = torch.stack([found[i] for i in range(FIELDS)], dim=1)
        x = self.u["n1"](x + self.at(x))
        x = self.u["n2"](x + self.g(self.f(x).relu()))
        return self.z(self.y(torch.cat([x.flatten(1), self.w(columns)], dim=1)).relu())


def tab_transformer() -> Pair:
    def truth(state: Mapping[str, Tensor]) -> State:
        places = {"num_norm": "w", "head.0": "y", "head.2": "z", "encoder.linear1": "f"}
        places |= {"encoder.linear2": "g", "encoder.norm1": "u.n1", "encoder.norm2": "u.n2"}
        places["encoder.self_attn.out_proj"] = "at.d"
        result = moved(state, places)
        for n, i in enumerate(OpaqueTab.order):
            result[f"t.t{n}"] = state[f"cat_embed.{i}.weight"]
        for kind in ("weight", "bias"):
            rows = state[f"encoder.self_attn.in_proj_{kind}"].chunk(3)
            result |= {f"at.{n}.{kind}": part for n, part in zip("cab", rows, strict=True)}
        return result

    ids = torch.randint(0, ROWS, (40, FIELDS), generator=torch.Generator().manual_seed(300))
    example = (ids, numbers(40, 3, seed=301))
    return Pair(scrambled(TabNet(), 302), scrambled(OpaqueTab(), 303), example, truth)


class Factorisation(nn.Module):
    """DeepFM: a linear term, pairwise products, and a small network; one table for all fields."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Embedding(FIELDS * ROWS, 1)
        self.factors = nn.Embedding(FIELDS * ROWS, WIDTH)
        self.deep = nn.Sequential(
            nn.Linear(FIELDS * WIDTH, WIDTH), nn.BatchNorm1d(WIDTH), nn.ReLU(), nn.Linear(WIDTH, 1)
        )
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, ids: Tensor) -> Tensor:
        ids = ids + ROWS * torch.arange(FIELDS)
        x = self.factors(ids)
        pairs = 0.5 * (x.sum(1).square() - x.square().sum(1)).sum(1, keepdim=True)
        return self.bias + self.linear(ids).sum(1) + 0.1 * pairs + self.deep(x.flatten(1))


class FactorBag(nn.Module):
    """The same with a bag for the linear term and products written out."""

    def __init__(self) -> None:
        super().__init__()
        self.top = nn.Linear(WIDTH, 1)
        self.scale = nn.BatchNorm1d(WIDTH)
        self.low = nn.Linear(FIELDS * WIDTH, WIDTH)
        self.v = nn.Embedding(FIELDS * ROWS, WIDTH)
        self.b = nn.Parameter(torch.zeros(1))
        self.w = nn.EmbeddingBag(FIELDS * ROWS, 1, mode="sum")

    def forward(self, ids: Tensor) -> Tensor:
        ids = ids + ROWS * torch.arange(FIELDS)
        deep = self.low(self.v(ids).flatten(1))
        x = self.v(ids)
        total = (x @ x.mT).triu(1).sum((1, 2))[:, None]
        return self.top(self.scale(deep).relu()) + 0.1 * total + self.w(ids) + self.b


def factorisation() -> Pair:
    places = {"linear": "w", "factors": "v", "deep.0": "low", "deep.1": "scale", "deep.3": "top"}
    places["bias"] = "b"
    ids = torch.randint(0, ROWS, (12, FIELDS), generator=torch.Generator().manual_seed(310))
    left, right = scrambled(Factorisation(), 311), scrambled(FactorBag(), 312)
    return Pair(left, right, (ids,), lambda state: moved(state, places))


class Towers(nn.Module):
    """A tower of users and one of items, of one shape."""

    def __init__(self) -> None:
        super().__init__()
        for side in ("user", "item"):
            self.add_module(f"{side}_table", nn.Embedding(ROWS, WIDTH))
            layers = nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH)
            self.add_module(f"{side}_tower", nn.Sequential(*layers))
        self.mix = nn.Linear(2 * WIDTH, 3)

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        u = self.user_tower(self.user_table(users))
        v = self.item_tower(self.item_table(items))
        return self.mix(torch.cat([u, v], dim=-1))


class OpaqueTowers(nn.Module):
    """Items run first."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Embedding(ROWS, WIDTH)
        self.b = nn.Embedding(ROWS, WIDTH)
        self.c = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.d = nn.Linear(2 * WIDTH, 3)

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        v = self.c[2](self.c[0](self.a(items)).relu())
        u = self.c[1](self.c[3](self.b(users)).relu())
        return self.d(torch.cat([u, v], dim=-1))


def two_towers() -> Pair:
    places = {"user_table": "b", "item_table": "a", "mix": "d"}
    places |= {"item_tower.0": "c.0", "item_tower.2": "c.2"}
    places |= {"user_tower.0": "c.3", "user_tower.2": "c.1"}
    example = (
        token_ids(60, vocabulary=ROWS, seed=320),
        token_ids(60, vocabulary=ROWS, seed=321),
    )
    left, right = scrambled(Towers(), 322), scrambled(OpaqueTowers(), 323)

    return Pair(left, right, example, lambda state: moved(state, places))


class GraphNet(nn.Module):
    """Two graph convolutions, self loops by a layer of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.ModuleDict(
            {"nbr": nn.Linear(WIDTH, WIDTH, bias=False), "own": nn.Linear(WIDTH, WIDTH)}
        )
        self.conv2 = nn.ModuleDict(
            {"nbr": nn.Linear(WIDTH, WIDTH, bias=False), "own": nn.Linear(WIDTH, WIDTH)}
        )
        self.out = nn.Linear(WIDTH, 4)

    def forward(self, nodes: Tensor, edges: Tensor) -> Tensor:
        for conv in (self.conv1, self.conv2):
            nodes = (edges @ conv["nbr"](nodes) + conv["own"](nodes)).relu()
        return self.out(nodes)


class GraphProducts(nn.Module):
    """Neighbours are summed before the product, and weights are (in, out)."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Parameter(torch.randn(WIDTH, 4))
        self.shift = nn.Parameter(torch.zeros(4))
        self.far = nn.ParameterList(torch.randn(WIDTH, WIDTH) for _ in range(2))
        self.near = nn.ParameterList(torch.randn(WIDTH, WIDTH) for _ in range(2))
        self.bias = nn.ParameterList(torch.zeros(WIDTH) for _ in range(2))

    def forward(self, nodes: Tensor, edges: Tensor) -> Tensor:
        for far, near, bias in zip(self.far, self.near, self.bias, strict=True):
            nodes = (nodes @ near + (edges @ nodes) @ far + bias).relu()
        return nodes @ self.last + self.shift


def graph() -> Pair:
    def truth(state: Mapping[str, Tensor]) -> State:
        result = {"last": state["out.weight"].mT, "shift": state["out.bias"]}
        for i in range(2):
            result[f"far.{i}"] = state[f"conv{i + 1}.nbr.weight"].mT
            result[f"near.{i}"] = state[f"conv{i + 1}.own.weight"].mT
            result[f"bias.{i}"] = state[f"conv{i + 1}.own.bias"]
        return result

    edges = (numbers(9, 9, seed=331) > 0.3).float()
    example = (numbers(9, WIDTH, seed=330), edges / (1 + edges.sum(1, keepdim=True)))
    return Pair(scrambled(GraphNet(), 332), scrambled(GraphProducts(), 333), example, truth)


class Perceiver(nn.Module):
    """Latents cross to the input with torch's attention of other key and value widths."""

    def __init__(self) -> None:
        super().__init__()
        self.latents = nn.Parameter(torch.randn(6, WIDTH))
        self.cross = nn.MultiheadAttention(WIDTH, 2, kdim=10, vdim=12, batch_first=True)
        self.norm = nn.LayerNorm(WIDTH)
        self.selfs = nn.ModuleList(
            nn.TransformerEncoderLayer(WIDTH, 2, WIDTH, batch_first=True, norm_first=True)
            for _ in range(2)
        )
        self.head = nn.Linear(WIDTH, 3)

    def forward(self, keys: Tensor, values: Tensor) -> Tensor:
        x = self.latents.expand(len(keys), -1, -1)
        x = self.norm(x + self.cross(x, keys, values)[0])
        for layer in self.selfs:
            x = layer(x)
        return self.head(x.mean(1))


class OpaqueCross(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.d, self.c = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.b, self.a = nn.Linear(12, WIDTH), nn.Linear(10, WIDTH)

    def forward(self, x: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        return self.d(attend(self.c(x), self.a(keys), self.b(values), 2))


class PlainPerceiver(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.p = nn.Linear(WIDTH, 3)
        self.q = nn.ModuleList(
            nn.ModuleList(
                [
                    OpaqueAttention(WIDTH, 2),
                    nn.Linear(WIDTH, WIDTH),
                    nn.LayerNorm(WIDTH),
                    nn.Linear(WIDTH, WIDTH),
                    nn.LayerNorm(WIDTH),
                ]
            )
            for _ in range(2)
        )
        self.r = nn.LayerNorm(WIDTH)
        self.s = OpaqueCross()
        self.t = nn.Parameter(torch.randn(1, 6, WIDTH))

    def forward(self, keys: Tensor, values: Tensor) -> Tensor:
        x = self.t.repeat(len(keys), 1, 1)
        x = self.r(x + self.s(x, keys, values))
        for look, down, second, up, first in self.q:
            x = x + look(first(x))
            x = x + down(up(second(x)).relu())
        return self.p(x.mean(1))


def perceiver() -> Pair:
    def truth(state: Mapping[str, Tensor]) -> State:
        places = {"head": "p", "norm": "r", "cross.out_proj": "s.d"}
        places |= {
            f"cross.{k}_proj_weight": f"s.{n}.weight" for k, n in zip("qkv", "cab", strict=True)
        }
        result = {"t": state["latents"][None]}
        rows = state["cross.in_proj_bias"].chunk(3)
        result |= {f"s.{n}.bias": part for n, part in zip("cab", rows, strict=True)}
        for i in range(2):
            left, right = f"selfs.{i}", f"q.{i}"
            places |= {f"{left}.linear1": f"{right}.3", f"{left}.linear2": f"{right}.1"}
            places |= {f"{left}.norm1": f"{right}.4", f"{left}.norm2": f"{right}.2"}
            places[f"{left}.self_attn.out_proj"] = f"{right}.0.d"
            for kind in ("weight", "bias"):
                rows = state[f"{left}.self_attn.in_proj_{kind}"].chunk(3)
                result |= {f"{right}.0.{n}.{kind}": r for n, r in zip("cab", rows, strict=True)}
        return result | moved(state, places)

    example = (numbers(2, 7, 10, seed=340), numbers(2, 7, 12, seed=341))
    return Pair(scrambled(Perceiver(), 342), scrambled(PlainPerceiver(), 343), example, truth)


class Translator(nn.Module):
    """Two directions read, one writes, looking back by additive attention."""

    def __init__(self) -> None:
        super().__init__()
        self.src_embed = nn.Embedding(ROWS, WIDTH)
        self.tgt_embed = nn.Embedding(ROWS, WIDTH)
        self.encoder = nn.GRU(WIDTH, WIDTH // 2, 2, batch_first=True, bidirectional=True)
        self.decoder = nn.GRUCell(2 * WIDTH, WIDTH)
        self.w_query = nn.Linear(WIDTH, WIDTH)
        self.w_memory = nn.Linear(WIDTH, WIDTH, bias=False)
        self.score = nn.Linear(WIDTH, 1, bias=False)
        self.out = nn.Linear(2 * WIDTH, ROWS)

    def forward(self, ids: Tensor, target_ids: Tensor) -> Tensor:
        memory = self.encoder(self.src_embed(ids))[0]
        state = memory.mean(1)
        results = []
        for word in self.tgt_embed(target_ids).unbind(1):
            scores = self.score((self.w_query(state)[:, None] + self.w_memory(memory)).tanh())
            context = (scores.softmax(1) * memory).sum(1)
            state = self.decoder(torch.cat([word, context], dim=-1), state)
            results.append(self.out(torch.cat([state, context], dim=-1)))
        return torch.stack(results, dim=1)


class HandTranslator(nn.Module):
    """The decoder steps by PyTorch's layer, the encoder by one layer a direction."""

    def __init__(self) -> None:
        super().__init__()
        self.h = nn.Linear(2 * WIDTH, ROWS)
        self.g = nn.Parameter(torch.randn(WIDTH))
        self.f, self.e = nn.Linear(WIDTH, WIDTH, bias=False), nn.Linear(WIDTH, WIDTH)
        self.d = nn.GRU(2 * WIDTH, WIDTH, batch_first=True)
        self.c = nn.ModuleList(nn.GRU(WIDTH, WIDTH // 2, batch_first=True) for _ in range(4))
        self.b, self.a = nn.Embedding(ROWS, WIDTH), nn.Embedding(ROWS, WIDTH)

    def forward(self, ids: Tensor, target_ids: Tensor) -> Tensor:
        x = self.a(ids)
        for layer in (0, 2):
            back = self.c[layer](x.flip(1))[0].flip(1)
            x = torch.cat([self.c[layer + 1](x)[0], back], dim=-1)
        state, keys, words = x.mean(1), self.f(x), self.b(target_ids)
        results = []
        for step in range(words.shape[1]):
            looked = ((self.e(state)[:, None] + keys).tanh() @ self.g).softmax(1)
            context = torch.einsum("bt,btd->bd", looked, x)
            read = torch.cat([words[:, step], context], dim=-1)[:, None]
            state = self.d(read, state[None])[0][:, 0]
            results.append(self.h(torch.cat([state, context], dim=-1)))
        return torch.stack(results, dim=1)


def translator() -> Pair:
    def truth(state: Mapping[str, Tensor]) -> State:
        places = {"src_embed": "a", "tgt_embed": "b", "w_query": "e", "w_memory": "f", "out": "h"}
        result = {"g": state["score.weight"][0]}
        for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            places[f"decoder.{kind}"] = f"d.{kind}_l0"
            for layer in range(2):
                places[f"encoder.{kind}_l{layer}"] = f"c.{2 * layer + 1}.{kind}_l0"
                places[f"encoder.{kind}_l{layer}_reverse"] = f"c.{2 * layer}.{kind}_l0"
        return result | moved(state, places)

    example = (
        token_ids(2, 9, vocabulary=ROWS, seed=350),
        token_ids(2, 7, vocabulary=ROWS, seed=351),
    )
    return Pair(scrambled(Translator(), 352), scrambled(HandTranslator(), 353), example, truth)


class WholeTransformer(nn.Module):
    """nn.Transformer as it comes, with sines for places."""

    def __init__(self) -> None:
        super().__init__()
        self.src = nn.Embedding(ROWS, WIDTH)
        self.tgt = nn.Embedding(ROWS, WIDTH)
        self.core = nn.Transformer(WIDTH, 2, 2, 2, WIDTH, batch_first=True)
        self.generator = nn.Linear(WIDTH, ROWS)

    def forward(self, ids: Tensor, target_ids: Tensor) -> Tensor:
        length = target_ids.shape[1]
        later = torch.ones(length, length, dtype=torch.bool).triu(1)
        read, write = sines(self.src(ids)), sines(self.tgt(target_ids))
        return self.generator(self.core(read, write, tgt_mask=later))


def sines(x: Tensor) -> Tensor:
    half = x.shape[-1] // 2
    angles = torch.arange(x.shape[1])[:, None] / 100.0 ** (torch.arange(half) / half)
    return x + torch.cat([angles.sin(), angles.cos()], dim=-1)


class PlainLayer(nn.Module):
    def __init__(self, looks: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(WIDTH) for _ in range(looks + 1))
        self.y = nn.Linear(WIDTH, WIDTH)
        self.x = nn.Linear(WIDTH, WIDTH)
        self.looks = nn.ModuleList(OpaqueAttention(WIDTH, 2) for _ in range(looks))

    def forward(self, x: Tensor, memory: Tensor | None = None) -> Tensor:
        x = self.norms[0](x + self.looks[0](x, causal=memory is not None))
        if memory is not None:
            x = self.norms[1](x + self.looks[1](x, memory))
        return self.norms[-1](x + self.y(self.x(x).relu()))


class PlainTransformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.say = nn.Linear(WIDTH, ROWS)
        self.ends = nn.ModuleDict({"w": nn.LayerNorm(WIDTH), "r": nn.LayerNorm(WIDTH)})
        self.write = nn.ModuleList(PlainLayer(2) for _ in range(2))
        self.read = nn.ModuleList(PlainLayer(1) for _ in range(2))
        self.words = nn.ParameterDict(
            {"w": torch.randn(ROWS, WIDTH), "r": torch.randn(ROWS, WIDTH)}
        )

    def forward(self, ids: Tensor, target_ids: Tensor) -> Tensor:
        x, y = sines(self.words["r"][ids]), sines(self.words["w"][target_ids])
        for layer in self.read:
            x = layer(x)
        x = self.ends["r"](x)
        for layer in self.write:
            y = layer(y, x)
        return self.say(self.ends["w"](y))


def whole_transformer() -> Pair:
    def truth(state: Mapping[str, Tensor]) -> State:
        places = {"src.weight": "words.r", "tgt.weight": "words.w", "generator": "say"}
        result: State = {}
        for side, name, looks in (("encoder", "read", 1), ("decoder", "write", 2)):
            places[f"core.{side}.norm"] = f"ends.{name[0]}"
            for i in range(2):
                left, right = f"core.{side}.layers.{i}", f"{name}.{i}"
                places |= {f"{left}.linear1": f"{right}.x", f"{left}.linear2": f"{right}.y"}
                places |= {f"{left}.norm{n + 1}": f"{right}.norms.{n}" for n in range(looks + 1)}
                for n, look in enumerate(("self_attn", "multihead_attn")[:looks]):
                    places[f"{left}.{look}.out_proj"] = f"{right}.looks.{n}.d"
                    for kind in ("weight", "bias"):
                        rows = state[f"{left}.{look}.in_proj_{kind}"].chunk(3)
                        named = zip("cab", rows, strict=True)
                        result |= {f"{right}.looks.{n}.{k}.{kind}": part for k, part in named}
        return result | moved(state, places)

    example = (
        token_ids(2, 9, vocabulary=ROWS, seed=360),
        token_ids(2, 7, vocabulary=ROWS, seed=361),
    )
    left, right = scrambled(WholeTransformer(), 362), scrambled(PlainTransformer(), 363)
    return Pair(left, right, example, truth)
