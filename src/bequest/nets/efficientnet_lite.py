"""EfficientNet-Lite: a network for photos that is small enough for a phone.

N samples, C channels, H and W pixels. Modules are named as the published checkpoints name them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

from torch import Tensor, nn
from torch.nn import functional

__all__ = ["EfficientNetLite"]

LITE0 = (
    # kernel, stride, expansion, channels, repeats
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)


@final
class EfficientNetLite(nn.Module):
    """EfficientNet without squeeze-and-excitation, with ReLU6: sixteen inverted residual blocks.

    Parameters
    ----------
    outputs : int
        Width of the last linear layer.
    channels : int
        C.
    stages : sequence of (kernel, stride, expansion, channels, repeats)
        Default: those of Lite0. Only the first block of a stage has its stride.
    stem, head : int
        Channels of the first convolution, and of the last, whose means are the features.
    dropout : float
        Share of the features that is left out in training.

    References
    ----------
    Tan and Le, EfficientNet, ICML 2019; Liu, Higher accuracy on vision models with
    EfficientNet-Lite, TensorFlow blog 2020; Sandler et al., MobileNetV2, CVPR 2018.

    Examples
    --------
    >>> import torch
    >>> EfficientNetLite(outputs=5).eval()(torch.zeros(2, 3, 64, 64)).shape
    torch.Size([2, 5])
    """

    def __init__(
        self,
        outputs: int,
        channels: int = 3,
        stages: Sequence[Sequence[int]] = LITE0,
        stem: int = 32,
        head: int = 1280,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        self._conv_stem = _Conv(channels, stem, 3, stride=2)
        self._bn0 = _norm(stem)
        blocks: list[nn.Module] = []
        before = stem
        for kernel, stride, expansion, width, repeats in stages:
            for place in range(repeats):
                blocks.append(_Block(before, width, kernel, 1 if place else stride, expansion))
                before = width
        self._blocks = nn.ModuleList(blocks)
        self._conv_head = _Conv(before, head, 1)
        self._bn1 = _norm(head)
        self._dropout = nn.Dropout(dropout)
        self._fc = nn.Linear(head, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Logits or values, shape (N, outputs), of images (N, C, H, W)."""
        maps = functional.relu6(self._bn0(self._conv_stem(x)))
        for block in self._blocks:
            maps = block(maps)
        maps = functional.relu6(self._bn1(self._conv_head(maps)))
        result: Tensor = self._fc(self._dropout(maps.mean(dim=(2, 3))))
        return result


def _norm(width: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(width, eps=1e-3, momentum=0.01)


class _Conv(nn.Conv2d):
    """A convolution padded as TensorFlow's "SAME": the odd pixel is added below and to the right.

    The published weights were trained so; torch's own padding, the same on both sides, shifts each
    map of stride 2 by a pixel.
    """

    def __init__(self, before: int, after: int, kernel: int, **settings: Any) -> None:
        super().__init__(before, after, kernel, bias=False, **settings)

    def forward(self, x: Tensor) -> Tensor:
        down, across = (
            max(0, (-(-side // stride) - 1) * stride + kernel - side)
            for side, stride, kernel in zip(x.shape[2:], self.stride, self.kernel_size, strict=True)
        )
        sides = (across // 2, across - across // 2, down // 2, down - down // 2)
        return super().forward(functional.pad(x, sides))


class _Block(nn.Module):
    """Widen, filter each channel by itself, narrow; the input is carried around where it fits."""

    def __init__(self, before: int, after: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = before * expansion
        self.expands, self.carries = expansion != 1, stride == 1 and before == after
        if self.expands:
            self._expand_conv = _Conv(before, inner, 1)
            self._bn0 = _norm(inner)
        self._depthwise_conv = _Conv(inner, inner, kernel, stride=stride, groups=inner)
        self._bn1 = _norm(inner)
        self._project_conv = _Conv(inner, after, 1)
        self._bn2 = _norm(after)

    def forward(self, x: Tensor) -> Tensor:
        maps = functional.relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        maps = functional.relu6(self._bn1(self._depthwise_conv(maps)))
        narrow: Tensor = self._bn2(self._project_conv(maps))
        return narrow + x if self.carries else narrow
