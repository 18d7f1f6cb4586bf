"""Wider networks: does a map keep the function, or is it refused before it is applied?

Each architecture small, with numbers of its own, into one of twice and of one and a half times the
width; widths are multiples of the head's size, so the heads become more and stay as large, and
grouped keys and values grow with them. Both networks are run on an example. Kept: the largest
difference of the outputs, in double precision, is at most 1e-5 of the largest. Refused: the map,
or `apply`, raises `MapError`. Wrong is what is neither.

    python -m benchmarks.map_widths
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable
from typing import Any

import torch
import transformers
from torch import Tensor, nn
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    ConvNextConfig,
    ConvNextForImageClassification,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    Phi3Config,
    Phi3ForCausalLM,
    ViTConfig,
    ViTForImageClassification,
)

import bequest as bq
from bequest.errors import MapError
from bequest.executors.local import single_threaded

HEAD, WORDS, KEPT = 8, 50, 1e-5
FACTORS = (2.0, 1.5)


class Inverted(nn.Module):
    """MobileNet's block: wider, depthwise, narrower, and the input added."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(width, 2 * width, 1, bias=False), nn.BatchNorm2d(2 * width), nn.ReLU6(),
            nn.Conv2d(2 * width, 2 * width, 3, padding=1, groups=2 * width, bias=False),
            nn.BatchNorm2d(2 * width), nn.ReLU6(),
            nn.Conv2d(2 * width, width, 1, bias=False), nn.BatchNorm2d(width),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class Mobile(nn.Sequential):
    """A stem, three inverted blocks and a classifier."""

    def __init__(self, width: int) -> None:
        super().__init__(
            nn.Conv2d(3, width, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(width),
            nn.ReLU6(), *(Inverted(width) for _ in range(3)), nn.AdaptiveAvgPool2d(1),
            nn.Flatten(), nn.Linear(width, 5),
        )  # fmt: skip


class Encoder(nn.Module):
    """torch's own encoder, whose attention holds q, k and v in one matrix."""

    def __init__(self, width: int, *, first: bool) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(
            width, width // HEAD, 2 * width, activation="gelu", batch_first=True, norm_first=first
        )
        self.table = nn.Embedding(WORDS, width)
        self.blocks = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, 5)

    def forward(self, input_ids: Tensor) -> Tensor:
        return self.out(self.norm(self.blocks(self.table(input_ids)).mean(1)))


def _sizes(width: int) -> dict[str, int]:
    return {
        "hidden_size": width,
        "num_hidden_layers": 2,
        "num_attention_heads": width // HEAD,
        "intermediate_size": 2 * width,
    }


def _grouped(width: int) -> dict[str, Any]:
    heads = {"num_key_value_heads": width // (2 * HEAD), "pad_token_id": 0}
    return {**_sizes(width), **heads, "vocab_size": WORDS, "use_cache": False}


def vit(width: int) -> nn.Module:
    return ViTForImageClassification(ViTConfig(**_sizes(width), image_size=32, patch_size=8))


def gpt2(width: int) -> nn.Module:
    heads = width // HEAD
    return GPT2LMHeadModel(
        GPT2Config(n_embd=width, n_layer=2, n_head=heads, vocab_size=WORDS, use_cache=False)
    )


def bert(width: int) -> nn.Module:
    return BertForSequenceClassification(BertConfig(**_sizes(width), vocab_size=WORDS))


def llama(width: int) -> nn.Module:
    return LlamaForCausalLM(LlamaConfig(**_grouped(width)))


def phi3(width: int) -> nn.Module:
    return Phi3ForCausalLM(Phi3Config(**_grouped(width)))


def convnext(width: int) -> nn.Module:
    sizes = [width // 4 * n for n in (1, 2, 3, 4)]
    return ConvNextForImageClassification(ConvNextConfig(hidden_sizes=sizes, depths=[1, 1, 2, 1]))


def torch_pre_norm(width: int) -> nn.Module:
    return Encoder(width, first=True)


def torch_post_norm(width: int) -> nn.Module:
    return Encoder(width, first=False)


PICTURES = {
    "pixel_values": torch.randn(
        2, 3, 32, 32, generator=torch.Generator().manual_seed(0), dtype=torch.double
    )
}
TOKENS = {"input_ids": torch.arange(24).reshape(2, 12) % WORDS}
NETWORKS: dict[str, tuple[Callable[[int], nn.Module], Any]] = {
    "ViT": (vit, PICTURES),
    "GPT-2": (gpt2, TOKENS),
    "BERT": (bert, TOKENS),
    "Llama, grouped": (llama, TOKENS),
    "Phi-3, grouped and fused": (phi3, TOKENS),
    "torch's encoder, norm first": (torch_pre_norm, TOKENS),
    "torch's encoder, norm last": (torch_post_norm, TOKENS),
    "ConvNeXt": (convnext, PICTURES),
    "MobileNet-like": (Mobile, PICTURES["pixel_values"]),
}


def own_numbers(network: nn.Module) -> nn.Module:
    """Large enough that every part counts, also what starts at zero or one.

    What is not in the state dict (rotary frequencies) is the code's, and stays.
    """
    rng = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for tensor in network.state_dict(keep_vars=True).values():
            if tensor.is_floating_point():
                tensor.add_(0.1 * torch.rand(tensor.shape, generator=rng))
    return network.eval()


def output(network: nn.Module, example: Any) -> Tensor:
    with torch.no_grad():
        found = network(**example) if isinstance(example, dict) else network(example)
    return getattr(found, "logits", found)


def widened(name: str, factor: float, width: int = 4 * HEAD) -> dict[str, Any]:
    """What becomes of one architecture: kept, refused or wrong."""
    make, example = NETWORKS[name]
    torch.manual_seed(0)
    narrow, wide = own_numbers(make(width).double()), make(int(width * factor)).double().eval()
    start = time.process_time()
    found: dict[str, Any] = {"network": name, "factor": factor}
    try:
        plan = bq.map_parameters(narrow, wide, example=copy.deepcopy(example))
        made = plan.apply()
    except MapError as error:
        return found | {"outcome": "refused", "reason": str(error)[:200]}
    before = output(narrow, example)
    apart = float((output(made.eval(), example) - before).abs().max() / before.abs().max())
    return found | {
        "outcome": "kept" if apart <= KEPT else "wrong",
        "relative_difference": apart,
        "confidence": plan.confidence,
        "coverage": plan.coverage,
        "cpu_s": time.process_time() - start,
    }


def run(quick: bool = False) -> list[dict]:
    transformers.logging.set_verbosity_error()
    with single_threaded():
        return [widened(name, factor) for name in NETWORKS for factor in FACTORS]


def main() -> None:
    for row in run():
        print(json.dumps(row))


if __name__ == "__main__":
    main()
