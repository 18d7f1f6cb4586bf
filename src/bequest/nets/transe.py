"""TransE: a relation moves its heads to its tails.

B triples, D numbers a vector.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bequest.nets.scoring import Scoring

__all__ = ["TRANSE"]


def _nearness(queries: Tensor, candidates: Tensor) -> Tensor:
    return -torch.cdist(queries, candidates, p=1.0)


TRANSE = Scoring(
    name="transe",
    citation=(
        "@inproceedings{bordes2013translating, title={Translating embeddings for modeling "
        "multi-relational data}, author={Bordes, Antoine and Usunier, Nicolas and "
        "Garcia-Dur{\\'a}n, Alberto and Weston, Jason and Yakhnenko, Oksana}, "
        "booktitle={NeurIPS}, year={2013}}"
    ),
    query=torch.add,
    compare=_nearness,
    distance=True,
)
"""The score of a triple is ``-|h + r - t|``, the sum of the sizes, from -inf to 0.

Bordes et al. leave the norm open; by the Euclidean one, Kinships are ranked at half the MRR.
"""
