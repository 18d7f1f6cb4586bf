"""What turns images into the input of a Hugging Face network.

N samples, C channels, H and W pixels.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bequest.core import Inputs
from bequest.core.plain_values import quoted
from bequest.errors import DataError, ModelError

__all__ = ["Pixels"]

Array = NDArray[Any]
Side = tuple[int, int] | int
# Pillow's numbers, which stand in the file
RESAMPLING = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")
SIDES = 4096  # pixels; no public model reads larger images
LEVELS = 255  # of a photo
NEAR = 1e-3  # of a level: how far from whole ones float32 may have moved them
NAME = re.compile(r"(\w{1,40}?)(?:ImageProcessor|FeatureExtractor)(?:Fast|Pil)?")

HALF = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
CLIP = {
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
}
SHORTER = {"shortest_edge": 224}
CROPPED = {"do_center_crop": True, "crop_size": 224}
SQUARE = {"size": 224, "default_to_square": True}
# What each of transformers' processors does where its file says nothing. A processor that is not
# here does more, or does it in another order.
PROCESSORS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "Beit": {**SQUARE, **HALF, "resample": 3, "crop_size": 224},
        "Bit": {"size": SHORTER, **CROPPED, **CLIP, "resample": 3},
        "CLIP": {"size": SHORTER, **CROPPED, **CLIP, "resample": 3},
        "ConvNext": {"size": {"shortest_edge": 384}, **HALF, "resample": 3, "crop_pct": 224 / 256},
        "DeiT": {**SQUARE, "size": 256, **CROPPED, **HALF, "resample": 3},
        "EfficientNet": {
            **SQUARE, "size": 346, "crop_size": 289, **HALF, "resample": 3, "include_top": True,
        },
        "Levit": {"size": SHORTER, **CROPPED, **IMAGENET, "resample": 3},
        "MobileNetV1": {"size": {"shortest_edge": 256}, **CROPPED, **HALF, "resample": 2},
        "MobileNetV2": {"size": {"shortest_edge": 256}, **CROPPED, **HALF, "resample": 2},
        "MobileViT": {
            "size": SHORTER, **CROPPED, "crop_size": 256, "resample": 3,
            "do_flip_channel_order": True,
        },
        "PoolFormer": {"size": SHORTER, **CROPPED, **IMAGENET, "resample": 3, "crop_pct": 0.9},
        "Pvt": {**SQUARE, **IMAGENET, "resample": 3},
        "Segformer": {**SQUARE, "size": 512, **IMAGENET, "resample": 2},
        "Siglip": {"size": {"height": 224, "width": 224}, **HALF, "resample": 3},
        "ViT": {**SQUARE, **HALF, "resample": 2},
    }
)  # fmt: skip
SQUEEZED = 384  # pixels from which on ConvNeXt's images are squeezed and not cut


@final
@dataclass(frozen=True)
class Pixels:
    """Images resized, cut and standardised as a ``preprocessor_config.json`` says.

    Photos of 256 levels are resized by Pillow with its rounding to such levels, as they were for
    the training of nearly all public models; other images keep what lies between levels.

    Parameters
    ----------
    resize : (int, int), int or None
        Height and width; one number is the shorter side, the other follows; None leaves the size.
    crop : (int, int) or None
        The middle that is kept, black around it where the image is smaller.
    mean, scale : tuple of float
        One per channel or one for all, of pixels from 0 to 1.
    resampling : {"nearest", "lanczos", "bilinear", "bicubic", "box", "hamming"}
        Pillow's filter.
    channels : int
        C; grey images fill each of them.
    backwards : bool
        Whether the network reads the channels in reverse: blue, green, red.
    centre : {"transformers", "torchvision"}
        Whose rounding finds the middle where an odd number of pixels is cut off or added.
    """

    resize: Side | None
    crop: tuple[int, int] | None
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    resampling: str = "bilinear"
    channels: int = 3
    backwards: bool = False
    centre: Literal["transformers", "torchvision"] = "transformers"

    @classmethod
    def from_preprocessor(cls, values: Mapping[str, Any], channels: int, where: str) -> Pixels:
        """Read a ``preprocessor_config.json``, for a network that reads so many channels.

        `ModelError` where it names a processor that is not known here, or says what is impossible.
        """
        called = values.get("image_processor_type") or values.get("feature_extractor_type")
        kind = ""
        if called is not None:
            found = NAME.fullmatch(called) if isinstance(called, str) else None
            kind = found[1] if found else ""
            if kind not in PROCESSORS:
                raise ModelError(
                    f"{where}/preprocessor_config.json names the processor {quoted(called)}, which "
                    f"is not known here: known are those of {', '.join(PROCESSORS)}."
                )
        # only the share that is cut may be none, which is not the same as unsaid
        told = {k: value for k, value in values.items() if value is not None or k == "crop_pct"}
        try:
            return cls._read({**PROCESSORS.get(kind, {}), **told}, kind, channels)
        except (KeyError, OverflowError, TypeError, ValueError, ZeroDivisionError) as error:
            raise ModelError(
                f"{where}/preprocessor_config.json does not say how images are prepared: "
                f"{repr(error)[:200]}."
            ) from error

    @classmethod
    def _read(cls, values: Mapping[str, Any], kind: str, channels: int) -> Pixels:
        if values.get("do_pad"):
            raise ValueError("images are padded (do_pad), which is not done here")
        resize, crop = _sides(values, kind)
        normalised = values.get("do_normalize", kind != "MobileViT") and kind != "MobileViT"
        mean = _numbers(values["image_mean"]) if normalised else [0.0]
        scale = _numbers(values["image_std"]) if normalised else [1.0]
        # Ours run from 0 to 1, which is what 1/255 makes of bytes.
        scaled = values.get("do_rescale") is not False
        unit = LEVELS * float(values.get("rescale_factor", 1 / LEVELS)) if scaled else LEVELS
        top = kind in ("", "EfficientNet")
        below = 1.0 if top and scaled and values.get("rescale_offset") else 0.0
        again = _numbers(values["image_std"]) if top and values.get("include_top") else [1.0]
        return cls(
            resize,
            crop,
            tuple((number + below) / unit for number in mean),
            tuple((np.asarray(scale) * np.asarray(again) / unit).tolist()),
            RESAMPLING[_whole(values.get("resample", 2))],
            channels,
            kind in ("", "MobileViT") and bool(values.get("do_flip_channel_order")),
        )

    def __post_init__(self) -> None:
        sides = [self.resize] if isinstance(self.resize, int) else [*(self.resize or ())]
        sides += [] if self.crop is None else [*self.crop]
        if not all(1 <= side <= SIDES for side in sides):
            raise ValueError(f"{sides} are no sides of an image in pixels, 1 to {SIDES}")
        numbers = (*self.mean, *self.scale)
        lengths = {len(self.mean), len(self.scale)} - {1}
        if len(lengths) > 1 or not all(map(math.isfinite, numbers)):
            raise ValueError("mean and standard deviation differ in length or are no numbers")
        if lengths - {self.channels} or 0.0 in self.scale:
            raise ValueError(
                f"{len(self.mean)} means for {self.channels} channels, or a standard deviation of 0"
            )

    @property
    def side(self) -> int:
        """Pixels of the shorter side that the network reads; 0 where it takes what it is given."""
        wanted = self.crop or self.resize or 0
        return wanted if isinstance(wanted, int) else min(wanted)

    def encode(self, inputs: Inputs) -> Array:
        """Float32 (N, C, H, W) of the network's size; grey images fill each of its channels."""
        pixels: Array = np.asarray(inputs, dtype=np.float32)
        if pixels.ndim != 4 or pixels.shape[1] not in (1, self.channels):
            raise DataError(
                f"the model reads images (N, {self.channels}, H, W), these inputs have shape "
                f"{pixels.shape}."
            )
        sized = self._cut(self._resized(pixels))
        if self.backwards:
            sized = sized[:, ::-1]
        mean, scale = (
            np.array(v, dtype=np.float32).reshape(1, -1, 1, 1) for v in (self.mean, self.scale)
        )
        encoded = (sized - mean) / scale
        whole = (len(encoded), self.channels, *encoded.shape[2:])
        return np.array(np.broadcast_to(encoded, whole), dtype=np.float32, order="C")

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Pixels:
        """The encoder that `to_config` described."""
        resize, crop = config["resize"], config["crop"]
        return cls(
            resize if resize is None or isinstance(resize, int) else tuple(resize),
            None if crop is None else tuple(crop),
            tuple(config["mean"]),
            tuple(config["scale"]),
            str(config["resampling"]),
            int(config["channels"]),
            bool(config["backwards"]),
            # of folders that were written before there was a choice
            "torchvision" if config.get("centre") == "torchvision" else "transformers",
        )

    @property
    def read_shape(self) -> tuple[int, int, int] | None:
        """A size of images that fits: C, H and W; None where none is settled on."""
        if self.resize is None and self.crop is None:
            return None
        sides = self.resize or self.crop
        height, width = (sides, sides) if isinstance(sides, int) else sides or (0, 0)
        return self.channels, height, width

    def sizes(self, height: int, width: int) -> tuple[int, int]:
        """What an image of this height and width is resized to."""
        if not isinstance(self.resize, int):
            return self.resize or (height, width)
        longer = int(self.resize * max(height, width) / min(height, width))
        return (longer, self.resize) if height > width else (self.resize, longer)

    def margins(self, length: int, kept: int) -> tuple[int, int, int]:
        """Black pixels before and after an axis, and where the part that is kept then begins."""
        missing, spare = max(0, kept - length), max(0, length - kept)
        if self.centre == "torchvision":
            before, start = missing // 2, round(spare / 2)  # to even, as Python's round does
        else:
            before, start = missing - missing // 2, spare // 2
        return before, missing - before, start

    def to_preprocessor(self) -> dict[str, Any]:
        """The ``preprocessor_config.json`` that transformers reads."""
        kind = "ViT" if self.crop is None else "CLIP"
        values: dict[str, Any] = {
            "image_processor_type": f"{'MobileViT' if self.backwards else kind}ImageProcessor",
            "do_resize": self.resize is not None,
            "resample": RESAMPLING.index(self.resampling),
            "do_rescale": True,
            "rescale_factor": 1 / LEVELS,
            "do_normalize": True,
            "image_mean": [*self.mean] * (self.channels // len(self.mean)),
            "image_std": [*self.scale] * (self.channels // len(self.scale)),
            "do_center_crop": self.crop is not None,
        }
        if self.resize is not None:
            values["size"] = _written(self.resize)
        if self.crop is not None:
            values["crop_size"] = _written(self.crop)
        if self.backwards:
            values["do_flip_channel_order"] = True
        return values

    def to_config(self) -> dict[str, Any]:
        """Plain values."""
        # transformers' rule is not written: addresses of networks that are known stay the same
        centre = {} if self.centre == "transformers" else {"centre": self.centre}
        return {
            **centre,
            "encoder": "pixels",
            "resize": list(self.resize) if isinstance(self.resize, tuple) else self.resize,
            "crop": None if self.crop is None else list(self.crop),
            "mean": list(self.mean),
            "scale": list(self.scale),
            "resampling": self.resampling,
            "channels": self.channels,
            "backwards": self.backwards,
        }

    def _resized(self, pixels: Array) -> Array:
        height, width = pixels.shape[2:]
        size = self.sizes(height, width)
        if size == (height, width):
            return pixels
        if max(size) > 16 * SIDES:
            raise DataError(f"an image of {height} x {width} pixels is too narrow to be resized.")
        kernel = Image.Resampling[self.resampling.upper()]
        sized = np.empty((*pixels.shape[:2], *size), dtype=np.float32)
        for row, image in zip(sized, pixels, strict=True):
            levels = _levels(image)
            if levels is None:
                for channel, given in zip(row, image, strict=True):
                    low, high = min(0.0, given.min()), max(1.0, given.max())
                    channel[:] = _by_pillow(given, size, kernel).clip(low, high)
            else:
                row[:] = _photo_by_pillow(levels, size, kernel)
        return sized

    def _cut(self, pixels: Array) -> Array:
        if self.crop is None:
            return pixels
        for axis, kept in ((2, self.crop[0]), (3, self.crop[1])):
            before, after, start = self.margins(pixels.shape[axis], kept)
            around = [(0, 0)] * 4
            around[axis] = (before, after)
            padded = np.pad(pixels, around) if before + after else pixels
            pixels = np.take(padded, range(start, start + kept), axis=axis)
        return pixels


def _levels(image: Array) -> Array | None:
    """The whole levels of a photo (C, H, W), uint8; None where it lies between them."""
    scaled = image * np.float32(LEVELS)
    if scaled.min() < -NEAR or scaled.max() > LEVELS + NEAR:
        return None
    levels = np.rint(scaled)
    return levels.astype(np.uint8) if np.abs(scaled - levels).max() < NEAR else None


def _photo_by_pillow(levels: Array, size: tuple[int, int], kernel: Image.Resampling) -> Array:
    """A photo of other height and width, float32 from 0 to 1, rounded to whole levels."""
    if len(levels) == 3:  # all three at once take a third of the time
        sized = _by_pillow(levels.transpose(1, 2, 0), size, kernel).transpose(2, 0, 1)
    else:
        sized = np.stack([_by_pillow(channel, size, kernel) for channel in levels])
    return sized.astype(np.float32) / np.float32(LEVELS)


def _by_pillow(image: Array, size: tuple[int, int], kernel: Image.Resampling) -> Array:
    given = Image.fromarray(np.ascontiguousarray(image))
    return np.asarray(given.resize((size[1], size[0]), kernel))


def _sides(values: Mapping[str, Any], kind: str) -> tuple[Side | None, tuple[int, int] | None]:
    """What images are resized to, and what is then kept of them."""
    resize: Side | None = None
    crop = None
    if values.get("do_resize", True):
        resize = _size(values["size"], square=values.get("default_to_square", not kind))
        if kind == "Levit" and isinstance(resize, int):
            resize = int(256 / 224 * resize)
        elif kind == "PoolFormer" and values["crop_pct"] is not None:
            share = float(values["crop_pct"])
            same = isinstance(resize, int) or resize[0] == resize[1]
            side = resize if isinstance(resize, int) else resize[0]
            # both sides where they differ, else the shorter one
            resize = int(side / share) if same else _shared(resize, share)
        elif kind in ("", "ConvNext") and "crop_pct" in values:
            # of a larger image the middle; large ones are squeezed
            side = resize if isinstance(resize, int) else resize[0]
            crop = (side, side)
            share = float(values["crop_pct"] or 224 / 256)
            resize = int(side / share) if side < SQUEEZED else crop
    if values.get("do_center_crop") and "crop_size" in values:
        kept = _size(values["crop_size"], square=True)
        crop = (kept, kept) if isinstance(kept, int) else kept
    return resize, crop


def _shared(size: Any, share: float) -> tuple[int, int]:
    return int(size[0] / share), int(size[1] / share)


def _numbers(value: Any) -> list[float]:
    return [float(number) for number in value] if isinstance(value, list) else [float(value)]


def _whole(value: Any) -> int:
    if type(value) is not int or not 0 <= value < len(RESAMPLING):
        raise ValueError(f"{quoted(value)} is no filter: 0 to {len(RESAMPLING) - 1}")
    return value


def _written(size: Side) -> dict[str, int]:
    if isinstance(size, int):
        return {"shortest_edge": size}
    return {"height": size[0], "width": size[1]}


def _size(value: Any, *, square: bool) -> Side:
    """Transformers' several ways to write a size: both sides, or the shorter one."""
    if isinstance(value, Mapping):
        if set(value) == {"shortest_edge"}:
            return int(value["shortest_edge"])
        if set(value) == {"height", "width"}:
            return int(value["height"]), int(value["width"])
        raise ValueError(f"the size {quoted(dict(value), 90)}: shortest_edge, or height and width")
    if isinstance(value, list):
        height, width = value
        return int(height), int(width)
    return (int(value), int(value)) if square else int(value)
