"""ConvNeXt and MobileNetV2 of transformers against plain ones."""

from collections.abc import Mapping
from itertools import pairwise, product

import torch
from tests.mapping.pairs.pair import Pair, State, moved, numbers, scrambled
from torch import Tensor, nn
from transformers import (
    ConvNextConfig,
    ConvNextForImageClassification,
    MobileNetV2Config,
    MobileNetV2ForImageClassification,
)


class ChannelNorm(nn.Module):
    """Layer norm over the channels of (B, C, H, W), written out."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(channels, 1, 1))
        self.gain = nn.Parameter(torch.ones(channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        centred = x - x.mean(1, keepdim=True)
        spread = (centred.square().mean(1, keepdim=True) + 1e-6).sqrt()
        return centred / spread * self.gain + self.shift


class NextBlock(nn.Module):
    """1 × 1 convolutions in place of linear layers; factors in a dictionary of parameters."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.extra = nn.ParameterDict({"g": torch.full((channels, 1, 1), 1e-6)})
        self.mix = nn.Sequential(
            nn.Conv2d(channels, 4 * channels, 1), nn.GELU(), nn.Conv2d(4 * channels, channels, 1)
        )
        self.norm = ChannelNorm(channels)
        self.depthwise = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.extra["g"] * self.mix(self.norm(self.depthwise(x)))


class PlainConvNext(nn.Module):
    def __init__(self, widths: list[int], classes: int) -> None:
        super().__init__()
        self.out = nn.ModuleDict(
            {"fc": nn.Linear(widths[-1], classes), "ln": nn.LayerNorm(widths[-1], eps=1e-12)}
        )
        layers: list[nn.Module] = [nn.Conv2d(3, widths[0], 4, 4), ChannelNorm(widths[0])]
        layers += [NextBlock(widths[0]), NextBlock(widths[0])]
        for last, width in pairwise(widths):
            layers += [ChannelNorm(last), nn.Conv2d(last, width, 2, 2)]
            layers += [NextBlock(width), NextBlock(width)]
        self.trunk = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> Tensor:
        return self.out["fc"](self.out["ln"](self.trunk(images).mean((2, 3))))


def _channel_norm(state: Mapping[str, Tensor], left: str, right: str) -> State:
    return {
        f"{right}.gain": state[f"{left}.weight"][:, None, None],
        f"{right}.shift": state[f"{left}.bias"][:, None, None],
    }


def _next_block(state: Mapping[str, Tensor], left: str, right: str) -> State:
    result = moved(state, {f"{left}.dwconv": f"{right}.depthwise"})
    result |= _channel_norm(state, f"{left}.layernorm", f"{right}.norm")
    result[f"{right}.extra.g"] = state[f"{left}.layer_scale_parameter"][:, None, None]
    for linear, place in (("pwconv1", "mix.0"), ("pwconv2", "mix.2")):
        result[f"{right}.{place}.weight"] = state[f"{left}.{linear}.weight"][:, :, None, None]
        result[f"{right}.{place}.bias"] = state[f"{left}.{linear}.bias"]
    return result


def _convnext_truth(state: Mapping[str, Tensor], stages: int) -> State:
    patches, down = (
        "convnext.embeddings.patch_embeddings",
        "convnext.encoder.stages.{}.downsampling_layer",
    )
    result = moved(
        state, {patches: "trunk.0", "classifier": "out.fc", "convnext.layernorm": "out.ln"}
    )
    result |= _channel_norm(state, "convnext.embeddings.layernorm", "trunk.1")
    for stage in range(1, stages):
        at, left = 4 * stage, down.format(stage)
        result |= _channel_norm(state, f"{left}.0", f"trunk.{at}")
        result |= moved(state, {f"{left}.1": f"trunk.{at + 1}"})
    for stage, depth in product(range(stages), range(2)):
        left = f"convnext.encoder.stages.{stage}.layers.{depth}"
        result |= _next_block(state, left, f"trunk.{4 * stage + 2 + depth}")
    return result


def convnext() -> Pair:
    widths = [16, 16]
    config = ConvNextConfig(hidden_sizes=widths, depths=[2, 2], num_stages=2, num_labels=5)
    return Pair(
        left=scrambled(ConvNextForImageClassification(config), seed=20),
        right=scrambled(PlainConvNext(widths, 5), seed=21),
        example=(numbers(2, 3, 32, 32, seed=22),),
        truth=lambda state: _convnext_truth(state, len(widths)),
    )


def _unit(
    inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1
) -> list[nn.Module]:
    return [
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs, eps=1e-3),
    ]


class Inverted(nn.Module):
    """One flat list per block; without `expand` it is the block after the stem."""

    def __init__(self, inputs: int, outputs: int, stride: int, expand: int) -> None:
        super().__init__()
        inner = inputs * expand
        grow = [*_unit(inputs, inner, 1), nn.ReLU6()] if expand > 1 else []
        filter_ = [*_unit(inner, inner, 3, stride, groups=inner), nn.ReLU6()]
        self.f = nn.Sequential(*grow, *filter_, *_unit(inner, outputs, 1))
        self.keeps = expand > 1 and stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        return x + self.f(x) if self.keeps else self.f(x)


STRIDES = [2, 1, 2, 1, 1, 2, 1, 1, 1, 1, 1, 1, 2, 1, 1, 1]


class PlainMobileNet(nn.Module):
    def __init__(self, widths: list[int], last: int, classes: int) -> None:
        super().__init__()
        blocks = [Inverted(8, widths[0], 1, expand=1)]
        for i, stride in enumerate(STRIDES):
            blocks.append(Inverted(widths[i], widths[i + 1], stride, expand=6))
        self.net = nn.ModuleDict(
            {
                "close": nn.Sequential(*_unit(widths[-1], last, 1), nn.ReLU6()),
                "middle": nn.Sequential(*blocks),
                "open": nn.Sequential(*_unit(3, 8, 3, stride=2), nn.ReLU6()),
            }
        )
        self.answer = nn.Linear(last, classes)

    def forward(self, images: Tensor) -> Tensor:
        x = self.net["close"](self.net["middle"](self.net["open"](images)))
        return self.answer(x.mean((2, 3)))


def _mobilenet_truth(state: Mapping[str, Tensor]) -> State:
    units = {"conv_stem.first_conv": "net.open.0 net.open.1", "conv_1x1": "net.close.0 net.close.1"}
    units["conv_stem.conv_3x3"] = "net.middle.0.f.0 net.middle.0.f.1"
    units["conv_stem.reduce_1x1"] = "net.middle.0.f.3 net.middle.0.f.4"
    for i in range(len(STRIDES)):
        block = f"net.middle.{i + 1}.f"
        units[f"layer.{i}.expand_1x1"] = f"{block}.0 {block}.1"
        units[f"layer.{i}.conv_3x3"] = f"{block}.3 {block}.4"
        units[f"layer.{i}.reduce_1x1"] = f"{block}.6 {block}.7"
    places = {"classifier": "answer"}
    for left, right in units.items():
        conv, norm = right.split()
        places[f"mobilenet_v2.{left}.convolution"] = conv
        places[f"mobilenet_v2.{left}.normalization"] = norm
    return moved(state, places)


def mobilenet_v2() -> Pair:
    config = MobileNetV2Config(
        num_labels=5, depth_multiplier=0.2, finegrained_output=False, tf_padding=False
    )
    left = MobileNetV2ForImageClassification(config)
    blocks = left.mobilenet_v2.layer
    widths = [block.reduce_1x1.convolution.out_channels for block in blocks]
    widths = [left.mobilenet_v2.conv_stem.reduce_1x1.convolution.out_channels, *widths]
    last = left.classifier.in_features
    return Pair(
        left=scrambled(left, seed=23),
        right=scrambled(PlainMobileNet(widths, last, 5), seed=24),
        example=(numbers(2, 3, 64, 64, seed=25),),
        truth=_mobilenet_truth,
    )
