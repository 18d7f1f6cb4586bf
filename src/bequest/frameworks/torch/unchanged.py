"""A network is run, and stays as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from bequest.core.timeout import undone

__all__ = ["evaluating", "hooks_of"]


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients inside; afterwards the module is as it was before.

    Whatever happens inside, an exception or Ctrl-C too, or a pass that never ends and is abandoned
    (`bequest.core.timeout.with_timeout`), every part gets its own mode back, its buffers (the same
    tensors, with the same values), its parameters' `requires_grad`, and its hooks. The values of
    parameters are not looked at: running a network does not write them.

    Examples
    --------
    >>> net = nn.Sequential(nn.Dropout().eval(), nn.BatchNorm1d(2)).train()
    >>> _ = net[0].eval()
    >>> with evaluating(net):
    ...     net[1].training
    False
    >>> net.training, net[0].training, net[1].training
    (True, False, True)
    """
    before = [_Part(part) for part in module.modules()]

    def restore() -> None:
        for part in before:
            part.restore()

    with undone(restore):
        # not by `eval`, which a class may override to change more than the flag
        for part in before:
            part.module.training = False
        with torch.no_grad():
            yield


class _Part:
    """What one sub-module was like."""

    def __init__(self, module: nn.Module) -> None:
        self.module, self.kind = module, type(module)
        self.training = module.training
        self.asked = [(p, p.requires_grad) for p in module._parameters.values() if p is not None]
        self.buffers = dict(module._buffers)
        self.values = {
            name: buffer.detach().clone()
            for name, buffer in self.buffers.items()
            if isinstance(buffer, Tensor) and not buffer.is_meta and not is_lazy(buffer)
        }
        self.hooks = {name: dict(hooks) for name, hooks in hooks_of(module).items()}

    def restore(self) -> None:
        self.module.training = self.training
        if type(self.module) is not self.kind:  # a lazy layer, which its first run has made
            return
        for parameter, asked in self.asked:
            if parameter.requires_grad != asked:
                parameter.requires_grad_(asked)
        for name, hooks in hooks_of(self.module).items():
            if list(hooks.items()) != list(self.hooks[name].items()):
                hooks.clear()
                hooks.update(self.hooks[name])
        now = self.module._buffers
        if [*map(id, now.values())] != [*map(id, self.buffers.values())]:
            now.clear()
            now.update(self.buffers)
        with torch.no_grad():
            for name, value in self.values.items():
                buffer: Any = self.buffers[name]
                if buffer.layout is torch.strided and not torch.equal(buffer, value):
                    buffer.resize_(value.shape).copy_(value)


def hooks_of(module: nn.Module) -> dict[str, Any]:
    """The dictionaries of hooks that torch keeps for a module, by name."""
    kept = {name: hooks for name, hooks in vars(module).items() if "_hooks" in name}
    return {name: hooks for name, hooks in kept.items() if isinstance(hooks, dict)}
