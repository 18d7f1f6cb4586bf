"""Models inside a model's folder; what several of them hold is stored once.

The folder of an ensemble has ``parts/0``, ``parts/1`` and so on for the models that stand in more
than one place of its members. In each such place there is a folder of the kind ``shared``, which
says the part's number and has a card of its own. A number is no path, so nothing outside of the
folder can be named; and it means a part that was loaded before, so no part can hold itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from bequest.core import Card, Model
from bequest.core.plain_values import quoted
from bequest.errors import ModelError
from bequest.frameworks.files.folder import load, write_folder

__all__ = [
    "check_nesting", "counted", "load_inside", "load_parts", "load_shared", "same_model",
    "save_inside", "save_parts", "shared_models",
]  # fmt: skip

PARTS = "parts"
MOST = 10_000  # models inside of one; references would let a small folder hold any number
DEEPEST = 64  # models inside of each other, each of which asks the next in a call of its own
Key = tuple[Any, ...]


def save_inside(model: Model, folder: Path) -> None:
    """Save a model that another one holds, or a reference where an ensemble stores it once."""
    number = (_SAVED.get() or {}).get(_key(model))
    if number is None:
        return model.save(folder)
    config = {"part": number}
    return write_folder(folder, kind="shared", config=config, card=model.card, write=lambda _: None)


def load_inside(folder: Path, *place: str, modules: Sequence[type] = ()) -> Model:
    """Load the model at a place inside a model folder.

    Raises
    ------
    ModelError
        As `bequest.load`; or a folder on the way is a link, which could lead anywhere.
    """
    inside = folder
    for name in place:
        inside = inside / name
        if inside.is_symlink():
            raise ModelError(f"{inside} is a link: a model folder holds plain files only.")
    return load(inside, modules=modules)


@contextmanager
def save_parts(shared: Sequence[Model], folder: Path) -> Iterator[None]:
    """Store these models under ``parts``; what is saved inside refers to them."""
    if not shared:  # what is saved inside of another ensemble refers to the outer's
        yield
        return
    active = _SAVED.set({_key(model): number for number, model in enumerate(shared)})
    try:
        for number, model in enumerate(shared):
            model.save(folder / PARTS / str(number))
        yield
    finally:
        _SAVED.reset(active)


@contextmanager
def load_parts(folder: Path, count: int, modules: Sequence[type] = ()) -> Iterator[None]:
    """Load the parts of an ensemble, and let what is loaded inside refer to them."""
    if not count and _LOADED.get() is not None:  # one inside of another refers to the outer's
        yield
        return
    loaded: list[Model] = []
    active = _LOADED.set(loaded)
    try:
        for number in range(count):
            loaded.append(load_inside(folder, PARTS, str(number), modules=modules))
        yield
    finally:
        _LOADED.reset(active)


def load_shared(
    folder: Path, config: Mapping[str, Any], card: Card, modules: Sequence[type] = ()
) -> Model:
    """The part that a reference means, under the reference's own card."""
    loaded, number = _LOADED.get(), config["part"]
    if loaded is None:
        raise ModelError(f"{folder} is a part of an ensemble: load the ensemble's folder.")
    if type(number) is not int or not 0 <= number < len(loaded):
        raise ModelError(
            f"{folder} refers to part {quoted(number)}: there are {len(loaded)} before it."
        )
    found = loaded[number]
    return found if found.card == card else found.with_card(card)


def shared_models(models: Sequence[Model]) -> list[Model]:
    """The models that stand in more than one place, each after those that it holds itself.

    None where they are saved inside of another ensemble, which has found and stored these already.
    """
    if _SAVED.get() is not None:
        return []
    seen: dict[Key, Model] = {}
    again: set[Key] = set()

    def look(model: Model) -> None:
        key = _key(model)
        if key in seen:
            again.add(key)  # what it holds is stored with it
            return
        for held in model.inner():
            look(held)
        seen[key] = model

    for model in models:
        look(model)
    return [model for key, model in seen.items() if key in again]


def same_model(one: Model, other: Model) -> bool:
    """Whether two models are the same object, or differ in nothing but their cards.

    Examples
    --------
    >>> from bequest.core import InputSpec
    >>> from bequest.frameworks.combined.function_model import FunctionModel
    >>> model = FunctionModel(len, spec=InputSpec("vector"), classes=(), card=Card(name="a"))
    >>> same_model(model, model.with_card(Card(name="b")))
    True
    """
    return _key(one) == _key(other)


def counted(value: Any, what: str) -> int:
    """A count that stands in a config; `ModelError` where it is not an integer from 0 on."""
    if type(value) is not int or value < 0:
        raise ModelError(f"the config says {quoted(value)} {what}.")
    return value


def check_nesting(model: Model) -> None:
    """Raise `ModelError` where references make a model hold more others than anyone would ask."""
    todo, found = [(model, 0)], 0
    while todo:
        current, depth = todo.pop()
        todo += [(held, depth + 1) for held in current.inner()]
        found += 1
        if found > MOST:
            raise ModelError(f"the ensemble holds more than {MOST:,} models.")
        if depth > DEEPEST:
            raise ModelError(f"the ensemble holds more than {DEEPEST} models inside of each other.")


def _key(value: Any) -> Key:
    """Equal for values that are made of the same objects; cards do not count."""
    if value is None or isinstance(value, str | int | float | bool):
        return (type(value), value)
    if isinstance(value, tuple | list):
        return (type(value), *map(_key, value))
    if isinstance(value, Mapping):
        return (type(value), *((name, _key(item)) for name, item in value.items()))
    if is_dataclass(value) and not isinstance(value, type):
        kept = [field.name for field in fields(value)]
        if isinstance(value, Model):
            kept.remove("card")
        return (type(value), *(_key(getattr(value, name)) for name in kept))
    return (id(value),)


_SAVED: ContextVar[Mapping[Key, int] | None] = ContextVar("saved_parts", default=None)
_LOADED: ContextVar[list[Model] | None] = ContextVar("loaded_parts", default=None)
