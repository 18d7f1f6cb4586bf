"""LoRA on networks of transformers, built from tiny configs: nothing is fetched."""

import numpy as np
import pytest
import torch
from torch import nn
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    GPT2Config,
    GPT2ForSequenceClassification,
    LlamaConfig,
    LlamaForSequenceClassification,
    ViTConfig,
    ViTForImageClassification,
)

import bequest as bq
from bequest.core import Task
from bequest.methods.lora import LoRA, adaptable

SMALL = {"num_hidden_layers": 2, "num_attention_heads": 2, "num_labels": 3}
WIDE = {"hidden_size": 16, "intermediate_size": 32}
TEXT = {"vocab_size": 20, "max_position_embeddings": 16, "pad_token_id": 0}
NETWORKS = {
    "BERT": lambda: BertForSequenceClassification(BertConfig(**SMALL, **WIDE, **TEXT)),
    "GPT-2": lambda: GPT2ForSequenceClassification(
        GPT2Config(vocab_size=20, n_positions=16, n_embd=16, n_layer=2, n_head=2, num_labels=3,
                   pad_token_id=0)
    ),
    "Llama": lambda: LlamaForSequenceClassification(
        LlamaConfig(**SMALL, **WIDE, **TEXT, num_key_value_heads=1)
    ),
    "ViT": lambda: ViTForImageClassification(
        ViTConfig(**SMALL, **WIDE, image_size=8, patch_size=4, num_channels=1)
    ),
}  # fmt: skip
ADAPTED = {"BERT": 13, "GPT-2": 8, "Llama": 14, "ViT": 13}


class Called(nn.Module):
    """A network of transformers as a module from one tensor to logits."""

    def __init__(self, network):
        super().__init__()
        self.network = network
        self.config = network.config.to_dict()  # peft looks at a module's config

    def forward(self, x):
        x = x if x.ndim == 4 else x.long()
        return self.network(x).logits


def task_of(name):
    rng = np.random.default_rng(0)
    y = np.arange(40) % 2
    if name == "ViT":
        X = rng.normal(size=(40, 1, 8, 8)) + y[:, None, None, None]
    else:
        X = rng.integers(1, 19, size=(40, 6)) // (1 + y[:, None]) + 1
    return Task.from_arrays(X.astype(np.float32), y, name=name)


@pytest.fixture(params=NETWORKS, scope="module")
def pair(request):
    task = task_of(request.param)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = Called(NETWORKS[request.param]()).eval()
    return bq.wrap(module, classes=["a", "b", "c"], example=task.inputs, name=request.param), task


@pytest.fixture(scope="module")
def model(pair):
    source, task = pair
    return LoRA(rank=2, steps=12, lr=1e-2).fit(
        [bq.Source(source)], task, rng=np.random.default_rng(0)
    )


def test_every_linear_layer_is_adapted(pair):
    source, _ = pair
    layers = adaptable(source.module, source.head)
    assert len(layers) == ADAPTED[source.name]
    assert {w.transposed for w in layers.values()} == {source.name == "GPT-2"}


def test_the_base_keeps_every_bit_and_the_change_has_rank_two(pair, model):
    source, _ = pair
    base, merged = source.module.state_dict(), model.module.state_dict()
    inside = {weight.name for weight in model.adapter.weights}
    for name, value in base.items():
        if name.startswith(f"{source.head}."):
            continue
        assert torch.equal(value, merged[name]) == (name not in inside), name
    for name in inside:
        sizes = torch.linalg.svdvals((merged[name].double() - base[name].double()).flatten(1))
        assert (sizes[2:] < 1e-4 * sizes[0]).all(), name


def test_the_merged_network_predicts_as_pefts_own_merge(pair, model):
    import copy

    from peft.tuners.tuners_utils import BaseTunerLayer

    from bequest.methods.head import new_head
    from bequest.methods.lora import factors, injected

    source, task = pair
    module = copy.deepcopy(source.module)
    new_head(module, source, task)
    layers = adaptable(module, source.head)
    injected(module, layers, rank=2, alpha=16.0)
    with torch.no_grad():
        for name, value in factors(module, layers).items():
            value.copy_(model.adapter.tensors[name])
        for part, value in module.get_submodule(source.head).named_parameters():
            value.copy_(model.adapter.tensors[f"{source.head}.{part}"])
        X = torch.from_numpy(source.encode(task.inputs))
        given, beside = model.module(X), module.eval()(X)
        for layer in list(module.modules()):
            if isinstance(layer, BaseTunerLayer):
                layer.merge()
        folded = module(X)
        plain = source.module(X)[:, :2]
    assert float((given - beside).abs().max()) < 1e-5
    assert float((given - folded).abs().max()) < 1e-5
    assert float((given - plain).abs().max()) > 1e-3


def test_the_adapter_goes_to_disk_and_onto_its_base_again(pair, model, tmp_path):
    source, task = pair
    model.adapter.save(tmp_path / "small")
    again = bq.load(tmp_path / "small", base=source)
    np.testing.assert_array_equal(again.output(task.inputs), model.output(task.inputs))
