"""From what a person passes to sources: models, data, folders and hubs in one list."""

from __future__ import annotations

import hashlib
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from bequest.core import (
    Card,
    Inputs,
    Model,
    Source,
    Task,
    check_time,
    due_in,
    features_of,
    output_of,
    parameters_of,
    time_left,
)
from bequest.core.feature_cache import FeatureCache
from bequest.core.timeout import with_timeout
from bequest.core.validation import validate_path
from bequest.errors import BequestError, DataError, ModelError, NotApplicable, OutOfTime
from bequest.frameworks.files.folder import load, own_part, read_json, with_name
from bequest.frameworks.hugging_face.cache import resolved
from bequest.frameworks.hugging_face.name import HuggingFaceName, is_huggingface_name
from bequest.frameworks.pretrained.catalogue import Pretrained, pretrained_named
from bequest.hub import Hub

__all__ = [
    "Sources",
    "as_sources",
    "ask",
    "digests",
    "expanded",
    "keep",
    "named_apart",
    "opened",
    "seconds_a_row",
]

FIRST = 3  # times as long as all others the first source may take: it brings the libraries in

Pooling = Literal["mean", "first", "last"]
Sources = Hub | Iterable[Source | Model | Task | Hub | Pretrained | str | os.PathLike[str]]


def as_sources(given: Sources, pooling: Pooling | None = None) -> tuple[Source, ...]:
    """Sources under different names; nothing is opened yet.

    Parameters
    ----------
    given : Hub, or iterable of Source, Model, Task, Pretrained, path and Hub
        A path is that of a model folder, or the name of a pretrained source, or of a model on the
        Hugging Face Hub (``hf://org/name@revision``), which is called by the commit that it means
        now; of a hub every model is a source.
    pooling : {"mean", "first", "last"}, optional
        As in `bequest.load`, for all that are paths or names.

    Raises
    ------
    DataError
        Something among them is no source.
    ModelError
        There is no such folder, no pretrained source of that name, or no such model on the Hub.

    Examples
    --------
    >>> task = Task.from_arrays([[0.0], [1.0]], ["a", "b"], name="near")
    >>> [source.name for source in as_sources([task, Source(data=task)])]
    ['near', 'near (2)']
    """
    return named_apart(source for source, _ in expanded(given, pooling))


def expanded(given: Sources, pooling: Pooling | None = None) -> Iterator[tuple[Source, Hub | None]]:
    """Each source, and the hub that it comes from, for what `as_sources` takes."""
    if isinstance(given, Model | Task | Source | Pretrained | str | os.PathLike):
        raise DataError(
            f"sources is a list of models, or a hub, not a {type(given).__name__}: give [it]."
        )
    if not isinstance(given, Iterable | Hub):
        raise DataError(f"sources is a list of models, or a hub, not a {type(given).__name__}.")
    if isinstance(given, Hub):
        return ((source, given) for source in given.sources())
    return (found for one in given for found in _each(one, pooling))


def named_apart(found: Iterable[Source]) -> tuple[Source, ...]:
    """The sources, those of one name under different ones."""
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
    """The sources that could be opened before the deadline, and by name why another was not.

    The first one may take longer. What cannot be read of a hub is one such reason; a folder that a
    person named is an error.
    """
    ready: list[Source] = []
    unread = {}
    for source in sources:
        if ready and time_left() <= 0:
            unread[source.name] = "there was no time to open it."
            continue
        try:
            seconds = time_left() if ready else FIRST * time_left()
            with_timeout(partial(getattr, source, "model"), seconds, "opening it")
        except NotApplicable as error:
            unread[source.name] = error.reason
        except OutOfTime as error:
            unread[source.name] = f"opening it {error.said}."
        else:
            ready.append(source)
    return tuple(ready), unread


def keep(cache: FeatureCache, sources: Iterable[Source]) -> None:
    """Let the cache know what computes: the rows of these sources are kept."""
    for source in sources:
        for part in () if source.model is None else source.model.parts():
            cache.add(part)


def ask(
    cache: FeatureCache,
    sources: Iterable[Source],
    task: Task,
    seconds: float = math.inf,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[dict[str, OutOfTime], dict[str, float]]:
    """Compute what each source gives for all rows, before anything else does by parts.

    A row's features may differ in the last digit with the batch that it is computed in: so they are
    the same on every executor, whoever asks first. What takes longer than `seconds`, for all
    sources together, is given up, and so is a source that takes half of them while others wait.

    Returns
    -------
    dict of str to OutOfTime
        The sources that were given up.
    dict of str to float
        Seconds that each source took for all rows.
    """
    late: dict[str, OutOfTime] = {}
    took: dict[str, float] = {}
    models = {s.name: s.model for s in sources if s.model and s.model.applies(task) is None}
    until = clock() + seconds
    for place, (name, model) in enumerate(models.items()):
        start = clock()
        left = (until - start) / (1 if place == len(models) - 1 else 2)
        try:
            with cache.used(task), due_in(left, clock):
                check_time("asking it")
                with_timeout(partial(_ask, model, task.inputs), left, "what it gives")
        except OutOfTime as reason:
            late[name] = reason
        took[name] = clock() - start
    return late, took


def seconds_a_row(
    sources: Iterable[Source],
    task: Task,
    seconds: float = math.inf,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """What the dearest source takes for one more held-out row; infinite where that took too long.

    Ten rows less two: of a few rows most of the time goes into the call itself.
    """
    rows = np.array([], dtype=int) if task.test is None else np.arange(min(10, len(task.test)))
    if task.test is None or len(rows) < 10:
        return 0.0
    dearest, until = 0.0, clock() + seconds
    for source in sources:
        if source.model is None or source.model.applies(task) is not None:
            continue
        took = []
        for few in (rows[:2], rows):
            start = clock()
            try:
                with due_in(until - start, clock):
                    ask_for = partial(_ask, source.model, task.test.inputs[few])
                    with_timeout(ask_for, until - start, "what it gives")
            except OutOfTime:
                return math.inf
            took.append(clock() - start)
        dearest = max(dearest, (took[1] - took[0]) / 8)
    return dearest


def _ask(model: Model, inputs: Inputs) -> None:
    for give in (features_of, output_of):
        try:
            give(model, inputs)
        except OutOfTime:
            raise
        except BequestError:  # the arms that ask for it say so
            pass


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


def _each(given: Any, pooling: Pooling | None) -> Iterator[tuple[Source, Hub | None]]:
    if isinstance(given, Source):
        yield given, None
    elif isinstance(given, Model):
        yield Source(given), None
    elif isinstance(given, Pretrained):
        yield given.source(), None
    elif isinstance(given, Task):
        yield Source(data=given), None
    elif isinstance(given, Hub):
        yield from ((source, given) for source in given.sources())
    elif is_huggingface_name(given):
        yield _on_the_hub(HuggingFaceName.parse(given), pooling), None
    elif isinstance(given, str | os.PathLike):
        place = validate_path(given, "a model folder", ModelError).expanduser()
        yield _in_folder(with_name(place), pooling), None
    else:
        raise DataError(
            f"a source is a Model, a Task, a Source, a Hub or the path of a model folder, not a "
            f"{type(given).__name__}: bequest.wrap makes one of it."
        )


def _on_the_hub(name: HuggingFaceName, pooling: Pooling | None) -> Source:
    """A model by its name, at the commit that it means now: so the outcome says which it was."""
    pinned = str(resolved(name))
    return Source(partial(load, pinned, pooling=pooling), card=Card(name=pinned), name=pinned)


def _in_folder(place: Path, pooling: Pooling | None) -> Source:
    """A model folder, or one that `bequest transfer` wrote, with the model in it."""
    if not place.exists() and pooling is None:
        return pretrained_named(place).source()
    inside = place / "model"
    if (own_part(inside) / "config.json").is_file() and not (
        own_part(place) / "config.json"
    ).is_file():
        place = inside
    try:
        card = Card.from_dict(read_json(own_part(place) / "card.json"))
    except (OSError, BequestError):  # not one of ours, or damaged: opening it says so
        card = Card(name=place.name)
    return Source(partial(load, place, pooling=pooling), card=card, name=card.name or place.name)
