"""How sure an entry of a map is: calibrated in benchmarks/results/map_confidence.json."""

from __future__ import annotations

from typing import final

from bequest.mapping.building.sizes import Sizes
from bequest.mapping.matching.by_name import NamePairs
from bequest.mapping.matching.canonical_names import Contradictions
from bequest.mapping.matching.correspondence import Correspondence
from bequest.mapping.sources.source import Source
from bequest.mapping.tracing.ops import Trace
from bequest.mapping.tracing.registration import is_in_order

__all__ = ["CONTRADICTED", "MISFIT", "UNLIKE", "Confidence"]

# The most that is sure where names do not decide and a network was not seen running: the shares of
# tensors that are right between the pairs of networks in the tests, of a state dict and of a file
# whose names are sorted.
ORDERED = 0.7
SORTED = 0.45
MISFIT = 0.1  # of layers in other sizes than the rest, and of what a source is said not to have
CONTRADICTED = 0.05  # the most that is sure where the names say otherwise
UNLIKE = 0.3  # of a layer that was run and does not give what its namesake gives


@final
class Confidence:
    """How sure a correspondence is, by how it was found and what the names say against it."""

    def __init__(self, source: Source, source_trace: Trace, target_trace: Trace,
                 pairs: NamePairs | None) -> None:  # fmt: skip
        self._contradictions = Contradictions(source.shapes, target_trace.shapes)
        self._pairs = {} if pairs is None else pairs.pairs
        self.most = 1.0
        if not (source_trace.ran and target_trace.ran):
            ordered = source.module is not None or is_in_order(list(source.shapes))
            self.most = ORDERED if ordered else SORTED

    def of(self, link: Correspondence, sizes: Sizes) -> float:
        """From 0 to 1; `sizes` are those of all correspondences."""
        if self.is_namesake(link):
            return link.confidence
        pair = link.source.tensor, link.target.tensor
        if not link.added and link.neutral is None and self._contradictions.between(*pair):
            return min(link.confidence, CONTRADICTED)
        if self.most < 1 and not sizes.agree(link):
            return min(link.confidence, MISFIT)
        return min(link.confidence, self.most)

    def is_namesake(self, link: Correspondence) -> bool:
        """Whether the two tensors were paired by their names."""
        return self._pairs.get(link.target.tensor) == link.source.tensor
