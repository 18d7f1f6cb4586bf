"""Two networks on one input: by how much their outputs differ."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from bequest.errors import MapError
from bequest.mapping.trace import REFUSED, call
from bequest.mapping.watch import tensors_in

__all__ = ["largest_difference", "outputs"]


def largest_difference(one: nn.Module, other: nn.Module, example: Any) -> float:
    """Of the first tensors of equal shape in what the two give, the largest absolute difference.

    Raises
    ------
    MapError
        One does not run on the example, or no outputs are of one shape.

    Examples
    --------
    >>> largest_difference(nn.ReLU(), nn.Identity(), torch.tensor([-2.0, 1.0]))
    2.0
    """
    first, second = outputs(one, example), outputs(other, example)
    for left in first:
        for right in second:
            if left.shape == right.shape and left.numel():
                difference = (left.double() - right.double()).abs().max()
                return float("inf") if difference.isnan() else float(difference)
    raise MapError(
        f"the outputs have no shape in common: {[tuple(t.shape) for t in first]} against "
        f"{[tuple(t.shape) for t in second]}."
    )


def outputs(module: nn.Module, example: Any) -> list[Tensor]:
    """The real tensors that a module gives in evaluation mode; the module is left as it was."""
    training = {part: part.training for part in module.modules()}
    module.eval()
    try:
        with torch.no_grad():
            found = list(tensors_in(call(module, example)))
    except REFUSED as error:
        first = str(error).partition("\n")[0]
        raise MapError(f"{type(module).__name__} does not run on the example: {first}") from error
    finally:
        for part, mode in training.items():
            part.training = mode
    return [tensor for tensor in found if tensor.is_floating_point()]
