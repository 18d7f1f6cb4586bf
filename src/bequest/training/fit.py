"""From a task and a network to a trained model.

N samples, C classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from bequest.core import Task
from bequest.core.timeout import undone
from bequest.frameworks.encoders.encoder import Encoder
from bequest.training.augment import AUGMENTATIONS
from bequest.training.loop import Loop, run

__all__ = ["fit_network", "seeded", "steps_for", "target_scale"]

IN_MEMORY = 2**31  # bytes of encoded inputs that are kept for all the steps


def steps_for(rows: int, batch: int) -> int:
    """Batches that this many rows ask for: 30 passes, but 100 at least and 3,000 at most."""
    return int(np.clip(30 * rows / batch, 100, 3000))


@contextmanager
def seeded(rng: np.random.Generator) -> Iterator[torch.Generator]:
    """torch's global state seeded from `rng` inside, as it was before outside; that of CUDA too.

    Fresh weights and dropout draw from the global state; there is no other way to seed them.
    """
    seed = int(rng.integers(2**31))
    before = ExitStack()
    before.enter_context(torch.random.fork_rng(devices=range(torch.cuda.device_count())))
    with undone(before.close):
        torch.manual_seed(seed)
        yield torch.Generator().manual_seed(seed)


def target_scale(task: Task) -> tuple[float, float]:
    """What a regression's values are standardised by, so that every network starts alike.

    Mean and standard deviation of the values, in their own unit; 1 in place of a deviation of zero,
    0 and 1 for classification.

    Examples
    --------
    >>> target_scale(Task.from_arrays([[0.0], [1.0]], [1.5, 4.5], kind="regression"))
    (3.0, 1.5)
    """
    if task.kind == "classification":
        return 0.0, 1.0
    return float(task.targets.mean()), float(task.targets.std()) or 1.0


def fit_network(
    module: nn.Module,
    task: Task,
    encoder: Encoder | None,
    loop: Loop,
    *,
    generator: torch.Generator,
    augment: str = "none",
    smoothing: float = 0.0,
    groups: Sequence[dict[str, Any]] | None = None,
    penalty: Callable[[], Tensor] | None = None,
    still: Sequence[nn.Module] = (),
) -> float:
    """Train `module` on all rows of `task`, by cross-entropy or squared error.

    Parameters
    ----------
    module : torch.nn.Module
        Takes what `encoder` gives; C logits, or one value of the standardised target.
    task : Task
    encoder : Encoder or None
        Fitted already; None: the inputs are passed as float32.
    loop, generator, groups, penalty, still
        As in `run`.
    augment : {"none", "shift", "flip"}
        For images.
    smoothing : float
        Share of each label's weight that all classes get alike, 0 to below 1.

    Returns
    -------
    float
        Mean loss of the last tenth of the steps: nats a row, or squared standard deviations.

    Raises
    ------
    ModelError
        The loss is not finite.
    OutOfTime
        As in `run`.
    UnknownName
        `augment` is none of the table.

    Examples
    --------
    >>> task = Task.from_arrays([[-1.0], [1.0]] * 8, [0, 1] * 8)
    >>> with seeded(np.random.default_rng(0)) as generator:
    ...     module = nn.Linear(1, 2)
    ...     loss = fit_network(module, task, None, Loop(steps=200, lr=0.1), generator=generator)
    >>> loss < 0.05
    True
    """
    change = AUGMENTATIONS[augment]
    targets = _targets(task)
    inputs = _fetcher(task, encoder)

    def fetch(rows: Tensor) -> tuple[Tensor, Tensor]:
        batch = inputs(rows)
        return (batch if change is None else change(batch, generator)), targets[rows]

    smoothed = partial(functional.cross_entropy, label_smoothing=smoothing)
    loss = smoothed if task.kind == "classification" else _squared
    return run(
        module,
        fetch,
        len(task),
        loss,
        loop,
        generator=generator,
        groups=groups,
        penalty=penalty,
        still=still,
    )


def _targets(task: Task) -> Tensor:
    if task.kind == "classification":
        return torch.from_numpy(np.asarray(task.targets, dtype=np.int64))
    mean, scale = target_scale(task)
    return torch.from_numpy(((task.targets - mean) / scale).astype(np.float32))


def _fetcher(task: Task, encoder: Encoder | None) -> Callable[[Tensor], Tensor]:
    """Rows to encoded inputs: encoded once where they fit in memory, else batch by batch."""
    encode = partial(np.asarray, dtype=np.float32) if encoder is None else encoder.encode
    # a row may be larger encoded than as it was given: small images made as large as a network's
    size = len(task) * encode(task.inputs[np.arange(1)]).nbytes
    if size <= IN_MEMORY:
        encoded = torch.from_numpy(encode(task.inputs))
        return lambda rows: encoded[rows]
    return lambda rows: torch.from_numpy(encode(task.inputs[rows.numpy()]))


def _squared(output: Tensor, target: Tensor) -> Tensor:
    return functional.mse_loss(output.squeeze(1), target)
