"""DistMult: a relation weighs what head and tail have in common.

B triples, D numbers a vector.
"""

from __future__ import annotations

import torch

from bequest.nets.scoring import Scoring, inner

__all__ = ["DISTMULT"]


DISTMULT = Scoring(
    name="distmult",
    citation=(
        "@inproceedings{yang2015embedding, title={Embedding entities and relations for learning "
        "and inference in knowledge bases}, author={Yang, Bishan and Yih, Wen-tau and He, "
        "Xiaodong and Gao, Jianfeng and Deng, Li}, booktitle={ICLR}, year={2015}}"
    ),
    query=torch.mul,
    compare=inner,
)
"""The score of a triple is ``sum(h * r * t)``: the same with head and tail exchanged."""
