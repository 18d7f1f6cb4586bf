"""What a model costs whoever uses it: time and memory."""

from __future__ import annotations

import io
import math
import pickle
import time
from collections.abc import Mapping
from typing import Any, NamedTuple, final

import numpy as np
from torch import nn

from bequest.core import HasParameters, Model, Predicts, as_inputs, features_of, output_of
from bequest.core.feature_cache import uncached
from bequest.errors import DataError

__all__ = ["Cost", "cost_of"]

WARM_UP = 8  # rows asked for first: lazy layers are made, and code is brought in


@final
class Cost(NamedTuple):
    """Milliseconds a row, and megabytes."""

    milliseconds: float
    megabytes: float


def cost_of(model: Model, inputs: Any) -> Cost:
    """Measure how long a model takes for each row, and how large what it holds is.

    Parameters
    ----------
    model : Model
        Of one that does not predict, the features are asked for.
    inputs : array, Table, list of text
        At least one row. A network is faster by the row where there are many.

    Returns
    -------
    Cost
        Milliseconds of a row, of one pass over all of them, no cache used; and millions of bytes:
        the parameters and buffers of networks, fitted estimators as they are written out, each
        once whoever shares it. NaN where it holds a function or something else that does not tell.

    Raises
    ------
    DataError
        There are no rows.

    Examples
    --------
    >>> from sklearn.linear_model import LinearRegression
    >>> import bequest as bq
    >>> model = bq.wrap(LinearRegression().fit([[0.0], [1.0]], [0.0, 2.0]))
    >>> cost = cost_of(model, [[0.5], [2.0]])
    >>> cost.milliseconds > 0, cost.megabytes < 0.01
    (True, True)
    """
    rows = as_inputs(inputs)
    if len(rows) == 0:
        raise DataError("there are no rows to measure the cost on.")
    ask = output_of if isinstance(model, Predicts) else features_of
    with uncached():
        ask(model, rows[np.arange(min(len(rows), WARM_UP))])
        begin = time.perf_counter()
        ask(model, rows)
        seconds = time.perf_counter() - begin
    sizes: dict[int, float] = {}
    for part in model.parts():
        sizes |= _sizes(part)
    return Cost(1e3 * seconds / len(rows), sum(sizes.values()) / 1e6)


def _sizes(part: object) -> Mapping[int, float]:
    """Bytes, by what tells one piece of memory from another; NaN where nobody can tell."""
    if isinstance(part, nn.Module):
        tensors = (*part.parameters(), *part.buffers())
        return {tensor.data_ptr(): float(tensor.nbytes) for tensor in tensors if tensor.numel()}
    if isinstance(part, Model):
        known = part.parameters() if isinstance(part, HasParameters) else {}
        found = sum(np.asarray(values).nbytes for values in known.values())
        return {id(part): float(found) if known else math.nan}
    if not hasattr(part, "get_params"):
        return {id(part): math.nan}
    try:
        size = _Size()
        pickle.dump(part, size, protocol=5)
    except (pickle.PicklingError, AttributeError, TypeError):  # an estimator that holds a lambda
        return {id(part): math.nan}
    return {id(part): float(size.bytes)}


class _Size(io.RawIOBase):
    """A file that counts what is written, and keeps none of it."""

    bytes = 0

    def write(self, data: Any) -> int:
        count = memoryview(data).nbytes
        self.bytes += count
        return count
