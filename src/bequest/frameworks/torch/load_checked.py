"""A network that a config describes, held against its weights before it takes any memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from bequest.core.wording import listed
from bequest.errors import ModelError

__all__ = ["load_checked"]

SHOWN = 3  # names that an error line repeats
CANNOT = (ArithmeticError, AssertionError, IndexError, MemoryError, RuntimeError, TypeError)


def load_checked(
    make: Callable[[], nn.Module], weights: Mapping[str, Tensor], *, own: bool = False
) -> nn.Module:
    """Make a network and give it these weights; `ModelError` where they are not its own.

    A config of a few bytes can name a network of terabytes. So the network is first made on torch's
    meta device, which holds shapes and no numbers, and is made for good only where its names and
    shapes are those of the weights, which are in memory already. A class of the user's `own` that
    cannot be made without numbers (it calls ``item()``, say) is made for good at once.

    Examples
    --------
    >>> made = load_checked(lambda: nn.Linear(2, 1, bias=False), {"weight": torch.ones(1, 2)})
    >>> made.weight.tolist()
    [[1.0, 1.0]]
    >>> load_checked(lambda: nn.Linear(2**20, 2**20), {"weight": torch.ones(1, 2)})
    Traceback (most recent call last):
        ...
    bequest.errors.ModelError: the weights do not fit the network: they lack 1 of its 2 tensors...
    """
    outline = _outline(make, weights, own)
    if outline is not None:
        _compare(outline, weights)
    module = make()
    try:
        module.load_state_dict(dict(weights))
    except RuntimeError as error:
        problem = " ".join(str(error).split())
        raise ModelError(f"the weights do not fit the network: {problem}") from error
    return module


def _outline(
    make: Callable[[], nn.Module], weights: Mapping[str, Tensor], own: bool
) -> dict[str, tuple[int, ...]] | None:
    """Names and shapes of the network's tensors; None where they cannot be known beforehand."""
    try:
        with torch.device("meta"), _at_most(len(weights)):
            module = make()
    except CANNOT as error:
        if own:
            return None
        first = str(error).partition("\n")[0]
        raise ModelError(f"the config describes a network that cannot be built: {first}") from error
    return {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}


@contextmanager
def _at_most(count: int) -> Iterator[None]:
    """Stop a network with more parameters than weights: a million layers take time even empty."""
    here, found = threading.get_ident(), 0

    def see(module: nn.Module, name: str, parameter: Any) -> None:
        nonlocal found
        if threading.get_ident() != here or parameter is None:
            return
        found += 1
        # a layer may be registered again under another name, or be replaced: hence the slack
        if found > 2 * count + 100:
            raise ModelError(
                f"the weights do not fit the network: they have {count} tensors, the config "
                "describes many more."
            )

    handle = register_module_parameter_registration_hook(see)
    try:
        yield
    finally:
        handle.remove()


def _compare(outline: Mapping[str, tuple[int, ...]], weights: Mapping[str, Tensor]) -> None:
    absent = [name for name in outline if name not in weights]
    if absent:
        raise ModelError(
            f"the weights do not fit the network: they lack {len(absent)} of its {len(outline)} "
            f"tensors, such as {listed(absent, SHOWN)}."
        )
    strange = [name for name in weights if name not in outline]
    if strange:
        raise ModelError(
            f"the weights do not fit the network: it has no {listed(strange, SHOWN)}, "
            f"{len(strange)} of their {len(weights)} tensors."
        )
    for name, shape in outline.items():
        stored = tuple(weights[name].shape)
        if stored != shape:
            raise ModelError(
                f"the weights do not fit the network: {name} has {stored} numbers, the config "
                f"says {shape}."
            )
