"""The networks that the methods build or tune: which, how large, and on what."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import nn

from bequest.core import MODALITIES, Source, Task, Trains
from bequest.core.modality import GivesCodes
from bequest.core.model import NO_SINGLE_NETWORK, HasMembers
from bequest.errors import NotApplicable
from bequest.frameworks.torch.device import AUTO
from bequest.methods.provenance import model_of

__all__ = [
    "device_of",
    "network_config",
    "network_of",
    "photo_augmentation",
    "tunable",
    "unread",
    "with_statistics",
]


def unread(net: str, task: Task, augment: str = "none") -> NotApplicable | None:
    """None where the task's modality names the network (empty: a source's) and the augmentation."""
    modality = MODALITIES[task.modality]
    if net and net not in modality.networks:
        readers = [f"{name}s" for name in MODALITIES if net in MODALITIES[name].networks]
        return NotApplicable(f"{net} needs {' or '.join(readers)}, not {task.modality} inputs.")
    if augment not in ("none", *modality.augmentations):
        return NotApplicable(f"{augment} is no augmentation of {task.modality} inputs.")
    return None


def network_of(sources: Sequence[Source], what: str) -> Trains:
    """The one source's network that can be trained.

    Raises
    ------
    NotApplicable
        It has none; `what` needs it, and begins the reason.
    """
    source = model_of(sources)
    if isinstance(source, HasMembers):
        raise NotApplicable(NO_SINGLE_NETWORK)
    if not isinstance(source, Trains):
        raise NotApplicable(f"{what} needs a torch network; this source is none.")
    return source


def tunable(
    sources: Sequence[Source], task: Task, augment: str = "none", *, what: str
) -> NotApplicable | None:
    """None where the one source is a torch network with a head that reads the task's inputs.

    Parameters
    ----------
    sources : sequence of Source
    task : Task
    augment : str
        As in `bequest.training.fit`.
    what : str
        What needs it, to begin the reason with.
    """
    refused = model_of(sources).applies(task)
    if refused is not None:
        return refused
    try:
        source = network_of(sources, what)
    except NotApplicable as reason:
        return reason
    if not source.head:
        return NotApplicable("the source has no last linear layer to put a new head in.")
    return unread("", task, augment)


def device_of(source: Trains) -> str:
    """The device that a source is set to train on; "auto" for a plug-in's, which need not say."""
    return str(getattr(source, "device", AUTO))


def with_statistics(module: nn.Module) -> list[nn.Module]:
    """Parts with buffers of their own: batch normalisation, which would learn running statistics.

    In evaluation mode they keep the source's, which hold many more rows than a batch of few labels.

    Examples
    --------
    >>> net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    >>> with_statistics(net) == [net[1]]
    True
    """
    parts = (part for part in module.modules() if not [*part.children()])
    return [part for part in parts if [*part.buffers(recurse=False)]]


def photo_augmentation(task: Task) -> str:
    """How rows are augmented while a source is tuned on them: photos are mirrored too.

    Images of three channels are taken for photos. A grey one may be a digit, whose mirror image is
    another thing: it is only shifted.

    Examples
    --------
    >>> photo_augmentation(Task.from_arrays(np.zeros((4, 3, 8, 8)), ["a", "b"] * 2))
    'flip'
    >>> photo_augmentation(Task.from_arrays(np.zeros((4, 1, 8, 8)), ["a", "b"] * 2))
    'shift'
    >>> photo_augmentation(Task.from_arrays(np.zeros((4, 3)), ["a", "b"] * 2))
    'none'
    """
    known = MODALITIES[task.modality].augmentations
    photos = task.modality == "image" and (task.spec.shape or (0,))[0] == 3
    return "flip" if photos and "flip" in known else next(iter(known), "none")


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
    >>> from bequest.frameworks.encoders.encoder import fit_encoder
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
    numbers = encoder.encode(task.inputs[np.arange(1)]).shape[1]
    if isinstance(encoder, GivesCodes):
        levels = list(encoder.cardinalities)
        return {
            "numbers": numbers - len(levels),
            "outputs": outputs,
            "categories": levels,
            "widths": widths,
            "embedding": 8,
        }
    return {"numbers": numbers, "outputs": outputs, "widths": widths}


def _stages(side: int, last: int) -> list[int]:
    """Channels of each stage: as many stages as bring the side down to 8 pixels or fewer."""
    count = 1 + max(0, math.ceil(math.log2(side / 8)))
    return [max(16, last // 2**behind) for behind in reversed(range(count))]
