"""The plan: read, stored, compared, applied, refused."""

from __future__ import annotations

import copy
import itertools
import json

import numpy as np
import pytest
import torch
from torch import nn

import bequest as bq
from bequest.errors import MapError, ModelError, UnsafeModel
from bequest.frameworks.files.weights import write_weights
from bequest.mapping import ParameterMap
from bequest.nets.resnet import ResNet


def mlp(*widths: int, seed: int = 0) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        parts: list[nn.Module] = []
        for one, other in itertools.pairwise(widths):
            parts += [nn.Linear(one, other), nn.ReLU()]
        return nn.Sequential(*parts[:-1])


def test_every_number_is_accounted_for():
    plan = bq.map_parameters(mlp(4, 8, 3), mlp(4, 12, 3))
    for entry in plan.entries:
        assert entry.copied + entry.reshaped + entry.initialised == entry.size


def test_a_wider_perceptron_is_the_same_function():
    source, target = mlp(4, 8, 8, 3), mlp(4, 12, 20, 3, seed=1)
    plan = bq.map_parameters(source, target)
    assert plan.coverage == 1.0
    assert plan.verify(torch.randn(5, 4)) < 1e-6


def test_units_that_were_repeated_learn_different_things():
    wide = bq.map_parameters(mlp(4, 8, 3), mlp(4, 16, 3)).apply()
    x, y = torch.randn(32, 4), torch.randint(0, 3, (32,))
    nn.functional.cross_entropy(wide(x), y).backward()
    gradient = wide[0].weight.grad
    assert not torch.allclose(gradient[:8], gradient[8:])


def test_a_narrower_perceptron_takes_units_that_belong_together():
    source = mlp(4, 8, 8, 3)
    made = bq.map_parameters(source, mlp(4, 6, 4, 3, seed=1)).apply()
    assert made[0].weight.shape == (6, 4)
    rows = [bool((source[0].weight == row).all(1).any()) for row in made[0].weight]
    assert all(rows)


def test_a_deeper_perceptron_spreads_the_blocks_evenly():
    source, target = mlp(8, 8, 8, 8, 3), mlp(8, 8, 8, 8, 8, 8, 8, 3, seed=1)
    plan = bq.map_parameters(source, target)
    origins = [entry.sources for entry in plan.entries if entry.target.endswith("weight")]
    assert origins == [("0.weight",), (), ("2.weight",), (), ("4.weight",), (), ("6.weight",)]


@pytest.mark.parametrize(
    ("depth", "wanted"), [("first", (0, 2, 6)), ("last", (2, 4, 6)), ("even", (0, 4, 6))]
)
def test_a_shallower_perceptron_takes_the_blocks_that_were_asked_for(depth, wanted):
    plan = bq.map_parameters(mlp(8, 8, 8, 8, 3), mlp(8, 8, 8, 3, seed=1), depth=depth)
    origins = [entry.sources[0] for entry in plan.entries if entry.target.endswith("weight")]
    assert origins == [f"{n}.weight" for n in wanted]


def test_classes_are_matched_by_label():
    source, target = mlp(4, 8, 3), mlp(4, 8, 2, seed=1)
    plan = bq.map_parameters(source, target, classes=(("cat", "dog", "eel"), ("Eel", "fox")))
    made = plan.apply()
    assert torch.equal(made[2].weight[0], source[2].weight[2])
    assert torch.equal(made[2].weight[1], target[2].weight[1])
    head = {entry.target: entry for entry in plan.entries}["2.weight"]
    assert (head.copied, head.initialised) == (8, 8)
    assert "initialised" in head.rule


def test_a_head_of_other_classes_without_names_starts_afresh():
    source, target = mlp(4, 8, 10), mlp(4, 8, 3, seed=1)
    plan = bq.map_parameters(source, target)
    head = {entry.target: entry for entry in plan.entries}["2.weight"]
    assert head.rule == "initialised: new head of 3 classes"
    made = plan.apply()
    assert torch.equal(made[2].weight, target[2].weight)
    assert torch.equal(made[0].weight, source[0].weight)


def test_the_classes_of_models_are_theirs():
    one = bq.wrap(mlp(4, 8, 3), classes=["a", "b", "c"])
    other = bq.wrap(mlp(4, 8, 2, seed=1), classes=["c", "a"])
    made = bq.map_parameters(one, other).apply()
    assert torch.equal(made[2].weight, one.module[2].weight[[2, 0]])


def test_columns_are_matched_by_name():
    source, target = mlp(2, 8, 3), mlp(3, 8, 3, seed=1)
    columns = (("age", "dose"), ("dose", "sex", "age"))
    made = bq.map_parameters(source, target, columns=columns).apply()
    assert torch.equal(made[0].weight[:, 0], source[0].weight[:, 1])
    assert torch.equal(made[0].weight[:, 1], target[0].weight[:, 1])


def test_columns_without_names_are_refused():
    with pytest.raises(MapError, match="no column names to match them by"):
        bq.map_parameters(mlp(2, 8, 3), mlp(3, 8, 3)).apply()


class Words(nn.Module):
    def __init__(self, rows: int, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.words = nn.Embedding(rows, 4)
            self.top = nn.Linear(4, 2)

    def forward(self, ids):
        return self.top(self.words(ids).mean(1))


def test_a_vocabulary_is_matched_by_token():
    source, target = Words(3), Words(4, seed=1)
    tokens = ({"a": 0, "b": 1, "c": 2}, {"c": 0, "x": 1, "a": 2, "y": 3})
    made = bq.map_parameters(source, target, vocabulary=tokens).apply()
    assert torch.equal(made.words.weight[0], source.words.weight[2])
    assert torch.equal(made.words.weight[2], source.words.weight[0])
    assert torch.equal(made.words.weight[1], target.words.weight[1])


def test_neither_network_is_touched():
    source, target = mlp(4, 8, 3), mlp(4, 12, 3, seed=1)
    before = [copy.deepcopy(net.state_dict()) for net in (source, target)]
    plan = bq.map_parameters(source, target, example=torch.randn(2, 4))
    plan.apply()
    plan.state_dict()
    plan.verify(torch.randn(2, 4))
    for net, kept in zip((source, target), before, strict=True):
        assert all(torch.equal(value, kept[name]) for name, value in net.state_dict().items())
        assert net.training


def test_a_layer_that_stands_in_two_places_is_left_as_it_was():
    layer = nn.Linear(4, 4)
    looped, twin = nn.Sequential(layer, nn.ReLU(), layer), mlp(4, 4, 4)
    before = [tensor.clone() for tensor in looped.state_dict().values()]
    for source, target in ((looped, twin), (twin, looped)):
        bq.map_parameters(source, target, example=torch.randn(2, 4))
        for tensor, was in zip(looped.state_dict().values(), before, strict=True):
            assert torch.equal(tensor, was)
    assert looped[0] is looped[2] is layer


def test_running_statistics_are_not_moved_by_tracing():
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 2))
    before = copy.deepcopy(net.state_dict())
    bq.map_parameters(net, copy.deepcopy(net), example=torch.randn(4, 1, 8, 8))
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_a_counter_goes_with_its_statistics():
    source = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
    source[1].num_batches_tracked.fill_(7)
    target = nn.Sequential(nn.Flatten(), nn.Linear(4, 4), nn.BatchNorm1d(4))
    made = bq.map_parameters(source, target).apply()
    assert int(made[2].num_batches_tracked) == 7


def test_text_and_back_is_the_same_plan_and_holds_no_weights():
    plan = bq.map_parameters(mlp(4, 8, 3), mlp(4, 12, 3))
    text = plan.to_json()
    again = ParameterMap.from_json(text)
    assert again.entries == plan.entries
    assert again == plan
    assert len(text) < 8000
    assert json.loads(text)["coverage"] == 1.0
    with pytest.raises(MapError, match="knows no networks"):
        again.apply()


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"format": 9}', "{" * 4000, "null"])
def test_what_is_no_map_is_one_line(text):
    with pytest.raises(MapError):
        ParameterMap.from_json(text)


def test_a_map_bound_to_other_networks_is_refused():
    plan = ParameterMap.from_json(bq.map_parameters(mlp(4, 8, 3), mlp(4, 8, 3)).to_json())
    bound = bq.map_parameters(mlp(4, 16, 3), mlp(4, 8, 8, 3), plan=plan)
    assert bound.discrepancies
    with pytest.raises(MapError):
        bound.apply()
    with pytest.raises(MapError):
        bound.apply(force=True)


def test_an_edited_map_is_applied_only_when_told_so():
    source, target = mlp(4, 8, 8, 3), mlp(4, 8, 8, 3, seed=1)
    values = json.loads(bq.map_parameters(source, target).to_json())
    values["entries"][2]["moves"] = []
    edited = bq.map_parameters(source, target, plan=ParameterMap.from_json(json.dumps(values)))
    with pytest.raises(MapError, match="not what the two networks suggest"):
        edited.apply()
    made = edited.apply(force=True)
    assert torch.equal(made[2].weight, target[2].weight)
    assert torch.equal(made[4].weight, source[4].weight)


def test_a_file_as_a_source_is_read_tensor_by_tensor(tmp_path):
    source, target = mlp(4, 8, 3), mlp(4, 8, 3, seed=1)
    place = tmp_path / "model.safetensors"
    write_weights(place, source.state_dict())
    plan = bq.map_parameters(place, target)
    made = plan.apply()
    assert all(
        torch.equal(a, b) for a, b in zip(made.parameters(), source.parameters(), strict=True)
    )
    with pytest.raises(MapError, match="the source is a file"):
        plan.verify(torch.randn(1, 4))


def test_a_file_under_another_prefix_is_mapped(tmp_path):
    source, target = mlp(4, 8, 8, 3), mlp(4, 8, 8, 3, seed=1)
    place = tmp_path / "model.safetensors"
    write_weights(place, {f"module.net.{n}": t for n, t in source.state_dict().items()})
    made = bq.map_parameters(place, target).apply()
    assert all(
        torch.equal(a, b) for a, b in zip(made.parameters(), source.parameters(), strict=True)
    )


def test_tied_weights_stay_tied():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.words = nn.Embedding(9, 4)
            self.body = nn.Linear(4, 4)
            self.out = nn.Linear(4, 9, bias=False)
            self.out.weight = self.words.weight

        def forward(self, ids):
            return self.out(self.body(self.words(ids)))

    source, target = Tied(), Tied()
    made = bq.map_parameters(source, target).apply()
    assert made.out.weight is made.words.weight
    assert torch.equal(made.out.weight, source.words.weight)


def test_another_kind_of_network_is_covered_by_next_to_nothing():
    conv = nn.Sequential(
        nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 16, 3), nn.Flatten(), nn.Linear(16 * 4, 5)
    )

    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = nn.LSTM(7, 24, batch_first=True)
            self.head = nn.Linear(24, 3)

        def forward(self, x):
            return self.head(self.rnn(x)[0][:, -1])

    plan = bq.map_parameters(conv, Recurrent())
    assert plan.body_coverage < 0.5
    assert "initialised" in str(plan)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_another_precision_is_converted(dtype):
    source, target = mlp(4, 8, 3).to(dtype), mlp(4, 8, 3, seed=1)
    made = bq.map_parameters(source, target).apply()
    assert made[0].weight.dtype == torch.float32
    torch.testing.assert_close(made[0].weight, source[0].weight.float())


def test_numbers_that_overflow_in_half_precision_are_refused():
    source, target = mlp(4, 8, 3), mlp(4, 8, 3, seed=1).half()
    with torch.no_grad():
        source[0].weight[0, 0] = 1e9
    with pytest.raises(MapError, match="not finite"):
        bq.map_parameters(source, target).apply()


def test_an_infinite_bound_of_the_source_is_copied_and_nan_is_refused():
    class Clipped(nn.Module):
        def __init__(self, bound: float) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 2)
            self.register_buffer("low", torch.tensor(bound))

        def forward(self, x):
            return self.fc(x).clamp(self.low)

    made = bq.map_parameters(Clipped(-float("inf")), Clipped(0.0)).apply()
    assert float(made.low) == -float("inf")
    with pytest.raises(MapError, match="not finite"):
        bq.map_parameters(Clipped(float("nan")), Clipped(0.0)).apply()


def test_a_meta_target_gets_real_numbers_where_all_of_them_come():
    source = mlp(4, 8, 3)
    with torch.device("meta"):
        target = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    made = bq.map_parameters(source, target).apply()
    assert torch.equal(made(torch.ones(1, 4)), source(torch.ones(1, 4)))
    with pytest.raises(MapError, match="meta"):
        bq.map_parameters(source, target, skip="2").apply()


def test_a_lazy_network_is_refused_with_the_way_out():
    with pytest.raises(MapError, match="run the network once"):
        bq.map_parameters(mlp(4, 3), nn.Sequential(nn.LazyLinear(3)))


@pytest.mark.filterwarnings("ignore:.*quantize_per_tensor.*:UserWarning")
def test_quantised_tensors_are_refused():
    tensor = torch.quantize_per_tensor(torch.randn(3, 4), 0.1, 0, torch.qint8)
    with pytest.raises(MapError, match="quantised"):
        bq.map_parameters({"0.weight": tensor}, mlp(4, 3))


def test_an_empty_network_has_an_empty_map():
    plan = bq.map_parameters(nn.Sequential(), nn.Sequential(nn.ReLU()))
    assert plan.entries == ()
    assert plan.coverage == 0.0
    assert isinstance(plan.apply(), nn.Sequential)
    assert str(plan)


def test_tensors_without_numbers_pass():
    class Hollow(nn.Module):
        def __init__(self):
            super().__init__()
            self.none = nn.Parameter(torch.zeros(0, 4))
            self.fc = nn.Linear(4, 2)

        def forward(self, x):
            return self.fc(x)

    made = bq.map_parameters(Hollow(), Hollow()).apply()
    assert made.none.shape == (0, 4)


def test_complex_and_whole_buffers_are_left_or_copied():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("turn", torch.polar(torch.ones(4), torch.arange(4.0)))
            self.register_buffer("ids", torch.arange(4))
            self.fc = nn.Linear(4, 2)

        def forward(self, x):
            return self.fc(x[:, self.ids] * self.turn.real)

    made = bq.map_parameters(Odd(), Odd(), example=torch.randn(2, 4)).apply()
    assert made.turn.is_complex()
    assert torch.equal(made.ids, torch.arange(4))


def test_an_example_that_does_not_fit_is_one_line():
    with pytest.raises(MapError, match="does not run on the example"):
        bq.map_parameters(mlp(4, 3), mlp(4, 3), example=torch.randn(2, 5))


def test_skipping_what_is_not_there_is_one_line():
    with pytest.raises(MapError, match="skip names 'haed'"):
        bq.map_parameters(mlp(4, 3), mlp(4, 3), skip="haed")


@pytest.mark.parametrize("thing", [3, None, "nowhere.safetensors"])
def test_what_is_no_source_is_one_line(thing):
    with pytest.raises((MapError, ModelError)):
        bq.map_parameters(thing, mlp(4, 3))


@pytest.mark.parametrize("given", [{"a": 1}, {}, {"a": {"b": np.ones(3)}}])
def test_a_mapping_without_tensors_is_refused(given):
    with pytest.raises(MapError, match="no tensors"):
        bq.map_parameters(given, mlp(4, 3))


def test_a_target_must_be_a_network():
    with pytest.raises(MapError, match="a target is a network"):
        bq.map_parameters(mlp(4, 3), 3)


def test_a_pickle_is_refused_with_the_way_out(tmp_path):
    place = tmp_path / "model.pt"
    torch.save(mlp(4, 3).state_dict(), place)
    with pytest.raises(UnsafeModel, match="bequest convert"):
        bq.map_parameters(place, mlp(4, 3))


def test_a_truncated_file_is_one_line(tmp_path):
    place = tmp_path / "model.safetensors"
    write_weights(place, mlp(4, 3).state_dict())
    place.write_bytes(place.read_bytes()[:-5])
    with pytest.raises(ModelError, match="truncated"):
        bq.map_parameters(place, mlp(4, 3))


@pytest.mark.slow
def test_a_header_of_a_million_tensors_is_one_line(tmp_path):
    place = tmp_path / "model.safetensors"
    entries = {
        f"t{n}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for n in range(10**6)
    }
    header = json.dumps(entries).encode()
    place.write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(ModelError, match="at most"):
        bq.map_parameters(place, mlp(4, 3))


def test_the_difference_of_two_maps_is_told_by_tensor():
    source, target = mlp(4, 8, 3), mlp(4, 8, 3, seed=1)
    one, other = bq.map_parameters(source, target), bq.map_parameters(source, target, skip="0")
    assert one.diff(one) == ""
    assert one.diff(other).splitlines() == [
        "0.weight: copy of 0.weight → initialised (skipped)",
        "0.bias: copy of 0.bias → initialised (skipped)",
    ]


def test_input_channels_keep_what_equal_channels_give():
    source = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(4 * 36, 2))
    target = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 36, 2))
    made = bq.map_parameters(source, target).apply()
    grey = torch.randn(5, 1, 8, 8)
    torch.testing.assert_close(made(grey.expand(-1, 3, -1, -1)), source(grey))


def test_a_grown_kernel_with_grown_padding_is_the_same_function():
    source = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Flatten(), nn.Linear(256, 2))
    target = nn.Sequential(nn.Conv2d(1, 4, 5, padding=2), nn.Flatten(), nn.Linear(256, 2))
    assert bq.map_parameters(source, target).verify(torch.randn(3, 1, 8, 8)) < 1e-5


def test_the_map_of_a_bequest_model_folder(tmp_path):
    rng = np.random.default_rng(0)
    task = bq.Task.from_arrays(rng.normal(size=(40, 4)), rng.integers(0, 2, 40))
    bq.train(task, net="mlp").save(tmp_path / "a")
    plan = bq.map_parameters(tmp_path / "a", bq.train(task, net="mlp", seed=1))
    assert plan.coverage == 1.0


def test_a_deeper_residual_network_repeats_whole_blocks():
    source, target = ResNet(1, 3), ResNet(1, 3, blocks=2)
    plan = bq.map_parameters(source, target)
    convs = [e for e in plan.entries if ".conv" in e.target]
    assert [e.target for e in convs if not e.sources] == [
        "stages.1.conv2.weight",
        "stages.3.conv2.weight",
    ]  # zero: the blocks that the source does not have change nothing yet
    origins = {e.target: e.sources[0] for e in convs if e.sources}
    assert {name.split(".")[1]: origin.split(".")[1] for name, origin in origins.items()} == {
        "0": "0", "1": "0", "2": "1", "3": "1",
    }  # fmt: skip
    assert all(name.split(".")[2] == origin.split(".")[2] for name, origin in origins.items())
    assert plan.body_coverage == 1.0


def test_what_is_set_to_change_nothing_does_not_come_from_the_source():
    plan = bq.map_parameters(mlp(8, 8, 3), mlp(8, 8, 8, 8, 3, seed=1))
    filled = sum(entry.neutral for entry in plan.entries)
    assert filled == 2 * (8 * 8 + 8)
    assert plan.coverage == 1.0
    assert plan.from_source == pytest.approx(99 / (99 + filled))
    assert plan.body_from_source < 0.5 < plan.body_coverage
    assert f"{filled} set to change nothing" in str(plan)


def test_every_output_counts_when_a_map_is_verified():
    class Two(nn.Module):
        def __init__(self, seed):
            super().__init__()
            self.one, self.two = mlp(4, 3, seed=seed), mlp(4, 2, seed=seed + 1)

        def forward(self, x):
            return self.one(x), self.two(x)

    source, target = Two(0), Two(5)
    plan = bq.map_parameters(source, target, skip="two")
    assert plan.verify(torch.ones(1, 4)) > 1e-3
    assert bq.map_parameters(source, target).verify(torch.ones(1, 4)) < 1e-6
