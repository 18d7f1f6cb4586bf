"""The networks that the methods build: which, and how large."""

from __future__ import annotations

import math
from typing import Any

from bequest.core import Task
from bequest.frameworks.encoders import TableEncoder

__all__ = ["network_config"]


def network_config(
    net: str, task: Task, encoder: Any, *, width: int, layers: int | None = None
) -> dict[str, Any]:
    """The config of a network of ours for a task's inputs and outputs.

    Parameters
    ----------
    net : {"resnet", "mlp"}
    task : Task
    encoder : Encoder
        Fitted: a perceptron reads what it gives.
    width : int
        Channels of the residual network's last stage, or a quarter of a perceptron layer's units.
    layers : int, optional
        Residual blocks a stage, 1 where left out; or hidden layers of a perceptron, 2.

    Returns
    -------
    dict
        Plain values.

    Examples
    --------
    >>> from bequest.frameworks.encoders import fit_encoder
    >>> task = Task.from_arrays([[0.0], [1.0], [2.0], [3.0]], ["a", "a", "b", "b"])
    >>> network_config("mlp", task, fit_encoder(task.inputs), width=8)
    {'numbers': 1, 'outputs': 2, 'widths': [32, 32]}
    """
    outputs = len(task.classes) or 1
    if net == "resnet":
        channels, height, wide = task.spec.shape or (0, 0, 0)
        stem = 2 if min(height, wide) >= 24 else 1
        stages = _stages(min(height, wide) // stem, width)
        found = {"channels": channels, "outputs": outputs, "widths": stages, "stem": stem}
        return found if layers is None else {**found, "blocks": layers}
    widths = [4 * width] * (layers or 2)
    if isinstance(encoder, TableEncoder):
        numbers, levels = encoder.n_numbers, list(encoder.cardinalities)
        return {
            "numbers": numbers,
            "outputs": outputs,
            "categories": levels,
            "widths": widths,
            "embedding": 8,
        }
    return {"numbers": len(encoder.mean), "outputs": outputs, "widths": widths}


def _stages(side: int, last: int) -> list[int]:
    """Channels of each stage: as many stages as bring the side down to 8 pixels or fewer."""
    count = 1 + max(0, math.ceil(math.log2(side / 8)))
    return [max(16, last // 2**behind) for behind in reversed(range(count))]
