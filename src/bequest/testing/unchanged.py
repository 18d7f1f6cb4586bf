"""What a torch module is like, so that a test can say that it stayed as it was."""

from __future__ import annotations

import hashlib
from typing import Any

import torch
from torch import Tensor, nn

from bequest.frameworks.torch.unchanged import hooks_of

__all__ = ["state_of"]


def state_of(module: nn.Module) -> dict[str, Any]:
    """Everything that running or reading a module must leave alone, by name.

    Of every part: its class, its mode and its hooks. Of every parameter and buffer: which tensor it
    is, its values, `requires_grad`, and its gradient.

    Parameters
    ----------
    module : torch.nn.Module

    Returns
    -------
    dict
        Plain values; two states are equal where nothing changed.

    Examples
    --------
    >>> net = nn.Sequential(nn.Linear(2, 1)).eval()
    >>> before = state_of(net)
    >>> _ = net[0].train()
    >>> after = state_of(net)
    >>> [name for name in after if after[name] != before[name]]
    ['0 (part)']
    """
    found: dict[str, Any] = {}
    for name, part in module.named_modules(remove_duplicate=False):
        hooks = {kind: [*map(id, hooks.values())] for kind, hooks in hooks_of(part).items()}
        found[f"{name} (part)"] = (type(part), part.training, hooks)
    tensors = (*module.named_parameters(remove_duplicate=False), *module.named_buffers())
    for name, tensor in tensors:
        grad = None if tensor.grad is None else _values(tensor.grad)
        found[name] = (id(tensor), _values(tensor), tensor.requires_grad, grad)
    return found


def _values(tensor: Tensor) -> tuple[Any, ...]:
    flat = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
    digest = hashlib.sha256(flat.numpy().data).hexdigest()
    return tensor.dtype, tuple(tensor.shape), digest
