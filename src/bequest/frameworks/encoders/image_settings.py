"""From what a person says of an image network's inputs to what prepares them.

C channels, H and W pixels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import nn

from bequest.core.plain_values import quoted
from bequest.errors import ModelError
from bequest.frameworks.encoders.pixels import LEVELS, SIDES, Pixels

__all__ = ["channels_of", "check_range", "given_settings", "image_settings"]

BRIGHTEST = 2.0  # of pixels from 0 to 1, with room


def given_settings(settings: Mapping[str, Any]) -> list[str]:
    """The names of those settings that are not None."""
    return [name for name, value in settings.items() if value is not None]


def channels_of(module: nn.Module, example: Any, settings: Sequence[str]) -> int:
    """C: of the example (N, C, H, W), else of the first convolution.

    Raises
    ------
    ModelError
        It is no network of images, which these settings are for.
    """
    shape = None if example is None else tuple(example.shape)
    layers = (layer for layer in module.modules() if isinstance(layer, nn.Conv2d))
    first = next(layers, None)
    if shape is not None and len(shape) == 4:
        return int(shape[1])
    if shape is not None or first is None:
        why = "it has no Conv2d" if shape is None else f"the example has shape {shape}"
        raise ModelError(
            f"{', '.join(settings)}: these are for networks of images, which a "
            f"{type(module).__name__} is not: {why}. Of one without Conv2d give example=images "
            "(N, C, H, W)."
        )
    return first.in_channels


def image_settings(
    channels: int, *, mean: Any = None, std: Any = None, size: Any = None, crop: Any = None
) -> Pixels:
    """Resize, CenterCrop and Normalize of torchvision as an encoder, one of them or all.

    Parameters
    ----------
    channels : int
        C.
    mean, std : float or C floats, optional
        Of pixels from 0 to 1; std above 0.
    size : int or (H, W), optional
        The shorter side, or both; bilinear, with antialiasing.
    crop : int or (H, W), optional
        The middle that is kept, black around it where the image is smaller.

    Raises
    ------
    ModelError
        One of them is impossible.

    Examples
    --------
    >>> image_settings(3, mean=0.5, std=0.5, size=256, crop=224).read_shape
    (3, 256, 256)
    """
    kept = _sides("crop", crop)
    return Pixels(
        _sides("size", size),
        (kept, kept) if isinstance(kept, int) else kept,
        _per_channel("mean", mean, channels, 0.0, -math.inf),
        _per_channel("std", std, channels, 1.0, 0.0),
        channels=channels,
        centre="torchvision",
    )


def check_range(mean: Any, std: Any, example: Any) -> None:
    """Raise where a mean or a deviation is of pixels from 0 to 255, and no example has such."""
    values = [abs(float(v)) for one in (mean, std) if one is not None for v in np.ravel(one)]
    if max(values, default=0.0) <= BRIGHTEST:
        return
    if example is not None and float(np.max(np.abs(np.asarray(example)))) > BRIGHTEST:
        return  # no photos: the network was trained on other numbers
    raise ModelError(
        "pixels run from 0 to 1 here, and mean and std are of levels from 0 to 255: divide both "
        f"by 255 ({_divided('mean', mean)}{_divided('std', 1.0 if std is None else std)[:-2]})."
    )


def _divided(name: str, value: Any) -> str:
    if value is None:
        return ""
    numbers = [f"{float(number) / LEVELS:.4g}" for number in np.ravel(value)]
    return f"{name}={numbers[0] if len(numbers) == 1 else '(' + ', '.join(numbers) + ')'}, "


def _per_channel(
    name: str, value: Any, channels: int, default: float, above: float
) -> tuple[float, ...]:
    """One finite number, or one a channel, each larger than `above`."""
    if value is None:
        return (default,)
    try:
        numbers = tuple(
            float(number) for number in (value if hasattr(value, "__iter__") else [value])
        )
    except (TypeError, ValueError) as error:
        raise ModelError(f"{name} is a number or one a channel, not {quoted(value)}.") from error
    if len(numbers) not in (1, channels):
        raise ModelError(
            f"{name} has {len(numbers)} numbers, the network reads {channels} "
            f"channel{'s' if channels > 1 else ''}: give one, or one a channel."
        )
    if not all(math.isfinite(number) and number > above for number in numbers):
        rule = "finite" if above < 0 else "finite and above 0"
        raise ModelError(f"{name} must be {rule}, not {quoted(value)}.")
    return numbers


def _sides(name: str, value: Any) -> tuple[int, int] | int | None:
    """One side or two, in pixels."""
    if value is None:
        return None
    sides = list(value) if isinstance(value, Sequence) and not isinstance(value, str) else [value]
    whole = all(type(side) is int and 1 <= side <= SIDES for side in sides)
    if not whole or len(sides) not in (1, 2):
        raise ModelError(
            f"{name} is a side in pixels or (height, width), from 1 to {SIDES}, not "
            f"{quoted(value)}."
        )
    return (sides[0], sides[1]) if len(sides) == 2 else sides[0]
