"""ComplEx: DistMult in complex numbers, so that a relation may have a direction.

B triples, D numbers a vector: D / 2 real parts, then D / 2 imaginary ones.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bequest.nets.scoring import Scoring, inner

__all__ = ["COMPLEX"]


def _turned(heads: Tensor, relations: Tensor) -> Tensor:
    # Re(h r conj(t)) is the inner product of h r with t, both as pairs of real numbers
    h_real, h_imaginary = heads.chunk(2, dim=-1)
    r_real, r_imaginary = relations.chunk(2, dim=-1)
    return torch.cat(
        [
            h_real * r_real - h_imaginary * r_imaginary,
            h_real * r_imaginary + h_imaginary * r_real,
        ],
        dim=-1,
    )


COMPLEX = Scoring(
    name="complex",
    citation=(
        "@inproceedings{trouillon2016complex, title={Complex embeddings for simple link "
        "prediction}, author={Trouillon, Th{\\'e}o and Welbl, Johannes and Riedel, Sebastian and "
        "Gaussier, {\\'E}ric and Bouchard, Guillaume}, booktitle={ICML}, year={2016}}"
    ),
    query=_turned,
    compare=inner,
    pairs=True,
)
"""The score of a triple is ``Re(sum(h * r * conj(t)))``."""
