"""Two networks on one input: by how much their outputs differ."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from bequest.errors import MapError
from bequest.frameworks.torch.unchanged import evaluating
from bequest.mapping.tracing.running import REFUSED, call
from bequest.mapping.tracing.torch_calls import tensors_in

__all__ = ["largest_difference"]


def largest_difference(one: nn.Module, other: nn.Module, example: Any) -> float:
    """The largest absolute difference of what the two give, over all their outputs in order.

    Where one gives more than the other (a library adds what it has in memory), each output of the
    other is compared with the next of its shape; where there is none, they cannot be compared.

    Examples
    --------
    >>> largest_difference(nn.ReLU(), nn.Identity(), torch.tensor([-2.0, 1.0]))
    2.0
    """
    first, second = _outputs(one, example), _outputs(other, example)
    few, many = sorted((first, second), key=len)
    rest = iter(many)
    worst = 0.0
    for left in few:
        right = next((tensor for tensor in rest if tensor.shape == left.shape), None)
        if right is None:
            break
        gap = (left.double() - right.double()).abs().max() if left.numel() else torch.zeros(())
        worst = max(worst, float("inf") if gap.isnan() else float(gap))
    else:
        if few:
            return worst
    raise MapError(
        f"the outputs have not the same shapes: {[tuple(t.shape) for t in first]} against "
        f"{[tuple(t.shape) for t in second]}."
    )


def _outputs(module: nn.Module, example: Any) -> list[Tensor]:
    """The real tensors that a module gives in evaluation mode; the module is left as it was."""
    try:
        with evaluating(module):
            found = list(tensors_in(call(module, example)))
    except REFUSED as error:
        first = str(error).partition("\n")[0]
        raise MapError(f"{type(module).__name__} does not run on the example: {first}") from error
    return [tensor for tensor in found if tensor.is_floating_point()]
