"""Encoders of transformers, of texts, images and sounds, against plain ones.

B samples, T tokens, D width.
"""

from collections.abc import Mapping

import torch
from tests.mapping.pairs.pair import Pair, State, moved, numbers, scrambled, stacked, token_ids
from tests.mapping.pairs.plain_blocks import FusedAttention, OpaqueAttention, attend
from torch import Tensor, nn
from transformers import (
    AlbertConfig,
    AlbertForSequenceClassification,
    CLIPConfig,
    CLIPModel,
    Dinov2Config,
    Dinov2ForImageClassification,
    ElectraConfig,
    ElectraForSequenceClassification,
    SegformerConfig,
    SegformerForImageClassification,
    SwinConfig,
    SwinForImageClassification,
    WhisperConfig,
    WhisperForConditionalGeneration,
)

WIDTH, HEADS, DEPTH, VOCABULARY, PLACES, NARROW = 32, 4, 2, 41, 16, 16
SIZES = {
    "hidden_size": WIDTH,
    "num_hidden_layers": DEPTH,
    "num_attention_heads": HEADS,
    "intermediate_size": WIDTH,
}
TEXTS = SIZES | {
    "vocab_size": VOCABULARY,
    "max_position_embeddings": PLACES,
    "embedding_size": NARROW,
    "num_labels": 3,
    "type_vocab_size": 1,
}
gelu = nn.functional.gelu


class After(nn.Module):
    """Norms after the sums, as in BERT; the activation is told."""

    def __init__(self, act=gelu) -> None:
        super().__init__()
        self.act = act
        self.s = nn.LayerNorm(WIDTH, eps=1e-12)
        self.r = nn.Linear(WIDTH, WIDTH)
        self.q = nn.Linear(WIDTH, WIDTH)
        self.p = nn.LayerNorm(WIDTH, eps=1e-12)
        self.o = OpaqueAttention(WIDTH, HEADS)

    def forward(self, x: Tensor) -> Tensor:
        x = self.p(x + self.o(x))
        return self.s(x + self.r(self.act(self.q(x))))


def tanh_gelu(x: Tensor) -> Tensor:
    return gelu(x, approximate="tanh")


class SharedEncoder(nn.Module):
    """One block, several times; words are narrow, then widened. Kinds of token are one vector."""

    def __init__(self, blocks: int, times: int) -> None:
        super().__init__()
        self.k = nn.Linear(WIDTH, 3)
        self.j = nn.Linear(WIDTH, WIDTH)
        self.i = nn.ModuleList(After(tanh_gelu if times > 1 else gelu) for _ in range(blocks))
        self.times = times
        self.h = nn.Linear(NARROW, WIDTH)
        self.g = nn.LayerNorm(NARROW, eps=1e-12)
        self.f = nn.Embedding(PLACES, NARROW)
        self.e = nn.Parameter(torch.zeros(NARROW))
        self.d = nn.Embedding(VOCABULARY, NARROW)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.d(ids) + self.e + self.f(torch.arange(ids.shape[1]))
        x = self.h(self.g(x))
        for _ in range(self.times):
            for block in self.i:
                x = block(x)
        x = self.j(x[:, 0])
        return self.k(x.tanh() if self.times > 1 else gelu(x))


def _after(left: str, right: str, names: Mapping[str, str]) -> dict[str, str]:
    return {f"{left}.{k}": f"{right}.{v}" for k, v in names.items()}


def albert() -> Pair:
    left = AlbertForSequenceClassification(
        AlbertConfig(**(TEXTS | {"num_hidden_layers": 3}), classifier_dropout_prob=0.0)
    )
    embeddings = "albert.embeddings"
    layer = "albert.encoder.albert_layer_groups.0.albert_layers.0"
    attention = {"q_proj": "c", "k_proj": "a", "v_proj": "b", "o_proj": "d"}
    if f"{layer}.attention.query.weight" in left.state_dict():
        attention = {"query": "c", "key": "a", "value": "b", "dense": "d"}
    inside = {f"attention.{k}": f"o.{v}" for k, v in attention.items()}
    inside |= {"attention.LayerNorm": "p", "ffn": "q", "ffn_output": "r"}
    inside["full_layer_layer_norm"] = "s"
    places = {
        f"{embeddings}.word_embeddings": "d",
        f"{embeddings}.position_embeddings": "f",
        f"{embeddings}.LayerNorm": "g",
        "albert.encoder.embedding_hidden_mapping_in": "h",
        "albert.pooler": "j",
        "classifier": "k",
    } | _after(layer, "i.0", inside)

    def truth(state: Mapping[str, Tensor]) -> State:
        return moved(state, places) | {"e": state[f"{embeddings}.token_type_embeddings.weight"][0]}

    example = (token_ids(2, 9, vocabulary=VOCABULARY, seed=500),)
    right = scrambled(SharedEncoder(1, 3), 502)
    return Pair(scrambled(left, 501), right, example, truth)


def electra() -> Pair:
    left = ElectraForSequenceClassification(ElectraConfig(**TEXTS))
    embeddings = "electra.embeddings"
    inside = {
        f"attention.self.{k}": f"o.{v}"
        for k, v in zip(("query", "key", "value"), "cab", strict=True)
    }
    inside |= {"attention.output.dense": "o.d", "attention.output.LayerNorm": "p"}
    inside |= {"intermediate.dense": "q", "output.dense": "r", "output.LayerNorm": "s"}
    places = {
        f"{embeddings}.word_embeddings": "d",
        f"{embeddings}.position_embeddings": "f",
        f"{embeddings}.LayerNorm": "g",
        "electra.embeddings_project": "h",
        "classifier.dense": "j",
        "classifier.out_proj": "k",
    }
    for n in range(DEPTH):
        places |= _after(f"electra.encoder.layer.{n}", f"i.{n}", inside)

    def truth(state: Mapping[str, Tensor]) -> State:
        return moved(state, places) | {"e": state[f"{embeddings}.token_type_embeddings.weight"][0]}

    example = (token_ids(2, 9, vocabulary=VOCABULARY, seed=503),)
    return Pair(scrambled(left, 504), scrambled(SharedEncoder(DEPTH, 1), 505), example, truth)


class Before(nn.Module):
    """Norms before the branches; with a scale of each branch where asked; `fused` attention."""

    def __init__(
        self, width: int = WIDTH, *, scales: bool = False, causal: bool = False, act=gelu
    ) -> None:
        super().__init__()
        self.act, self.causal = act, causal
        self.ls2 = nn.Parameter(torch.ones(width)) if scales else None
        self.ls1 = nn.Parameter(torch.ones(width)) if scales else None
        self.fc2 = nn.Linear(width, width)
        self.fc1 = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width, eps=1e-5 if not scales else 1e-6)
        self.attn = FusedAttention(width, HEADS, causal)
        self.norm1 = nn.LayerNorm(width, eps=1e-5 if not scales else 1e-6)

    def forward(self, x: Tensor) -> Tensor:
        y = self.attn(self.norm1(x))
        x = x + (y if self.ls1 is None else self.ls1 * y)
        y = self.fc2(self.act(self.fc1(self.norm2(x))))
        return x + (y if self.ls2 is None else self.ls2 * y)


class PlainDino(nn.Module):
    """timm's names; the head reads the class token and the mean of the others."""

    def __init__(self) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, WIDTH))
        self.pos_embed = nn.Parameter(torch.zeros(1, 17, WIDTH))
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, WIDTH, 8, 8)})
        self.blocks = nn.ModuleList(Before(scales=True) for _ in range(DEPTH))
        self.norm = nn.LayerNorm(WIDTH, eps=1e-6)
        self.head = nn.Linear(2 * WIDTH, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch_embed["proj"](x).flatten(2).mT
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], dim=1) + self.pos_embed
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)
        return self.head(torch.cat([x[:, 0], x[:, 1:].mean(1)], dim=1))


def dinov2() -> Pair:
    config = Dinov2Config(
        **{k: v for k, v in SIZES.items() if k != "intermediate_size"},
        mlp_ratio=1,
        image_size=32,
        patch_size=8,
        num_labels=5,
        use_mask_token=False,
    )
    left = Dinov2ForImageClassification(config)

    def truth(state: Mapping[str, Tensor]) -> State:
        places = {"dinov2.embeddings.cls_token": "cls_token"}
        places |= {"dinov2.embeddings.position_embeddings": "pos_embed"}
        places |= {"dinov2.embeddings.patch_embeddings.projection": "patch_embed.proj"}
        places |= {"dinov2.layernorm": "norm", "classifier": "head"}
        result: State = {}
        for n in range(DEPTH):
            block = f"dinov2.encoder.layer.{n}"
            inside = {"norm1": "norm1", "norm2": "norm2", "mlp.fc1": "fc1", "mlp.fc2": "fc2"}
            inside |= {"layer_scale1.lambda1": "ls1", "layer_scale2.lambda1": "ls2"}
            inside |= {"attention.o_proj": "attn.to_out"}
            places |= _after(block, f"blocks.{n}", inside)
            split = [f"{block}.attention.{k}_proj" for k in "qkv"]
            result |= stacked(state, split, f"blocks.{n}.attn.to_qkv")
        return result | moved(state, places)

    return Pair(
        scrambled(left, 510), scrambled(PlainDino(), 511), (numbers(2, 3, 32, 32, seed=512),), truth
    )


def quick_gelu(x: Tensor) -> Tensor:
    return x * (1.702 * x).sigmoid()


class PlainCLIP(nn.Module):
    """Images are seen after the text is read."""

    def __init__(self) -> None:
        super().__init__()
        self.temperature = nn.Parameter(torch.tensor(0.7))
        self.v_proj, self.t_proj = (nn.Parameter(torch.randn(WIDTH, NARROW)) for _ in range(2))
        self.ln = nn.ModuleDict({k: nn.LayerNorm(WIDTH) for k in ("t_post", "v_pre", "v_post")})
        options = {"act": quick_gelu}
        self.v = nn.ModuleList(Before(**options) for _ in range(DEPTH))
        self.t = nn.ModuleList(Before(causal=True, **options) for _ in range(DEPTH))
        self.conv = nn.Conv2d(3, WIDTH, 8, 8, bias=False)
        self.tables = nn.ParameterDict(
            {
                "t_pos": torch.randn(PLACES, WIDTH),
                "v_pos": torch.randn(17, WIDTH),
                "v_cls": torch.randn(WIDTH),
                "tok": torch.randn(VOCABULARY, WIDTH),
            }
        )

    def forward(self, ids: Tensor, images: Tensor) -> Tensor:
        x = self.tables["tok"][ids] + self.tables["t_pos"][: ids.shape[1]]
        for block in self.t:
            x = block(x)
        text = self.ln["t_post"](x)[torch.arange(len(ids)), ids.argmax(-1)] @ self.t_proj
        x = self.conv(images).flatten(2).mT
        start = self.tables["v_cls"] + x.new_zeros(len(x), 1, WIDTH)
        x = self.ln["v_pre"](torch.cat([start, x], dim=1) + self.tables["v_pos"])
        for block in self.v:
            x = block(x)
        image = self.ln["v_post"](x[:, 0]) @ self.v_proj
        text, image = (y / y.norm(dim=-1, keepdim=True) for y in (text, image))
        return self.temperature.exp() * image @ text.mT


class PerImage(nn.Module):
    """The library's model, called by position, with one of its outputs."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, ids: Tensor, images: Tensor) -> Tensor:
        return self.inner(input_ids=ids, pixel_values=images).logits_per_image


def clip() -> Pair:
    text = SIZES | {"vocab_size": VOCABULARY, "max_position_embeddings": PLACES, "eos_token_id": 2}
    config = CLIPConfig(
        text_config=text | {"projection_dim": NARROW},
        vision_config=SIZES | {"image_size": 32, "patch_size": 8, "projection_dim": NARROW},
        projection_dim=NARROW,
    )

    def truth(state: Mapping[str, Tensor]) -> State:
        state = {k.removeprefix("inner."): v for k, v in state.items()}
        places = {
            "logit_scale": "temperature",
            "text_model.embeddings.token_embedding.weight": "tables.tok",
            "text_model.embeddings.position_embedding.weight": "tables.t_pos",
            "vision_model.embeddings.position_embedding.weight": "tables.v_pos",
            "vision_model.embeddings.class_embedding": "tables.v_cls",
            "vision_model.embeddings.patch_embedding": "conv",
            "text_model.final_layer_norm": "ln.t_post",
            "vision_model.pre_layrnorm": "ln.v_pre",
            "vision_model.post_layernorm": "ln.v_post",
        }
        result: State = {
            "v_proj": state["visual_projection.weight"].mT,
            "t_proj": state["text_projection.weight"].mT,
        }
        for side, name in (("text_model", "t"), ("vision_model", "v")):
            for n in range(DEPTH):
                block = f"{side}.encoder.layers.{n}"
                inside = {"layer_norm1": "norm1", "layer_norm2": "norm2", "mlp.fc1": "fc1"}
                inside |= {"mlp.fc2": "fc2", "self_attn.out_proj": "attn.to_out"}
                places |= _after(block, f"{name}.{n}", inside)
                split = [f"{block}.self_attn.{k}_proj" for k in "qkv"]
                result |= stacked(state, split, f"{name}.{n}.attn.to_qkv")
        return result | moved(state, places)

    left = scrambled(PerImage(CLIPModel(config)), 520)
    with torch.no_grad():
        left.inner.logit_scale.fill_(1.3)
    example = (
        token_ids(3, 9, vocabulary=VOCABULARY, seed=522),
        numbers(3, 3, 32, 32, seed=523),
    )
    return Pair(left, scrambled(PlainCLIP(), 521), example, truth)


class WindowBlock(nn.Module):
    """Attention in windows, moved by `shift`, with a table of distances."""

    def __init__(self, width: int, heads: int, shift: int) -> None:
        super().__init__()
        self.heads, self.shift = heads, shift
        self.n2, self.n1 = nn.LayerNorm(width, eps=1e-5), nn.LayerNorm(width, eps=1e-5)
        self.g2, self.g1 = nn.Linear(width, width), nn.Linear(width, width)
        self.table = nn.Parameter(torch.randn(49, heads))
        self.out, self.qkv = nn.Linear(width, width), nn.Linear(width, 3 * width)

    def forward(self, x: Tensor) -> Tensor:
        batch, side, _, width = x.shape
        y = self.n1(x).roll((-self.shift, -self.shift), (1, 2))
        count = side // 4
        y = y.view(batch, count, 4, count, 4, width).transpose(2, 3).reshape(-1, 16, width)
        bias = self.near()[None] + self.mask(batch, side)
        q, k, v = self.qkv(y).chunk(3, dim=-1)
        y = self.out(attend(q, k, v, self.heads, bias=bias))
        y = y.view(batch, count, count, 4, 4, width).transpose(2, 3).reshape(x.shape)
        x = x + y.roll((self.shift, self.shift), (1, 2))
        return x + self.g2(gelu(self.g1(self.n2(x))))

    def near(self) -> Tensor:
        where = torch.cartesian_prod(torch.arange(4), torch.arange(4))
        far = where[:, None] - where[None] + 3
        return self.table[far[..., 0] * 7 + far[..., 1]].permute(2, 0, 1)

    def mask(self, batch: int, side: int) -> Tensor | float:
        if not self.shift:
            return 0.0
        line = torch.zeros(side)
        line[side - 4 :], line[side - self.shift :] = 1, 2
        region = (line[:, None] * 3 + line[None]).view(side // 4, 4, side // 4, 4)
        region = region.transpose(1, 2).reshape(-1, 16)
        apart = region[:, None] != region[:, :, None]
        return -100.0 * apart.float().repeat(batch, 1, 1)[:, None]


class PlainSwin(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.ModuleList([nn.Linear(WIDTH, 5), nn.LayerNorm(WIDTH, eps=1e-5)])
        self.c = WindowBlock(WIDTH, 4, 0)
        self.join = nn.ModuleList([nn.Linear(64, WIDTH, bias=False), nn.LayerNorm(64)])
        self.b, self.a = WindowBlock(16, 2, 2), WindowBlock(16, 2, 0)
        self.stem = nn.ModuleList([nn.LayerNorm(16), nn.Conv2d(3, 16, 4, 4)])

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem[0](self.stem[1](x).permute(0, 2, 3, 1))
        x = self.b(self.a(x))
        parts = [x[:, row::2, column::2] for column in (0, 1) for row in (0, 1)]
        x = self.c(self.join[0](self.join[1](torch.cat(parts, dim=-1))))
        return self.head[0](self.head[1](x).mean((1, 2)))


def swin() -> Pair:
    config = SwinConfig(
        image_size=32,
        patch_size=4,
        embed_dim=16,
        depths=[2, 1],
        num_heads=[2, 4],
        window_size=4,
        mlp_ratio=1.0,
        num_labels=5,
    )

    def truth(state: Mapping[str, Tensor]) -> State:
        places = {
            "swin.embeddings.patch_embeddings.projection": "stem.1",
            "swin.embeddings.norm": "stem.0",
            "swin.encoder.layers.0.downsample.reduction": "join.0",
            "swin.encoder.layers.0.downsample.norm": "join.1",
            "swin.layernorm": "head.1",
            "classifier": "head.0",
        }
        result: State = {}
        for block, right in (("0.blocks.0", "a"), ("0.blocks.1", "b"), ("1.blocks.0", "c")):
            left = f"swin.encoder.layers.{block}"
            inside = {"layernorm_before": "n1", "layernorm_after": "n2", "mlp.fc1": "g1"}
            inside |= {"mlp.fc2": "g2", "attention.o_proj": "out"}
            table = "relative_position_bias"
            inside[f"attention.{table}.{table}_table"] = "table"
            places |= _after(left, right, inside)
            split = [f"{left}.attention.{k}_proj" for k in "qkv"]
            result |= stacked(state, split, f"{right}.qkv")
        return result | moved(state, places)

    left = scrambled(SwinForImageClassification(config), 530)
    return Pair(left, scrambled(PlainSwin(), 531), (numbers(2, 3, 32, 32, seed=532),), truth)


class Speech(nn.Module):
    """OpenAI's names: keys have no bias."""

    def __init__(self) -> None:
        super().__init__()
        self.enc = nn.ModuleDict(
            {
                "conv1": nn.Conv1d(8, WIDTH, 3, padding=1),
                "conv2": nn.Conv1d(WIDTH, WIDTH, 3, stride=2, padding=1),
                "blocks": nn.ModuleList(SpeechBlock(1) for _ in range(DEPTH)),
                "ln_post": nn.LayerNorm(WIDTH),
            }
        )
        self.enc_pos = nn.Parameter(torch.randn(10, WIDTH))
        self.dec_pos = nn.Parameter(torch.randn(12, WIDTH))
        self.token_embedding = nn.Embedding(VOCABULARY, WIDTH)
        self.dec = nn.ModuleList(SpeechBlock(2) for _ in range(DEPTH))
        self.ln = nn.LayerNorm(WIDTH)

    def forward(self, sound: Tensor, ids: Tensor) -> Tensor:
        x = gelu(self.enc["conv2"](gelu(self.enc["conv1"](sound)))).mT + self.enc_pos
        for block in self.enc["blocks"]:
            x = block(x)
        memory = self.enc["ln_post"](x)
        x = self.token_embedding(ids) + self.dec_pos[: ids.shape[1]]
        for block in self.dec:
            x = block(x, memory)
        return self.ln(x) @ self.token_embedding.weight.mT


class SpeechLook(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.query, self.value, self.out = (nn.Linear(WIDTH, WIDTH) for _ in range(3))
        self.key = nn.Linear(WIDTH, WIDTH, bias=False)

    def forward(self, x: Tensor, memory: Tensor, *, causal: bool) -> Tensor:
        q, k, v = self.query(x), self.key(memory), self.value(memory)
        return self.out(attend(q, k, v, HEADS, causal=causal))


class SpeechBlock(nn.Module):
    def __init__(self, looks: int) -> None:
        super().__init__()
        self.attn, self.attn_ln = SpeechLook(), nn.LayerNorm(WIDTH)
        self.cross = nn.ModuleList([SpeechLook(), nn.LayerNorm(WIDTH)] if looks > 1 else [])
        self.mlp = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.GELU(), nn.Linear(WIDTH, WIDTH))
        self.mlp_ln = nn.LayerNorm(WIDTH)

    def forward(self, x: Tensor, memory: Tensor | None = None) -> Tensor:
        y = self.attn_ln(x)
        x = x + self.attn(y, y, causal=memory is not None)
        if memory is not None:
            x = x + self.cross[0](self.cross[1](x), memory, causal=False)
        return x + self.mlp(self.mlp_ln(x))


class Spoken(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, sound: Tensor, ids: Tensor) -> Tensor:
        return self.inner(input_features=sound, decoder_input_ids=ids, use_cache=False).logits


def whisper() -> Pair:
    config = WhisperConfig(
        vocab_size=VOCABULARY,
        num_mel_bins=8,
        d_model=WIDTH,
        encoder_layers=DEPTH,
        decoder_layers=DEPTH,
        encoder_attention_heads=HEADS,
        decoder_attention_heads=HEADS,
        encoder_ffn_dim=WIDTH,
        decoder_ffn_dim=WIDTH,
        max_source_positions=10,
        max_target_positions=12,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=1,
    )

    def truth(state: Mapping[str, Tensor]) -> State:
        state = {k.removeprefix("inner."): v for k, v in state.items()}
        places = {
            "model.encoder.conv1": "enc.conv1",
            "model.encoder.conv2": "enc.conv2",
            "model.encoder.embed_positions.weight": "enc_pos",
            "model.encoder.layer_norm": "enc.ln_post",
            "model.decoder.embed_tokens": "token_embedding",
            "model.decoder.embed_positions.weight": "dec_pos",
            "model.decoder.layer_norm": "ln",
        }
        names = {"q_proj": "query", "k_proj": "key", "v_proj": "value", "out_proj": "out"}
        inside = {f"self_attn.{k}": f"attn.{v}" for k, v in names.items()}
        inside |= {"self_attn_layer_norm": "attn_ln", "fc1": "mlp.0", "fc2": "mlp.2"}
        inside |= {"final_layer_norm": "mlp_ln"}
        cross = {f"encoder_attn.{k}": f"cross.0.{v}" for k, v in names.items()}
        cross |= {"encoder_attn_layer_norm": "cross.1"}
        for n in range(DEPTH):
            places |= _after(f"model.encoder.layers.{n}", f"enc.blocks.{n}", inside)
            places |= _after(f"model.decoder.layers.{n}", f"dec.{n}", inside | cross)
        return moved(state, places)

    left = scrambled(Spoken(WhisperForConditionalGeneration(config)), 540)
    example = (numbers(2, 8, 20, seed=542), token_ids(2, 7, vocabulary=VOCABULARY, seed=543))
    return Pair(left, scrambled(Speech(), 541), example, truth)


class MixBlock(nn.Module):
    """SegFormer: keys and values of a coarser picture; a depth-wise convolution in the middle."""

    def __init__(self, width: int, heads: int, ratio: int) -> None:
        super().__init__()
        self.look = OpaqueAttention(width, heads)
        self.low = nn.Linear(2 * width, width)
        self.mid = nn.Conv2d(2 * width, 2 * width, 3, padding=1, groups=2 * width)
        self.high = nn.Linear(width, 2 * width)
        self.n2, self.n1 = nn.LayerNorm(width), nn.LayerNorm(width)
        if ratio > 1:
            self.rn, self.rc = nn.LayerNorm(width), nn.Conv2d(width, width, ratio, ratio)

    def forward(self, x: Tensor) -> Tensor:
        y = self.n1(x)
        memory = (
            self.rn(self.rc(y.permute(0, 3, 1, 2)).flatten(2).mT)
            if hasattr(self, "rc")
            else y.flatten(1, 2)
        )
        x = x + self.look(y.flatten(1, 2), memory).view(x.shape)
        y = self.mid(self.high(self.n2(x)).permute(0, 3, 1, 2))
        return x + self.low(gelu(y).permute(0, 2, 3, 1))


class PlainSegformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.z = nn.Linear(16, 5)
        self.y = nn.ModuleList([nn.LayerNorm(16), nn.LayerNorm(8)])
        self.x = nn.ModuleList([MixBlock(16, 2, 1), MixBlock(8, 1, 2)])
        self.w = nn.ModuleList([nn.LayerNorm(16), nn.LayerNorm(8)])
        self.v = nn.ModuleList(
            [nn.Conv2d(8, 16, 3, 2, padding=1), nn.Conv2d(3, 8, 3, 2, padding=1)]
        )

    def forward(self, x: Tensor) -> Tensor:
        for stage in (1, 0):
            x = self.w[stage](self.v[stage](x).permute(0, 2, 3, 1))
            x = self.y[stage](self.x[stage](x)).permute(0, 3, 1, 2)
        return self.z(x.mean((2, 3)))


def segformer() -> Pair:
    config = SegformerConfig(
        num_encoder_blocks=2,
        depths=[1, 1],
        sr_ratios=[2, 1],
        hidden_sizes=[8, 16],
        num_attention_heads=[1, 2],
        patch_sizes=[3, 3],
        strides=[2, 2],
        mlp_ratios=[2, 2],
        num_labels=5,
    )

    def truth(state: Mapping[str, Tensor]) -> State:
        places = {"classifier": "z"}
        for stage in range(2):
            left, n = f"segformer.stages.{stage}", 1 - stage
            places |= {f"{left}.patch_embeddings.proj": f"v.{n}", f"{left}.layer_norm": f"y.{n}"}
            places[f"{left}.patch_embeddings.layer_norm"] = f"w.{n}"
            inside = {"layernorm_before": "n1", "layernorm_after": "n2", "mlp.fc1": "high"}
            inside |= {"mlp.dwconv.dwconv": "mid", "mlp.fc2": "low"}
            inside |= {
                f"attention.{k}_proj": f"look.{v}" for k, v in zip("qkvo", "cabd", strict=True)
            }
            if stage == 0:
                reduction = "attention.sequence_reduction"
                inside[f"{reduction}.sequence_reduction"] = "rc"
                inside[f"{reduction}.layer_norm"] = "rn"
            places |= _after(f"{left}.blocks.0", f"x.{n}", inside)
        return moved(state, places)

    left = scrambled(SegformerForImageClassification(config), 550)
    return Pair(left, scrambled(PlainSegformer(), 551), (numbers(2, 3, 32, 32, seed=552),), truth)
