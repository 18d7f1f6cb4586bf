import pytest
import torch

from bequest.frameworks.torch.networks import NETS, build

CONFIGS = {
    "mlp": [
        ({"numbers": 3, "outputs": 2}, (5, 3)),
        ({"numbers": 3, "outputs": 1, "categories": [4, 9], "embedding": 4}, (5, 5)),
        ({"numbers": 3, "outputs": 2, "widths": []}, (5, 3)),
    ],
    "resnet": [
        ({"channels": 1, "outputs": 5}, (5, 1, 8, 8)),
        ({"channels": 3, "outputs": 2, "widths": [16, 16, 32], "stem": 2}, (5, 3, 33, 47)),
    ],
}
SMALL = {"stages": [(3, 1, 1, 8, 1), (5, 2, 6, 8, 2)], "stem": 8, "head": 16, "dropout": 0.0}
CONFIGS["efficientnet-lite"] = [({"outputs": 5, **SMALL}, (5, 3, 33, 47))]
HEADS = {"efficientnet-lite": "_fc"}  # named as its published checkpoints name it
FROZEN = {"efficientnet-lite"}  # batch normalisation, whose statistics no method trains
CASES = [(name, *case) for name, cases in CONFIGS.items() for case in cases]


def test_every_network_has_a_case():
    assert set(CONFIGS) == set(NETS)


@pytest.mark.parametrize(("name", "config", "shape"), CASES)
def test_a_network_ends_in_its_head_and_every_parameter_learns(name, config, shape):
    torch.manual_seed(0)
    module = build(name, config)
    inputs = torch.rand(shape)
    seen = []
    head = module.get_submodule(HEADS.get(name, "head"))
    head.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    output = module(inputs)
    assert output.shape == (5, config["outputs"])
    torch.testing.assert_close(output, head(seen[0]))
    output.square().sum().backward()
    for parameter_name, weight in module.named_parameters():
        assert weight.grad is not None, parameter_name


@pytest.mark.parametrize(("name", "config", "shape"), CASES)
def test_rows_do_not_know_of_each_other(name, config, shape):
    module = build(name, config).train(name not in FROZEN)
    inputs = torch.rand(shape)
    torch.testing.assert_close(module(inputs)[:2], module(inputs[:2]), atol=1e-5, rtol=1e-4)
