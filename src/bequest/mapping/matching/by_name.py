"""Tensors that both sides call by one name.

A library keeps the names of its tensors stable, and a checkpoint is read into the class that wrote
it by names alone. So where most names agree, also after one common prefix and the renamings that
libraries are known for, each tensor goes to its namesake. A repeated block that the target has more
or less often is spread by its number. Where few names agree, or names say nothing (`0.weight`),
shapes and order decide instead: see `by_structure`.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, final

from bequest.errors import MapError
from bequest.mapping.matching.canonical_names import GLUED, Key, canonical, is_telling
from bequest.mapping.matching.repeated_blocks import Depth, block_of
from bequest.mapping.tracing.names import natural
from bequest.mapping.tracing.ops import Shape

__all__ = ["NamePairs", "by_name"]

Tree = dict[str, Any]  # components to trees, the last to a name; "" where a name ends in a node
Pair = tuple[str, str, str]  # the target's name, the source's, the first that got the source's

NUMBERED = re.compile(r"(.*?)(\d+)")
LONGEST = 4  # components of a prefix
COMMON = 32  # prefixes of one end from which on it says nothing: all blocks have it
SAME = 0.5  # least share of the smaller side's tensors whose names and shapes agree
NAMES = 0.8  # or of those whose names agree, whatever the shapes: a network of another width


@final
@dataclass(frozen=True)
class NamePairs:
    """Which tensor of the source each tensor of the target is named like."""

    pairs: Mapping[str, str]  # the target's tensor to the source's
    prefixes: tuple[str, str]  # put before the target's names, and dropped from the source's
    turned: frozenset[str]  # the target's tensors that the source stores transposed
    repeats: Mapping[str, str]  # in a block that the source has once less, to the first block's

    @property
    def note(self) -> str:
        """By what the tensors were paired, as a sentence."""
        target_prefix, source_prefix = self.prefixes
        dropped = f", without {source_prefix!r} in the source" if source_prefix else ""
        added = f", with {target_prefix!r} in the target" if target_prefix else ""
        return f"{len(self.pairs)} tensors have the source's names{dropped}{added}."


class _Undecided(Exception):
    """Which blocks of the two sides correspond is not clear from their numbers."""


def by_name(
    source: Mapping[str, Shape],
    target: Mapping[str, Shape],
    same: Mapping[str, str] | None = None,
    depth: Depth = "even",
    known: Mapping[str, str] | None = None,
) -> NamePairs | None:
    """Pair the target's tensors with their namesakes; None where names do not decide.

    `same` are further names of the target's shared tensors, each with the first of them; `known`
    are pairs that hold whatever the names.

    Raises
    ------
    MapError
        Two parts of the source, or of the target, fit equally well.

    Examples
    --------
    >>> target = {"fc1.weight": (3, 2), "fc2.weight": (1, 3)}
    >>> by_name({"net.fc2.weight": (1, 3), "net.fc1.weight": (3, 2)}, target).pairs
    {'fc1.weight': 'net.fc1.weight', 'fc2.weight': 'net.fc2.weight'}
    >>> by_name({"a.weight": (3, 2), "b.weight": (1, 3)}, target) is None
    True
    """
    aliases = {name: target[first] for name, first in (same or {}).items()}
    wanted, held = canonical({**target, **aliases}), canonical(source)
    best = _prefixes(
        {wanted[name]: target[name] for name in target},
        {key: source[name] for name, key in held.items()},
    )
    if not best or all(len(set(side)) > 1 for side in zip(*best, strict=True)):
        return None  # no name in common, or parts on both sides that are named alike
    target_prefix, source_prefix = best[0]
    places = set(wanted.values())
    there = {_moved(key, source_prefix, target_prefix, places): name for name, key in held.items()}
    try:
        found = list(
            _aligned(
                _tree({key: name for name, key in wanted.items()}), _tree(there),
                {**target, **aliases}, source, depth,
            )
        )  # fmt: skip
    except _Undecided:
        return None
    pairs = {name: other for name, other, _ in found if name in target}
    for name, other, _ in found:  # the source may hold a shared tensor under any of its names
        if name in aliases and same:
            pairs.setdefault(same[name], other)
    pairs |= known or {}
    turned = _turned(pairs, source, target)
    if not _decides(pairs, turned, source, target, wanted):
        return None
    _check_alone(best, wanted, held)
    order = {name: pairs[name] for name in target if name in pairs}
    repeats = {name: first for name, _, first in found if first != name and name in order}
    prefixes = (
        _said(target_prefix, wanted) if target_prefix else "",
        _said(source_prefix, held) if source_prefix else "",
    )
    return NamePairs(order, prefixes, turned, repeats)


def _moved(key: Key, source_prefix: Key, target_prefix: Key, places: set[Key]) -> Key:
    """A name of the source under the target's prefix; as it is, where only that is a place."""
    inside = key[: len(source_prefix)] == source_prefix
    moved = (*target_prefix, *key[len(source_prefix) :]) if inside else key
    return key if key in places and moved not in places else moved


def _prefixes(target: Mapping[Key, Shape], source: Mapping[Key, Shape]) -> list[tuple[Key, Key]]:
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


def _tree(names: Mapping[Key, str]) -> Tree:
    root: Tree = {}
    for key, name in names.items():
        node = root
        for part in key:
            node = node.setdefault(part, {})
        node[""] = name
    return root


def _aligned(
    target: Tree,
    source: Tree,
    target_shapes: Mapping[str, Shape],
    source_shapes: Mapping[str, Shape],
    depth: Depth,
) -> Iterator[Pair]:
    """The names at the same places of two trees, numbered blocks spread where they are not as many.

    Raises `_Undecided` where it is not clear which block is which.
    """
    block: dict[str, str | None] = {part: part for part in target}
    here, there = _numbered(target, depth), _numbered(source, depth)
    for word in here.keys() & there.keys():
        numbered = here[word], there[word]
        if set(numbered[0]) == set(numbered[1]):
            continue
        if _some_left_out(target, source, target_shapes, source_shapes, numbered):
            continue
        runs = _runs(target, target_shapes, here[word]), _runs(source, source_shapes, there[word])
        try:
            block |= _spread(*runs, depth)
        except _Undecided:
            if not word:
                raise  # a name without its number says nothing; `layer3` may be just a name
    first: dict[str, str] = {}
    for part, inside in target.items():
        own = block[part]
        origin = None if own is None else source.get(own)
        if own is None or origin is None:
            continue
        if part == "":
            yield inside, origin, inside
            continue
        copy = first.setdefault(own, part)
        for name, other, start in _aligned(inside, origin, target_shapes, source_shapes, depth):
            yield name, other, start if copy == part else _beside(target[copy], inside, name)


def _numbered(tree: Tree, depth: Depth) -> dict[str, list[str]]:
    """The numbered parts in order, by the word before the number if there is any.

    A word that is no block's (`head1`, `branch2`) may number what is parallel: such parts are
    blocks only where a depth is asked for.
    """
    pattern = GLUED if depth == "even" else NUMBERED
    found: dict[str, list[str]] = {}
    for part in sorted(tree, key=natural):
        glued = pattern.fullmatch(part)
        if part.isdigit() or glued:
            found.setdefault(glued[1] if glued else "", []).append(part)
    return found


def _beside(first: Tree, block: Tree, name: str) -> str:
    """The name in a block's first copy at the place where another copy has `name`."""
    place = next(key for key, found in _leaves(block) if found == name)
    return next((found for key, found in _leaves(first) if key == place), name)


def _leaves(tree: Tree) -> Iterator[tuple[Key, str]]:
    for part, inside in tree.items():
        if part == "":
            yield (), inside
        else:
            yield from (((part, *key), name) for key, name in _leaves(inside))


def _some_left_out(
    target: Tree, source: Tree, target_shapes: Mapping[str, Shape],
    source_shapes: Mapping[str, Shape], numbered: Sequence[Sequence[str]],
) -> bool:  # fmt: skip
    """Whether one side lacks blocks, and its others kept their numbers: 0, 1, 3 of four blocks.

    A network that was built with fewer blocks numbers them without a gap.
    """
    few, many = sorted(numbered, key=len)
    if not set(few) < set(many) or list(few) == list(many[: len(few)]):
        return False
    contents = [
        (_content(target[part], target_shapes), _content(source[part], source_shapes))
        for part in few
    ]
    return all(one == other and max(map(len, one)) > 1 for one, other in contents)


def _content(block: Tree, shapes: Mapping[str, Shape]) -> dict[Key, Shape]:
    return {key: shapes[name] for key, name in _leaves(block)}


Run = tuple[list[str], frozenset[Key]]  # numbers of blocks that are alike, and names in each


def _runs(tree: Tree, shapes: Mapping[str, Shape], blocks: Sequence[str]) -> list[Run]:
    """Neighbouring numbered blocks with the same names and shapes."""
    inside = {part: _content(tree[part], shapes) for part in blocks}
    groups = groupby(blocks, key=lambda part: sorted(inside[part].items()))
    return [(list(parts), frozenset(key for key, _ in content)) for content, parts in groups]


def _spread(target: Sequence[Run], source: Sequence[Run], depth: Depth) -> dict[str, str | None]:
    """Which of the source's blocks each of the target's gets, run by run."""
    alike = len(target) == len(source) and all(
        one[1] == other[1] and max(map(len, one[1]), default=0) > 1
        for one, other in zip(target, source, strict=True)
    )
    if not alike:
        raise _Undecided
    found: dict[str, str | None] = {}
    for (wanted, _), (given, _) in zip(target, source, strict=True):
        for place, part in enumerate(wanted):
            there = block_of(place, len(wanted), len(given), depth)
            found[part] = None if there is None else given[there]
    return found


def _turned(
    pairs: Mapping[str, str], source: Mapping[str, Shape], target: Mapping[str, Shape]
) -> frozenset[str]:
    """Matrices that are stored transposed; of square ones, those whose like are.

    A library that stores (in, out) does so in all layers of one kind.
    """
    matrices = {
        name: (source[other], target[name])
        for name, other in pairs.items()
        if len(target[name]) == len(source[other]) == 2
    }
    turned = {name for name, (a, b) in matrices.items() if a != b and a[::-1] == b}
    straight = {name for name, (a, b) in matrices.items() if a == b and a[0] != a[1]}
    layers = {_layer(name) for name in turned}
    if not turned or layers & {_layer(name) for name in straight}:
        return frozenset(turned)
    square = {name for name, (a, b) in matrices.items() if a == b and a[0] == a[1]}
    return frozenset(turned | {name for name in square if _layer(name) in layers})


def _layer(name: str) -> str:
    """The last word of the layer that holds a tensor."""
    parts = [part for part in name.split(".")[:-1] if not part.isdigit()]
    return parts[-1] if parts else ""


def _decides(
    pairs: Mapping[str, str], turned: frozenset[str], source: Mapping[str, Shape],
    target: Mapping[str, Shape], keys: Mapping[str, Key],
) -> bool:  # fmt: skip
    """Whether so many names agree that they can be relied on."""
    fit = sum(source[pairs[name]] == target[name] or name in turned for name in pairs)
    fewer = min(len(source), len(target))
    if not any(is_telling(keys[name]) for name in pairs):
        other = {name for name in pairs if source[pairs[name]] != target[name]} - turned
        all_named = len(pairs) == len(source) == len(target)
        return all_named and (not other or (fit > 0 and other <= _last_layer(target)))
    return (fit > 1 and fit >= SAME * fewer) or (len(pairs) > 1 and len(pairs) >= NAMES * fewer)


def _last_layer(names: Iterable[str]) -> set[str]:
    """The tensors of the layer with the highest number: a head of other classes, in a sequence."""
    layers = {name: name.rpartition(".")[0] for name in names}
    last = max(layers.values(), key=natural)
    return {name for name, layer in layers.items() if layer == last}


def _check_alone(
    best: Sequence[tuple[Key, Key]], target: Mapping[str, Key], source: Mapping[str, Key]
) -> None:
    """Refuse where two parts of one side fit the other equally well."""
    target_prefixes, source_prefixes = zip(*best, strict=True)
    if len(set(source_prefixes)) > 1:
        one, other = (_said(prefix, source) for prefix in source_prefixes[:2])
        raise MapError(
            f"the source holds several networks that fit, {one!r} and {other!r}. "
            f"Say which: map_parameters(..., prefix={one!r})."
        )
    if len(set(target_prefixes)) > 1:
        one, other = (_said(prefix, target) for prefix in target_prefixes[:2])
        raise MapError(
            f"the source fits several parts of the target, {one!r} and {other!r}. Map into one of "
            f"them, or leave the others out: map_parameters(..., skip={other!r})."
        )


def _said(prefix: Key, names: Mapping[str, Key]) -> str:
    """A prefix as the names have it."""
    for name, key in names.items():
        if key[: len(prefix)] == prefix:
            return ".".join(name.split(".")[: len(prefix) - len(key)])
    return ".".join(prefix)
