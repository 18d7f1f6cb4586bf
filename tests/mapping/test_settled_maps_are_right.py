"""What a run confirms is right, though the networks or the example hide most of what they do."""

from __future__ import annotations

from typing import ClassVar

import pytest
import torch
from tests.mapping.pairs.plain_blocks import OpaqueAttention
from torch import Tensor, nn
from transformers import BertConfig, BertModel

import bequest as bq
from bequest.errors import MapError

WIDTH = 16


class Fused(nn.Module):
    """Attention in one tensor; the output starts at zero, as in many residual branches."""

    def __init__(self, *, zero: bool = False) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(WIDTH, 2, batch_first=True)
        self.head = nn.Linear(WIDTH, 3)
        if zero:
            nn.init.zeros_(self.attention.out_proj.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x + self.attention(x, x, x)[0])


class Split(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(WIDTH, 3)
        self.look = OpaqueAttention(WIDTH, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(x + self.look(x))


LETTERS = {"c": 0, "a": 1, "b": 2}


@pytest.mark.parametrize(
    "example", [torch.randn(2, 5, WIDTH), torch.zeros(2, 5, WIDTH), torch.ones(1, 1, WIDTH)]
)
def test_queries_and_keys_are_told_apart_where_the_output_is_zero(example):
    source, target = Fused(zero=True), Split()
    plan = bq.map_parameters(source, target, example=example)
    found = plan.state_dict()
    for name, part in LETTERS.items():
        wanted = source.attention.in_proj_weight[part * WIDTH :][:WIDTH]
        sure = next(e.confidence for e in plan.entries if e.target == f"look.{name}.weight")
        assert torch.equal(found[f"look.{name}.weight"], wanted) or sure < 1


def test_queries_and_keys_are_told_apart_in_a_fresh_library_model():
    config = BertConfig(
        vocab_size=40, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
        intermediate_size=32, max_position_embeddings=16,
    )  # fmt: skip
    torch.manual_seed(0)
    source, target = BertModel(config), Named(BertModel(config))
    plan = bq.map_parameters(source, target, example=torch.arange(3, 11)[None])
    assert plan.confidence == 1.0
    for name, tensor in source.state_dict().items():
        assert torch.equal(plan.state_dict()[target.name_of(name)], tensor), name


class Named(nn.Module):
    """The same network; a layer's name says another's role."""

    swapped: ClassVar[dict[str, str]] = {"query": "value", "key": "query", "value": "key"}

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        for layer in inner.encoder.layer:
            attention = layer.attention.self
            parts = {new: getattr(attention, old) for old, new in self.swapped.items()}
            layer.attention.self = Renamed(attention, parts)

    def name_of(self, name: str) -> str:
        for old, new in self.swapped.items():
            if f".self.{old}." in name:
                return "inner." + name.replace(f".self.{old}.", f".self.{new}.")
        return "inner." + name

    def forward(self, ids: Tensor) -> object:
        return self.inner(ids)


class Renamed(nn.Module):
    def __init__(self, attention: nn.Module, parts: dict[str, nn.Module]) -> None:
        super().__init__()
        self.query, self.key, self.value = (parts[k] for k in ("query", "key", "value"))
        self.heads = attention.num_attention_heads

    def forward(self, x: Tensor, *rest: object, **options: object) -> tuple[Tensor, None]:
        def heads(y: Tensor) -> Tensor:
            return y.unflatten(-1, (self.heads, -1)).transpose(1, 2)

        q, k, v = (heads(getattr(self, Named.swapped[n])(x)) for n in ("query", "key", "value"))
        found = nn.functional.scaled_dot_product_attention(q, k, v)
        return found.transpose(1, 2).flatten(2), None


class Heads(nn.Module):
    """Three results of one shape."""

    def __init__(self, order: tuple[int, ...]) -> None:
        super().__init__()
        self.body = nn.Linear(6, WIDTH)
        self.outs = nn.ModuleList(nn.Linear(WIDTH, 4) for _ in range(3))
        self.order = order

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        x = self.body(x).relu()
        return tuple(self.outs[n](x) for n in self.order)


def test_every_result_of_a_network_counts():
    source, target = Heads((0, 1, 2)), Heads((0, 2, 1))
    plan = bq.map_parameters(source, target, example=torch.randn(5, 6))
    filled = plan.state_dict()
    assert plan.confidence == 1.0
    for mine, theirs in ((0, 0), (2, 1), (1, 2)):
        assert torch.equal(filled[f"outs.{mine}.weight"], source.outs[theirs].weight)


class Dot(nn.Module):
    """Two towers whose product does not say which is which, unless their inputs do."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__()
        self.names = first, second
        for name in sorted((first, second)):
            self.add_module(name, nn.Sequential(nn.Embedding(30, WIDTH), nn.Linear(WIDTH, WIDTH)))

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        first, second = (getattr(self, name) for name in self.names)
        return (first(users) * second(items)).sum(-1)


def test_towers_are_told_apart_by_what_they_read():
    source, target = Dot("user", "item"), Dot("a", "b")
    plan = bq.map_parameters(source, target)
    filled = plan.state_dict()
    right = torch.equal(filled["a.0.weight"], source.user[0].weight)
    assert right or plan.confidence < 1


def test_a_network_with_small_outputs_is_compared_within_their_spread():
    source, target = Small((0, 1)), Small((1, 0))
    plan = bq.map_parameters(source, target, example=torch.randn(4, WIDTH))
    assert torch.equal(plan.state_dict()["parts.1.weight"], source.parts[0].weight)
    assert plan.confidence == 1.0


class Small(nn.Module):
    def __init__(self, order: tuple[int, int]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(2))
        self.order = order

    def forward(self, x: Tensor) -> Tensor:
        one, other = (self.parts[n](x) for n in self.order)
        return 1e-6 * (one.tanh() * other.sigmoid()).mean(1)


class Swapped(nn.Module):
    """Layers of one shape; with `swap` two of them run under each other's names."""

    def __init__(
        self, classes: int = 0, *, swap: bool = False, act: type[nn.Module] = nn.ReLU
    ) -> None:
        super().__init__()
        self.swap, self.act = swap, act()
        self.first = nn.Linear(6, WIDTH)
        self.left, self.right = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.left_norm, self.right_norm = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        if classes:
            self.head = nn.Linear(WIDTH, classes)

    def forward(self, x: Tensor) -> Tensor:
        left, right = (self.left, self.left_norm), (self.right, self.right_norm)
        x = self.act(self.first(x))
        for layer, norm in (right, left) if self.swap else (left, right):
            x = x + self.act(norm(layer(x)))
        return self.head(x) if hasattr(self, "head") else x


@pytest.mark.parametrize("example", [None, torch.randn(4, 6)])
@pytest.mark.parametrize("classes", [(3, 5), (0, 5), (3, 0)])
def test_names_that_lie_before_a_new_head_are_seen(classes, example):
    source, target = Swapped(classes[0]), Swapped(classes[1], swap=True)
    plan = bq.map_parameters(source, target, example=example)
    found, theirs = plan.state_dict(), source.state_dict()
    for name, other in (("left", "right"), ("right", "left"), ("left_norm", "right_norm")):
        assert torch.equal(found[f"{name}.weight"], theirs[f"{other}.weight"]), name
    assert plan.confidence == 1.0
    assert plan.body_coverage == 1.0


@pytest.mark.parametrize("example", [torch.zeros(0, 6), torch.full((2, 6), torch.nan)])
def test_outputs_that_say_nothing_confirm_nothing(example):
    for target in (Swapped(3, swap=True), Swapped(5, swap=True)):
        plan = bq.map_parameters(Swapped(3), target, example=example)
        assert plan.confidence < 1
        assert any("empty or not finite" in note for note in plan.notes)


def test_a_new_head_on_the_same_layers_confirms_them():
    plan = bq.map_parameters(Swapped(3), Swapped(5))
    assert [e.sources[0] for e in plan.entries if e.moves] == list(Swapped().state_dict())
    assert plan.confidence == 1.0


def test_one_class_with_other_settings_before_a_new_head_is_refused():
    plan = bq.map_parameters(Swapped(3), Swapped(5, act=nn.Tanh))
    assert "up to 'left'" in plan.contradiction
    with pytest.raises(MapError, match="other settings, or the names lie"):
        plan.apply()
