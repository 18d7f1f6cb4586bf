"""A folder of class folders becomes a task whose pixels are read when they are needed.

N images, C channels, H and W pixels.
"""

from __future__ import annotations

import hashlib
import logging
import math
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bequest.core.inputs import fingerprint
from bequest.core.task import Task
from bequest.core.validation import as_text, validate_path
from bequest.core.wording import pluralise
from bequest.data.arrays import made_task, with_held_out
from bequest.data.labels import encode_known, read_labels
from bequest.data.pixels import SUFFIXES, pixels_of_image, read_pixels
from bequest.errors import DataError

__all__ = ["ANY_SIZE", "CACHE_BYTES", "ImageFolder", "photos", "task_from_images"]

CACHE_BYTES = 512 * 2**20  # decoded pixels kept in memory, per folder that was loaded
IN_MEMORY = ("pixels", "known")  # what stays where it is when a folder goes to another process
ANY_SIZE = (3, 224, 224)  # for networks that make images as large as they want them
SHOWN = 3  # broken files that are named
THREADS = min(8, os.cpu_count() or 1)  # Pillow decodes without holding the interpreter

logger = logging.getLogger(__name__)


@final
class ImageFolder:
    """Images of one size, decoded from their files when they are needed.

    Every file is decoded once when the folder is loaded, so that a damaged one is known before
    anything is trained. Of what was decoded, the first 512 MB (`CACHE_BYTES`; 43,000 colour images
    of 64 × 64) stay in memory, as bytes, shared by all subsets; the others are decoded anew
    whenever they are read.

    Parameters
    ----------
    paths : sequence of path
        N image files.
    size : (int, int)
        Height and width that every image is resized to.
    channels : {1, 3}
        Grey or colour.
    skip_broken : bool
        Leave out files that cannot be decoded whole, with a line in the log; else they are refused.

    Raises
    ------
    DataError
        Files cannot be decoded whole: how many, and the first three; or none can.

    Examples
    --------
    >>> import tempfile
    >>> from PIL import Image
    >>> path = Path(tempfile.mkdtemp()) / "white.png"
    >>> Image.new("RGB", (5, 4), "white").save(path)
    >>> images = ImageFolder([path, path], size=(2, 3))
    >>> images.shape, float(images[[1]].read_rows().min())
    ((2, 3, 2, 3), 1.0)
    """

    __slots__ = ("_rows", "_shared")

    def __init__(
        self,
        paths: Sequence[Path],
        *,
        size: tuple[int, int],
        channels: int = 3,
        skip_broken: bool = False,
    ) -> None:
        self._shared = _Shared(tuple(paths), size, channels)
        broken = [read for read in self._shared.digests if isinstance(read, DataError)]
        if broken and (not skip_broken or len(broken) == len(paths)):
            raise DataError(
                f"{_counted(broken, len(paths))} Replace or remove them"
                f"{'' if skip_broken else ', or leave them out: skip_broken=True, --skip-broken'}."
            )
        if broken:
            logger.warning("Left out: %s", _counted(broken, len(paths)))
        sound = [isinstance(read, str) for read in self._shared.digests]
        self._rows = np.flatnonzero(np.array(sound, dtype=bool))

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, C, H, W)."""
        return (len(self), self._shared.channels, *self._shared.size)

    @property
    def rows(self) -> NDArray[np.int64]:
        """Places of these images among the files that were given."""
        return self._rows

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files, in order."""
        return tuple(self._shared.paths[row] for row in self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, rows: Any) -> ImageFolder:
        """The images of these rows (a slice, numbers or a mask), still to be read."""
        taken = ImageFolder.__new__(ImageFolder)
        taken._shared = self._shared
        taken._rows = np.atleast_1d(self._rows[rows])
        return taken

    def read_rows(self) -> NDArray[np.float32]:
        """All pixels, shape (N, C, H, W), from 0 to 1."""
        return self._shared.read(self._rows)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return self.read_rows().astype(dtype or np.float32, copy=False)

    @property
    def file_digests(self) -> list[str]:
        """The sha256 of each file, N times 64 hex digits, known without decoding one again."""
        return [str(self._shared.digests[row]) for row in self._rows]

    def content_digest(self) -> str:
        """Content address of the files and of the size that they are read in."""
        return fingerprint(self.shape, "".join(self.file_digests))

    def __repr__(self) -> str:
        n, c, h, w = self.shape
        return f"ImageFolder({n} images, {c} × {h} × {w})"


class _Shared:
    """What all subsets of a folder share: the files, their digests, the pixels in memory."""

    def __init__(self, paths: tuple[Path, ...], size: tuple[int, int], channels: int) -> None:
        self.paths, self.size, self.channels = paths, size, channels
        self.pixels, self.known = self._memory()
        with ThreadPoolExecutor(THREADS) as pool:
            self.digests = list(pool.map(self._verify, range(len(paths))))

    def _verify(self, row: int) -> str | DataError:
        try:
            pixels, content = self._decode(row)
        except DataError as error:  # all that are broken are told at once
            return error
        self._keep(row, pixels)
        return hashlib.sha256(content).hexdigest()

    def _memory(self) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Room for the first images, and which of them are there; what is not used takes none."""
        kept = min(len(self.paths), CACHE_BYTES // (self.channels * math.prod(self.size)))
        pixels = np.empty((kept, self.channels, *self.size), dtype=np.uint8)
        return pixels, np.zeros(len(self.paths), dtype=bool)

    def __getstate__(self) -> dict[str, Any]:
        # Another process decodes what it needs: the files travel faster than their pixels.
        return {name: value for name, value in vars(self).items() if name not in IN_MEMORY}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self.pixels, self.known = self._memory()

    def _keep(self, row: int, pixels: NDArray[np.uint8]) -> None:
        if row < len(self.pixels):
            self.pixels[row] = pixels
            self.known[row] = True

    def _decode(self, row: int) -> tuple[NDArray[np.uint8], bytes]:
        path = self.paths[row]
        try:
            content = path.read_bytes()
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror}.") from error
        return read_pixels(path, content, self.size, self.channels), content

    def read(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Pixels of these rows, from memory or from the files."""
        block = np.empty((len(rows), self.channels, *self.size), dtype=np.float32)
        known = self.known[rows]
        block[known] = self.pixels[rows[known]]
        for place in np.flatnonzero(~known):
            pixels = self._decode(int(rows[place]))[0]
            block[place] = pixels
            self._keep(int(rows[place]), pixels)
        block /= 255.0
        return block


def _counted(broken: Sequence[DataError], files: int) -> str:
    """How many of the files cannot be read, and what is wrong with the first ones."""
    said = "; ".join(str(error).rstrip(".") for error in broken[:SHOWN])
    more = f"; and {len(broken) - SHOWN} more" if len(broken) > SHOWN else ""
    return f"{len(broken)} of {pluralise(files, 'image')} cannot be read: {said}{more}."


def photos(samples: Any, shape: tuple[int, ...]) -> Any:
    """Image files, or images of Pillow, as a model of images (C, H, W) reads them.

    Parameters
    ----------
    samples : path, or list or array of paths and Pillow's images
        Anything else is given back as it is.
    shape : (C, H, W)

    Returns
    -------
    ImageFolder or float32 array, shape (N, C, H, W)

    Raises
    ------
    DataError
        A file cannot be read, is a folder, or the model has other than 1 or 3 channels.

    Examples
    --------
    >>> from PIL import Image
    >>> photos([Image.new("L", (9, 9), 255)], (3, 2, 2)).shape
    (1, 3, 2, 2)
    """
    if isinstance(samples, str | os.PathLike):
        samples = [samples]
    listed = isinstance(samples, list | tuple) or getattr(samples, "ndim", 0) == 1
    given = list(samples) if listed else []
    if not given or not all(isinstance(one, str | os.PathLike | Image.Image) for one in given):
        return samples
    channels, height, width = shape
    if channels not in (1, 3):
        raise DataError(f"the model reads images of {channels} channels, photos have 1 or 3.")
    paths = [None if isinstance(one, Image.Image) else Path(one).expanduser() for one in given]
    files = [path for path in paths if path is not None]
    for path in files:
        if path.is_dir():
            raise DataError(
                f"{path} is a folder: give its files, such as sorted(Path(folder).glob('*.jpg'))."
            )
    read = ImageFolder(files, size=(height, width), channels=channels) if files else None
    if read is not None and len(files) == len(given):
        return read
    rows = iter(() if read is None else read.read_rows())
    every = [
        _of_pillow(one, shape) if path is None else next(rows)
        for one, path in zip(given, paths, strict=True)
    ]
    return np.stack(every)


def _of_pillow(image: Image.Image, shape: tuple[int, ...]) -> NDArray[np.float32]:
    channels, height, width = shape
    try:
        pixels = pixels_of_image(image, (height, width), channels)
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"an image of Pillow cannot be read: {error}.") from error
    return pixels.astype(np.float32) / np.float32(255)


def task_from_images(
    folder: str | Path,
    *,
    size: int | tuple[int, int] = 64,
    channels: int = 3,
    metric: str | None = None,
    skip_broken: bool = False,
    unlabelled: str | Path | None = None,
    test: str | Path | None = None,
    name: str | None = None,
) -> Task:
    """Read a folder with one sub-folder per class; see `bequest.Task.from_images`.

    Sub-folders are searched to any depth. Hidden files are passed over; so are files that end in
    no known image suffix, which are counted in the log. A link that leads out of the folder is an
    error. Images turned by their camera are turned upright; transparent ones lie on white.
    """
    sides = _checked_size(size, channels)
    read = partial(ImageFolder, size=sides, channels=channels, skip_broken=skip_broken)
    place = validate_path(folder, "a folder of images").expanduser()
    images, names = _with_classes(read, place)
    labels = read_labels(names, kind="classification")
    further = None
    if unlabelled is not None:
        root = validate_path(unlabelled, "unlabelled").expanduser()
        further = read(_all_images(root))
    name = name or as_text(place.resolve().name)
    task = made_task(images, labels, {}, further, kind=None, metric=metric, name=name)
    if test is None:
        return task
    held, held_names = _with_classes(read, validate_path(test, "test").expanduser())
    targets = encode_known(held_names, "classification", task.classes)
    return with_held_out(task, held, targets, {})


def _with_classes(
    read: Callable[[Sequence[Path]], ImageFolder], folder: Path
) -> tuple[ImageFolder, list[str]]:
    """The images of class folders, and the class of each; every class has one that can be read."""
    paths, names = _class_files(folder)
    images = read(paths)
    kept = [names[row] for row in images.rows]
    if lost := [name for name in dict.fromkeys(names) if name not in set(kept)]:
        raise DataError(f"the class folder {folder / lost[0]} holds no image that can be read.")
    return images, kept


def _all_images(folder: Path) -> list[Path]:
    """Images at any depth of a folder, by path."""
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}.")
    images, others = _told(folder, folder)
    if not images:
        raise DataError(f"{folder} holds no images ({others} other files).")
    return images


def _told(place: Path, root: Path) -> tuple[list[Path], int]:
    """Images at any depth of a folder, by path, and how many other files are there."""
    found = sorted(_files(place, root.resolve()))
    images = [path for path in found if path.suffix.lower() in SUFFIXES]
    return images, len(found) - len(images)


def _checked_size(size: int | tuple[int, int], channels: int) -> tuple[int, int]:
    sides = (size, size) if isinstance(size, int | np.integer) else size
    if not isinstance(sides, tuple | list) or len(sides) != 2:
        raise DataError(f"size is a number of pixels, or (height, width), not {size!r}.")
    sound = all(isinstance(side, int | np.integer) and side >= 1 for side in sides)
    if not sound or channels not in (1, 3):
        raise DataError(
            f"size {size} and channels {channels}: a size is one pixel at least, channels 1 or 3."
        )
    return int(sides[0]), int(sides[1])


def _class_files(folder: Path) -> tuple[list[Path], list[str]]:
    """Image files and the class of each, by class and path."""
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}.")
    classes = sorted(path for path in folder.iterdir() if path.is_dir() and not _hidden(path))
    if not classes:
        raise DataError(
            f"{folder} has no sub-folders: put the images of each class into one named after it."
        )
    files, names = [], []
    others = sum(path.is_file() and not _hidden(path) for path in folder.iterdir())
    for place in classes:
        images, strange = _told(place, folder)
        others += strange
        if as_text(place.name) != place.name:
            raise DataError(
                f"the class folder {as_text(str(place))} has a name that is no UTF-8 text: give it "
                "another one, for it is the label that is predicted."
            )
        if not images:
            raise DataError(
                f"the class folder {place} holds no images ({strange} other files). Known are "
                f"{', '.join(sorted(SUFFIXES))}."
            )
        files += images
        names += [place.name] * len(images)
    if others:
        logger.warning("%s: %d files are no images of a class and are left out.", folder, others)
    return files, names


def _files(place: Path, root: Path) -> Iterator[Path]:
    _refuse_outside(place, root)
    for parent, folders, files in os.walk(place, onerror=_unreadable):
        folders[:] = [name for name in folders if not _hidden(Path(name))]
        for name in files:
            path = Path(parent, name)
            if not _hidden(path):
                _refuse_outside(path, root)
                yield path


def _unreadable(error: OSError) -> None:
    raise DataError(f"{error.filename} cannot be read: {error.strerror}.") from error


def _refuse_outside(path: Path, root: Path) -> None:
    if not path.is_symlink():
        return
    try:
        leads_to = path.resolve(strict=True)
    except (OSError, RuntimeError) as error:  # the latter for a loop, before Python 3.13
        raise DataError(f"{path} is a link that leads nowhere: remove it.") from error
    if not leads_to.is_relative_to(root):
        raise DataError(f"{path} is a link that leads out of the folder: copy what it points to.")
    if path.absolute().is_relative_to(leads_to) or root.is_relative_to(leads_to):
        raise DataError(f"{path} is a link to a folder that it stands in: remove it.")


def _hidden(path: Path) -> bool:
    return path.name.startswith((".", "__MACOSX"))
