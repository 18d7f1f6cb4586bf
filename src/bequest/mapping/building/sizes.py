"""Whether pairs of tensors agree on the ratio of the two networks' widths."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import final

from bequest.mapping.matching.correspondence import Correspondence
from bequest.mapping.tracing.ops import Shape

__all__ = ["Sizes"]


@final
class Sizes:
    """Which size of the source becomes which of the target, as most correspondences have it.

    Two networks of one width pair 64 with 64; where the target is twice as wide, 64 with 128. A
    correspondence that brings together other sizes most likely pairs the wrong layers. `source` and
    `target` are the shapes of all tensors.
    """

    def __init__(
        self,
        links: Sequence[Correspondence],
        source: Mapping[str, Shape],
        target: Mapping[str, Shape],
    ) -> None:
        pairs: Counter[tuple[int, int]] = Counter()
        for link in links:
            pairs.update(_axes(link))
        self._targets = _commonest({(one, other): n for (one, other), n in pairs.items()})
        self._sources = _commonest({(other, one): n for (one, other), n in pairs.items()})
        used = {link.source.tensor for link in links if link.neutral is None}
        self._unused = {shape for name, shape in source.items() if name not in used}
        self._target = target

    def agree(self, link: Correspondence) -> bool:
        """Whether all sizes of a correspondence are those that most pair.

        One whose tensor starts as if it were not there agrees where the source, too, has no tensor
        of that shape to spare.
        """
        if link.neutral is not None:
            return self._target[link.target.tensor] not in self._unused
        shapes = link.source.shape, link.target.shape
        one, other = map(_bare, shapes)
        kernel = len(one) != len(other)  # against a matrix, or a table with an axis more
        if kernel and math.prod(one) != math.prod(other):
            return False
        return all(
            self._targets[there] == here and self._sources[here] == there
            for there, here in _axes(link)[: 1 if kernel else None]
        )


def _axes(link: Correspondence) -> list[tuple[int, int]]:
    return list(zip(_bare(link.source.shape), _bare(link.target.shape), strict=False))


def _bare(shape: Shape) -> list[int]:
    return [size for size in shape if size > 1]


def _commonest(pairs: Mapping[tuple[int, int], int]) -> dict[int, int]:
    """For each first size the second that it is paired with most often, of several its equal."""
    return dict(sorted(pairs, key=lambda pair: (pairs[pair], pair[0] == pair[1])))
