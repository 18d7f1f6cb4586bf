"""Files and mappings as training programs leave them: which tensors of them are mapped."""

from __future__ import annotations

import json
import zipfile

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import bequest as bq
from bequest.errors import BequestError, MapError, ModelError, UnsafeModel
from bequest.frameworks.files.weights import write_weights
from bequest.mapping.sources.source import source_of


def net(width=8, classes=3, seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Linear(4, width),
        nn.ReLU(),
        nn.Linear(width, width),
        nn.ReLU(),
        nn.Linear(width, classes),
    )


def under(prefix, module):
    return {f"{prefix}.{name}": tensor for name, tensor in module.state_dict().items()}


def same(plan, module):
    """Whether the map gives its target the numbers of this module."""
    made, wanted = plan.state_dict(), module.state_dict()
    return all(torch.equal(made[name].float(), wanted[name].float()) for name in wanted)


ONE, OTHER = net(seed=1), net(seed=2)
TWO = under("student", ONE) | under("teacher", OTHER)


class Coder(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.encoder, self.decoder = net(width, 4, 3), net(width, 4, 4)

    def forward(self, rows):
        return self.decoder(self.encoder(rows))


class Both(nn.Module):
    """As `Coder`, by another hand."""

    def __init__(self, width=8):
        super().__init__()
        self.first, self.second = net(width, 4), net(width, 4)

    def forward(self, rows):
        return self.second(self.first(rows))


def adam(module):
    optimiser = torch.optim.Adam(module.parameters())
    module(torch.ones(2, 4)).sum().backward()
    optimiser.step()
    return optimiser.state_dict()


@pytest.mark.parametrize("key", ["model", "state_dict", "model_state", "model_state_dict", "ema"])
def test_the_weights_of_a_training_checkpoint_are_found_and_the_rest_is_named(key):
    content = {
        "epoch": 3, key: ONE.state_dict(), "optimizer": adam(net()), "best": torch.tensor(0.3),
        "lr_scheduler": {"steps": torch.ones(2)}, "args": {"lr": 0.1},
    }  # fmt: skip
    plan = bq.map_parameters(content, net(seed=5))
    assert same(plan, ONE)
    assert not plan.unused
    assert "optimizer (18), best (1), lr_scheduler (1)" in str(plan)
    assert "Left out, as no tensors: epoch, optimizer.param_groups, args.lr." in str(plan)


def test_the_weights_of_a_converted_checkpoint_are_found_and_the_rest_is_named(tmp_path):
    moments = {f"optimizer.state.{n}.exp_avg": torch.ones(8, 4) for n in range(3)}
    counters = {"epoch": torch.tensor(3), "rng_state": torch.zeros(8, dtype=torch.uint8)}
    save_file({**under("model", ONE), **moments, **counters}, tmp_path / "a.safetensors")
    plan = bq.map_parameters(tmp_path / "a.safetensors", net(seed=5))
    assert same(plan, ONE)
    assert not plan.unused
    assert "optimizer (3)" in str(plan)
    assert "epoch (1)" in str(plan)
    assert "rng_state (1)" in str(plan)


def test_moments_without_a_name_of_their_own_are_left_out():
    moments = {f"{n}.{name}": torch.ones(8, 4) for n in (10, 11) for name in ("exp_avg", "step")}
    plan = bq.map_parameters(ONE.state_dict() | moments, net(seed=5))
    assert same(plan, ONE)
    assert "10 (2), 11 (2)" in str(plan)


def test_what_the_target_has_too_is_never_left_out():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.model, self.optimizer = net(seed=1), nn.Linear(3, 3)
            self.scale, self.exp_avg = nn.Parameter(torch.ones(())), nn.Parameter(torch.ones(3))

        def forward(self, rows):
            return self.optimizer(self.model(rows)) * self.scale + self.exp_avg

    tensors = Odd().state_dict()
    assert list(source_of(tensors, {name: t.shape for name, t in tensors.items()}).shapes) == [
        *tensors
    ]
    assert len(source_of(tensors, {"0.weight": (8, 4)}).shapes) == 6


def test_a_single_value_of_a_network_that_is_in_no_dictionary_of_its_own_is_kept():
    tensors = ONE.state_dict() | {"temperature": torch.ones(())}
    assert bq.map_parameters(tensors, net(seed=5)).unused == ("temperature",)


@pytest.mark.parametrize(
    "content",
    [
        TWO,
        {"student": ONE.state_dict(), "teacher": OTHER.state_dict(), "epoch": 1},
        {"model": ONE.state_dict(), "ema": OTHER.state_dict()},
        {"params": ONE.state_dict(), "params_ema": OTHER.state_dict()},
        {
            "model": ONE.state_dict(),
            "ema": {"module": OTHER.state_dict(), "updates": torch.tensor(7)},
        },
        under("state_dict.net_8k", ONE) | under("state_dict.net_16k", OTHER),
        under("encoder", net(8, 4)) | under("decoder", net(8, 4)),
    ],
)
def test_of_several_networks_it_is_asked_which(content):
    classes = 3 if "encoder.0.bias" not in content else 4
    with pytest.raises(MapError, match=r"holds 2 networks, '[\w.]+' and '[\w.]+': prefix='") as no:
        bq.map_parameters(content, net(classes=classes, seed=5))
    assert "\n" not in str(no.value)


def test_several_networks_are_asked_for_where_no_name_agrees():
    class Other(nn.Module):
        def __init__(self, width):
            super().__init__()
            self.a, self.b, self.c = (
                nn.Linear(4, width),
                nn.Linear(width, width),
                nn.Linear(width, 3),
            )

        def forward(self, rows):
            return self.c(torch.relu(self.b(torch.relu(self.a(rows)))))

    for width in (8, 16):
        with pytest.raises(MapError, match="prefix='student'"):
            bq.map_parameters(TWO, Other(width))
    assert bq.map_parameters(TWO, Other(8), prefix="teacher").coverage == 1.0


@pytest.mark.parametrize(("prefix", "wanted"), [("student", ONE), ("teacher", OTHER)])
def test_a_prefix_names_one_of_several_networks(prefix, wanted, tmp_path):
    save_file(TWO, tmp_path / "a.safetensors")
    nested = {"student": ONE.state_dict(), "teacher": OTHER.state_dict()}
    for source in (
        TWO,
        nested,
        tmp_path / "a.safetensors",
        nn.ModuleDict({"student": ONE, "teacher": OTHER}),
    ):
        for given in (prefix, f"{prefix}."):
            plan = bq.map_parameters(source, net(seed=5), prefix=given)
            assert same(plan, wanted)
            assert not plan.unused


def test_a_prefix_that_is_none_is_one_line_with_the_closest():
    with pytest.raises(MapError, match=r"begins with 'techer\.'\. Did you mean 'teacher'\?"):
        bq.map_parameters(TWO, net(), prefix="techer")
    with pytest.raises(MapError, match=r"It has 'student', 'teacher'\."):
        bq.map_parameters(TWO, net(), prefix="xyz")
    with pytest.raises(MapError, match=r"has no part 'encode'\. Did you mean 'encoder'\?"):
        bq.map_parameters(Coder(), net(), prefix="encode")


def test_the_one_network_that_the_target_is_is_taken_and_named():
    two = under("big", net(16)) | under("small", ONE)
    plan = bq.map_parameters(two, net(seed=5))
    assert same(plan, ONE)
    assert "'small' is mapped, which the target is; 6 tensors left out" in str(plan)


@pytest.mark.parametrize("target", [Coder(), Coder(16), Both(), Both(16)])
def test_parts_that_the_target_has_too_are_one_network(target):
    assert bq.map_parameters(Coder().state_dict(), target).coverage == 1.0


def test_an_empty_prefix_takes_all_as_one_network():
    plan = bq.map_parameters(TWO, net(seed=5), prefix="")
    assert {name.partition(".")[0] for name in plan.unused} & {"student", "teacher"}


def test_blocks_of_one_network_are_not_taken_for_several():
    layers = nn.TransformerEncoder(
        nn.TransformerEncoderLayer(16, 2, 32), 4, enable_nested_tensor=False
    )
    for tensors in (layers.state_dict(), layers.layers.state_dict()):
        bq.map_parameters(tensors, layers)
    with pytest.raises(MapError, match=r"holds 4 blocks like the target, 'layers\.0', "):
        bq.map_parameters(layers.state_dict(), nn.TransformerEncoderLayer(16, 2, 32))
    one = nn.TransformerEncoderLayer(16, 2, 32)
    stages = {
        f"conv{n}_x.{name}": tensor for n in (2, 3, 4) for name, tensor in one.state_dict().items()
    }
    with pytest.raises(MapError, match=r"holds 3 blocks like the target, 'conv2_x', "):
        bq.map_parameters(stages, one)


class Chain(nn.Module):
    """An independent network of blocks."""

    def __init__(self, blocks):
        super().__init__()
        self.pre, self.out = nn.Linear(4, 8), nn.Linear(8, 3)
        self.parts = nn.ModuleList(
            nn.ModuleDict({"n": nn.LayerNorm(8), "mix": nn.Linear(8, 8), "up": nn.Linear(8, 8)})
            for _ in range(blocks)
        )

    def forward(self, rows):
        rows = self.pre(rows)
        for part in self.parts:
            rows = rows + part["up"](torch.relu(part["mix"](part["n"](rows))))
        return self.out(rows)


@pytest.mark.parametrize(
    "spelled",
    ["layer{}", "block_{}", "h.{}", "stage{}", "{}", "Block{}", "layers.layer{}", "enc.{}.inner"],
)
@pytest.mark.parametrize("wanted", [1, 2, 6])
def test_numbered_blocks_are_no_networks_however_they_are_spelled(spelled, wanted):
    layers = ("norm.weight", "norm.bias", "a.weight", "a.bias", "b.weight", "b.bias")
    held = {
        f"{spelled.format(n)}.{name}": torch.ones((8, 8) if name[0] in "ab" and "w" in name else 8)
        for n in range(6)
        for name in layers
    }
    assert bq.map_parameters(held, Chain(wanted)).from_source > 0


@pytest.mark.parametrize("spelled", ["members.{}", "net{}", "models.{}.module", "fold_{}"])
@pytest.mark.parametrize("combined", [False, True])
@pytest.mark.parametrize("inputs", [4, 8])
def test_numbered_networks_are_several(spelled, combined, inputs):
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = nn.Linear(inputs, 8), nn.Linear(8, 8), nn.Linear(8, 3)

        def forward(self, rows):
            return self.c(torch.relu(self.b(torch.relu(self.a(rows)))))

    held = {
        name: tensor for n in range(3) for name, tensor in under(spelled.format(n), net()).items()
    }
    if combined:
        held |= under("combine", nn.Linear(9, 3))
    with pytest.raises(MapError, match="holds 3 networks"):
        bq.map_parameters(held, Named())
    plan = bq.map_parameters(held, Named(), prefix=spelled.format(1))
    assert all("1" in source for entry in plan.entries for source in entry.sources)


@pytest.mark.parametrize(
    "names",
    [
        ("base_model.model.0.lora_A.weight", "base_model.model.0.lora_B.weight"),
        ("0.lora_down.weight", "0.lora_up.weight", "0.alpha"),
        ("0.base_layer.weight", "0.lora_A.default.weight", "0.lora_B.default.weight"),
        ("base_model.model.0.ia3_l",),
        ("0.hada_w1_a", "0.hada_w1_b", "0.hada_w2_a", "0.hada_w2_b"),
        ("prompt_embeddings",),
    ],
)
def test_an_adapter_is_refused_by_name_with_the_way_out(names, tmp_path):
    tensors = {name: torch.ones(8, 4) for name in names}
    save_file(tensors, tmp_path / "adapter_model.safetensors")
    for source in (tensors, tmp_path / "adapter_model.safetensors", {"state_dict": tensors}):
        with pytest.raises(MapError, match=r"an adapter \(.*merge_and_unload"):
            bq.map_parameters(source, net())


def test_the_folder_of_an_adapter_names_its_base(tmp_path):
    (tmp_path / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "a/b"}))
    save_file({"x": torch.ones(2)}, tmp_path / "adapter_model.safetensors")
    with pytest.raises(
        MapError, match="is an adapter, not a network: merge it into its base, 'a/b'"
    ):
        bq.map_parameters(tmp_path, net())


def test_an_adapted_network_is_mapped_into_one_that_is_adapted_too():
    class Adapted(nn.Module):
        def __init__(self):
            super().__init__()
            self.base_layer, self.lora_A, self.lora_B = net(4), nn.Linear(4, 2), nn.Linear(2, 3)

        def forward(self, rows):
            return self.base_layer(rows) + self.lora_B(self.lora_A(rows))

    bq.map_parameters(Adapted().state_dict(), Adapted())
    with pytest.raises(MapError, match="adapter"):
        bq.map_parameters(Adapted().state_dict(), net())


def test_quantised_weights_are_refused():
    tensors = {"0.qweight": torch.ones(8, 4, dtype=torch.int32), "0.scales": torch.ones(8)}
    with pytest.raises(MapError, match=r"quantised \(0\.qweight\)"):
        bq.map_parameters(tensors, net())


def test_an_optimisers_state_is_refused():
    with pytest.raises(MapError, match="an optimiser's state and no network"):
        bq.map_parameters(adam(net()), net())


class Bounded(nn.Module):
    """A layer between bounds that are infinite until it is calibrated."""

    def __init__(self, low=-torch.inf, held=0.0):
        super().__init__()
        self.linear, self.norm = nn.Linear(4, 3), nn.BatchNorm1d(3)
        self.register_buffer("low", torch.tensor(low))
        self.register_buffer("held", torch.full((3,), held))

    def forward(self, rows):
        return self.norm(self.linear(rows)).clamp(self.low) + self.held


@pytest.mark.parametrize("target", [Bounded(), Bounded(low=0.0)])
@pytest.mark.parametrize("form", ["file", "shards", "mapping"])
def test_a_buffer_that_is_infinite_by_design_is_mapped(target, form, tmp_path):
    tensors = Bounded().state_dict()
    save_file(tensors, tmp_path / "a.safetensors")
    source = {"file": tmp_path / "a.safetensors", "mapping": tensors}.get(form)
    source = shards(tmp_path, tensors) if source is None else source
    made = bq.map_parameters(source, target).apply()
    assert made.low == -torch.inf
    assert torch.equal(made.linear.weight, tensors["linear.weight"])


@pytest.mark.parametrize("name", ["linear.weight", "linear.bias", "norm.running_var", "held"])
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_weights_that_are_not_finite_are_refused_by_name(name, value, tmp_path):
    tensors = Bounded().state_dict()
    tensors[name] = torch.full_like(tensors[name], value)
    save_file(tensors, tmp_path / "a.safetensors")
    for source in (tensors, tmp_path / "a.safetensors"):
        plan = bq.map_parameters(source, Bounded())
        if name == "held" and value == torch.inf:
            assert plan.apply().held.isinf().all()
            continue
        with pytest.raises(MapError, match=rf"not finite: {name} of the source has NaN"):
            plan.apply()


def test_a_buffer_is_nan_where_the_targets_own_is():
    made = bq.map_parameters(Bounded(held=torch.nan).state_dict(), Bounded(held=torch.nan)).apply()
    assert made.held.isnan().all()


@pytest.mark.parametrize("key", [None, 0.5, ("0", "weight"), b"0.weight", True])
@pytest.mark.parametrize("inside", [False, True])
def test_a_tensor_whose_key_is_no_name_is_refused(key, inside):
    held = {**ONE.state_dict(), key: torch.ones(8, 4)}
    with pytest.raises(MapError, match="names of tensors are strings") as no:
        bq.map_parameters({"model": held} if inside else held, net())
    assert "\n" not in str(no.value)


def test_whole_numbers_are_read_as_names():
    held = {n: layer.state_dict() for n, layer in enumerate(ONE) if layer.state_dict()}
    assert same(bq.map_parameters(held, net(seed=5)), ONE)


def test_two_tensors_of_one_name_are_refused():
    with pytest.raises(MapError, match="two tensors of one name"):
        bq.map_parameters({0: torch.ones(8), "0": torch.ones(8)}, net())
    twice = {"0": {"weight": torch.ones(8, 4)}, "0.weight": torch.ones(8, 4)}
    with pytest.raises(MapError, match="two tensors of one name"):
        bq.map_parameters(twice, net())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_scripted_network_is_read_by_its_names():
    assert same(bq.map_parameters(torch.jit.script(ONE), net(seed=5)), ONE)
    with pytest.raises(MapError, match="holds 2 networks, 'encoder' and 'decoder'"):
        bq.map_parameters(torch.jit.script(Coder()), net(8, 4))


def shards(folder, tensors):
    """Write one tensor a file, with an index."""
    names = {
        name: f"model-{n + 1:05}-of-{len(tensors):05}.safetensors" for n, name in enumerate(tensors)
    }
    for name, file in names.items():
        save_file({name: tensors[name].clone()}, folder / file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))
    return folder / "model.safetensors.index.json"


def test_shards_are_one_source_by_their_folder_or_index(tmp_path):
    index = shards(tmp_path, ONE.state_dict())
    for source in (tmp_path, index, str(index)):
        plan = bq.map_parameters(source, net(seed=5))
        assert same(plan, ONE)
        assert not plan.unused


def test_one_shard_of_several_is_refused_with_its_index(tmp_path):
    shards(tmp_path, ONE.state_dict())
    with pytest.raises(
        ModelError, match=r"one of 6 files of one model: name its index, .*index\.json"
    ):
        bq.map_parameters(tmp_path / "model-00001-of-00006.safetensors", net())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda names: {**names, "4.bias": "../x.safetensors"}, "outside of the folder"),
        (lambda names: {**names, "4.bias": names["0.bias"]}, "other tensors than the index says"),
        (
            lambda names: {**names, "4.bias": "model-9.safetensors"},
            "which is not there: copy it too",
        ),
        (lambda names: {}, "no weight_map"),
    ],
)
def test_an_index_that_lies_is_one_line(tmp_path, change, says):
    index = shards(tmp_path, ONE.state_dict())
    names = json.loads(index.read_text())["weight_map"]
    index.write_text(json.dumps({"weight_map": change(names)}))
    with pytest.raises(ModelError, match=says):
        bq.map_parameters(tmp_path, net())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_another_precision_of_a_file_is_converted(dtype, tmp_path):
    half = net(seed=1).to(dtype)
    save_file(half.state_dict(), tmp_path / "a.safetensors")
    assert same(bq.map_parameters(tmp_path / "a.safetensors", net(seed=5)), half)


def test_the_order_of_a_file_is_kept(tmp_path):
    place = tmp_path / "a.safetensors"
    names = ["b.10.weight", "b.9.weight", "a.weight"]
    write_weights(place, {name: torch.ones(2, 2) for name in names})
    header = {
        name: {"dtype": "F32", "shape": [2, 2], "data_offsets": [16 * n, 16 * n + 16]}
        for n, name in enumerate(names)
    }
    text = json.dumps(header).encode()
    place.write_bytes(len(text).to_bytes(8, "little") + text + bytes(48))
    assert list(source_of(place, {}).shapes) == names
    assert list(source_of(dict.fromkeys(names, torch.ones(2)), {}).shapes) == names


def _zip(place, *names):
    with zipfile.ZipFile(place, "w") as archive:
        for name in names:
            archive.writestr(name, "x")


def _torchscript(place):
    torch.jit.script(net()).save(place)


def _onnx(place):
    place.write_bytes(b"\x08\x0a\x12\x07pytorch\x1a\x05" + b"2.13." + bytes(40))


FORMATS = {
    "a.jit": (_torchscript, UnsafeModel, "TorchScript archive, which is a program"),
    "b.pt": (_torchscript, UnsafeModel, "TorchScript archive, which is a program"),
    "c.safetensors": (_torchscript, UnsafeModel, "TorchScript archive, which is a program"),
    "d.pt": (lambda p: torch.save(net().state_dict(), p), UnsafeModel, "bequest convert"),
    "e.safetensors": (lambda p: torch.save(net().state_dict(), p), UnsafeModel, "bequest convert"),
    "f.pth": (
        lambda p: torch.save({"a": 1}, p, _use_new_zipfile_serialization=False),
        UnsafeModel,
        "bequest convert",
    ),
    "g.pt2": (lambda p: _zip(p, "g/archive_format"), ModelError, "exported torch program"),
    "h.onnx": (_onnx, ModelError, "ONNX graph.*state_dict"),
    "i.bin2": (_onnx, ModelError, "ONNX graph.*state_dict"),
    "j.npz": (lambda p: _zip(p, "w.npy"), ModelError, "NumPy arrays.*safetensors"),
    "k.zip": (lambda p: _zip(p, "w.txt"), ModelError, "zip archive.*Unpack it"),
    "l.zip": (
        lambda p: p.write_bytes(b"PK\x03\x04" + bytes(60)),
        ModelError,
        "truncated or damaged",
    ),
    "m.h5": (lambda p: p.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(60)), ModelError, "HDF5.*Keras"),
    "n.gguf": (lambda p: p.write_bytes(b"GGUF" + bytes(60)), ModelError, "GGUF"),
    "o.safetensors": (
        lambda p: p.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:1\n"),
        ModelError,
        "git lfs pull",
    ),
    "p.safetensors": (
        lambda p: p.write_text("<!DOCTYPE html><html>" + "x" * 60),
        ModelError,
        "web page",
    ),
    "config.json": (lambda p: p.write_text('{"abcd":{"dtype": "float32"}}'), ModelError, "is JSON"),
    "q.safetensors": (lambda p: p.write_bytes(b""), ModelError, "has 0 bytes"),
    "r.safetensors": (lambda p: p.write_bytes(b"\xff" * 60), ModelError, "at most .* are read"),
    "s.pt": (lambda p: p.write_bytes(b"\xff" * 60), UnsafeModel, "bequest convert"),
}


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_another_format_is_refused_by_name_with_a_way_out(name, tmp_path):
    write, error, says = FORMATS[name]
    write(tmp_path / name)
    with pytest.raises(error, match=says) as no:
        bq.map_parameters(tmp_path / name, net())
    assert "\n" not in str(no.value)


def test_a_pickle_runs_nothing(tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    torch.save(Evil(), tmp_path / "a.safetensors")
    with pytest.raises(UnsafeModel):
        bq.map_parameters(tmp_path / "a.safetensors", net())
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ((), "a folder without a model.safetensors"),
        (("pytorch_model.bin",), "bequest convert .*pytorch_model.bin .*model.safetensors"),
        (("model.onnx",), "model.onnx, which is not read"),
        (("a.safetensors", "b.safetensors"), "a.safetensors, b.safetensors: name the one"),
        (("unet/model.safetensors", "vae/model.safetensors"), "in folders: name unet, vae"),
    ],
)
def test_a_folder_without_weights_says_what_it_has(files, says, tmp_path):
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(BequestError, match=says):
        bq.map_parameters(tmp_path, net())


def test_the_only_file_of_tensors_in_a_folder_is_its_weights(tmp_path):
    save_file(ONE.state_dict(), tmp_path / "open_clip_model.safetensors")
    (tmp_path / "pytorch_model.bin").write_bytes(b"x")
    assert same(bq.map_parameters(tmp_path, net(seed=5)), ONE)


def test_a_path_at_which_nothing_is_is_named_with_what_lies_beside_it(tmp_path):
    net = nn.Linear(2, 3)
    save_file(net.state_dict(), tmp_path / "linear.safetensors")
    with pytest.raises(ModelError, match=r"no file .*liner\.safetensors\. Did you mean .*linear"):
        bq.map_parameters(tmp_path / "liner.safetensors", net)
    with pytest.raises(
        ModelError, match=r"no file .*a\.safetensors\.index\.json, nor a folder .*away"
    ):
        bq.map_parameters(tmp_path / "away" / "a.safetensors.index.json", net)
