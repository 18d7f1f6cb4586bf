"""The training loop: batches in, steps done; knows neither tasks nor models."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor, nn

from bequest.core.deadline import check_time, time_left
from bequest.core.pace import Pace
from bequest.errors import ModelError
from bequest.frameworks.torch.device import (
    AUTO,
    device_for,
    half_precision,
    half_weights,
    own_device,
)

__all__ = ["Loop", "run"]


@final
@dataclass(frozen=True)
class Loop:
    """How a network is trained.

    Parameters
    ----------
    steps : int
        Batches, at least 1.
    batch : int
        Rows a batch; every row once before any row twice.
    lr : float
        Peak step size of AdamW, reached after a tenth of the steps, then falling to zero as a
        cosine.
    weight_decay : float
        AdamW's.
    device : str
        "auto", or the name of a torch device.
    """

    steps: int = 200
    batch: int = 32
    lr: float = 1e-3
    weight_decay: float = 1e-2
    device: str = AUTO


def run(
    module: nn.Module,
    fetch: Callable[[Tensor], tuple[Tensor, Tensor]],
    rows: int,
    loss: Callable[[Tensor, Tensor], Tensor],
    loop: Loop,
    *,
    generator: torch.Generator,
    groups: Sequence[dict[str, Any]] | None = None,
    penalty: Callable[[], Tensor] | None = None,
    still: Sequence[nn.Module] = (),
) -> float:
    """Train `module` in place and leave it in evaluation mode, on the device where it was.

    From the CPU it goes to an accelerator while it trains, where torch has one. Where there is a
    deadline, the first pass forward tells whether a step fits, and the first steps how long the
    rest takes.

    Parameters
    ----------
    module : torch.nn.Module
    fetch : callable
        Row numbers, shape (B,), to inputs and targets of these rows.
    rows : int
        Training rows.
    loss : callable
        Outputs and targets to a scalar.
    loop : Loop
    generator : torch.Generator
        Orders the rows.
    groups : sequence of mapping, optional
        AdamW's parameter groups; a group's ``lr`` is its share of the loop's. All parameters that
        ask for a gradient where left out.
    penalty : callable, optional
        Added to the loss of each step.
    still : sequence of modules
        Parts that stay in evaluation mode: frozen layers must not learn running statistics.

    Returns
    -------
    float
        Mean loss of the last tenth of the steps.

    Raises
    ------
    ModelError
        The loss is not finite.
    OutOfTime
        The steps do not fit before the deadline; the module is trained in part.

    References
    ----------
    Loshchilov and Hutter, SGDR, ICLR 2017; Decoupled Weight Decay Regularization, ICLR 2019.
    """
    home, device = own_device(module), device_for(module, loop.device)
    if half_weights(module) is not None:
        module.float()  # small steps would be lost in half precision
    module.to(device)  # the parameters stay the same objects, which the groups name
    shares = [float(group.get("lr", 1.0)) for group in groups] if groups else [1.0]
    chosen = groups or [{"params": [p for p in module.parameters() if p.requires_grad]}]
    optimiser = torch.optim.AdamW(
        [{**group, "lr": loop.lr} for group in chosen], weight_decay=loop.weight_decay, fused=True
    )
    module.train()
    for part in still:
        part.eval()
    last: list[Tensor] = []
    pace = Pace("training", loop.steps, timed=2)
    for step, batch in zip(range(loop.steps), _batches(rows, loop.batch, generator), strict=False):
        pace.check(step)
        lr = loop.lr * _schedule(step, loop.steps)
        for group, share in zip(optimiser.param_groups, shares, strict=True):
            group["lr"] = lr * share
        inputs, targets = (part.to(device) for part in fetch(batch))
        before = time_left()
        with half_precision(device):
            value = loss(module(inputs), targets)
        if step == 0 and pace.limited:
            # No step can be stopped, and going back takes about twice as long as going forward.
            check_time("training", rest=2 * (before - time_left()))
        if penalty is not None:
            value = value + penalty()
        optimiser.zero_grad(set_to_none=True)
        value.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        if pace.limited:
            value.item()  # an accelerator only queues the step: its time is known once it is done
        if step >= loop.steps - max(1, loop.steps // 10):
            last.append(value.detach())
    module.to(home).eval()
    final = float(torch.stack(last).mean())
    if not math.isfinite(final):
        raise ModelError(
            f"training diverged: the loss is {final}. Try a smaller lr than {loop.lr}."
        )
    return final


def _schedule(step: int, steps: int) -> float:
    warm = max(1, steps // 10)
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1.0 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def _batches(rows: int, size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Shuffled rows, epoch after epoch; a short rest of an epoch begins the next one."""
    waiting = torch.empty(0, dtype=torch.long)
    while True:
        while len(waiting) < min(size, rows):
            waiting = torch.cat([waiting, torch.randperm(rows, generator=generator)])
        yield waiting[:size]
        waiting = waiting[size:]
