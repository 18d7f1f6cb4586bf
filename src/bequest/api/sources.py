"""From what a person passes to sources: models, data, folders and hubs in one list."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, final

import numpy as np

from bequest.core import Card, Model, Source, Task, parameters_of
from bequest.core.feature_cache import FeatureCache
from bequest.core.given import checked_path
from bequest.errors import BequestError, DataError, ModelError, NotApplicable
from bequest.frameworks.folder import load, read_json
from bequest.hub import Hub

__all__ = ["Frozen", "Sources", "as_sources", "opened"]

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


@final
@dataclass(frozen=True, eq=False)
class Frozen:
    """The sources of one run, whose features and outputs are computed once.

    Parameters
    ----------
    cache : FeatureCache
    digests : mapping of str to str
        Of each source's parameters by its name, where it shows them: to see that they stay.
    """

    cache: FeatureCache
    sources: tuple[Source, ...]
    digests: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, cache: FeatureCache, sources: Sequence[Source]) -> Frozen:
        """Let the cache know what computes."""
        frozen = cls(cache, tuple(sources))
        for source in frozen.sources:
            if source.model is not None:
                frozen.digests[source.name] = _digest(source.model)
                for part in source.model.parts():
                    cache.add(part)
        return frozen

    def ask(self, task: Task) -> None:
        """Compute what each source gives for all rows, before anything else does by parts.

        A row's features may differ in the last digit with the batch that it is computed in: so
        they are the same on every executor, whoever asks first.
        """
        with self.cache.used(task):
            for source in self.sources:
                for give in ("features", "output"):
                    try:
                        getattr(source.model, give, lambda _: None)(task.inputs)
                    except BequestError:  # the arms that ask for it say so
                        continue

    def changed(self) -> tuple[str, ...]:
        """A line for each source whose parameters are no longer what they were."""
        now = {s.name: _digest(s.model) for s in self.sources if s.model is not None}
        return tuple(
            f"{name} changed while it was used: its features are those of before."
            for name, digest in now.items()
            if digest != self.digests[name]
        )


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
