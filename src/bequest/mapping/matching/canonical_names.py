"""Names under the renamings that libraries are known for, and what they say against a pair."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import final

from bequest.mapping.tracing.names import PLAIN
from bequest.mapping.tracing.ops import Shape

__all__ = ["GLUED", "Contradictions", "Key", "canonical", "is_telling"]

Key = tuple[str, ...]  # the components of a name, renamed

LAST = {"gamma": "weight", "beta": "bias", "g": "weight", "b": "bias", "w": "weight"}
# Parts of a weight that torch computes: by the parametrisation, and by the function before it.
COMPUTED: dict[Key, str] = {
    ("parametrizations", "weight", "original0"): "weightg",
    ("parametrizations", "weight", "original1"): "weightv",
}
WRAPPERS = frozenset(
    {"_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "base_layer"}
)  # of torch, and of peft around a layer that it adapts
SILENT = PLAIN | {"runningmean", "runningvar", "numbatchestracked"}
BLOCKS = frozenset({"layer", "layers", "block", "blocks", "h"})
GLUED = re.compile(r"(.*(?:layer|block|blk|stage|level|unit|cell)|h)(\d+)")  # no underscores
HALVES = ("encoder", "decoder")


@final
class Contradictions:
    """What the names of two sides say against a pair of tensors, where names do not decide.

    Examples
    --------
    >>> blocks = {f"layers.{n}.fc.weight": (3, 3) for n in range(2)}
    >>> source = {name.replace("layers", "h"): shape for name, shape in blocks.items()}
    >>> found = Contradictions(source, blocks)
    >>> found.between("h.0.fc.weight", "layers.0.fc.weight")
    False
    >>> found.between("h.0.fc.weight", "layers.1.fc.weight")
    True
    """

    def __init__(self, source: Mapping[str, Shape], target: Mapping[str, Shape]) -> None:
        self._keys = canonical(source), canonical(target)
        own = {key: (name, source[name]) for name, key in self._keys[0].items()}
        telling = {n: key for n, key in self._keys[1].items() if is_telling(key)}
        self._own = {
            name: own[key][0]
            for name, key in telling.items()
            if key in own and own[key][1] == target[name]
        }
        self._blocks = {_block(key) for key in self._keys[0].values()} == {
            _block(key) for key in self._keys[1].values()
        }

    def between(self, source: str, target: str) -> bool:
        """Another tensor is the target's namesake; another block, or the other half of a model."""
        if self._own.get(target, source) != source:
            return True
        source_key, target_key = self._keys[0].get(source, ()), self._keys[1].get(target, ())
        halves = [
            {h for h in HALVES if any(h in part for part in key)}
            for key in (source_key, target_key)
        ]
        if all(halves) and not halves[0] & halves[1]:
            return True
        return self._blocks and "" != _block(source_key) != _block(target_key) != ""


def is_telling(key: Key) -> bool:
    """Whether a name holds more than numbers and the words that all networks share."""
    return any(not part.isdigit() and part not in SILENT for part in key)


def _block(key: Key) -> str:
    """The number of the block that a name is in, if it has one."""
    glued = next((found[2] for part in key if (found := GLUED.fullmatch(part))), "")
    pairs = pairwise(key)
    return next((part for word, part in pairs if part.isdigit() and word in BLOCKS), glued)


def canonical(names: Iterable[str]) -> dict[str, Key]:
    """The components of each name under the renamings of libraries; two names stay two.

    Examples
    --------
    >>> canonical(["bert.LayerNorm.gamma", "module.fc.w"])
    {'bert.LayerNorm.gamma': ('bert', 'layernorm', 'weight'), 'module.fc.w': ('fc', 'weight')}
    """
    keys = {name: _renamed(tuple(name.split("."))) for name in names}
    times = Counter(keys.values())
    as_called = Counter(key for name, key in keys.items() if _plain(name.split(".")) == key)
    return {
        name: key
        if times[key] == 1 or (as_called[key] == 1 and _plain(name.split(".")) == key)
        else tuple(name.split("."))
        for name, key in keys.items()
    }


def _plain(parts: Iterable[str]) -> Key:
    return tuple(part.lower().replace("_", "") for part in parts)


def _renamed(parts: Key) -> Key:
    if len(parts) > 1 and parts[0] == "module":  # torch's DataParallel
        parts = parts[1:]
    kept = tuple(part for part in parts if part not in WRAPPERS)
    if kept[-3:] in COMPUTED:
        kept = (*kept[:-3], COMPUTED[kept[-3:]])
    plain = _plain(kept)
    return (*plain[:-1], LAST.get(plain[-1], plain[-1])) if plain else parts
