"""Forward passes in batches whose memory is bounded.

N samples, D features.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakTensorKeyDictionary

from bequest.core import Inputs
from bequest.core.pace import Pace
from bequest.errors import ModelError, NotApplicable
from bequest.frameworks.torch.device import (
    AUTO,
    HALF,
    PRECISIONS,
    as_read,
    computing_in,
    device_for,
    half_precision,
    half_weights,
    own_device,
)
from bequest.frameworks.torch.unchanged import evaluating

__all__ = ["find_head", "forward"]

Array = NDArray[Any]
FIRST = 4  # rows of the batch that is measured
MOST = 1024  # rows per forward pass, however small the network is
# Bytes of activations that are alive at once. On a CPU they stay in its cache, and below the size
# from which malloc maps and unmaps memory for each of them, which costs as much as the network.
BOUND = 2**24
ACCELERATED = 2**28


def forward(
    module: nn.Module,
    encode: Callable[[Inputs], Array],
    inputs: Inputs,
    *,
    layer: str = "",
    head: str = "",
    both: bool = False,
    batch_size: int | None = None,
    device: str = AUTO,
    dtype: str | None = None,
    title: str,
) -> Array:
    """What a network, or one of its layers, gives for each sample, shape (N, ...).

    `encode` turns samples into the module's input, batch by batch. Of a `layer` it is the output,
    flattened, or the input where the layer is the `head`; `both` gives the input of the head (N, D)
    and, beside it, what the module gives. By default a batch has as many rows as keep the
    activations below 16 MB on a CPU and 256 MB on an accelerator, 1,024 at most, measured on the
    first rows. Only shapes and the device decide, so every process runs the same batches. A network
    on the CPU runs as a copy on an accelerator where torch has one, in half precision where that
    can; `device` names another one, and `dtype` the precision of matrix products. `NotApplicable`
    where the network cannot read the samples, or the layer gives no row for each of them;
    `OutOfTime` where the batches so far say that the rest does not fit before the deadline.
    """
    if len(inputs) == 0:
        raise ModelError("there are no rows to predict.")
    place = device_for(module, device)
    module, precision = _placed(module, place, dtype)
    hooked = head if both else layer
    part = dict(module.named_modules()).get(hooked)  # the module itself is named ""
    if part is None:
        raise NotApplicable(f"{title} has no layer {hooked!r}.")
    kept: list[Tensor] = []
    results: list[Array] = []
    meter = _Meter(module)
    pace, done = Pace(f"running {title} on {len(inputs)} rows", len(inputs)), 0
    pace.check(done)
    with evaluating(module):  # which takes the hook away again
        if hooked and hooked == head:
            part.register_forward_pre_hook(lambda _, args: kept.append(_rows(args[0], head, both)))
        elif layer:
            part.register_forward_hook(lambda _, args, out: kept.append(_rows(out, layer)))
        bound = BOUND if place.type == "cpu" else ACCELERATED
        for encoded in _batches(inputs, encode, batch_size, meter, bound):
            result = _run(module, encoded, meter, title, place, precision)
            if hooked and not kept:
                raise NotApplicable(f"{title} does not run its layer {hooked!r}.")
            wanted = ([(kept[-1], hooked)] if hooked else []) + ([] if layer else [(result, title)])
            # of a layer that runs twice the last call counts
            given = [_row_each(rows, len(encoded), name) for rows, name in wanted]
            results.append(
                np.hstack([rows.reshape(len(rows), -1) for rows in given]) if both else given[0]
            )
            kept.clear()
            done += len(encoded)
            pace.check(done)
    if len({rows.shape[1:] for rows in results}) > 1:
        raise NotApplicable(f"{layer or title} gives rows of different lengths.")
    return np.concatenate(results)


def _batches(
    inputs: Inputs,
    encode: Callable[[Inputs], Array],
    batch_size: int | None,
    meter: _Meter,
    bound: int,
) -> Iterator[Array]:
    """Encoded batches; the first few rows are measured, and say how many can follow at once."""
    start, count, row, numbers = 0, len(inputs), 1.0, 1
    if batch_size is None:
        # never a rest of one row: there are networks that squeeze it away
        start = count if count <= 2 * FIRST else FIRST
        encoded = encode(inputs[np.arange(start)])
        meter.on = start < count
        yield encoded  # its pass is over when this goes on
        meter.on = False
        row, numbers = max(1.0, meter.peak / start), max(1, math.prod(encoded.shape[1:]))

    def fitting(length: int) -> int:
        # longer rows, texts with more tokens, by the square: attention compares every pair
        return batch_size or max(1, min(MOST, int(bound / row / max(1.0, length / numbers) ** 2)))

    if start < count:
        parts = math.ceil((count - start) / fitting(numbers))
        for rows in np.array_split(np.arange(start, count), parts):
            encoded = encode(inputs[rows])
            parts = math.ceil(len(rows) / fitting(math.prod(encoded.shape[1:])))
            yield from np.array_split(encoded, parts)


def _placed(
    module: nn.Module, place: torch.device, dtype: str | None
) -> tuple[nn.Module, Callable[[], AbstractContextManager[object]]]:
    """The module, or a copy of it on the device, and what its passes compute in.

    Parameters of half precision are computed with as they are; asked for another precision, a copy
    of them in float32 is.
    """
    half = half_weights(module)
    wanted = half if dtype is None else PRECISIONS[dtype]
    if half not in (None, wanted):
        module = copy.deepcopy(module).to(place).float()
    elif place != own_device(module):
        module = copy.deepcopy(module).to(place)
    if wanted is None:
        return module, partial(half_precision, place)
    return module, partial(computing_in, place, wanted)


def _run(
    module: nn.Module,
    encoded: Array,
    meter: _Meter,
    title: str,
    place: torch.device,
    precision: Callable[[], AbstractContextManager[object]],
) -> Tensor:
    try:
        samples = as_read(module, torch.from_numpy(encoded).to(place))
        meter.see(samples)
        with precision(), meter if meter.on else nullcontext():
            result: Tensor = module(samples)
    except (AssertionError, LookupError, RuntimeError, TypeError, ValueError) as error:
        first = str(error).partition("\n")[0]
        raise NotApplicable(
            f"{title} cannot read inputs of shape {encoded.shape[1:]}: {first}"
        ) from error
    if not isinstance(result, Tensor):
        raise NotApplicable(
            f"{title} gives a {type(result).__name__}, not one tensor: wrap it in a module that "
            "gives the logits."
        )
    return result.cpu()


@final
class _Meter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """The most bytes of activations that are alive at once in the passes that it watches."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.on, self.peak = False, 0
        own = (t for t in (*module.parameters(), *module.buffers()) if not is_lazy(t))
        plain = (tensor for tensor in own if tensor.layout is torch.strided)
        self._own = {tensor.untyped_storage().data_ptr() for tensor in plain}
        self._alive = WeakTensorKeyDictionary()

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """No: nothing here is compiled, and to see to that torch would import its compiler."""
        return False

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Run the call, then count what is alive."""
        result = func(*args, **(kwargs or {}))
        self.see(result)
        return result

    def see(self, values: Any) -> None:
        """Count these tensors with the others that are alive; views of one storage once."""
        for tensor in tree_leaves(values):
            if isinstance(tensor, Tensor) and tensor.layout is torch.strided:
                storage = tensor.untyped_storage()
                self._alive[tensor] = storage.data_ptr(), storage.nbytes()
        held = dict(self._alive.values())  # type: ignore[no-untyped-call]
        alive = sum(size for place, size in held.items() if place not in self._own)
        self.peak = max(self.peak, alive)


def _row_each(result: Tensor, rows: int, title: str) -> Array:
    """The result as an array, a row a sample."""
    if rows == 1 and result.ndim == 0:
        result = result.reshape(1)
    if result.ndim == 0 or len(result) != rows:
        raise NotApplicable(
            f"{title} gives an output of shape {tuple(result.shape)} for {rows} samples, "
            "not a row for each."
        )
    return (result.float() if result.dtype in HALF else result).numpy()


def _rows(output: Any, layer: str, plain: bool = False) -> Tensor:
    """What a layer gave, a row a sample; of no more than two dimensions where `plain`."""
    if not isinstance(output, Tensor) or output.ndim == 0 or (plain and output.ndim != 2):
        raise NotApplicable(
            f"layer {layer!r} gives a {type(output).__name__}, not one array with a row a "
            "sample: name another layer, such as the one that reads it."
        )
    return output.detach().cpu().reshape(len(output), -1)


def find_head(module: nn.Module, example: Tensor) -> str:
    """Name of the last linear layer to run on `example`; empty where there is none."""
    ran: list[str] = []
    with evaluating(module):  # which takes the hooks away again
        for name, part in module.named_modules():
            if isinstance(part, nn.Linear):
                part.register_forward_hook(lambda *_, name=name: ran.append(name))
        module(as_read(module, example[:FIRST]))
    return ran[-1] if ran else ""
