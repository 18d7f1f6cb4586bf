"""Recurrent classifiers: PyTorch's fused layers against loops over time.

B samples, T tokens, D width, S states.
"""

from collections.abc import Mapping
from itertools import product

import torch
from tests.mapping.pairs.pair import Pair, State, moved, scrambled, token_ids
from torch import Tensor, nn

WIDTH = 24  # of the embedding, and of a layer's output (both directions): shapes tell little
STATES = WIDTH // 2
VOCABULARY, CLASSES, LAYERS = 37, 4, 2


class Fused(nn.Module):
    """Token ids (B, T) to logits, by one fused module; the answer is read off the mean."""

    def __init__(self, rnn: nn.Module) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, WIDTH)
        self.rnn = rnn
        self.fc = nn.Linear(WIDTH, CLASSES)

    def forward(self, ids: Tensor) -> Tensor:
        return self.fc(self.rnn(self.embedding(ids))[0].mean(1))


class GateCell(nn.Module):
    """A hand-written LSTM step: one bias in place of PyTorch's two."""

    def __init__(self, inputs: int, states: int) -> None:
        super().__init__()
        self.from_state = nn.Linear(states, 4 * states, bias=False)
        self.from_input = nn.Linear(inputs, 4 * states)

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        hidden, cell = state
        gates = self.from_input(x) + self.from_state(hidden)
        enter, forget, content, leave = gates.chunk(4, dim=-1)
        cell = forget.sigmoid() * cell + enter.sigmoid() * content.tanh()
        return leave.sigmoid() * cell.tanh(), cell


class SeparateGates(nn.Module):
    """A layer per gate over input and state together, registered by the alphabet."""

    def __init__(self, inputs: int, states: int) -> None:
        super().__init__()
        self.gates = nn.ModuleDict(
            {
                name: nn.Linear(inputs + states, states)
                for name in ("content", "enter", "forget", "leave")
            }
        )

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        hidden, cell = state
        both = torch.cat([x, hidden], dim=-1)
        answers = {name: gate(both) for name, gate in self.gates.items()}
        content = answers["content"].tanh() * answers["enter"].sigmoid()
        cell = answers["forget"].sigmoid() * cell + content
        return answers["leave"].sigmoid() * cell.tanh(), cell


class Loops(nn.Module):
    """A cell per layer and direction, stepped in Python; cells of the last layer come first."""

    def __init__(self, cell: type[nn.Module], directions: int, states: int) -> None:
        super().__init__()
        self.answer = nn.Linear(WIDTH, CLASSES)
        self.cells = nn.ModuleList(
            nn.ModuleList(cell(WIDTH, states) for _ in range(directions)) for _ in range(LAYERS)
        )
        self.words = nn.Parameter(torch.randn(VOCABULARY, WIDTH))
        self.states = states

    def forward(self, ids: Tensor) -> Tensor:
        x = self.words[ids]
        for layer in reversed(self.cells):
            runs = [self._run(cell, x, backwards=bool(way)) for way, cell in enumerate(layer)]
            x = torch.cat(runs, dim=-1)
        return self.answer(x.mean(1))

    def _run(self, cell: nn.Module, x: Tensor, backwards: bool) -> Tensor:
        zero = torch.zeros(len(x), self.states)
        state, outputs = zero if isinstance(cell, nn.GRUCell) else (zero, zero), []
        for step in reversed(x.unbind(1)) if backwards else x.unbind(1):
            state = cell(step, state)
            outputs.append(state if isinstance(state, Tensor) else state[0])
        return torch.stack(outputs[::-1] if backwards else outputs, dim=1)


def _ends(state: Mapping[str, Tensor]) -> State:
    return moved(state, {"embedding.weight": "words", "fc": "answer"})


def _cells(state: Mapping[str, Tensor], directions: int):
    """Per cell: the right name, and the left's four tensors by their short names."""
    for layer, way in product(range(LAYERS), range(directions)):
        suffix = f"_l{layer}" + ("_reverse" if way else "")
        kinds = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        yield f"cells.{LAYERS - 1 - layer}.{way}", {k: state[f"rnn.{k}{suffix}"] for k in kinds}


def _copied(state: Mapping[str, Tensor], directions: int) -> State:
    result = _ends(state)
    for name, tensors in _cells(state, directions):
        result |= {f"{name}.{kind}": tensor for kind, tensor in tensors.items()}
    return result


def _one_bias(state: Mapping[str, Tensor]) -> State:
    result = _ends(state)
    for name, tensors in _cells(state, directions=2):
        result[f"{name}.from_input.weight"] = tensors["weight_ih"]
        result[f"{name}.from_input.bias"] = tensors["bias_ih"] + tensors["bias_hh"]
        result[f"{name}.from_state.weight"] = tensors["weight_hh"]
    return result


def _gate_by_gate(state: Mapping[str, Tensor]) -> State:
    result = _ends(state)
    for name, tensors in _cells(state, directions=2):
        weights = torch.cat([tensors["weight_ih"], tensors["weight_hh"]], dim=1).chunk(4)
        biases = (tensors["bias_ih"] + tensors["bias_hh"]).chunk(4)
        for i, gate in enumerate(("enter", "forget", "content", "leave")):
            result[f"{name}.gates.{gate}.weight"] = weights[i]
            result[f"{name}.gates.{gate}.bias"] = biases[i]
    return result


def _lstm() -> nn.Module:
    return Fused(nn.LSTM(WIDTH, STATES, LAYERS, batch_first=True, bidirectional=True))


def _pair(left: nn.Module, right: nn.Module, truth, seed: int) -> Pair:
    example = (token_ids(2, 9, vocabulary=VOCABULARY, seed=seed),)
    return Pair(scrambled(left, seed + 1), scrambled(right, seed + 2), example, truth)


def lstm_cells() -> Pair:
    right = Loops(nn.LSTMCell, directions=2, states=STATES)
    return _pair(_lstm(), right, lambda state: _copied(state, directions=2), seed=30)


def lstm_one_bias() -> Pair:
    right = Loops(GateCell, directions=2, states=STATES)
    return _pair(_lstm(), right, _one_bias, seed=33)


def lstm_separate_gates() -> Pair:
    right = Loops(SeparateGates, directions=2, states=STATES)
    return _pair(_lstm(), right, _gate_by_gate, seed=36)


def gru_cells() -> Pair:
    """One direction, so that the input's and the state's weights have one shape."""
    left = Fused(nn.GRU(WIDTH, WIDTH, LAYERS, batch_first=True))
    right = Loops(nn.GRUCell, directions=1, states=WIDTH)
    return _pair(left, right, lambda state: _copied(state, directions=1), seed=39)
