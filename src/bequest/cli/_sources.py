"""From --source and --hub to sources."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, final

from cyclopts import CycloptsError, Parameter

import bequest as bq
from bequest.api.sources import Pooling, as_sources, opened
from bequest.cli._early import check_source
from bequest.cli._paths import is_model
from bequest.core.modality import WAYS_ON
from bequest.errors import BequestError, NotApplicable
from bequest.frameworks.encoders.pixels import Pixels

__all__ = [
    "SOURCES",
    "SourceOptions",
    "check_readable",
    "check_sources",
    "image_side",
    "model_folder",
    "read_sources",
]


@final
@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class SourceOptions:
    """Where the sources come from; one of the two is needed."""

    source: Annotated[tuple[Path, ...], Parameter(show_default=False)] = ()
    """A model folder, an .onnx file, a pretrained source by name, or hf://ORG/NAME; may be given
    several times."""

    hub: Annotated[str | None, Parameter(metavar="PLACE")] = None
    """A hub (folder or address), every model of which is a source."""

    pooling: Annotated[Pooling | None, Parameter(show_default=False)] = None
    """For each --source, a network of texts without a head: which of its last hidden states are
    the features, the mean of all tokens or the first or last token's."""


SOURCES = SourceOptions()


def check_sources(options: SourceOptions) -> None:
    """Raise, before anything is read, where no source is named or one is not there."""
    if not options.source and options.hub is None:
        raise CycloptsError(msg="No source: give --source FOLDER or --hub PLACE.")
    for folder in options.source:
        check_source(folder)
    if options.pooling is not None and not options.source:
        raise CycloptsError(msg="--pooling goes with --source.")
    if options.hub is not None:
        bq.Hub(options.hub).check()


def check_readable(sources: Sequence[bq.Source | bq.Hub], task: bq.Task) -> None:
    """Raise where no named source reads the task, and there is a way to make one read it.

    Otherwise a person who forgot an option would get a model from scratch.
    """
    if any(isinstance(source, bq.Hub) for source in sources):
        return
    ready, _ = opened(source for source in sources if isinstance(source, bq.Source))
    models = [source.model for source in ready if source.model is not None]
    refused = {model.name: model.applies(task) for model in models}
    curable = [m.name for m in models if (m.spec.modality, task.modality) in WAYS_ON]
    if curable and all(refused.values()):
        raise NotApplicable(f"{curable[0]} cannot be used: {refused[curable[0]]}")


def read_sources(options: SourceOptions) -> list[bq.Source | bq.Hub]:
    """What is named, and the hub; what is in them is opened when it is needed."""
    hubs = [] if options.hub is None else [bq.Hub(options.hub)]
    return [*as_sources(options.source, options.pooling), *hubs]


def image_side(sources: Sequence[bq.Source | bq.Hub]) -> int | None:
    """Pixels a side that the largest of the sources named reads; None where none reads images."""
    return max(filter(None, map(_side, sources)), default=None)


def _side(source: bq.Source | bq.Hub) -> int | None:
    if isinstance(source, bq.Hub):
        return None
    try:
        model = source.model
    except BequestError:  # told where it is used
        return None
    if isinstance(reader := getattr(model, "encoder", None), Pixels):
        return reader.side
    shape = () if model is None or model.spec.modality != "image" else model.spec.shape or ()
    return shape[-1] if shape else None


def model_folder(folder: Path) -> Path:
    """The folder itself, or the model in it where it is what `transfer` left."""
    place = folder.expanduser()
    return place / "model" if is_model(place / "model") and not is_model(place) else place
