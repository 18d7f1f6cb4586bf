"""Recurrent layers held against their own sizes: torch's kernels do not ask, and crash.

N rows, T steps, L layers times directions, H hidden numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

from torch import Tensor

__all__ = ["GATES", "CheckedRecurrent"]

GATES = {"lstm": 4, "gru": 3, "rnn_tanh": 1, "rnn_relu": 1}


@final
class CheckedRecurrent:
    """``aten.lstm.input`` or another of `GATES` that refuses weights and states of other sizes.

    `gates` is how many blocks of H rows are in its weights.
    """

    def __init__(self, called: Any, gates: int) -> None:
        self._called = called
        self._schema = called._schema
        self._gates = gates

    def __call__(
        self,
        input: Tensor,
        hx: Any,
        params: Sequence[Tensor],
        has_biases: bool,
        num_layers: int,
        dropout: float,
        train: bool,
        bidirectional: bool,
        batch_first: bool,
    ) -> Any:
        """As torch's, after the check: `ValueError` where the sizes contradict each other."""
        directions = 2 if bidirectional else 1
        states = hx if isinstance(hx, list | tuple) else [hx]
        layers = num_layers * directions
        each = len(params) // layers if layers > 0 else 0
        usual = 4 if has_biases else 2
        projected = each == usual + 1 and self._gates == GATES["lstm"]
        _demand(input.dim() == 3 and len(params) == each * layers, "weights")
        _demand(each == usual or projected, "weights")
        _demand(len(states) == (2 if self._gates == GATES["lstm"] else 1), "states")
        hidden = params[1].shape[0] // self._gates
        output = params[1].shape[1] if params[1].dim() == 2 else 0
        width = input.shape[2]
        for layer in range(num_layers):
            for direction in range(directions):
                start = (layer * directions + direction) * each
                self._check_weights(params[start : start + each], (hidden, output, width))
            width = output * directions
        _demand(projected or hidden == output, "weights")
        rows = input.shape[0 if batch_first else 1]
        sizes = [(layers, rows, output), (layers, rows, hidden)]
        for state, size in zip(states, sizes, strict=False):
            _demand(tuple(state.shape) == size, "states")
        return self._called(
            input, hx, params, has_biases, num_layers, dropout, train, bidirectional, batch_first
        )

    def _check_weights(self, weights: Sequence[Tensor], sizes: tuple[int, int, int]) -> None:
        hidden, output, width = sizes
        rows = self._gates * hidden
        expected: list[tuple[int, ...]] = [(rows, width), (rows, output)]
        if len(weights) >= 4:
            expected += [(rows,), (rows,)]
        if len(weights) % 2:
            expected += [(output, hidden)]
        _demand([tuple(weight.shape) for weight in weights] == expected, "weights")


def _demand(sound: bool, what: str) -> None:
    if not sound:
        raise ValueError(f"the {what} of a recurrent layer have other sizes than its input")
