"""Layers that one side shares and the other has apart; tied weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import bequest as bq
from bequest.errors import MapError
from bequest.mapping.conversions.shared_layers import unshared
from bequest.mapping.tracing.ops import Trace


class Layer(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, rows):
        return rows + self.down(torch.relu(self.up(self.norm(rows))))


class Loop(nn.Module):
    """One layer that runs three times."""

    def __init__(self, times=3, width=8):
        super().__init__()
        self.times = times
        self.first, self.layer, self.head = (
            nn.Linear(4, width), Layer(width), nn.Linear(width, 3),
        )  # fmt: skip

    def forward(self, rows):
        rows = self.first(rows)
        for _ in range(self.times):
            rows = self.layer(rows)
        return self.head(rows)


class Apart(nn.Module):
    """Three layers; the same one three times where `shared`."""

    def __init__(self, shared=False, count=3, width=8):
        super().__init__()
        layers = [Layer(width) for _ in range(count)]
        self.first, self.head = nn.Linear(4, width), nn.Linear(width, 3)
        self.layers = nn.ModuleList(layers[:1] * count if shared else layers)

    def forward(self, rows):
        rows = self.first(rows)
        for layer in self.layers:
            rows = layer(rows)
        return self.head(rows)


class Words(nn.Module):
    def __init__(self, tied):
        super().__init__()
        self.wte, self.norm = nn.Embedding(20, 8), nn.LayerNorm(8)
        self.lm_head = nn.Linear(8, 20, bias=False)
        if tied:
            self.lm_head.weight = self.wte.weight

    def forward(self, tokens):
        return self.lm_head(self.norm(self.wte(tokens)))


def drawn(module, seed=0):
    torch.manual_seed(seed)
    for tensor in module.parameters():
        nn.init.normal_(tensor, std=0.3)
    return module.eval()


def alike(module):
    """The same numbers in every layer."""
    for layer in module.layers[1:]:
        layer.load_state_dict(module.layers[0].state_dict())
    return module


ROWS = torch.linspace(-1, 1, 20).reshape(5, 4)


@pytest.mark.parametrize("source", [Loop(), Apart(shared=True)], ids=["loop", "tied"])
@pytest.mark.parametrize(
    "target", [Apart(), Loop(), Apart(shared=True)], ids=["apart", "loop", "tied"]
)
@pytest.mark.parametrize("example", [None, ROWS], ids=["alone", "example"])
def test_a_shared_layer_goes_into_all_and_gives_the_same(source, target, example):
    source, target = drawn(source), drawn(target, 1)
    made = bq.map_parameters(source, target, example=example).apply()
    with torch.no_grad():
        assert torch.allclose(source(ROWS), made(ROWS), atol=1e-5)


@pytest.mark.parametrize("target", [Loop(), Apart(shared=True)], ids=["loop", "tied"])
def test_layers_that_differ_are_not_poured_into_one(target):
    source, target = drawn(Apart()), drawn(target, 1)
    plan = bq.map_parameters(source, target)
    with pytest.raises(
        MapError, match=r"the source has 3 that differ, 'layers\.0.*leave it out: "
    ) as no:
        plan.apply()
    assert "\n" not in str(no.value)
    made = bq.map_parameters(alike(source), target).apply()
    with torch.no_grad():
        assert torch.allclose(source(ROWS), made(ROWS), atol=1e-5)


def test_a_deeper_target_of_a_layer_that_runs_once_still_starts_as_the_source():
    source, target = drawn(Loop(times=1)), drawn(Apart(), 1)
    plan = bq.map_parameters(source, target)
    assert any("zero" in entry.rule for entry in plan.entries)
    with torch.no_grad():
        assert torch.allclose(source(ROWS), plan.apply()(ROWS), atol=1e-5)


def test_recurrent_layers_that_run_at_every_step_are_no_shared_ones():
    class Cells(nn.Module):
        def __init__(self, count):
            super().__init__()
            self.cells = nn.ModuleList(nn.RNNCell(4, 4) for _ in range(count))

        def forward(self, steps):
            states = [torch.zeros(len(steps), 4) for _ in self.cells]
            for step in steps.unbind(1):
                for n, cell in enumerate(self.cells):
                    states[n] = step = cell(step, states[n])
            return step

    source, target = drawn(Cells(3)), drawn(Cells(3), 1)
    steps = torch.randn(2, 3, 4)
    made = bq.map_parameters(source, target, example=steps).apply()
    with torch.no_grad():
        assert torch.allclose(source(steps), made(steps), atol=1e-5)


def test_tied_weights_go_into_tied_and_untied_ones():
    tokens, tied = torch.arange(10).reshape(2, 5), drawn(Words(True))
    for target in (drawn(Words(True), 2), drawn(Words(False), 2)):
        made = bq.map_parameters(tied, target).apply()
        with torch.no_grad():
            assert torch.allclose(tied(tokens), made(tokens), atol=1e-5)
        assert (made.lm_head.weight is made.wte.weight) == (
            target.lm_head.weight is target.wte.weight
        )


@pytest.mark.parametrize("mapped", [lambda m: m, lambda m: m.state_dict()], ids=["module", "dict"])
def test_weights_that_differ_are_not_tied(mapped):
    tokens, apart = torch.arange(10).reshape(2, 5), drawn(Words(False))
    with pytest.raises(
        MapError, match=r"the source has 2 that differ, 'wte\.weight', 'lm_head\.weight'"
    ):
        bq.map_parameters(mapped(apart), drawn(Words(True), 1)).apply()
    with torch.no_grad():
        apart.lm_head.weight.copy_(apart.wte.weight)
    made = bq.map_parameters(apart, drawn(Words(True), 1)).apply()
    with torch.no_grad():
        assert torch.allclose(apart(tokens), made(tokens), atol=1e-5)


def test_a_prefix_before_the_names_of_tied_weights_does_not_hide_that_they_differ():
    named = {f"module.{name}": tensor for name, tensor in drawn(Words(False)).state_dict().items()}
    with pytest.raises(MapError, match=r"'module\.wte\.weight', 'module\.lm_head\.weight'"):
        bq.map_parameters(named, drawn(Words(True), 1)).apply()


def test_a_files_albert_layers_are_known_by_their_name():
    inner = {"ffn.weight": (8, 4), "ffn.bias": (8,)}
    there = {f"encoder.albert_layer_groups.0.{tail}": shape for tail, shape in inner.items()}
    ours = {f"layer.{n}.{tail}": shape for n in range(3) for tail, shape in inner.items()}
    found = unshared(Trace(there, (), "", False), Trace(ours, (), "", False))
    assert {name: entry.sources for name, entry in found.items()} == {
        name: (f"encoder.albert_layer_groups.0.{name.split('.', 2)[2]}",) for name in ours
    }
    other = {name.replace("albert_layer_groups", "layers"): s for name, s in there.items()}
    assert unshared(Trace(other, (), "", False), Trace(ours, (), "", False)) == {}
