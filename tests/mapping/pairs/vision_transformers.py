"""ViT of transformers (split attention) against plain ones.

B images, T = 1 + 16 tokens, D width.
"""

from collections.abc import Mapping

import torch
from tests.mapping.pairs.pair import Pair, State, moved, numbers, scrambled, stacked
from tests.mapping.pairs.plain_blocks import FeedForward, FusedAttention, OpaqueAttention
from torch import Tensor, nn
from transformers import ViTConfig, ViTForImageClassification

WIDTH, HEADS, DEPTH, PATCH, CLASSES = 32, 4, 2, 8, 5
TOKENS = 1 + (32 // PATCH) ** 2


class FusedBlock(nn.Module):
    """The branch that is run second is registered first."""

    def __init__(self) -> None:
        super().__init__()
        self.mixing = nn.ModuleDict(
            {"net": FeedForward(WIDTH, WIDTH), "pre": nn.LayerNorm(WIDTH, eps=1e-12)}
        )
        self.looking = nn.ModuleDict(
            {"net": FusedAttention(WIDTH, HEADS), "pre": nn.LayerNorm(WIDTH, eps=1e-12)}
        )

    def forward(self, x: Tensor) -> Tensor:
        for branch in (self.looking, self.mixing):
            x = x + branch["net"](branch["pre"](x))
        return x


class FusedViT(nn.Module):
    """Patches by a convolution, places by an embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.start = nn.Parameter(torch.zeros(WIDTH))
        self.places = nn.Embedding(TOKENS, WIDTH)
        self.tower = nn.Sequential(*(FusedBlock() for _ in range(DEPTH)))
        self.close = nn.Sequential(nn.LayerNorm(WIDTH, eps=1e-12), nn.Linear(WIDTH, CLASSES))
        self.stem = nn.Conv2d(3, WIDTH, PATCH, PATCH)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.stem(images).flatten(2).mT
        start = self.start.expand(len(images), 1, WIDTH)
        x = torch.cat([start, tokens], dim=1) + self.places(torch.arange(TOKENS))
        return self.close(self.tower(x)[:, 0])


class OpaqueBlock(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.m0 = nn.LayerNorm(WIDTH, eps=1e-12)
        self.m1 = OpaqueAttention(WIDTH, HEADS)
        self.m2 = nn.LayerNorm(WIDTH, eps=1e-12)
        self.m3 = nn.Linear(WIDTH, WIDTH)
        self.m4 = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.m1(self.m2(x))
        return x + self.m3(nn.functional.gelu(self.m4(self.m0(x))))


class LinearPatchViT(nn.Module):
    """Patches cut by hand into a linear layer, channels first or channels last."""

    def __init__(self, *, channels_last: bool = False) -> None:
        super().__init__()
        self.order = (0, 2, 4, 3, 5, 1) if channels_last else (0, 2, 4, 1, 3, 5)
        self.tables = nn.ParameterDict(
            {"a": torch.randn(TOKENS, WIDTH), "b": torch.randn(1, 1, WIDTH)}
        )
        self.f = nn.Linear(WIDTH, CLASSES)
        self.e = nn.LayerNorm(WIDTH, eps=1e-12)
        self.d = nn.ModuleDict({f"layer{i}": OpaqueBlock() for i in range(DEPTH)})
        self.c = nn.Linear(3 * PATCH * PATCH, WIDTH)

    def forward(self, images: Tensor) -> Tensor:
        batch, side = len(images), images.shape[-1] // PATCH
        cut = images.reshape(batch, 3, side, PATCH, side, PATCH).permute(self.order)
        tokens = self.c(cut.reshape(batch, side * side, -1))
        start = self.tables["b"].expand(batch, 1, WIDTH)
        x = torch.cat([start, tokens], dim=1) + self.tables["a"]
        for block in self.d.values():
            x = block(x)
        return self.f(self.e(x[:, 0]))


def _fused_truth(state: Mapping[str, Tensor]) -> State:
    places = {
        "vit.embeddings.patch_embeddings.projection": "stem",
        "vit.layernorm": "close.0",
        "classifier": "close.1",
    }
    result: State = {
        "start": state["vit.embeddings.cls_token"][0, 0],
        "places.weight": state["vit.embeddings.position_embeddings"][0],
    }
    for i in range(DEPTH):
        left, right = f"vit.layers.{i}", f"tower.{i}"
        places[f"{left}.attention.o_proj"] = f"{right}.looking.net.to_out"
        places[f"{left}.layernorm_before"] = f"{right}.looking.pre"
        places[f"{left}.layernorm_after"] = f"{right}.mixing.pre"
        places[f"{left}.mlp.fc1"] = f"{right}.mixing.net.grow"
        places[f"{left}.mlp.fc2"] = f"{right}.mixing.net.shrink"
        split = [f"{left}.attention.{kind}_proj" for kind in "qkv"]
        result |= stacked(state, split, f"{right}.looking.net.to_qkv")
    return result | moved(state, places)


def _linear_patch_truth(state: Mapping[str, Tensor]) -> State:
    projection = "vit.embeddings.patch_embeddings.projection"
    places = {
        "vit.embeddings.cls_token": "tables.b",
        "vit.layernorm": "e",
        "classifier": "f",
        f"{projection}.bias": "c.bias",
    }
    for i in range(DEPTH):
        left, right = f"vit.layers.{i}", f"d.layer{i}"
        parts = {
            "layernorm_before": "m2",
            "layernorm_after": "m0",
            "mlp.fc1": "m4",
            "mlp.fc2": "m3",
        }
        for kind, name in zip("qkvo", "cabd", strict=True):
            parts[f"attention.{kind}_proj"] = f"m1.{name}"
        places |= {f"{left}.{part}": f"{right}.{name}" for part, name in parts.items()}
    return moved(state, places) | {
        "c.weight": state[f"{projection}.weight"].flatten(1),
        "tables.a": state["vit.embeddings.position_embeddings"][0],
    }


def _left(seed: int) -> nn.Module:
    config = ViTConfig(
        hidden_size=WIDTH,
        num_hidden_layers=DEPTH,
        num_attention_heads=HEADS,
        intermediate_size=WIDTH,
        image_size=32,
        patch_size=PATCH,
        num_labels=CLASSES,
    )
    return scrambled(ViTForImageClassification(config), seed)


def vit_fused() -> Pair:
    right = scrambled(FusedViT(), seed=61)
    return Pair(_left(seed=60), right, (numbers(2, 3, 32, 32, seed=62),), _fused_truth)


def vit_linear_patches() -> Pair:
    right = scrambled(LinearPatchViT(), seed=64)
    return Pair(_left(seed=63), right, (numbers(2, 3, 32, 32, seed=65),), _linear_patch_truth)


def vit_channels_last() -> Pair:
    def truth(state: Mapping[str, Tensor]) -> State:
        kernel = state["vit.embeddings.patch_embeddings.projection.weight"]
        return _linear_patch_truth(state) | {"c.weight": kernel.permute(0, 2, 3, 1).flatten(1)}

    right = scrambled(LinearPatchViT(channels_last=True), seed=67)
    return Pair(_left(seed=66), right, (numbers(2, 3, 32, 32, seed=68),), truth)
