import hashlib
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import bequest as bq
from bequest.core import Task
from bequest.errors import HubError, ModelError
from bequest.frameworks.torch.content_hash import network_hash
from bequest.methods.fine_tune import FineTune
from bequest.methods.lora import LoRA

X = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
NEAR = Task.from_arrays(X, np.arange(60) % 3, name="near")
FAR = Task.from_arrays(X, [f"class {i % 2}" for i in range(60)], name="far")


def adapted(source, task=FAR, **settings):
    method = LoRA(**{"rank": 2, "steps": 5, "lr": 1e-2} | settings)
    return method.fit([bq.Source(source)], task, rng=np.random.default_rng(0))


def sequential(activation=nn.ReLU, first="0"):
    torch.manual_seed(0)
    parts = [nn.Linear(4, 8), nn.BatchNorm1d(8), activation(), nn.Linear(8, 3)]
    net = nn.Sequential()
    for name, part in zip([first, "1", "2", "3"], parts, strict=True):
        net.add_module(name, part)
    return net


def wrapped(module):
    return bq.wrap(module, classes=[0, 1, 2], example=X, name="mine")


def address(model):
    return network_hash(model.module, model.structure, model.encoder)


@pytest.fixture(scope="module")
def source():
    return bq.train(NEAR, net="mlp", name="base")


@pytest.fixture
def small(source, tmp_path):
    adapted(source).adapter.save(tmp_path / "small")
    return tmp_path / "small"


def change_config(folder, change):
    """Rewrite the config, and its digest, as somebody who knows the format would."""
    config = json.loads((folder / "config.json").read_text())
    change(config)
    for name in config["files"]:
        config["files"][name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    config.pop("digest")
    config["digest"] = hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()
    (folder / "config.json").write_text(json.dumps(config))


def test_the_adapter_on_its_base_predicts_as_the_whole_model(source, tmp_path):
    model = adapted(source)
    model.save(tmp_path / "whole")
    model.adapter.save(tmp_path / "small")
    again = bq.load(tmp_path / "small", base=source)
    np.testing.assert_array_equal(again.output(X), model.output(X))
    np.testing.assert_allclose(bq.load(tmp_path / "whole").output(X), model.output(X), atol=1e-7)
    assert again.card == model.card
    assert again.card.parents == ("base",)
    assert again.adapter.rank == 2


def test_the_folder_of_an_adapter_holds_no_number_of_the_base(small):
    held = load_file(small / "adapter.safetensors")
    assert set(held) == {
        "body.0.weight.lora_A", "body.0.weight.lora_B", "body.3.weight.lora_A",
        "body.3.weight.lora_B", "head.weight", "head.bias",
    }  # fmt: skip
    assert sum(t.numel() for t in held.values()) == 2 * (4 + 128) + 2 * (128 + 128) + 129 * 2
    assert {path.name for path in small.iterdir()} == {
        "adapter.safetensors", "card.json", "config.json", "README.md",
    }  # fmt: skip


def test_its_page_says_that_a_base_is_needed(small):
    assert 'bq.load("this-folder", base=model)' in (small / "README.md").read_text()


@pytest.mark.parametrize("kind", ["ours", "mine"])
def test_the_address_of_a_base_is_the_same_after_the_disk(kind, source, tmp_path):
    base = source if kind == "ours" else wrapped(sequential())
    base.save(tmp_path / "base")
    loaded = bq.load(tmp_path / "base")
    assert address(loaded) == address(base)
    model = adapted(base)
    model.adapter.save(tmp_path / "small")
    again = bq.load(tmp_path / "small", base=loaded)
    np.testing.assert_allclose(again.output(X), model.output(X), atol=1e-6)


def test_the_address_of_these_numbers_is_this_one_on_every_machine():
    layer = nn.Linear(2, 1)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, -2.0]]))
        layer.bias.fill_(0.5)
    expected = hashlib.sha256(b'{"encoder": null, "structure": {}}')
    expected.update(b"\0bias torch.float32 (1,)\0" + bytes.fromhex("0000003f"))
    expected.update(b"\0weight torch.float32 (1, 2)\0" + bytes.fromhex("0000803f000000c0"))
    assert network_hash(layer, {}, None) == expected.hexdigest()


def test_an_adapter_alone_says_what_it_needs(small, source):
    with pytest.raises(ModelError, match=r"needs|predicts nothing") as caught:
        bq.load(small)
    assert "'base'" in str(caught.value)
    assert address(source)[:16] in str(caught.value)
    assert "bequest.load(folder, base=model)" in str(caught.value)


def test_a_base_for_a_whole_model_is_refused(source, tmp_path):
    source.save(tmp_path / "whole")
    with pytest.raises(ModelError, match="whole model"):
        bq.load(tmp_path / "whole", base=source)


def test_another_base_is_refused_with_both_addresses(small, source):
    other = FineTune(steps=1).fit([bq.Source(source)], NEAR, rng=np.random.default_rng(0))
    with pytest.raises(ModelError, match="the same layers with other numbers") as caught:
        bq.load(small, base=other)
    assert address(source)[:16] in str(caught.value)
    assert address(other)[:16] in str(caught.value)


def test_a_base_that_is_no_network_is_refused(small):
    with pytest.raises(ModelError, match="no torch network"):
        bq.load(small, base=bq.train(NEAR, net="linear"))


def test_a_base_with_renamed_layers_is_refused(tmp_path):
    adapted(wrapped(sequential())).adapter.save(tmp_path / "small")
    with pytest.raises(ModelError, match=r"it has no 0\.weight"):
        bq.load(tmp_path / "small", base=wrapped(sequential(first="first")))


def test_a_base_of_another_dtype_is_refused(source, small):
    import copy

    double = bq.load(_saved(source, small.parent / "base"))
    double = replace(double, module=copy.deepcopy(double.module).double())
    with pytest.raises(ModelError, match=r"is torch\.float64, not torch\.float32"):
        bq.load(small, base=double)


def _saved(model, folder):
    model.save(folder)
    return folder


def test_a_base_with_the_same_numbers_that_computes_something_else_is_refused(tmp_path):
    adapted(wrapped(sequential())).adapter.save(tmp_path / "small")
    other = wrapped(sequential(activation=nn.Tanh))
    assert address(other) == address(wrapped(sequential()))
    with pytest.raises(ModelError, match="computes something else"):
        bq.load(tmp_path / "small", base=other)


def test_a_base_with_other_running_statistics_is_refused(tmp_path):
    adapted(wrapped(sequential())).adapter.save(tmp_path / "small")
    other = wrapped(sequential())
    other.module[1].running_mean += 1.0
    with pytest.raises(ModelError, match="other numbers"):
        bq.load(tmp_path / "small", base=other)


def test_an_altered_file_is_refused(small, source):
    path = small / "adapter.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ModelError, match="altered"):
        bq.load(small, base=source)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda t: t.update({"body.0.weight.lora_A": torch.ones(2, 5)}), r"lora_A is \(2, 5\)"),
        (lambda t: t.update({"body.0.weight.lora_A": torch.ones(3, 4)}), r"asks for \(2, 4\)"),
        (lambda t: t.pop("head.bias"), "head.bias is missing"),
        (lambda t: t.update({"stray": torch.ones(1)}), "asks for none"),
        (lambda t: t.update({"head.bias": torch.ones(2, dtype=torch.int64)}), "int64"),
        (lambda t: t.update({"head.bias": torch.full((2,), torch.nan)}), "NaN"),
    ],
)
def test_tensors_that_do_not_fit_the_base_are_refused(small, source, change, line):
    tensors = load_file(small / "adapter.safetensors")
    change(tensors)
    save_file(tensors, small / "adapter.safetensors")
    change_config(small, lambda config: None)
    with pytest.raises(ModelError, match=line):
        bq.load(small, base=source)


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c.update(rank=0),
        lambda c: c.update(rank="two"),
        lambda c: c.update(alpha=float("nan")),
        lambda c: c.update(alpha=None),
        lambda c: c.update(weights=7),
        lambda c: c["weights"].append(c["weights"][0] | {"name": "body.9.weight"}),
        lambda c: c["weights"][0].pop("shape"),
        lambda c: c["weights"][0].update(shape=[4]),
        lambda c: c.update(base=None),
        lambda c: c.pop("target_scale"),
        lambda c: c.update(classes=["one"]),
        lambda c: c["base"].update(answers="none"),
        lambda c: c["base"].update(answers=[[]]),
        lambda c: c["base"].update(answers=[[1.0], [2.0, 3.0]]),
    ],
)
def test_a_damaged_config_is_one_line(tmp_path, change):
    base = wrapped(sequential())
    adapted(base).adapter.save(tmp_path / "small")
    change_config(tmp_path / "small", change)
    with pytest.raises(ModelError) as caught:
        bq.load(tmp_path / "small", base=base)
    assert "\n" not in str(caught.value)


def test_a_model_made_in_another_way_has_no_adapter(source, tmp_path):
    assert source.adapter is None
    model = adapted(source)
    model.save(tmp_path / "whole")
    assert bq.load(tmp_path / "whole").adapter is None
    assert (
        FineTune(steps=1).fit([bq.Source(model)], FAR, rng=np.random.default_rng(0)).adapter is None
    )


def test_a_regression_keeps_the_unit_of_its_values(tmp_path):
    near = Task.from_arrays(X, X[:, 0] * 2 + 5, kind="regression", name="metres")
    base = bq.train(near, net="mlp")
    far = Task.from_arrays(X, X[:, 0] * 30 + 100, kind="regression", name="feet")
    model = adapted(base, far, steps=1, lr=1e-12)
    np.testing.assert_allclose(model.output(X), base.output(X), rtol=1e-3, atol=1e-3)
    model.adapter.save(tmp_path / "small")
    again = bq.load(tmp_path / "small", base=base)
    np.testing.assert_array_equal(again.output(X), model.output(X))


def test_a_hub_finds_the_base_by_its_address_under_any_name(source, tmp_path):
    hub = bq.Hub(tmp_path / "hub")
    model = adapted(source)
    hub.publish(model.adapter, "tests/far", licence="Apache-2.0")
    with pytest.raises(ModelError, match="is an adapter of 'base'"):
        hub.pull("tests/far")
    hub.publish(wrapped(sequential()), "tests/other", licence="Apache-2.0")
    hub.publish(source, "tests/under-any-name", licence="Apache-2.0")
    other = FineTune(steps=1).fit([bq.Source(source)], NEAR, rng=np.random.default_rng(0))
    hub.publish(other, "tests/under-any-name", licence="Apache-2.0")  # an older version counts too
    pulled = hub.pull("tests/far")
    np.testing.assert_array_equal(pulled.output(X), model.output(X))
    assert {s.name: s for s in hub.sources()}["tests/far@1"].model.adapter.rank == 2


def test_a_hub_takes_a_base_that_is_at_hand(source, tmp_path):
    hub = bq.Hub(tmp_path / "hub")
    hub.publish(adapted(source).adapter, "tests/far", licence="Apache-2.0")
    np.testing.assert_array_equal(
        hub.pull("tests/far", base=source).output(X), adapted(source).output(X)
    )


def test_the_folder_of_an_adapter_is_published_where_its_base_is(source, small, tmp_path):
    hub = bq.Hub(tmp_path / "hub")
    with pytest.raises((ModelError, HubError), match="is an adapter of 'base'"):
        hub.publish(small, "tests/far", licence="Apache-2.0")
    hub.publish(source, "tests/base", licence="Apache-2.0")
    entry = hub.publish(small, "tests/far", licence="Apache-2.0")
    assert "adapter.safetensors" in entry.files
    assert hub.pull("tests/far").adapter.rank == 2


def test_a_damaged_base_in_the_hub_is_passed_over(source, tmp_path):
    hub = bq.Hub(tmp_path / "hub")
    hub.publish(adapted(source).adapter, "tests/far", licence="Apache-2.0")
    entry = hub.publish(source, "tests/base", licence="Apache-2.0")
    digest = entry.files["model.safetensors"].digest
    shutil.rmtree(hub.folder / "objects" / digest[:2])
    with pytest.raises(ModelError, match="is an adapter of 'base'"):
        hub.pull("tests/far")


def test_what_transfer_hands_over_is_whole_and_knows_its_adapter(tmp_path):
    many = np.random.default_rng(1).normal(size=(600, 4))
    crossed = (many[:, 0] * many[:, 1] > 0).astype(int)
    near = bq.train(Task.from_arrays(many[:560], crossed[:560], name="many"), net="mlp")
    task = Task.from_arrays(many[560:], crossed[560:], name="few")
    result = bq.transfer(task, [near], methods=[LoRA(rank=2, steps=20)], budget=None)
    assert result.outcome.selected == "transfer"
    model = result.best_single  # in the average it has a temperature
    model.save(tmp_path / "whole")
    model.adapter.save(tmp_path / "small")
    whole, small = bq.load(tmp_path / "whole"), bq.load(tmp_path / "small", base=near)
    np.testing.assert_allclose(whole.output(many), small.output(many), atol=1e-6)
    assert small.card == model.card
