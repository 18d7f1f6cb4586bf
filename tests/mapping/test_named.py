"""Equal names come first, and never override what was measured."""

from __future__ import annotations

from collections import OrderedDict
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

import bequest as bq
from bequest.errors import MapError
from bequest.mapping.matching.by_name import by_name


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.down(torch.relu(self.up(self.norm(x))))


class Net(nn.Module):
    def __init__(self, blocks: int = 3, width: int = 8, classes: int = 3, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.lift = nn.Linear(5, width)
        self.blocks = nn.ModuleList(Block(width) for _ in range(blocks))
        self.classifier = nn.Linear(width, classes)
        for tensor in self.parameters():
            nn.init.normal_(tensor, 0.5, 0.5)

    def body(self, x: Tensor) -> Tensor:
        x = self.lift(x)
        for block in self.blocks:
            x = block(x)
        return x

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.body(x))


def origins(plan):
    return {entry.target: entry.sources for entry in plan.entries}


@pytest.mark.parametrize("prefix", ["module.", "model.net.", "_orig_mod.", "a.b.c.d."])
def test_a_prefix_is_dropped(prefix):
    source, target = Net(), Net(seed=1)
    held = {prefix + name: tensor for name, tensor in source.state_dict().items()}
    made = bq.map_parameters(held, target).apply()
    assert all(map(torch.equal, made.state_dict().values(), source.state_dict().values()))


def test_a_part_of_the_target_is_filled_and_the_rest_is_new():
    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.backbone, self.top = Net(seed=1), nn.Linear(8, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.top(self.backbone.body(x))

    source, target = Net(), Outer()
    plan = bq.map_parameters(source, target, example=torch.randn(2, 5))
    assert plan.body_coverage == 1.0
    assert origins(plan)["backbone.lift.weight"] == ("lift.weight",)
    assert [e.rule for e in plan.entries[-2:]] == ["initialised: new head of 4 classes"] * 2


def test_two_networks_in_the_source_are_asked_for():
    held = {f"{side}.{n}": t for side in ("left", "right") for n, t in Net().state_dict().items()}
    with pytest.raises(MapError, match="'left' and 'right'"):
        bq.map_parameters(held, Net(seed=1))


def test_two_parts_of_the_target_are_asked_for():
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.query, self.document = Net(seed=1), Net(seed=2)

        def forward(self, x: Tensor) -> Tensor:
            return self.query(x) * self.document(x)

    target = Two()
    with pytest.raises(MapError, match=r"'query' and 'document'.*skip='document'"):
        bq.map_parameters(Net(), target)
    plan = bq.map_parameters(Net(), target, skip="document")
    assert origins(plan)["query.lift.weight"] == ("lift.weight",)


def test_numbers_that_are_no_block_numbers():
    shapes = {f"{name}.weight": (4, 4) for name in ("conv1x1", "conv3x3", "layer1.0", "layer10")}
    found = by_name(shapes, dict(reversed(shapes.items())))
    assert found is not None
    assert all(ours == theirs for ours, theirs in found.pairs.items())


def test_names_that_are_one_after_renaming_stay_two():
    shapes = {"norm.weight": (4,), "norm.gamma": (4,), "fc_1.weight": (2, 4), "fc1.weight": (2, 4)}
    found = by_name(shapes, shapes)
    assert found is not None
    assert all(ours == theirs for ours, theirs in found.pairs.items())


def test_ten_thousand_tensors_in_any_order():
    shapes = {f"layers.{n}.{part}.weight": (8, 8) for n in range(2500) for part in "abcd"}
    found = by_name(dict(sorted(shapes.items())), shapes)
    assert found is not None
    assert all(ours == theirs for ours, theirs in found.pairs.items())
    assert len(found.pairs) == 10_000


def test_a_network_of_another_task_is_refused_with_what_would_be_filled():
    held = {f"rnn.{n}.kernel": torch.randn(7 + n, 5) for n in range(8)}
    with pytest.raises(MapError):
        bq.map_parameters(held, Net()).apply()


def test_a_tensor_of_the_right_name_and_another_rank_keeps_the_targets_values():
    held = Net().state_dict() | {"blocks.1.norm.weight": torch.ones(2, 2, 2)}
    target = Net(seed=1)
    plan = bq.map_parameters(held, target)
    entry = next(e for e in plan.entries if e.target == "blocks.1.norm.weight")
    assert entry.rule == "initialised"
    assert torch.equal(plan.apply().blocks[1].norm.weight, target.blocks[1].norm.weight)


@pytest.mark.parametrize("depth", ["even", "first", "last"])
def test_blocks_are_spread_by_their_number(depth):
    held = Net(blocks=4).state_dict()
    plan = bq.map_parameters(held, Net(blocks=2, seed=1), depth=depth)
    wanted = {"even": (0, 3), "first": (0, 1), "last": (2, 3)}[depth]
    found = [origins(plan)[f"blocks.{n}.up.weight"] for n in range(2)]
    assert found == [(f"blocks.{n}.up.weight",) for n in wanted]


class Glued(nn.Module):
    """Blocks that are no list; `spelled` says how a number stands in their names."""

    def __init__(self, blocks: int, spelled: str, first: int = 0, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.stem, self.head = nn.Linear(5, 8), nn.Linear(8, 3)
        self.names = [spelled.format(first + n) for n in range(blocks)]
        for name in self.names:
            self.add_module(name, nn.ModuleDict({"up": nn.Linear(8, 8), "down": nn.Linear(8, 8)}))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for name in self.names:
            block = self._modules[name]
            x = x + block["down"](torch.relu(block["up"](x)))
        return self.head(x)


@pytest.mark.parametrize(
    "spelled", ["layer{}", "block_{}", "Stage{}", "h{}", "encoder_layer{}", "blk{}"]
)
@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize(
    ("depth", "wanted"), [("even", (0, 3)), ("first", (0, 1)), ("last", (2, 3))]
)
def test_blocks_whose_number_is_glued_to_a_word_are_spread_too(spelled, first, depth, wanted):
    held = Glued(4, spelled, first).state_dict()
    plan = bq.map_parameters(held, Glued(2, spelled, first, seed=1), depth=depth)
    found = [origins(plan)[f"{spelled.format(first + n)}.up.weight"] for n in range(2)]
    assert found == [(f"{spelled.format(first + n)}.up.weight",) for n in wanted]


@pytest.mark.parametrize("spelled", ["res{}", "net{}", "up_{}"])
@pytest.mark.parametrize(
    ("depth", "wanted"), [("even", (0, 1)), ("first", (0, 1)), ("last", (2, 3))]
)
def test_parts_that_may_be_parallel_are_spread_only_where_a_depth_is_asked_for(
    spelled, depth, wanted
):
    plan = bq.map_parameters(Glued(4, spelled).state_dict(), Glued(2, spelled, seed=1), depth=depth)
    found = [origins(plan)[f"{spelled.format(n)}.up.weight"] for n in range(2)]
    assert found == [(f"{spelled.format(n)}.up.weight",) for n in wanted]


def test_more_blocks_with_a_glued_number_change_nothing_at_first():
    source, target = Glued(2, "layer{}"), Glued(4, "layer{}", seed=1)
    made, rows = bq.map_parameters(source.state_dict(), target).apply(), torch.randn(3, 5)
    torch.testing.assert_close(made(rows), source(rows))


def test_layers_with_a_number_that_are_no_blocks_keep_their_names():
    sizes = {"conv1": 8, "conv1x1": 8, "conv3x3": 8, "conv10": 8}
    parts = {f"{name}.{n}": (8, size) for name, size in sizes.items() for n in ("weight", "bias")}
    without = {n: s for n, s in parts.items() if not n.startswith("conv1.")}
    for source, target in ((parts, without), (without, parts), (parts, parts)):
        found = by_name(dict(sorted(source.items())), target)
        assert found is not None
        assert all(ours == theirs for ours, theirs in found.pairs.items())


def test_the_tenth_layer_is_not_the_first_of_the_first():
    flat = {f"layer{n}.{part}.weight": (8, 8) for n in range(12) for part in ("fc", "out")}
    nested = {
        f"layer{n}.{m}.{p}.weight": (8, 8)
        for n in range(1, 4)
        for m in range(4)
        for p in ("fc", "out")
    }
    for names in (flat, nested):
        found = by_name(dict(sorted(names.items())), names)
        assert found is not None
        assert all(ours == theirs for ours, theirs in found.pairs.items())
    assert by_name(flat, nested) is None or not any(
        ours.startswith("layer1.0") and theirs.startswith("layer10.")
        for ours, theirs in by_name(flat, nested).pairs.items()
    )


def test_blocks_that_a_state_dict_has_once_less_change_nothing_at_first():
    source, target = Net(blocks=2), Net(blocks=4, seed=1)
    made = bq.map_parameters(source.state_dict(), target).apply()
    rows = torch.randn(3, 5)
    torch.testing.assert_close(made(rows), source(rows))


def test_layers_that_are_stored_transposed_are_turned_square_ones_too():
    class Turned(nn.Module):
        def __init__(self, seed: int) -> None:
            super().__init__()
            torch.manual_seed(seed)
            self.wide, self.square = Linear(4, 6), Linear(6, 6)
            self.out = Linear(6, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.out.c_proj(self.square.c_proj(self.wide.c_proj(x)))

    class Linear(nn.Module):
        def __init__(self, one: int, other: int) -> None:
            super().__init__()
            self.c_proj = nn.Linear(one, other)

    source, target = Turned(0), Turned(1)
    held = {n: t.T if t.ndim == 2 else t for n, t in source.state_dict().items()}
    made = bq.map_parameters(held, target).apply()
    assert torch.equal(made.square.c_proj.weight, source.square.c_proj.weight)


def test_names_that_lie_are_found_out_by_running_both():
    class Lying(Net):
        """Its first block is called the second."""

        def body(self, x: Tensor) -> Tensor:
            x = self.lift(x)
            for place in (1, 0, 2):
                x = self.blocks[place](x)
            return x

    source, target = Net(), Lying(seed=1)
    plan = bq.map_parameters(source, target, example=torch.randn(4, 5))
    assert plan.verify(torch.randn(4, 5)) < 1e-4 or plan.check(torch.randn(4, 5))
    assert origins(plan)["blocks.1.up.weight"] == ("blocks.0.up.weight",)


def test_one_class_with_other_settings_is_refused_where_both_were_run():
    class Leaky(nn.Module):
        def __init__(self, slope: float) -> None:
            super().__init__()
            self.first, self.second, self.slope = nn.Linear(4, 4), nn.Linear(4, 2), slope

        def forward(self, x: Tensor) -> Tensor:
            return self.second(nn.functional.leaky_relu(self.first(x), self.slope))

    plan = bq.map_parameters(Leaky(0.1), Leaky(0.9), example=torch.randn(4, 4))
    assert str(plan).startswith("Do not apply this: both are Leaky")
    with pytest.raises(MapError, match="do not give the same"):
        plan.apply()
    assert isinstance(plan.apply(force=True), Leaky)
    stored = type(plan).from_json(plan.to_json())
    bound = bq.map_parameters(Leaky(0.1), Leaky(0.9), example=torch.randn(4, 4), plan=stored)
    with pytest.raises(MapError, match=r"^both are Leaky"):
        bound.apply()


def test_a_map_that_fills_little_is_applied_only_when_told_so():
    held = {n: t for n, t in Net().state_dict().items() if n.startswith(("lift", "blocks.0.n"))}
    plan = bq.map_parameters(held, Net(seed=1))
    assert plan.body_coverage < 0.5
    with pytest.raises(MapError, match="of the body's parameters"):
        plan.apply()
    assert isinstance(plan.apply(min_coverage=0), Net)


def test_a_sorted_file_under_other_names_is_not_sure_enough_to_be_applied():
    names = {n: n.replace("blocks", "h").replace("lift", "zz").replace("up", "x") for n in
             Net().state_dict()}  # fmt: skip
    held = {names[n].replace("norm", "q").replace("down", "a").replace("classifier", "c"): t
            for n, t in Net().state_dict().items()}  # fmt: skip
    plan = bq.map_parameters({n: held[n] for n in sorted(held)}, Net(seed=1))
    assert plan.mean_confidence < 0.5
    with pytest.raises(MapError):
        plan.apply()


def test_one_part_may_stand_under_a_prefix_and_the_rest_not():
    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lift, self.model = nn.Linear(5, 8), nn.Module()
            self.model.blocks = nn.ModuleList(Block(8) for _ in range(3))
            self.classifier = nn.Linear(8, 3)

        forward, body = Net.forward, Net.body
        blocks = property(lambda self: self.model.blocks)

    source = Net()
    plan = bq.map_parameters(source.state_dict(), Outer())
    assert plan.coverage == 1.0
    assert all(e.target.removeprefix("model.") == e.sources[0] for e in plan.entries)


def test_of_names_that_differ_by_a_wrapper_only_the_exact_ones_count():
    def norms() -> nn.Module:
        return nn.Sequential(OrderedDict(lift=nn.Linear(3, 4), norm=nn.BatchNorm1d(4)))

    own = norms().state_dict()
    held = own | {f"module.{name}": tensor + 1 for name, tensor in own.items()}
    plan = bq.map_parameters(held, norms())
    assert origins(plan) == {name: (name,) for name in own}


@pytest.mark.parametrize("gone", [{1}, {0}, {0, 1}, {1, 3}])
def test_blocks_that_a_file_lacks_leave_the_others_where_they_are(gone):
    own = Net(blocks=4).state_dict()
    held = {n: t for n, t in own.items() if not any(n.startswith(f"blocks.{g}.") for g in gone)}
    plan = bq.map_parameters(held, Net(blocks=4, seed=1))
    assert origins(plan) == {name: (name,) if name in held else () for name in own}


def test_many_blocks_that_end_alike_are_found_behind_a_prefix():
    target = {f"block{n}.0.{part}": (2,) for n in range(100) for part in ("weight", "bias")}
    source = {f"net.{name}": shape for name, shape in target.items()}
    found = by_name(source, target)
    assert found is not None
    assert found.pairs == {name: f"net.{name}" for name in target}


def test_a_target_without_parameters_has_an_empty_map():
    assert bq.map_parameters(Net().state_dict(), nn.ReLU()).entries == ()


def test_a_depth_that_is_none_is_refused():
    with pytest.raises(MapError, match="'even', 'first' or 'last', not 'evn'"):
        bq.map_parameters(Net(), Net(), depth="evn")


def test_layers_that_differ_before_a_new_head_are_named():
    class Gated(nn.Module):
        def __init__(self, classes: int, activation: type[nn.Module] = nn.ReLU) -> None:
            super().__init__()
            self.gate, self.up, self.down = (nn.Linear(8, 8) for _ in range(3))
            self.head, self.activation = nn.Linear(8, classes), activation()

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.down(self.activation(self.gate(x)) * self.up(x)))

    plan = bq.map_parameters(Gated(3, nn.Tanh), Gated(5))
    assert "Run on one input, 'down' does not give what its source gives." in plan.notes
    assert not any("'down'" in note for note in bq.map_parameters(Gated(3), Gated(5)).notes)


@pytest.mark.parametrize("classes", [2, 5])
def test_all_layers_before_a_new_head_are_confirmed(classes):
    plan = bq.map_parameters(Net(classes=3), Net(classes=classes, seed=1))
    assert plan.confidence == 1.0


def test_layers_behind_a_part_that_is_left_out_are_not_confirmed():
    plan = bq.map_parameters(Net(), Net(seed=1), skip="blocks.1")
    assert {e.confidence for e in plan.entries if e.target.startswith("blocks.2.")} == {0.99}


def test_a_compiled_network_is_run_as_it_is_written():
    compiled = []
    target = torch.compile(Net(seed=1), backend=lambda graph, _: compiled.append(graph) or graph)
    plan = bq.map_parameters(Net(), target)
    assert not compiled
    assert plan.confidence == 1.0


class Adapted(nn.Module):
    """A layer that has an adapter, with the names that peft gives."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.base_layer = layer
        self.lora_A = nn.ModuleDict({"default": nn.Linear(layer.in_features, 2, bias=False)})
        self.lora_B = nn.ModuleDict({"default": nn.Linear(2, layer.out_features, bias=False)})
        nn.init.zeros_(self.lora_B["default"].weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.base_layer(x) + self.lora_B["default"](self.lora_A["default"](x))


def adapted(seed: int = 0) -> Net:
    net = Net(seed=seed)
    for block in net.blocks:
        block.up = Adapted(block.up)
    return net


def test_a_network_with_adapters_takes_its_base_and_keeps_them():
    plan = bq.map_parameters(Net().state_dict(), adapted(seed=1))
    assert origins(plan)["blocks.2.up.base_layer.weight"] == ("blocks.2.up.weight",)
    assert origins(plan)["blocks.2.up.lora_A.default.weight"] == ()


def test_a_network_with_adapters_is_no_source():
    with pytest.raises(MapError, match=r"Net holds an adapter .* merge it into its base"):
        bq.map_parameters(adapted(), Net(seed=1))
    assert bq.map_parameters(adapted(), adapted(seed=1)).coverage == 1.0


def test_numbers_are_names_enough_where_only_the_last_layer_has_another_shape():
    def layers(classes: int) -> nn.Module:
        sizes = [8, 8, 8, 8, classes]
        return nn.Sequential(*(nn.Linear(a, b) for a, b in pairwise(sizes)))

    own = layers(8).state_dict()
    plan = bq.map_parameters({name: own[name] for name in reversed(own)}, layers(5))
    assert origins(plan) == {name: () if name.startswith("3.") else (name,) for name in own}


def test_a_sparse_tensor_is_refused_with_the_way_out():
    held = Net().state_dict()
    held["classifier.weight"] = held["classifier.weight"].to_sparse()
    with pytest.raises(MapError, match=r"classifier.weight of the mapping is sparse.*to_dense"):
        bq.map_parameters(held, Net(seed=1))


def test_a_layer_before_a_new_head_that_gives_something_else_is_not_sure():
    class Other(Net):
        def body(self, x: Tensor) -> Tensor:
            return super().body(2 * x)

    plan = bq.map_parameters(Net(), Other(classes=5), example=torch.randn(3, 5))
    assert "'lift' does not give what its source gives" in str(plan)
    assert plan.confidence < 0.5
