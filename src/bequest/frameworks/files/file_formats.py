"""What a file is that is not safetensors, from its first bytes: each is refused with a way out."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterable
from pathlib import Path

from bequest.errors import ModelError, UnsafeModel

__all__ = ["PICKLES", "other_format"]

PICKLES = frozenset({".pkl", ".pickle", ".joblib", ".pt", ".pth", ".bin", ".ckpt"})
EXPORTED = "Save the state_dict of the network that it was exported from, as safetensors."
FRAMEWORK = (
    "Load it with the library that wrote it and save its arrays as safetensors: "
    "safetensors.numpy.save_file."
)
SIGNATURES = (
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file, as Keras writes them", FRAMEWORK),
    (b"GGUF", "a GGUF file, whose weights are quantised", "Take the model's safetensors files."),
    (b"version https://git-lfs", "a Git LFS pointer, not the weights", "Fetch them: git lfs pull."),
    (b"\x93NUMPY", "one array without names", "Save it by name: safetensors.numpy.save_file."),
    (b"\x1f\x8b", "compressed (gzip)", "Unpack it first."),
    (b"<", "a web page or XML", "Download the file itself."),
    (b"{", "JSON, not tensors", "Name the .safetensors file."),
)
SUFFIXES = {
    ".onnx": ("an ONNX graph", EXPORTED),
    ".tflite": ("a TensorFlow Lite graph", EXPORTED),
    ".pb": ("a TensorFlow graph", EXPORTED),
    ".h5": ("a Keras file", FRAMEWORK),
    ".msgpack": ("a Flax checkpoint", FRAMEWORK),
}
# ONNX is a protocol buffer: its version (field 1), then the producer's name or another field
ONNX = re.compile(rb"\x08[\x01-\x1f][\x12\x1a\x22\x2a\x32\x3a\x42]", re.S)


def other_format(place: Path, start: bytes) -> ModelError | None:
    """The refusal of a file that begins with the bytes `start`; None where it is unknown.

    `UnsafeModel` for what would run code when opened: pickles and TorchScript archives.

    Examples
    --------
    >>> print(other_format(Path("a.safetensors"), b"GGUF" + bytes(12)))
    a.safetensors is a GGUF file, whose weights are quantised. Take the model's safetensors files.
    """
    if start.startswith(b"PK\x03\x04"):
        return _archive(place)
    for signature, what, way_out in SIGNATURES:
        if start.startswith(signature):
            return _refused(place, what, way_out)
    suffix = place.suffix.lower()
    if suffix in SUFFIXES:
        return _refused(place, *SUFFIXES[suffix])
    if start.startswith(b"\x80") or suffix in PICKLES:
        return _pickle(place)
    return _refused(place, *SUFFIXES[".onnx"]) if ONNX.match(start) else None


def _refused(place: Path, what: str, way_out: str) -> ModelError:
    return ModelError(f"{place} is {what}. {way_out}")


def _pickle(place: Path) -> UnsafeModel:
    return UnsafeModel(
        f"{place} is a pickle: opening it can run code. bequest convert {place} OUT.safetensors "
        "takes its tensors out without running any."
    )


def _archive(place: Path) -> ModelError:
    """Of a zip archive only the list of its parts is read."""
    try:
        with zipfile.ZipFile(place) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError):
        return ModelError(f"{place} is a zip archive that is truncated or damaged: copy it again.")
    if _any(names, r"(.*/)?(constants|bytecode)\.pkl|[^/]+/code/.*"):
        tensors = place.with_suffix(".pth").name
        return UnsafeModel(
            f"{place} is a TorchScript archive, which is a program: nothing of it was run. Where "
            f"you trust it: torch.save(torch.jit.load('{place.name}').state_dict(), '{tensors}'), "
            f"then bequest convert {tensors} OUT.safetensors."
        )
    if _any(names, r"(.*/)?(archive_format|serialized_exported_program\.json)"):
        return _refused(place, "an exported torch program", EXPORTED)
    if _any(names, r"(.*/)?data\.pkl"):
        return _pickle(place)
    if _any(names, r".*\.npy"):
        return _refused(place, "an archive of NumPy arrays", FRAMEWORK)
    if _any(names, r"(.*/)?model\.weights\.h5"):
        return _refused(place, "a Keras file", FRAMEWORK)
    return _refused(place, "a zip archive, not a file of tensors", "Unpack it and name the file.")


def _any(names: Iterable[str], pattern: str) -> bool:
    return any(re.fullmatch(pattern, name) for name in names)
