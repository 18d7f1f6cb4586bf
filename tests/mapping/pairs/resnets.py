"""Residual networks of transformers against plain ones."""

from collections.abc import Mapping
from itertools import product

from tests.mapping.pairs.pair import Pair, State, moved, numbers, scrambled
from torch import Tensor, nn
from transformers import ResNetConfig, ResNetForImageClassification


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Module:
    if inputs == outputs and stride == 1:
        return nn.Identity()
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))


class Basic(nn.Module):
    """The second convolution is registered first; the shortcut runs first."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.norm_b = nn.BatchNorm2d(outputs)
        self.conv_b = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm_a = nn.BatchNorm2d(outputs)
        self.conv_a = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.down = _shortcut(inputs, outputs, stride)

    def forward(self, x: Tensor) -> Tensor:
        kept = self.down(x)
        x = self.norm_a(self.conv_a(x)).relu()
        return (kept + self.norm_b(self.conv_b(x))).relu()


class Bottleneck(nn.Module):
    """Convolutions and norms in a list each."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        inner = outputs // 4
        self.n = nn.ModuleList(nn.BatchNorm2d(width) for width in (inner, inner, outputs))
        self.w = nn.ModuleList(
            [
                nn.Conv2d(inputs, inner, 1, bias=False),
                nn.Conv2d(inner, inner, 3, stride, padding=1, bias=False),
                nn.Conv2d(inner, outputs, 1, bias=False),
            ]
        )
        self.m = _shortcut(inputs, outputs, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = self.n[0](self.w[0](x)).relu()
        y = self.n[1](self.w[1](y)).relu()
        y = self.n[2](self.w[2](y))
        return (y + self.m(x)).relu()


class PlainResNet(nn.Module):
    """All blocks in one flat list; the head is registered first."""

    def __init__(self, block: type[nn.Module], stem: int, widths: list[int], classes: int) -> None:
        super().__init__()
        self.head = nn.Linear(widths[-1], classes)
        blocks, last = [], stem
        for stage, width in enumerate(widths):
            blocks += [block(last, width, 1 if stage == 0 else 2), block(width, width, 1)]
            last = width
        self.blocks = nn.ModuleList(blocks)
        self.stem = nn.Sequential(
            nn.Conv2d(3, stem, 7, 2, padding=3, bias=False),
            nn.BatchNorm2d(stem),
            nn.ReLU(),
            nn.MaxPool2d(3, 2, padding=1),
        )

    def forward(self, images: Tensor) -> Tensor:
        x = self.stem(images)
        for block in self.blocks:
            x = block(x)
        return self.head(x.mean((2, 3)))


def _truth(
    state: Mapping[str, Tensor], stages: int, names: list[tuple[str, str]], skip: str
) -> State:
    embedder = "resnet.embedder.embedder"
    places = {
        f"{embedder}.convolution": "stem.0",
        f"{embedder}.normalization": "stem.1",
        "classifier.1": "head",
    }
    for stage, depth in product(range(stages), range(2)):
        left, right = f"resnet.encoder.stages.{stage}.layers.{depth}", f"blocks.{2 * stage + depth}"
        for step, (conv, norm) in enumerate(names):
            places[f"{left}.layer.{step}.convolution"] = f"{right}.{conv}"
            places[f"{left}.layer.{step}.normalization"] = f"{right}.{norm}"
        if f"{left}.shortcut.convolution.weight" in state:
            places[f"{left}.shortcut.convolution"] = f"{right}.{skip}.0"
            places[f"{left}.shortcut.normalization"] = f"{right}.{skip}.1"
    return moved(state, places)


def _left(kind: str, stem: int, widths: list[int], seed: int) -> nn.Module:
    config = ResNetConfig(
        embedding_size=stem,
        hidden_sizes=widths,
        depths=[2] * len(widths),
        layer_type=kind,
        num_labels=5,
    )
    return scrambled(ResNetForImageClassification(config), seed)


def resnet_basic() -> Pair:
    widths = [16, 16, 16]
    names = [("conv_a", "norm_a"), ("conv_b", "norm_b")]
    return Pair(
        left=_left("basic", 16, widths, seed=10),
        right=scrambled(PlainResNet(Basic, 16, widths, 5), seed=11),
        example=(numbers(2, 3, 32, 32, seed=12),),
        truth=lambda state: _truth(state, 3, names, "down"),
    )


def resnet_bottleneck() -> Pair:
    widths = [32, 32]
    names = [(f"w.{step}", f"n.{step}") for step in range(3)]
    return Pair(
        left=_left("bottleneck", 16, widths, seed=13),
        right=scrambled(PlainResNet(Bottleneck, 16, widths, 5), seed=14),
        example=(numbers(2, 3, 32, 32, seed=15),),
        truth=lambda state: _truth(state, 2, names, "m"),
    )
