"""DELTA: the target's feature maps stay near the source's, most of all where they matter.

It did not earn a place among the methods: `benchmarks.regularisers` holds the figures.

B samples of a batch, C channels, H and W pixels.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Self, final

import torch
from torch import Tensor, nn

__all__ = ["Delta", "attention", "behaviour_distance", "stages"]

TEMPERATURE = 5.0  # of the softmax over standardised increases, as in the authors' program


def behaviour_distance(maps: Tensor, source: Tensor, weights: Tensor | None = None) -> Tensor:
    """Half the squared distance of two feature maps, a mean over samples and pixels.

    Parameters
    ----------
    maps, source : Tensor, shape (B, C), (B, C, H, W) or (B, tokens, C)
    weights : Tensor, shape (C,), optional
        Share of each channel, summing to one; equal where left out.

    Returns
    -------
    Tensor
        A scalar, zero or more: half the sum over channels of ``C * weight * distance``.

    References
    ----------
    Li et al., DELTA: Deep Learning Transfer using Feature Map with Attention for Convolutional
    Networks, ICLR 2019.
    """
    axis = channel_axis(maps)
    others = [place for place in range(maps.ndim) if place != axis]
    distances = (maps - source).square().mean(dim=others)
    if weights is None:
        return 0.5 * distances.sum()
    return 0.5 * len(weights) * (weights * distances).sum()


def channel_axis(maps: Tensor) -> int:
    """Of tokens the channels are last; of images and vectors they follow the samples."""
    return 2 if maps.ndim == 3 else 1


def stages(module: nn.Module, inputs: Tensor, head: str) -> tuple[str, ...]:
    """Blocks whose outputs are compared: of each shape of feature maps, the last block.

    In a residual network these are the outputs of its stages, in a perceptron its last layer.
    Containers are opened, and so is what holds the head; look-up tables are passed over.

    Parameters
    ----------
    module : torch.nn.Module
    inputs : Tensor
        A few rows.
    head : str
    """
    with maps_of(module, tuple(_blocks(module, head))) as maps, torch.no_grad():
        _quietly(module, inputs)
    last = {tuple(value.shape[1:]): name for name, value in maps.items()}
    return tuple(name for name in maps if name in last.values())


def attention(
    module: nn.Module,
    inputs: Tensor,
    targets: Tensor,
    loss: Callable[[Tensor, Tensor], Tensor],
    layers: Sequence[str],
) -> dict[str, Tensor]:
    """How much each channel matters: the loss that is added when it is silent.

    Parameters
    ----------
    module : torch.nn.Module
        The source with the target's head, such as a linear probe's.
    inputs, targets : Tensor
        Rows of the target.
    loss : callable
        Outputs and targets to a scalar.
    layers : sequence of str
        Blocks of `stages`.

    Returns
    -------
    dict of str to Tensor, shape (C,)
        A softmax of the standardised increases: above zero, summing to one for each layer.

    References
    ----------
    Li et al., DELTA: Deep Learning Transfer using Feature Map with Attention for Convolutional
    Networks, ICLR 2019.
    """
    found = {}
    with torch.no_grad():
        with maps_of(module, layers) as maps:
            plain = loss(_quietly(module, inputs), targets)
        for name in layers:
            channels = maps[name].shape[channel_axis(maps[name])]
            losses = [
                loss(_silenced(module, inputs, name, place), targets) for place in range(channels)
            ]
            found[name] = _shares(torch.stack(losses) - plain)
    return found


def _shares(increases: Tensor) -> Tensor:
    spread = increases.std(correction=0)
    level = (increases - increases.mean()) / spread.clamp_min(torch.finfo(spread.dtype).tiny)
    return torch.softmax(level / TEMPERATURE, dim=0)


def _silenced(module: nn.Module, inputs: Tensor, layer: str, channel: int) -> Tensor:
    def silence(_: nn.Module, args: Any, output: Tensor) -> Tensor:
        return output.index_fill(channel_axis(output), torch.tensor([channel]), 0.0)

    hook = module.get_submodule(layer).register_forward_hook(silence)
    try:
        return _quietly(module, inputs)
    finally:
        hook.remove()


@final
class Delta:
    """The penalty of a step: `weight` times the distance from the source's feature maps.

    Inside ``with`` it watches the network's blocks; the source reads the same batch.

    Parameters
    ----------
    module : torch.nn.Module
        The network that is trained.
    source : torch.nn.Module
        As it was; copied.
    shares : mapping of str to Tensor or None
        Blocks, and the shares of their channels (`attention`); None: equal.
    weight : float
        Zero or more.
    """

    def __init__(
        self,
        module: nn.Module,
        source: nn.Module,
        shares: Mapping[str, Tensor | None],
        weight: float,
    ) -> None:
        self.module = module
        self.source = copy.deepcopy(source).eval().requires_grad_(False)
        self.shares = dict(shares)
        self.weight = weight
        self._given: tuple[Any, ...] | None = None

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._here = stack.enter_context(maps_of(self.module, tuple(self.shares)))
            self._there = stack.enter_context(maps_of(self.source, tuple(self.shares)))
            stack.callback(self.module.register_forward_pre_hook(self._watch).remove)
            self._open = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def _watch(self, _: nn.Module, args: tuple[Any, ...]) -> None:
        self._given = args

    def __call__(self) -> Tensor:
        """The penalty of the batch that the network just read, a scalar."""
        if self._given is None:
            raise RuntimeError("no batch was read yet: the penalty follows the network's output.")
        with torch.no_grad():
            self.source(*self._given)
        distances = [
            behaviour_distance(self._here[name], self._there[name], share)
            for name, share in self.shares.items()
        ]
        return self.weight * torch.stack(distances).sum()


@contextmanager
def maps_of(module: nn.Module, layers: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """What these layers gave on the last pass, in the order in which they first ran."""
    kept: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[..., None]:
        def hook(_: nn.Module, args: Any, output: Any) -> None:
            if isinstance(output, Tensor) and output.ndim > 1 and output.is_floating_point():
                kept[name] = output

        return hook

    hooks = [module.get_submodule(name).register_forward_hook(keep(name)) for name in layers]
    try:
        yield kept
    finally:
        for hook in hooks:
            hook.remove()


def _blocks(module: nn.Module, head: str, path: str = "") -> Iterator[str]:
    for name, child in module.named_children():
        full = f"{path}.{name}" if path else name
        if full == head or isinstance(child, nn.Embedding):
            continue
        if isinstance(child, nn.Sequential | nn.ModuleList) or head.startswith(f"{full}."):
            yield from _blocks(child, head, full)
        elif any(True for _ in child.parameters()):
            yield full


def _quietly(module: nn.Module, inputs: Tensor) -> Tensor:
    """The output in evaluation mode; the mode stays what it was."""
    training = module.training
    module.eval()
    try:
        output: Tensor = module(inputs)
        return output
    finally:
        module.train(training)
