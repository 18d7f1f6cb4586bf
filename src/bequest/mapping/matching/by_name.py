"""Tensors that both sides call by one name.

A library keeps the names of its tensors stable, and a checkpoint is read into the class that wrote
it by names alone. So where most names agree, also after one common prefix and the renamings that
libraries are known for, each tensor goes to its namesake. A repeated block that the target has more
or less often is spread by its number. Where few names agree, or names say nothing (`0.weight`),
shapes and order decide instead: see `by_structure`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import final

from bequest.mapping.matching.canonical_names import Key, canonical, is_telling
from bequest.mapping.matching.name_trees import Undecided, aligned, tree_of
from bequest.mapping.matching.prefixes import as_named, best_prefixes, check_alone, moved
from bequest.mapping.matching.repeated_blocks import Depth
from bequest.mapping.tracing.names import natural
from bequest.mapping.tracing.ops import Shape

__all__ = ["NamePairs", "by_name"]

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
    same = same or {}
    shapes = {**target, **{name: target[first] for name, first in same.items()}}
    wanted, held = canonical(shapes), canonical(source)
    best = best_prefixes(
        {wanted[name]: target[name] for name in target},
        {key: source[name] for name, key in held.items()},
    )
    if not best or all(len(set(side)) > 1 for side in zip(*best, strict=True)):
        return None  # no name in common, or parts on both sides that are named alike
    target_prefix, source_prefix = best[0]
    places = set(wanted.values())
    there = tree_of(
        {moved(key, source_prefix, target_prefix, places): n for n, key in held.items()}
    )
    here = tree_of({key: name for name, key in wanted.items()})
    try:
        found = list(aligned(here, there, shapes, source, depth))
    except Undecided:
        return None
    pairs = {name: other for name, other, _ in found if name in target}
    for name, other, _ in found:  # the source may hold a shared tensor under any of its names
        if name in same:
            pairs.setdefault(same[name], other)
    pairs |= known or {}
    turned = _turned(pairs, source, target)
    if not _decides(pairs, turned, source, target, wanted):
        return None
    check_alone(best, wanted, held)
    order = {name: pairs[name] for name in target if name in pairs}
    repeats = {name: first for name, _, first in found if first != name and name in order}
    prefixes = as_named(target_prefix, wanted), as_named(source_prefix, held)
    return NamePairs(order, prefixes, turned, repeats)


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
