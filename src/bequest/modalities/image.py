"""Images: N samples of C channels, H by W pixels, in memory or read from their files.

N samples, C channels, H and W pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from bequest.core.modality import Inputs, InputSpec, Modality, dense, digests
from bequest.data.images import ANY_SIZE, photos
from bequest.data.near_duplicates import image_fingerprints
from bequest.frameworks.encoders.unit_rows import averaged_down
from bequest.modalities.vector import array_digests, blocks, directions, float_array

__all__ = ["IMAGE", "Image"]

Array = NDArray[Any]
GRID = 8  # in the common space an image is 8 × 8 means a channel


@final
class Image(Modality):
    """Arrays of shape (N, C, H, W), and folders of images."""

    name = "image"
    encoder = "scaler"
    networks = ("resnet", "svm", "linear")
    default_network = "resnet"
    augmentations = ("shift", "flip")

    def recognise(self, samples: Any) -> Inputs | None:
        """Float32 pixels, or `samples` themselves where they are read lazily."""
        if len(getattr(samples, "shape", ())) != 4:
            return None
        return samples if hasattr(samples, "read_rows") else float_array(samples)

    def read_files(self, samples: Any, spec: InputSpec) -> Any:
        """Photos of paths and of Pillow, in the size of the model; other samples as they are.

        A model that takes any size is given 224 by 224 pixels.
        """
        return photos(samples, spec.shape or ANY_SIZE)

    def holds(self, inputs: Inputs) -> bool:
        """Whether they have four dimensions."""
        return len(getattr(inputs, "shape", ())) == 4

    def vectors(self, inputs: Inputs) -> Array:
        """Of the images averaged down, each channel standardised."""
        small = averaged_down(np.asarray(inputs, dtype=np.float32))
        return dense(self.fit_encoder(small), small).astype(np.float64)

    def row_digests(self, inputs: Any) -> Array:
        """Of the pixels' bytes; of a folder's images, of each file and the size it is read in."""
        if hasattr(inputs, "file_digests"):
            size = inputs.shape[1:]
            return digests(f"{size}{digest}".encode() for digest in inputs.file_digests)
        return array_digests(inputs)

    def fingerprints(self, inputs: Inputs) -> NDArray[np.uint64]:
        """Of the grey image's 8 × 8 means."""
        return image_fingerprints(inputs)

    def points(self, inputs: Inputs, direction: Callable[[str], Array]) -> Array:
        """8 × 8 means a channel, after division by the image's own largest number."""
        return np.concatenate([_points(block, direction) for block in blocks(inputs)])


def _points(images: Array, direction: Callable[[str], Array]) -> Array:
    largest = np.abs(images.astype(float)).max(axis=(1, 2, 3), keepdims=True)
    scaled = images / np.where(largest > 0, largest, 1.0)
    small = _block_means(_block_means(scaled, 2), 3)
    names = [f"pixel {place}" for place in np.ndindex(*small.shape[1:])]
    return np.asarray(small.reshape(len(small), -1) @ directions(names, direction) * 4)


def _block_means(images: Array, axis: int) -> Array:
    """Eight means along an axis; where it is shorter, pixels are repeated."""
    length = images.shape[axis]
    if length < GRID:
        return np.asarray(np.take(images, np.arange(GRID) * length // GRID, axis=axis))
    starts = np.arange(GRID) * length // GRID
    widths: Array = np.diff(np.append(starts, length))
    shape = [1] * images.ndim
    shape[axis] = GRID
    means: Array = np.add.reduceat(images, starts, axis=axis) / widths.reshape(shape)
    return means


IMAGE = Image()
