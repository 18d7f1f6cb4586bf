"""Another size of a kernel: centred, or resized as patches are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor
from torch.nn import functional

from bequest.mapping.rules.rule import Rule

__all__ = ["CentreCropOrPad", "Patch"]


@final
@dataclass(frozen=True)
class CentreCropOrPad(Rule):
    """A kernel in the middle of a larger one, the rest zero; or the middle of a larger one.

    Growing keeps the function where the padding grows by the same amount.

    Examples
    --------
    >>> CentreCropOrPad(2, (3,)).apply(torch.ones(1, 1, 1), torch.zeros(1, 1, 3))
    tensor([[[0., 1., 0.]]])
    """

    name: ClassVar[str] = "kernel centred"
    citation: ClassVar[str] = "Wei et al., Network morphism, ICML 2016"
    exact: ClassVar[bool] = True
    axis: int
    size: tuple[int, ...]  # of the target's kernel, for this axis and those after it

    def apply(self, values: Tensor, current: Tensor) -> Tensor:
        """Pad with zeros, or cut."""
        pads: list[int] = []
        for there, wanted in zip(values.shape[self.axis :], self.size, strict=True):
            before = (wanted - there) // 2
            pads = [before, wanted - there - before, *pads]
        return functional.pad(values, pads)


@final
@dataclass(frozen=True)
class Patch(Rule):
    """A patch embedding for larger or smaller patches: the pseudo-inverse of resizing the image.

    Resized images give, as nearly as can be, what the images gave before.

    Examples
    --------
    >>> kernel = Patch(2, (4, 4)).apply(torch.ones(1, 1, 2, 2), torch.zeros(1, 1, 4, 4))
    >>> bool(torch.isclose(kernel.sum(), torch.tensor(4.0), atol=1e-4))
    True
    """

    name: ClassVar[str] = "patch, pseudo-inverse"
    citation: ClassVar[str] = "Beyer et al., FlexiViT, CVPR 2023"
    axis: int
    size: tuple[int, ...]  # height and width of the target's patches

    def apply(self, values: Tensor, current: Tensor) -> Tensor:
        """Multiply by the pseudo-inverse of the resizing's matrix, transposed."""
        old = tuple(values.shape[self.axis :])
        if len(old) != 2:
            return CentreCropOrPad(self.axis, self.size).apply(values, current)
        basis = torch.eye(old[0] * old[1], dtype=torch.float64).reshape(-1, 1, *old)
        resized = functional.interpolate(
            basis, size=self.size, mode="bilinear", antialias=False, align_corners=False
        )
        matrix = resized.reshape(old[0] * old[1], -1)  # old pixels to new pixels
        inverse = torch.linalg.pinv(matrix.T)
        flat = values.reshape(*values.shape[: self.axis], -1).double() @ inverse
        shape = (*values.shape[: self.axis], *self.size)
        result: Tensor = flat.reshape(shape).to(values.dtype)
        return result
