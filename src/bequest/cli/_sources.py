"""From --source and --hub to models."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, final

from cyclopts import CycloptsError, Parameter

import bequest as bq
from bequest.api.verbs import models_of
from bequest.cli._places import is_model
from bequest.cli._say import note
from bequest.core import Model
from bequest.errors import ModelError

__all__ = ["SourceOptions", "check_sources", "model_folder", "read_sources"]


@final
@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class SourceOptions:
    """Where the sources come from; one of the two is needed."""

    source: Annotated[tuple[Path, ...], Parameter(show_default=False)] = ()
    """A model folder; may be given several times."""

    hub: Annotated[str | None, Parameter(metavar="PLACE")] = None
    """A hub (folder or address), every model of which is a source."""


def check_sources(options: SourceOptions) -> None:
    """Raise, before anything is read, where no source is named or one is not there."""
    if not options.source and options.hub is None:
        raise CycloptsError(msg="No source: give --source FOLDER or --hub PLACE.")
    for folder in options.source:
        if not folder.expanduser().exists():
            raise ModelError(f"there is no model folder {folder}.")
    if options.hub is not None:
        bq.Hub(options.hub).check()


def read_sources(options: SourceOptions) -> list[Model] | bq.Hub:
    """Load the sources, or name the hub that holds them."""
    models = [bq.load(model_folder(folder)) for folder in options.source]
    if options.hub is None:
        return models
    hub = bq.Hub(options.hub)
    if not models:
        return hub
    published, unread = models_of(hub)
    for remark in unread:
        note(remark)
    return [*models, *published]


def model_folder(folder: Path) -> Path:
    """The folder itself, or the model in it where it is what `transfer` left."""
    place = folder.expanduser()
    return place / "model" if is_model(place / "model") and not is_model(place) else place
