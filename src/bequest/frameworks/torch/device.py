"""Where networks run: on an accelerator where torch has one, in half precision where it can."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from itertools import chain
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from bequest.core.plain_values import quoted
from bequest.errors import ModelError

__all__ = [
    "AUTO", "HALF", "PRECISIONS", "as_read", "check_precision", "computing_in", "device_for",
    "device_here", "half_precision", "half_weights", "known_device", "own_device",
    "running_from_config", "running_to_config",
]  # fmt: skip

if TYPE_CHECKING:
    from bequest.frameworks.torch.model import Network

logger = logging.getLogger(__name__)
AUTO = "auto"
PRECISIONS = {
    "float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16,
}  # fmt: skip
HALF = (torch.bfloat16, torch.float16)


def own_device(module: nn.Module) -> torch.device:
    """The device of the first parameter or buffer; the CPU where there is none."""
    tensors = chain(module.parameters(), module.buffers())
    return next((tensor.device for tensor in tensors), torch.device("cpu"))


def device_for(module: nn.Module, wanted: str = AUTO) -> torch.device:
    """The device that a network runs on: its own, or from the CPU the accelerator that there is.

    A network that somebody has put on a device stays there, unless another one is `wanted` by
    name. CUDA comes before Apple's MPS.

    Examples
    --------
    >>> device_for(nn.Linear(2, 2, device="meta"))
    device(type='meta')
    """
    if wanted != AUTO:
        return known_device(wanted)
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


def computing_in(device: torch.device, precision: torch.dtype) -> AbstractContextManager[object]:
    """Matrix products in this precision inside; float32 computes in the network's own."""
    if precision is torch.float32:
        return nullcontext()
    return torch.autocast(device.type, dtype=precision)


def half_weights(module: nn.Module) -> torch.dtype | None:
    """The half precision that the first of its parameters of real numbers has, else None.

    Examples
    --------
    >>> half_weights(nn.Linear(2, 2).to(torch.bfloat16)), half_weights(nn.Linear(2, 2))
    (torch.bfloat16, None)
    """
    known = (weight for weight in module.parameters() if not is_lazy(weight))
    own = next((weight.dtype for weight in known if weight.is_floating_point()), None)
    return own if own in HALF else None


def as_read(module: nn.Module, samples: Tensor) -> Tensor:
    """The samples in the half precision of the module's parameters, where it has one.

    Whole numbers that half precision cannot hold, which are codes, stay as they are.
    """
    half = half_weights(module)
    if half is None or not samples.is_floating_point():
        return samples
    narrow = samples.to(half)
    codes = torch.equal(samples, samples.round()) and not torch.equal(samples, narrow.float())
    return samples if codes else narrow


def known_device(name: str) -> torch.device:
    """The device of this name.

    Raises
    ------
    ModelError
        It is no name of a device, or this machine has no such device.

    Examples
    --------
    >>> known_device("cpu")
    device(type='cpu')
    >>> known_device("gpu")
    Traceback (most recent call last):
        ...
    bequest.errors.ModelError: device is "auto" or a name that torch knows, such as "cpu" or ...
    """
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError) as error:
        raise ModelError(
            f'device is "auto" or a name that torch knows, such as "cpu" or "cuda:0", not '
            f"{quoted(name)}."
        ) from error
    try:
        torch.empty(0, device=device)
        here = device.type != "meta"
    except (AssertionError, NotImplementedError, RuntimeError):
        here = False  # torch says it in as many ways as it has devices
    if not here:
        raise ModelError(f"this machine has no device {name}: device={AUTO!r} takes what it has.")
    return device


def device_here(name: str, title: str) -> str:
    """A stored device where this machine has it, else "auto" with a warning in the log."""
    try:
        if name != AUTO:
            known_device(name)
    except ModelError as error:
        logger.warning("%s was set to run on %s, and runs on what there is: %s", title, name, error)
        return AUTO
    return name


def check_precision(dtype: str | None) -> None:
    """Raise `ModelError` where `dtype` is neither None nor a name in `PRECISIONS`."""
    if dtype is not None and dtype not in PRECISIONS:
        raise ModelError(f"dtype is {', '.join(PRECISIONS)} or None, not {quoted(dtype)}.")


def running_to_config(model: Network) -> dict[str, Any]:
    """How a network is run, as plain values: rows in a pass, device and precision."""
    return {"batch_size": model.batch_size, "device": model.device, "dtype": model.dtype}


def running_from_config(config: Mapping[str, Any], title: str) -> dict[str, Any]:
    """What `running_to_config` wrote, as arguments; a device that is not here becomes "auto"."""
    device = device_here(str(config.get("device", AUTO)), title)
    return {"batch_size": config["batch_size"], "device": device, "dtype": config.get("dtype")}
