"""Where networks run: on an accelerator where torch has one, in half precision where it can."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from itertools import chain

import torch
from torch import nn

__all__ = ["device_for", "half_precision", "own_device"]


def own_device(module: nn.Module) -> torch.device:
    """The device of the first parameter or buffer; the CPU where there is none."""
    tensors = chain(module.parameters(), module.buffers())
    return next((tensor.device for tensor in tensors), torch.device("cpu"))


def device_for(module: nn.Module) -> torch.device:
    """The device that a network runs on: its own, or from the CPU the accelerator that there is.

    A network that somebody has put on a device stays there. CUDA comes before Apple's MPS.

    Examples
    --------
    >>> device_for(nn.Linear(2, 2, device="meta"))
    device(type='meta')
    """
    own = own_device(module)
    if own.type != "cpu":
        return own
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps") if torch.backends.mps.is_available() else own


def half_precision(device: torch.device) -> AbstractContextManager[object]:
    """Matrix products in bfloat16 inside, where a CUDA device has it; as they are anywhere else.

    bfloat16 has the range of float32, so that no loss needs to be scaled; float16 has not.

    References
    ----------
    Kalamkar et al., A Study of BFLOAT16 for Deep Learning Training, 2019.
    """
    if device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.autocast("cuda", dtype=torch.bfloat16)
    return nullcontext()
