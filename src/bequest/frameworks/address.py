"""What tells one network from another: a content address, and answers to a fixed question."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from bequest.frameworks.encoders import Encoder

__all__ = ["ANSWERS", "answers", "network_address", "same_answers"]

ANSWERS = 16  # numbers a row that are kept of a network's output
TOLERANCE = 1e-3  # of the largest answer; machines differ in the seventh digit


def network_address(
    module: nn.Module, structure: Mapping[str, Any], encoder: Encoder | None
) -> str:
    """Content address of a network: the same before and after the disk, and on every machine.

    It covers every parameter and stored buffer by name, dtype, shape and bytes, what encodes the
    inputs, and the config of a network of ours. The structure of any other network counts by its
    tensors alone, since it becomes a graph on disk; `answers` tells those apart.

    Parameters
    ----------
    module : torch.nn.Module
    structure : mapping
        As `TorchModel.structure`.
    encoder : Encoder or None

    Returns
    -------
    str
        sha256, 64 hex digits.

    Examples
    --------
    >>> layer = nn.Linear(2, 2)
    >>> same = nn.Linear(2, 2)
    >>> _ = same.load_state_dict(layer.state_dict())
    >>> network_address(layer, {}, None) == network_address(same, {}, None)
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


def answers(
    module: nn.Module, structure: Mapping[str, Any], shape: tuple[int, ...] | None
) -> list[list[float]] | None:
    """The first numbers that a network gives for a fixed batch of two samples.

    None for a network of ours, whose config says what it computes, and where no input's shape is
    known.

    Parameters
    ----------
    module : torch.nn.Module
    structure : mapping
    shape : tuple of int or None
        Of one sample.
    """
    if "net" in structure or shape is None:
        return None
    count = 2 * math.prod(shape)
    # From 0 to below 1: a network that reads codes or tokens sees the first of them.
    ramp = (torch.arange(count) / count).reshape(2, *shape)
    device = next((weight.device for weight in module.parameters()), torch.device("cpu"))
    training = module.training
    module.eval()
    try:
        with torch.no_grad():
            output = module(ramp.to(device))
    finally:
        module.train(training)
    rows: list[list[float]] = output.reshape(2, -1)[:, :ANSWERS].double().cpu().tolist()
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
    first, second = (torch.tensor(rows, dtype=torch.float64) for rows in (expected, given))
    room = TOLERANCE * max(float(first.abs().max()), 1e-6)
    return first.shape == second.shape and bool(((first - second).abs() <= room).all())
