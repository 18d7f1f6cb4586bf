"""What tells one network from another: a content address, and answers to a fixed question."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bequest.core import Inputs, InputSpec, Texts
from bequest.frameworks.encoders.encoder import Encoder
from bequest.frameworks.torch.device import as_read
from bequest.frameworks.torch.unchanged import evaluating

__all__ = ["answers", "network_hash", "question", "same_answers"]

ANSWERS = 16  # numbers a row that are kept of a network's output
TOLERANCE = 1e-3  # of the largest answer; machines differ in the seventh digit


def network_hash(module: nn.Module, structure: Mapping[str, Any], encoder: Encoder | None) -> str:
    """Content address of a network, a sha256: the same before and after the disk, on every machine.

    It covers every parameter and stored buffer by name, dtype, shape and bytes, what encodes the
    inputs, and the config of a network of ours. Any other network counts by its tensors alone,
    since its structure becomes a graph on disk; `answers` tells those apart.

    Examples
    --------
    >>> layer = nn.Linear(2, 2)
    >>> same = nn.Linear(2, 2)
    >>> _ = same.load_state_dict(layer.state_dict())
    >>> network_hash(layer, {}, None) == network_hash(same, {}, None)
    True
    """
    about = {
        "structure": dict(structure) if "net" in structure else {},
        "encoder": None if encoder is None else encoder.to_config(),
    }
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for name, tensor in sorted(module.state_dict().items()):
        if isinstance(tensor, Tensor):
            digest.update(f"\0{name} {tensor.dtype} {tuple(tensor.shape)}\0".encode())
            flat = tensor.detach().cpu().contiguous().reshape(-1)
            digest.update(flat.view(torch.uint8).numpy().data)
    return digest.hexdigest()


def question(spec: InputSpec) -> Inputs | None:
    """Two samples as a model with this spec takes them; None where no shape is known.

    Examples
    --------
    >>> question(InputSpec("vector", (2,))).tolist()
    [[0.0, 0.25], [0.5, 0.75]]
    """
    if spec.modality == "text":
        return Texts(["What does this model make of a fixed text?", "And what of another one?"])
    if spec.shape is None:
        return None
    count = 2 * math.prod(spec.shape)
    # From 0 to below 1: a network that reads codes as numbers sees the first of them.
    return np.linspace(0.0, 1.0, count, endpoint=False, dtype=np.float32).reshape(2, *spec.shape)


def answers(module: nn.Module, encoded: NDArray[Any]) -> list[list[float]]:
    """The first numbers a row that a network gives for these two encoded samples.

    Examples
    --------
    >>> answers(nn.Flatten(), np.zeros((2, 1, 2), dtype=np.float32))
    [[0.0, 0.0], [0.0, 0.0]]
    """
    device = next((weight.device for weight in module.parameters()), torch.device("cpu"))
    with evaluating(module):
        output = module(as_read(module, torch.from_numpy(encoded).to(device)))
    rows: list[list[float]] = output.reshape(len(encoded), -1)[:, :ANSWERS].double().cpu().tolist()
    return rows


def same_answers(
    expected: Sequence[Sequence[float]] | None, given: Sequence[Sequence[float]] | None
) -> bool:
    """Whether two networks gave the same answers but for rounding; unknown ones count as same.

    Examples
    --------
    >>> same_answers([[1.0], [2.0]], [[1.0001], [2.0]]), same_answers([[1.0]], [[1.1]])
    (True, False)
    """
    if expected is None or given is None:
        return True
    first, second = (np.array(rows, dtype=np.float64) for rows in (expected, given))
    if first.shape != second.shape or not first.size:
        return False
    room = TOLERANCE * max(float(np.abs(first).max()), 1e-6)
    return bool((np.abs(first - second) <= room).all())
