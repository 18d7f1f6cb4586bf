"""From what a person passes to sources: models, data, folders and hubs in one list."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bequest.core import Card, Model, Source, Task, features_of, output_of, parameters_of
from bequest.core.feature_cache import FeatureCache
from bequest.core.given import checked_path
from bequest.errors import BequestError, DataError, ModelError, NotApplicable
from bequest.frameworks.folder import load, read_json
from bequest.hub import Hub

__all__ = ["Sources", "as_sources", "ask", "digests", "keep", "opened"]

Sources = Hub | Iterable[Source | Model | Task | Hub | str | os.PathLike[str]]


def as_sources(given: Sources) -> tuple[Source, ...]:
    """Sources under different names; nothing is opened yet.

    Parameters
    ----------
    given : Hub, or iterable of Source, Model, Task, path and Hub
        A path is that of a model folder; of a hub every model is a source.

    Raises
    ------
    DataError
        Something among them is no source.
    ModelError
        There is no such folder.

    Examples
    --------
    >>> task = Task.from_arrays([[0.0], [1.0]], ["a", "b"], name="near")
    >>> [source.name for source in as_sources([task, Source(data=task)])]
    ['near', 'near (2)']
    """
    if isinstance(given, Model | Task | Source | str | os.PathLike):
        raise DataError(
            f"sources is a list of models, or a hub, not a {type(given).__name__}: give [it]."
        )
    if not isinstance(given, Iterable | Hub):
        raise DataError(f"sources is a list of models, or a hub, not a {type(given).__name__}.")
    found = given.sources() if isinstance(given, Hub) else (s for one in given for s in _each(one))
    seen: dict[str, int] = {}
    named = []
    for source in found:
        title = source.name
        while title in seen:
            seen[source.name] += 1
            title = f"{source.name} ({seen[source.name]})"
        seen[title] = 1
        named.append(source if title == source.name else source.named(title))
    return tuple(named)


def opened(sources: Iterable[Source]) -> tuple[tuple[Source, ...], dict[str, str]]:
    """The sources whose models can be opened, and by name why one does not open, as of a hub."""
    ready, unread = [], {}
    for source in sources:
        try:
            source.model  # noqa: B018 (opens it)
        except NotApplicable as error:
            unread[source.name] = error.reason
        else:
            ready.append(source)
    return tuple(ready), unread


def keep(cache: FeatureCache, sources: Iterable[Source]) -> None:
    """Let the cache know what computes: the rows of these sources are kept."""
    for source in sources:
        for part in () if source.model is None else source.model.parts():
            cache.add(part)


def ask(cache: FeatureCache, sources: Iterable[Source], task: Task) -> None:
    """Compute what each source gives for all rows, before anything else does by parts.

    A row's features may differ in the last digit with the batch that it is computed in: so they are
    the same on every executor, whoever asks first.
    """
    with cache.used(task):
        for model in [source.model for source in sources if source.model is not None]:
            for give in (features_of, output_of):
                with suppress(BequestError):  # the arms that ask for it say so
                    give(model, task.inputs)


def digests(sources: Iterable[Source]) -> dict[str, str]:
    """A hash of each model's parameters by the source's name: to see that they stay."""
    return {source.name: _digest(source.model) for source in sources if source.model is not None}


def _digest(model: Model) -> str:
    """Hash of a model's parameters; empty where it does not show them, or not as arrays."""
    digest = hashlib.sha256()
    try:
        parameters = parameters_of(model)
    except (NotApplicable, RuntimeError, TypeError, ValueError):  # bfloat16, sparse, lazy layers
        return ""
    for name, values in sorted(parameters.items()):
        array = np.ascontiguousarray(values)
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(
            array.view(np.uint8).data if array.dtype.kind != "O" else repr(array).encode()
        )
    return digest.hexdigest() if parameters else ""


def _each(given: Any) -> Iterator[Source]:
    if isinstance(given, Source):
        yield given
    elif isinstance(given, Model):
        yield Source(given)
    elif isinstance(given, Task):
        yield Source(data=given)
    elif isinstance(given, Hub):
        yield from given.sources()
    elif isinstance(given, str | os.PathLike):
        yield _in_folder(checked_path(given, "a model folder", ModelError).expanduser())
    else:
        raise DataError(
            f"a source is a Model, a Task, a Source, a Hub or the path of a model folder, not a "
            f"{type(given).__name__}: bequest.wrap makes one of it."
        )


def _in_folder(place: Path) -> Source:
    """A model folder, or one that `bequest transfer` wrote, with the model in it."""
    if not place.exists():
        raise ModelError(f"there is no model folder {place}.")
    inside = place / "model"
    if (inside / "config.json").is_file() and not (place / "config.json").is_file():
        place = inside
    try:
        card = Card.from_dict(read_json(place / "card.json"))
    except (OSError, BequestError):  # not one of ours, or damaged: opening it says so
        card = Card(name=place.name)
    return Source(partial(load, place), card=card, name=card.name or place.name)
