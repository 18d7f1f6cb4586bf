"""Names that were exchanged in a file of trained weights: the weights tell, without an example."""

from __future__ import annotations

import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

import bequest as bq
from bequest.mapping.building.confidence import CONTRADICTED
from bequest.mapping.disambiguation.exchanged_names import exchanged
from bequest.mapping.disambiguation.shared_axes import shared_axes
from bequest.mapping.tracing.trace import trace

WIDTH, INNER, BLOCKS = 48, 96, 6


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH)
        self.up = nn.Linear(WIDTH, INNER)
        self.down = nn.Linear(INNER, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.down(torch.relu(self.up(self.norm(x))))


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(64, WIDTH)
        self.blocks = nn.ModuleList(Block() for _ in range(BLOCKS))
        self.head = nn.Linear(WIDTH, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        for block in self.blocks:
            x = block(x)
        return self.head(x)


def coupled(strength: float, seed: int = 0) -> dict[str, Tensor]:
    """Weights in which what enters a unit and what leaves it are as large, as after training."""
    torch.manual_seed(seed)
    state = {name: tensor.clone() for name, tensor in Net().state_dict().items()}
    shared = (strength * torch.randn(WIDTH)).exp()
    for n in range(BLOCKS):
        own = (strength * torch.randn(INNER)).exp()
        state[f"blocks.{n}.up.weight"] *= own[:, None] * shared
        state[f"blocks.{n}.up.bias"] *= own
        state[f"blocks.{n}.down.weight"] *= own * shared[:, None]
        state[f"blocks.{n}.norm.weight"] *= shared
        state[f"blocks.{n}.norm.bias"] += 0.1 * torch.randn(WIDTH)
    return state


def swapped(state: dict[str, Tensor], one: str, other: str) -> dict[str, Tensor]:
    return state | {one: state[other], other: state[one]}


def said(state: dict[str, Tensor]) -> list[str]:
    return [n for n in bq.map_parameters(state, Net()).notes if "exchanged" in n]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("blocks.1.up.weight", "blocks.3.up.weight"),
        ("blocks.0.down.weight", "blocks.4.down.weight"),
        ("blocks.2.norm.weight", "blocks.2.norm.bias"),
        ("blocks.1.norm.bias", "blocks.3.norm.weight"),
    ],
)
def test_an_exchange_across_depths_or_roles_is_said_and_not_applied_at_full_confidence(one, other):
    state = coupled(0.5)
    assert said(state) == []
    plan = bq.map_parameters(swapped(state, one, other), Net())
    notes = [note for note in plan.notes if "exchanged" in note]
    assert len(notes) == 1
    assert one in notes[0]
    assert other in notes[0]
    sure = {entry.target: entry.confidence for entry in plan.entries}
    assert {name for name, found in sure.items() if found <= CONTRADICTED} == {one, other}
    assert plan.confidence == CONTRADICTED
    assert plan.discrepancies == ()


def test_names_of_a_source_are_said_as_the_file_has_them():
    state = swapped(coupled(0.5), "blocks.1.up.weight", "blocks.3.up.weight")
    prefixed = {f"model.{name}": tensor for name, tensor in state.items()}
    assert "model.blocks.1.up.weight" in said(prefixed)[0]


def test_weights_that_are_stored_transposed_are_compared_as_the_target_has_them():
    state = swapped(coupled(0.5), "blocks.1.up.weight", "blocks.3.up.weight")
    turned = {n: t.t().contiguous() if t.ndim == 2 else t for n, t in state.items()}
    assert len(said(turned)) == 1


def test_several_exchanges_are_all_said():
    state = swapped(coupled(0.5), "blocks.1.up.weight", "blocks.3.up.weight")
    state = swapped(state, "blocks.4.norm.weight", "blocks.4.norm.bias")
    assert len(said(state)) == 2


@pytest.mark.parametrize("seed", range(5))
def test_random_weights_raise_no_alarm_and_hide_an_exchange(seed):
    state = coupled(0.0, seed)
    assert said(state) == []
    assert said(swapped(state, "blocks.1.up.weight", "blocks.3.up.weight")) == []


def test_the_evidence_that_is_asked_for_is_pinned():
    def found(strength: float) -> int:
        pairs = [(f"blocks.{n}.up.weight", f"blocks.{n + 1}.up.weight") for n in range(BLOCKS - 1)]
        return sum(any(one in n for n in said(swapped(coupled(strength), one, other)))
                   for one, other in pairs)  # fmt: skip

    assert [found(strength) for strength in (0.05, 0.06, 0.07)] == [1, 3, 3]


def test_a_trained_network_is_seen_through():
    images, labels = load_digits(return_X_y=True)
    x, y = torch.tensor(images / 16, dtype=torch.float32), torch.tensor(labels)
    torch.manual_seed(0)
    net = Net()
    steps = torch.optim.AdamW(net.parameters(), lr=3e-3, weight_decay=0.05)
    for step in range(300):
        rows = torch.randperm(len(x), generator=torch.Generator().manual_seed(step))[:64]
        steps.zero_grad()
        nn.functional.cross_entropy(net(x[rows]), y[rows]).backward()
        steps.step()
    state = {name: tensor.detach().clone() for name, tensor in net.state_dict().items()}
    assert said(state) == []
    for layer in ("up", "down"):
        for n in range(BLOCKS - 1):
            pair = f"blocks.{n}.{layer}.weight", f"blocks.{n + 1}.{layer}.weight"
            assert said(swapped(state, *pair)), pair


def test_what_has_no_values_and_values_that_are_not_finite_are_left_alone():
    state = coupled(0.5)
    meta = {name: tensor.to("meta") for name, tensor in state.items()}
    assert said(meta) == []
    state["blocks.0.up.weight"][0, 0] = float("nan")
    state["blocks.1.norm.weight"][1] = float("inf")
    assert said(state) == []


def test_equal_tensors_are_no_pair():
    state = coupled(0.5)
    state["blocks.1.up.weight"] = state["blocks.3.up.weight"].clone()
    found = exchanged(list(state), state.__getitem__, trace(Net()))
    assert ("blocks.1.up.weight", "blocks.3.up.weight") not in found


def test_networks_too_large_to_be_looked_at_say_so(monkeypatch):
    monkeypatch.setattr("bequest.mapping.disambiguation.exchanged_names.LARGEST", 1000)
    assert "not looked for" in said(coupled(0.5))[0]


def test_tensors_too_many_to_be_compared_say_so(monkeypatch):
    monkeypatch.setattr("bequest.mapping.disambiguation.exchanged_names.CROWD", BLOCKS - 1)
    state = swapped(coupled(0.5), "blocks.1.up.weight", "blocks.3.up.weight")
    notes = said(state)
    assert f"Of {BLOCKS} tensors of shape (96, 48) exchanged names were not looked for." in notes
    assert not any("seem to be exchanged" in note for note in notes)


def test_axes_of_a_residual_stream_and_of_hidden_units_are_told_apart():
    groups = shared_axes(trace(Net()))
    sizes = sorted((group[0].size, len({axis.tensor for axis in group})) for group in groups)
    assert sizes == [(10, 2), (WIDTH, 2 + 5 * BLOCKS + 1), *[(INNER, 3)] * BLOCKS]


def test_parts_of_fused_rows_share_the_axis_that_reads_them():
    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.both, self.out = nn.Linear(4, 20), nn.Linear(10, 4)

        def forward(self, x: Tensor) -> Tensor:
            gate, up = self.both(x).chunk(2, -1)
            return self.out(gate.sigmoid() * up)

    groups = shared_axes(trace(Gated()))
    halves = next(g for g in groups if any((a.tensor, a.axis) == ("out.weight", 1) for a in g))
    weights = {(a.start, a.size) for a in halves if a.tensor == "both.weight"}
    assert weights == {(0, 10), (10, 10)}
