"""The prefixes under which most names of two sides agree."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence

from bequest.errors import MapError
from bequest.mapping.matching.canonical_names import Key
from bequest.mapping.tracing.ops import Shape

__all__ = ["as_named", "best_prefixes", "check_alone", "moved"]

LONGEST = 4  # components of a prefix
COMMON = 32  # prefixes of one end from which on it says nothing: all blocks have it


def moved(key: Key, source_prefix: Key, target_prefix: Key, places: set[Key]) -> Key:
    """A name of the source under the target's prefix; as it is, where only that is a place."""
    inside = key[: len(source_prefix)] == source_prefix
    found = (*target_prefix, *key[len(source_prefix) :]) if inside else key
    return key if key in places and found not in places else found


def best_prefixes(
    target: Mapping[Key, Shape], source: Mapping[Key, Shape]
) -> list[tuple[Key, Key]]:
    """The pairs of prefixes under which most names agree: the shortest, all that are equally good.

    Each pair of names that agree but for a prefix has two votes where the shapes agree too, else
    one.
    """
    ends: dict[Key, list[Key]] = defaultdict(list)
    for key in source:
        for start in _starts(key):
            ends[key[start:]].append(key[:start])
    votes: Counter[tuple[Key, Key]] = Counter()
    for key, shape in target.items():
        for start in _starts(key):
            end = key[start:]
            found = ends.get(end, [])
            if start and len(found) > COMMON:
                found = [()] if end in source else []
            for before in found:
                if len(end) > 1 or not start or not before:
                    there = source[(*before, *end)]
                    votes[key[:start], before] += 2 if _fits(there, shape) else 1
    ranked = sorted(votes, key=lambda pair: (-votes[pair], _length(pair)))
    return [
        pair
        for pair in ranked
        if votes[pair] == votes[ranked[0]] and _length(pair) == _length(ranked[0])
    ]


def _length(prefixes: tuple[Key, Key]) -> int:
    return len(prefixes[0]) + len(prefixes[1])


def _starts(key: Key) -> Iterator[int]:
    """Where a prefix may end: before the first number, which names a block."""
    for start in range(min(LONGEST + 1, len(key))):
        if start > 1 and key[start - 1].isdigit():
            return
        yield start


def _fits(one: Shape, other: Shape) -> bool:
    """Equal, or equal when transposed: layers that store (in, out)."""
    return one == other or (len(one) == 2 and one[::-1] == other)


def check_alone(
    best: Sequence[tuple[Key, Key]], target: Mapping[str, Key], source: Mapping[str, Key]
) -> None:
    """Refuse where two parts of one side fit the other equally well."""
    target_prefixes, source_prefixes = zip(*best, strict=True)
    if len(set(source_prefixes)) > 1:
        one, other = (as_named(prefix, source) for prefix in source_prefixes[:2])
        raise MapError(
            f"the source holds several networks that fit, {one!r} and {other!r}. "
            f"Say which: map_parameters(..., prefix={one!r})."
        )
    if len(set(target_prefixes)) > 1:
        one, other = (as_named(prefix, target) for prefix in target_prefixes[:2])
        raise MapError(
            f"the source fits several parts of the target, {one!r} and {other!r}. Map into one of "
            f"them, or leave the others out: map_parameters(..., skip={other!r})."
        )


def as_named(prefix: Key, names: Mapping[str, Key]) -> str:
    """A prefix as the names have it."""
    for name, key in names.items():
        if prefix and key[: len(prefix)] == prefix:
            return ".".join(name.split(".")[: len(prefix) - len(key)])
    return ".".join(prefix)
