"""A registry is a table from names to things, some of them not imported yet."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points
from typing import Any, Generic, TypeVar, final

from bequest.core.plain_values import quoted
from bequest.errors import BadPlugin, BequestError, DuplicateName, UnknownName

__all__ = ["Registry", "additions", "install"]

T = TypeVar("T")
_REGISTRIES: dict[str, Registry[Any]] = {}  # by group: those of this process
_WAITING: dict[str, dict[str, Any]] = {}  # by group: what one gets that is not there yet


@final
class Registry(Mapping[str, T], Generic[T]):
    """Names and what they stand for; a plug-in adds its own by entry point.

    Parameters
    ----------
    kind : str
        What is registered, in the singular, for the error messages: ``"method"``.
    entries : mapping of str to str
        Name to ``"module:attribute"``, imported when first asked for.
    group : str
        Entry-point group in which third parties add theirs; read on the first miss.
    of : type, optional
        What every value must be an instance of.
    classes : bool
        Whether the values are subclasses of `of` in place of instances.

    Examples
    --------
    >>> shelf = Registry("encoder", {"json": "json:dumps"}, group="bequest.examples")
    >>> shelf["json"]([1])
    '[1]'
    >>> shelf["jsno"]
    Traceback (most recent call last):
        ...
    bequest.errors.UnknownName: no encoder named 'jsno'. Did you mean 'json'? Known: json.
    """

    def __init__(
        self,
        kind: str,
        entries: Mapping[str, str],
        *,
        group: str,
        of: type = object,
        classes: bool = False,
    ) -> None:
        self._kind = kind
        self._group = group
        self._of, self._classes = of, classes
        self._entries: dict[str, T | str] = dict(entries)
        self._plugins_loaded = False
        self._added: dict[str, T] = {}
        _REGISTRIES[group] = self
        self._entries.update(_WAITING.pop(group, {}))

    def add(self, name: str, value: T) -> None:
        """Register `value`: `DuplicateName` where `name` is taken, `BadPlugin` where unsuitable."""
        if name in self._entries:
            raise DuplicateName(f"a {self._kind} named {name!r} is registered already.")
        self._entries[name] = self._added[name] = self._checked(name, value)

    def __getitem__(self, name: str) -> T:
        if not isinstance(name, str):
            raise self._unknown(repr(name))
        if name not in self._entries:
            self._load_plugins()
        if name not in self._entries:
            raise self._unknown(name)
        entry = self._entries[name]
        if isinstance(entry, str):
            entry = self._checked(name, self._loaded(name, entry))
            self._entries[name] = entry
        return entry

    def _loaded(self, name: str, entry: str) -> T:
        module, _, attribute = entry.partition(":")
        try:
            value: T = getattr(importlib.import_module(module), attribute)
        except BequestError:
            raise
        except Exception as error:  # a plug-in may fail in any way; the line must name it
            what = f"the {self._kind} {name!r} cannot be loaded from {entry}"
            raise BadPlugin(f"{what}: {quoted(error, 200)}.") from error
        return value

    def _checked(self, name: str, value: T) -> T:
        suits = isinstance(value, type) and issubclass(value, self._of)
        if not (suits if self._classes else isinstance(value, self._of)):
            what = "a subclass" if self._classes else "an object of a subclass"
            raise BadPlugin(
                f"the {self._kind} {name!r} must be {what} of {self._of.__module__}."
                f"{self._of.__name__}, this is {quoted(value, 100)}."
            )
        missing = getattr(value, "__abstractmethods__", None) if isinstance(value, type) else None
        if missing:
            raise BadPlugin(f"the {self._kind} {name!r} lacks {', '.join(sorted(missing))}.")
        own = getattr(value, "name", name)
        if self._of is not object and own != name:
            raise BadPlugin(f"the {self._kind} {name!r} calls itself {own!r}: use one name.")
        return value

    def __contains__(self, name: object) -> bool:
        if name not in self._entries:
            self._load_plugins()
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        self._load_plugins()
        return iter(self._entries)

    def __len__(self) -> int:
        self._load_plugins()
        return len(self._entries)

    def _load_plugins(self) -> None:
        if self._plugins_loaded:
            return
        self._plugins_loaded = True
        for point in entry_points(group=self._group):
            if point.name in self._entries:
                raise DuplicateName(
                    f"{point.value} registers a {self._kind} named {point.name!r}, which is taken."
                )
            self._entries[point.name] = point.value

    def _unknown(self, name: str) -> UnknownName:
        known = tuple(self._entries)
        close = difflib.get_close_matches(name, known, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        message = f"no {self._kind} named {name!r}.{hint} Known: {', '.join(known)}."
        return UnknownName(message, name=name, known=known)


def additions() -> dict[str, dict[str, Any]]:
    """What was added to the registries of this process, by group and name."""
    return {group: dict(one._added) for group, one in _REGISTRIES.items() if one._added}


def install(added: Mapping[str, Mapping[str, Any]]) -> None:
    """Know what was added in another process, now or when the registry is made."""
    for group, entries in added.items():
        if group in _REGISTRIES:
            _REGISTRIES[group]._entries.update(entries)
        else:
            _WAITING[group] = dict(entries)
