"""What is given for a model folder and is none: a single file, or a folder of timm."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bequest.core.plain_values import quoted
from bequest.errors import ModelError, UnsafeModel
from bequest.frameworks.files.file_formats import PICKLES, other_format

__all__ = ["is_onnx", "is_timm", "single_file", "timm_folder"]

START = 64  # bytes of a file that say what it is
TENSORS = frozenset({".bin", ".ckpt", ".pt", ".pth"})  # of the pickles, those that hold tensors
WEIGHTS = ("model.safetensors", "pytorch_model.bin")  # of a timm folder


def is_onnx(place: Path) -> bool:
    """Whether this is an ONNX file: of all single files the one that is a model by itself."""
    return place.suffix.lower() == ".onnx" and place.is_file()


def single_file(place: Path) -> ModelError:
    """The refusal of a file as a model: what is missing, and the two ways on.

    `UnsafeModel` for what would run code when opened.
    """
    if is_onnx(place):
        return ModelError(f"{place} is a model in one file: a source as it is, and no folder.")
    with place.open("rb") as file:
        start = file.read(START)
    suffix = place.suffix.lower()
    refused = other_format(place, start)
    if suffix in PICKLES - TENSORS:
        return UnsafeModel(
            f"{place} is a pickle: opening it can run code. Load it where you trust it, "
            "wrap it with bequest.wrap and save it as a folder."
        )
    if place.name.endswith(".safetensors.index.json"):
        return ModelError(f"{place} lists tensors. {_ways(place)}")
    if refused is not None:
        return type(refused)(f"{refused} {_ways(place.with_suffix('.safetensors'))}")
    if suffix == ".safetensors" or start[8:9] == b"{":
        return ModelError(f"{place} holds tensors. {_ways(place)}")
    return ModelError(f"{place} is a file, and no model folder.")


def _ways(tensors: Path) -> str:
    return (
        "A source needs a network too: load the tensors into yours and give "
        f"bequest.wrap(network), or see with `bequest map {tensors} FOLDER` what of them fits "
        "a network that you have."
    )


def is_timm(config: Mapping[str, Any]) -> bool:
    """Whether this is the ``config.json`` of a folder of timm."""
    return isinstance(config.get("architecture"), str) and "pretrained_cfg" in config


def timm_folder(place: Path, config: Mapping[str, Any]) -> ModelError:
    """The refusal of a folder of timm, with the lines that load and wrap it."""
    file = next((name for name in WEIGHTS if (place / name).is_file()), WEIGHTS[0])
    outputs = config.get("num_classes")
    count = f", num_classes={outputs}" if type(outputs) is int else ""
    about = config["pretrained_cfg"]
    images = _image_settings(about) if isinstance(about, Mapping) else ""
    return ModelError(
        f"{place} is a folder of timm, which brings torchvision and is no part of bequest. Where "
        f"it is installed: network = timm.create_model({quoted(config['architecture'])}, "
        f"checkpoint_path={str(place / file)!r}{count}), then "
        f"bequest.wrap(network.eval(){images})."
    )


def _image_settings(about: Mapping[str, Any]) -> str:
    """What timm says of a network's images, as arguments of `wrap`."""
    settings = {name: about[name] for name in ("mean", "std") if _is_numbers(about.get(name))}
    size, share = about.get("input_size"), about.get("crop_pct") or 0.875
    known = isinstance(size, list) and len(size) == 3 and _is_numbers([*size, share])
    if isinstance(size, list) and known and 0 < share <= 1:
        settings |= {"size": math.floor(size[2] / share), "crop": int(size[2])}
    return "".join(f", {name}={json.dumps(value)}" for name, value in settings.items())


def _is_numbers(values: Any) -> bool:
    numbers = isinstance(values, list) and 0 < len(values) < 10
    return numbers and all(type(v) in (int, float) and math.isfinite(v) for v in values)
