"""One image file becomes pixels of a wanted size, or one line that says what is wrong with it.

C channels, H and W pixels.
"""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from bequest.errors import DataError

__all__ = ["DAMAGED", "SUFFIXES", "pixels_of_image", "read_pixels"]

SUFFIXES = frozenset(
    (".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
)
# Only these are tried, whatever the file says it is: some of Pillow's readers start programs.
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
DAMAGED = (
    OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError, struct.error, zlib.error,
)  # fmt: skip
DEEP = 257  # levels of a 16-bit image to one of an 8-bit image


def read_pixels(
    path: Path, content: bytes, size: tuple[int, int], channels: int
) -> NDArray[np.uint8]:
    """Decode an image, turn it upright and resize it: uint8 (C, H, W), the first frame of several.

    The image is stretched to height and width `size`, each pixel the mean of those it covers.
    `channels` is 1 (ITU-R 601 luma) or 3. Transparent pixels lie on white; 16-bit levels are
    brought to 8 bits. `DataError` where the file is damaged, cut short, of another format, or has
    more pixels than ``PIL.Image.MAX_IMAGE_PIXELS``; `path` is for its message.

    Examples
    --------
    >>> file = io.BytesIO()
    >>> Image.new("L", (8, 8), 51).save(file, "png")
    >>> read_pixels(Path("grey.png"), file.getvalue(), (1, 2), 1).tolist()
    [[[51, 51]]]
    """
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            return pixels_of_image(image, size, channels)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(f"{path} is too large: {error}") from error
    except UnidentifiedImageError as error:
        raise DataError(f"{path} is no image, or its first bytes are damaged.") from error
    except DAMAGED as error:
        raise DataError(f"{path} cannot be decoded: {error}.") from error


def pixels_of_image(image: Image.Image, size: tuple[int, int], channels: int) -> NDArray[np.uint8]:
    """An image of Pillow as `read_pixels` gives it; its errors are Pillow's own."""
    _check_amount(image)
    upright = _eight_bits(ImageOps.exif_transpose(image))
    small = upright.convert("L" if channels == 1 else "RGB").resize(
        (size[1], size[0]), Image.Resampling.BILINEAR
    )
    pixels = np.asarray(small, dtype=np.uint8)
    return pixels[None] if channels == 1 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _check_amount(image: Image.Image) -> None:
    # Pillow itself only warns, up to twice its limit.
    amount = image.width * image.height
    if Image.MAX_IMAGE_PIXELS is not None and amount > Image.MAX_IMAGE_PIXELS:
        raise Image.DecompressionBombError(
            f"{amount} pixels, where {Image.MAX_IMAGE_PIXELS} are allowed "
            "(PIL.Image.MAX_IMAGE_PIXELS)."
        )


def _eight_bits(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        levels = np.clip(np.asarray(image, dtype=np.float64), 0, 65535) / DEEP
        return Image.fromarray(np.round(levels).astype(np.uint8))
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers of no known scale")
    if image.mode in ("LA", "PA", "La", "RGBA", "RGBa") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(white, rgba)
    return image
