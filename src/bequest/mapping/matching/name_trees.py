"""Names as trees: which names of two sides are at the same places, block by block."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from bequest.mapping.matching.canonical_names import GLUED, Key
from bequest.mapping.matching.repeated_blocks import Depth, block_of
from bequest.mapping.tracing.names import natural
from bequest.mapping.tracing.ops import Shape

__all__ = ["Undecided", "aligned", "tree_of"]

Tree = dict[str, Any]  # components to trees, the last to a name; "" where a name ends in a node
Pair = tuple[str, str, str]  # the target's name, the source's, the first that got the source's
NUMBERED = re.compile(r"(.*?)(\d+)")
Run = tuple[list[str], frozenset[Key]]  # numbers of blocks that are alike, and names in each


class Undecided(Exception):
    """Which blocks of the two sides correspond is not clear from their numbers."""


def tree_of(names: Mapping[Key, str]) -> Tree:
    """The names by their components."""
    root: Tree = {}
    for key, name in names.items():
        node = root
        for part in key:
            node = node.setdefault(part, {})
        node[""] = name
    return root


def aligned(
    target: Tree,
    source: Tree,
    target_shapes: Mapping[str, Shape],
    source_shapes: Mapping[str, Shape],
    depth: Depth,
) -> Iterator[Pair]:
    """The names at the same places of two trees, numbered blocks spread where they are not as many.

    Raises `Undecided` where it is not clear which block is which.
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
        except Undecided:
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
        for name, other, start in aligned(inside, origin, target_shapes, source_shapes, depth):
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
        raise Undecided
    found: dict[str, str | None] = {}
    for (wanted, _), (given, _) in zip(target, source, strict=True):
        for place, part in enumerate(wanted):
            there = block_of(place, len(wanted), len(given), depth)
            found[part] = None if there is None else given[there]
    return found
