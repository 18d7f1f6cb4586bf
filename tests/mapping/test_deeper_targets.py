"""A block that the target has more than the source starts as one that changes nothing."""

import pytest
import torch
from torch import Tensor, nn

import bequest as bq
from bequest.mapping import ParameterMap


class Block(nn.Module):
    """A branch that is added to what goes past it."""

    def __init__(self, width: int, last: nn.Module) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, 2 * width)
        self.last = last

    def forward(self, x: Tensor) -> Tensor:
        return x + self.last(torch.relu(self.up(self.norm(x))))


class Gated(nn.Module):
    """Two products of one input, multiplied: both at zero, neither would learn."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.gate, self.value = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        inner = self.norm(x)
        return x + torch.relu(self.gate(inner)) * self.value(inner)


class Joined(nn.Module):
    """What goes past the branch is set beside it, not added."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.narrow = nn.Linear(width, width // 2)
        self.other = nn.Linear(width, width // 2)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(torch.cat([self.narrow(x), self.other(x)], 1))


class Residual(nn.Module):
    """The basic block of He et al., 2016: its last layer is a normalisation."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x))))))


def perceptron(hidden: int) -> nn.Sequential:
    layers = [part for _ in range(hidden) for part in (nn.Linear(8, 8), nn.ReLU())]
    return nn.Sequential(nn.Linear(5, 8), nn.ReLU(), *layers, nn.Linear(8, 3))


def branches(count: int) -> nn.Sequential:
    blocks = [Block(8, nn.Linear(16, 8)) for _ in range(count)]
    return nn.Sequential(nn.Linear(5, 8), *blocks, nn.LayerNorm(8), nn.Linear(8, 3))


def plain_convolutions(count: int) -> nn.Sequential:
    blocks = [
        nn.Sequential(nn.Conv2d(6, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU())
        for _ in range(count)
    ]
    stem = nn.Sequential(nn.Conv2d(1, 6, 3, padding=1), nn.ReLU())
    return nn.Sequential(stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3))


def residual(count: int) -> nn.Sequential:
    stem = nn.Sequential(nn.Conv2d(1, 6, 3, padding=1), nn.ReLU())
    blocks = [Residual(6) for _ in range(count)]
    return nn.Sequential(stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3))


def stirred(module: nn.Module) -> nn.Module:
    """Statistics and biases that are not what they start as."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for tensor in module.state_dict().values():
            if tensor.is_floating_point() and tensor.ndim == 1:
                tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
    return module.eval()


@pytest.mark.parametrize(
    ("build", "shape"),
    [
        (perceptron, (4, 5)),
        (branches, (4, 5)),
        (plain_convolutions, (2, 1, 6, 6)),
        (residual, (2, 1, 6, 6)),
    ],
)
@pytest.mark.parametrize(("there", "wanted"), [(1, 2), (1, 4), (2, 5)])
def test_a_deeper_target_starts_as_the_function_that_the_source_is(build, shape, there, wanted):
    torch.manual_seed(0)
    source, target = stirred(build(there)), build(wanted)
    example = torch.randn(shape)
    plan = bq.map_parameters(source, target, example=example)
    # a normalisation that passes on what it reads divides by the root of 1 + 1e-5
    assert plan.verify(example) < 1e-4
    assert plan.coverage == 1.0


@pytest.mark.parametrize(("build", "shape"), [(perceptron, (16, 5)), (branches, (16, 5))])
def test_every_tensor_of_a_deeper_target_learns(build, shape):
    torch.manual_seed(0)
    made = bq.map_parameters(stirred(build(1)), build(3)).apply().train()
    optimiser = torch.optim.SGD(made.parameters(), lr=0.1)
    start = {name: tensor.clone() for name, tensor in made.named_parameters()}
    inputs, labels = torch.randn(shape), torch.arange(16) % 3
    for _ in range(2):  # what stands before a zero sees no gradient in the first step
        optimiser.zero_grad()
        nn.functional.cross_entropy(made(inputs), labels).backward()
        optimiser.step()
    still = [name for name, tensor in made.named_parameters() if torch.equal(tensor, start[name])]
    assert still == []


@pytest.mark.parametrize("block", [Gated, Joined])
def test_a_block_that_cannot_change_nothing_is_repeated(block):
    source = nn.Sequential(nn.Linear(5, 8), block(8), nn.Linear(8, 3))
    target = nn.Sequential(nn.Linear(5, 8), block(8), block(8), block(8), nn.Linear(8, 3))
    plan = bq.map_parameters(source, target, example=torch.randn(4, 5))
    assert all("absent" not in entry.rule for entry in plan.entries)
    assert all(entry.sources for entry in plan.entries)


def test_blocks_of_a_post_norm_encoder_are_repeated():
    def encoder(count: int) -> nn.Module:
        layer = nn.TransformerEncoderLayer(8, 2, 16, 0.0, batch_first=True)
        return nn.TransformerEncoder(layer, count, enable_nested_tensor=False)

    plan = bq.map_parameters(encoder(2), encoder(4), example=torch.randn(2, 3, 8))
    assert all("absent" not in entry.rule for entry in plan.entries)


def test_a_pre_norm_encoder_grows_as_the_same_function():
    def encoder(count: int) -> nn.Module:
        torch.manual_seed(count)
        layer = nn.TransformerEncoderLayer(8, 2, 16, 0.0, batch_first=True, norm_first=True)
        body = nn.TransformerEncoder(layer, count, nn.LayerNorm(8), enable_nested_tensor=False)
        return nn.Sequential(nn.Linear(5, 8), body, nn.Linear(8, 3)).eval()

    example = torch.randn(2, 3, 5)
    plan = bq.map_parameters(encoder(2), encoder(4), example=example)
    assert plan.verify(example) < 1e-5
    assert plan.confidence == 1.0


def test_a_wider_and_deeper_perceptron_starts_as_the_same_function():
    wide = nn.Sequential(
        *(nn.Linear(5, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU()),
        *(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 3)),
    )
    example = torch.randn(4, 5)
    assert bq.map_parameters(perceptron(1), wide, example=example).verify(example) < 1e-5


def test_such_a_map_is_stored_and_read():
    source, target = perceptron(1), perceptron(3)
    plan = bq.map_parameters(source, target)
    read = ParameterMap.from_json(plan.to_json())
    assert read == plan
    bound = bq.map_parameters(source, target, plan=read)
    assert bound.discrepancies == ()
    assert torch.equal(bound.state_dict()["4.weight"], torch.eye(8))


def test_the_middle_of_a_kernel_passes_on_what_it_reads():
    plan = bq.map_parameters(plain_convolutions(1), plain_convolutions(2))
    layer = nn.Conv2d(6, 6, 3, padding=1, bias=False)
    layer.weight.data = plan.state_dict()["2.0.weight"]
    images = torch.randn(2, 6, 4, 4)
    assert torch.equal(layer(images), images)
