"""What turns texts and images into the input of a Hugging Face network.

N samples, T tokens, C channels, H and W pixels.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from bequest.core import Inputs
from bequest.errors import DataError, ModelError
from bequest.frameworks.text_encoder import as_texts
from bequest.optional import need

__all__ = ["PADDING", "Pixels", "Tokens"]

Array = NDArray[Any]
PADDING = -1  # where a text has no token any more
LETTERS = 64  # characters a token that are looked at first; nearly all texts need no more
RESAMPLING = {0: "nearest", 2: "bilinear", 3: "bicubic"}  # Pillow's numbers
SIDES = 4096  # pixels; no public model reads larger images


@final
@dataclass(frozen=True)
class Tokens:
    """Texts as token numbers, by a ``tokenizer.json``.

    Parameters
    ----------
    content : str
        The file's text. It names the algorithm and its tables; no code comes from it.
    length : int
        Most tokens of a text.
    filler : int
        Stands for a text without any token.
    special : mapping of str to str
        Text of the padding token and its like, for transformers' own tokenizers.
    side : {"right", "left"}
        Where a longer text is cut.
    prompt : str
        Stands before every text.
    """

    content: str
    length: int
    filler: int = 0
    special: Mapping[str, str] = field(default_factory=dict)
    side: Literal["right", "left"] = "right"
    prompt: str = ""

    @classmethod
    def read(cls, folder: Path, config: Mapping[str, Any]) -> Tokens:
        """The encoder that `to_config` described, its tables from the folder."""
        content = (folder / "tokenizer.json").read_text(encoding="utf-8")
        return cls(
            content,
            int(config["length"]),
            int(config["filler"]),
            dict(config["special"]),
            "left" if config["side"] == "left" else "right",
            str(config["prompt"]),
        )

    def encode(self, inputs: Inputs) -> Array:
        """Int64 (N, T), T that of the longest of these texts; `PADDING` behind the shorter ones."""
        rows = [self._numbers(self.prompt + text) for text in as_texts(inputs)]
        encoded = np.full((len(rows), max(map(len, rows), default=1)), PADDING, dtype=np.int64)
        for row, numbers in zip(encoded, rows, strict=True):
            row[: len(numbers)] = numbers
        return encoded

    @cached_property
    def highest(self) -> int:
        """The largest token number."""
        return max(self._tokenizer.get_vocab(with_added_tokens=False).values(), default=-1)

    def to_config(self) -> dict[str, Any]:
        """Plain values; the tokenizer is named by its content address."""
        digest = hashlib.sha256(self.content.encode()).hexdigest()
        return {
            "encoder": "tokens",
            "tokenizer": digest,
            "length": self.length,
            "filler": self.filler,
            "special": dict(self.special),
            "side": self.side,
            "prompt": self.prompt,
        }

    @property
    def prompt_tokens(self) -> int:
        """Tokens of the prompt, without the special one that would end it."""
        if not self.prompt:
            return 0
        numbers = self._numbers(self.prompt)
        ends = {self._tokenizer.token_to_id(token) for token in self.special.values()}
        return len(numbers) - (numbers[-1] in ends)

    def _numbers(self, text: str) -> list[int]:
        # One by one: in a batch the tokenizer starts threads, which a later fork complains of.
        letters = LETTERS * self.length
        with _translated():
            encoding = self._tokenizer.encode(self._cut(text, letters))
            # what is not cut off has all its tokens before the end of what was looked at
            while letters < len(text) and not encoding.overflowing:
                letters *= 8
                encoding = self._tokenizer.encode(self._cut(text, letters))
        return list(encoding.ids) or [self.filler]

    def _cut(self, text: str, letters: int) -> str:
        return text[:letters] if self.side == "right" else text[-letters:]

    @cached_property
    def _tokenizer(self) -> Any:
        tokenizers = need("tokenizers", extra="hf", purpose="reading a tokenizer.json")
        with _translated():
            tokenizer = tokenizers.Tokenizer.from_str(self.content)
            tokenizer.no_padding()
            tokenizer.enable_truncation(self.length, direction=self.side)
        return tokenizer

    def __getstate__(self) -> dict[str, Any]:
        return {one.name: getattr(self, one.name) for one in fields(self)}


@contextmanager
def _translated() -> Iterator[None]:
    """What goes wrong inside of the tokenizer's library as one line."""
    try:
        yield
    except BaseException as error:
        # The library raises bare Exception, and its panics (pyo3's) are not even that.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        problem = " ".join(str(error).split())[:200]
        raise ModelError(f"the tokenizer.json cannot be read: {problem}.") from error


@final
@dataclass(frozen=True)
class Pixels:
    """Images resized, cut and standardised as a ``preprocessor_config.json`` says.

    Parameters
    ----------
    resize : (int, int), or int
        Height and width; one number is the shorter side, the other follows.
    crop : (int, int) or None
        The middle that is kept.
    mean, scale : tuple of float
        One per channel or one for all, of pixels from 0 to 1.
    resampling : {"nearest", "bilinear", "bicubic"}
    channels : int
        C; grey images fill each of them.
    """

    resize: tuple[int, int] | int
    crop: tuple[int, int] | None
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    resampling: str = "bilinear"
    channels: int = 3

    @classmethod
    def from_preprocessor(cls, values: Mapping[str, Any], channels: int, where: str) -> Pixels:
        """Read a ``preprocessor_config.json``, for a network that reads so many channels."""
        try:
            return cls._read(values, channels)
        except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
            raise ModelError(
                f"{where}/preprocessor_config.json does not say how images are prepared: "
                f"{repr(error)[:200]}."
            ) from error

    @classmethod
    def _read(cls, values: Mapping[str, Any], channels: int) -> Pixels:
        resize = _size(values["size"])
        crop = None
        if "crop_pct" in values:
            # ConvNeXt and its kin: of a larger image the middle; from 384 on it is squeezed
            side = resize if isinstance(resize, int) else resize[0]
            crop = (side, side)
            share = float(values["crop_pct"] or 224 / 256)
            resize = int(side / share) if side < 384 else crop
        if values.get("do_center_crop") and "crop_size" in values:
            kept = _size(values["crop_size"])
            crop = (kept, kept) if isinstance(kept, int) else kept
        if isinstance(resize, int) and crop is None:
            crop = (resize, resize)
        plain = values.get("do_normalize", True) is False
        mean = [0.0] if plain else [float(number) for number in values["image_mean"]]
        scale = [1.0] if plain else [float(number) for number in values["image_std"]]
        # Ours run from 0 to 1, which is what 1/255 makes of bytes.
        unit = 255 * float(values.get("rescale_factor", 1 / 255))
        unit = 255.0 if values.get("do_rescale") is False else unit
        below = 1.0 if values.get("rescale_offset") else 0.0
        return cls(
            resize,
            crop,
            tuple((number + below) / unit for number in mean),
            tuple(number / unit for number in scale),
            RESAMPLING.get(values.get("resample", 2), "bilinear"),
            channels,
        )

    def __post_init__(self) -> None:
        sides = [self.resize] if isinstance(self.resize, int) else [*self.resize]
        sides += [] if self.crop is None else [*self.crop]
        if not all(1 <= side <= SIDES for side in sides):
            raise ValueError(f"{sides} are no sides of an image in pixels, 1 to {SIDES}")
        numbers = (*self.mean, *self.scale)
        if len(self.mean) != len(self.scale) or not all(map(math.isfinite, numbers)):
            raise ValueError("mean and standard deviation differ in length or are no numbers")
        if len(self.mean) not in (1, self.channels) or 0.0 in self.scale:
            raise ValueError(
                f"{len(self.mean)} means for {self.channels} channels, or a standard deviation of 0"
            )

    def encode(self, inputs: Inputs) -> Array:
        """Float32 (N, C, H, W) of the network's size; grey images fill each of its channels."""
        pixels = torch.from_numpy(np.array(inputs, dtype=np.float32))
        if pixels.ndim != 4 or pixels.shape[1] not in (1, self.channels):
            raise DataError(
                f"the model reads images (N, {self.channels}, H, W), these inputs have shape "
                f"{tuple(pixels.shape)}."
            )
        sized = self._cut(self._resized(pixels))
        mean, scale = (torch.tensor(v).reshape(1, -1, 1, 1) for v in (self.mean, self.scale))
        encoded = ((sized - mean) / scale).expand(-1, self.channels, -1, -1)
        return np.ascontiguousarray(encoded.numpy())

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Pixels:
        """The encoder that `to_config` described."""
        resize, crop = config["resize"], config["crop"]
        return cls(
            resize if isinstance(resize, int) else tuple(resize),
            None if crop is None else tuple(crop),
            tuple(config["mean"]),
            tuple(config["scale"]),
            str(config["resampling"]),
            int(config["channels"]),
        )

    def to_preprocessor(self) -> dict[str, Any]:
        """The ``preprocessor_config.json`` that transformers reads."""
        numbers = {name: number for number, name in RESAMPLING.items()}
        kind = "ViTImageProcessor" if self.crop is None else "CLIPImageProcessor"
        values: dict[str, Any] = {
            "image_processor_type": kind,
            "do_resize": True,
            "size": _written(self.resize),
            "resample": numbers[self.resampling],
            "do_rescale": True,
            "rescale_factor": 1 / 255,
            "do_normalize": True,
            "image_mean": list(self.mean),
            "image_std": list(self.scale),
        }
        if self.crop is not None:
            values |= {"do_center_crop": True, "crop_size": _written(self.crop)}
        return values

    def to_config(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "encoder": "pixels",
            "resize": self.resize if isinstance(self.resize, int) else list(self.resize),
            "crop": None if self.crop is None else list(self.crop),
            "mean": list(self.mean),
            "scale": list(self.scale),
            "resampling": self.resampling,
            "channels": self.channels,
        }

    def _resized(self, pixels: torch.Tensor) -> torch.Tensor:
        height, width = pixels.shape[2:]
        if isinstance(self.resize, int):
            factor = self.resize / min(height, width)
            size = (max(1, round(height * factor)), max(1, round(width * factor)))
        else:
            size = self.resize
        if size == (height, width):
            return pixels
        if self.resampling == "nearest":
            return functional.interpolate(pixels, size=size, mode="nearest")
        # as Pillow does it, so that a smaller image is an average and not a sample
        sized = functional.interpolate(
            pixels, size=size, mode=self.resampling, align_corners=False, antialias=True
        )
        return sized.clamp(0.0, 1.0)

    def _cut(self, pixels: torch.Tensor) -> torch.Tensor:
        if self.crop is None:
            return pixels
        height, width = self.crop
        down = max(0, (pixels.shape[2] - height) // 2)
        across = max(0, (pixels.shape[3] - width) // 2)
        kept = pixels[:, :, down : down + height, across : across + width]
        missing = (width - kept.shape[3], height - kept.shape[2])
        return functional.pad(kept, (0, missing[0], 0, missing[1])) if any(missing) else kept


def _written(size: tuple[int, int] | int) -> dict[str, int]:
    if isinstance(size, int):
        return {"shortest_edge": size}
    return {"height": size[0], "width": size[1]}


def _size(value: Any) -> tuple[int, int] | int:
    """Transformers' several ways to write a size: both sides, or the shorter one."""
    if isinstance(value, Mapping):
        if "shortest_edge" in value:
            return int(value["shortest_edge"])
        return int(value["height"]), int(value["width"])
    if isinstance(value, list):
        height, width = value
        return int(height), int(width)
    return int(value), int(value)
