import copy
import json
import pickle

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from bequest.errors import ModelError
from bequest.frameworks.files.weights import read_weights, write_weights
from bequest.frameworks.portable.graph import build_graph, export_graph


def small_cnn():
    return nn.Sequential(
        nn.Conv2d(1, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(36, 3),
    )


def mlp():
    return nn.Sequential(
        nn.Linear(5, 16), nn.GELU(), nn.Dropout(0.5), nn.LayerNorm(16), nn.Linear(16, 3)
    )


class Transformer(nn.Module):
    def __init__(self):
        super().__init__()
        self.inputs = nn.Linear(5, 8)
        self.position = nn.Parameter(torch.zeros(1, 6, 8))
        layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2)
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        return self.head(self.encoder(self.inputs(x) + self.position).mean(1))


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(5, 8, 2, dropout=0.2, batch_first=True, bidirectional=True)
        self.head = nn.Linear(16, 3)

    def forward(self, x):
        return self.head(self.lstm(x)[0][:, -1])


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.conv = nn.Conv2d(4, 4, 3, padding=1, bias=False)
        self.norm_2 = nn.BatchNorm2d(4)
        self.drop = nn.Dropout2d(0.2)
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        h = F.relu(self.norm(self.stem(x)))
        h = F.relu(h + self.norm_2(self.conv(self.drop(h))))
        return self.head(F.adaptive_avg_pool2d(F.max_pool2d(h, 2), 1).flatten(1))


class Embedded(nn.Module):
    def __init__(self):
        super().__init__()
        self.place = nn.Embedding(10, 4)
        self.kind = nn.Embedding(10, 4)
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        codes = x.long()
        return self.head(torch.cat([self.place(codes[:, 0]), self.kind(codes[:, 1])], 1))


def noise(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


CASES = {
    "small cnn": (small_cnn, noise(8, 1, 8, 8)),
    "mlp": (mlp, noise(8, 5)),
    "transformer": (Transformer, noise(8, 6, 5)),
    "recurrent": (Recurrent, noise(8, 6, 5)),
    "residual": (Residual, noise(8, 1, 8, 8)),
    "embedded": (Embedded, (noise(8, 2).abs() * 3).floor()),
}
PAIRS = {}


def pair(name):
    """A network after some steps of training, and the same one by way of its graph and JSON."""
    if name not in PAIRS:
        make, x = CASES[name]
        torch.manual_seed(0)
        network = make()
        train(network, x, 3)
        config, weights = export_graph(network, x[:2])
        PAIRS[name] = network, json.dumps(config), weights
    network, text, weights = PAIRS[name]
    return copy.deepcopy(network), build_graph(json.loads(text), weights), CASES[name][1]


def train(network, x, steps):
    y = torch.arange(len(x)) % 3
    optimiser = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)
    losses = []
    network.train()
    torch.manual_seed(7)
    for _ in range(steps):
        loss = F.cross_entropy(network(x), y)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("name", CASES)
def test_it_predicts_what_the_network_predicts_for_any_number_of_rows(name):
    network, graph, x = pair(name)
    network.eval()
    graph.eval()
    for rows in (1, 3, 8):
        torch.testing.assert_close(graph(x[:rows]), network(x[:rows]), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_it_has_the_same_parameters_by_the_same_names_and_its_state_goes_back_and_forth(name):
    network, graph, _ = pair(name)
    assert list(graph.state_dict()) == list(network.state_dict())
    assert [n for n, _ in graph.named_parameters()] == [n for n, _ in network.named_parameters()]
    for (_, mine), (_, theirs) in zip(
        graph.state_dict().items(), network.state_dict().items(), strict=True
    ):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=0)
    network.load_state_dict(graph.state_dict())
    graph.load_state_dict(network.state_dict())


@pytest.mark.parametrize("name", CASES)
def test_it_trains_on_as_the_network_does(name):
    network, graph, x = pair(name)
    expected, losses = train(network, x, 15), train(graph, x, 15)
    assert losses == pytest.approx(expected, rel=1e-4)
    assert sum(losses[-3:]) < sum(losses[:3])
    for mine, theirs in zip(graph.parameters(), network.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-4, atol=1e-5)
    for mine, theirs in zip(graph.buffers(), network.buffers(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)


def test_dropout_is_on_in_training_and_off_in_eval():
    _, graph, x = pair("mlp")
    graph.train()
    assert not torch.equal(graph(x), graph(x))
    graph.eval()
    assert torch.equal(graph(x), graph(x))


def test_batch_statistics_move_in_training_only():
    _, graph, x = pair("small cnn")
    before = {name: value.clone() for name, value in graph.named_buffers()}
    graph.eval()(x)
    assert all(torch.equal(value, before[name]) for name, value in graph.named_buffers())
    graph.train()(x)
    assert not any(torch.equal(value, before[name]) for name, value in graph.named_buffers())


def test_a_normalisation_that_is_set_to_eval_alone_keeps_its_statistics():
    network, graph, x = pair("small cnn")
    before = {name: value.clone() for name, value in graph.named_buffers()}
    for module in (network, graph):
        module.train()
        module.get_submodule("1").eval()
    torch.testing.assert_close(graph(x), network(x), rtol=0, atol=1e-6)
    assert all(torch.equal(value, before[name]) for name, value in graph.named_buffers())


class Deep(nn.Module):
    """Drops whole branches in training, as stochastic depth does."""

    def __init__(self):
        super().__init__()
        self.a = nn.Linear(5, 5)
        self.head = nn.Linear(5, 2)

    def forward(self, x):
        h = self.a(x)
        if self.training:
            h = h * torch.rand(x.shape[0], 1).round()
        return self.head(x + h)


def test_whatever_differs_in_training_differs_in_the_graph():
    network = Deep()
    graph = build_graph(*export_graph(network, torch.ones(2, 5)))
    x = torch.ones(50, 5)
    assert len(graph.train()(x).detach().round(decimals=3).unique(dim=0)) == 2
    torch.testing.assert_close(graph.eval()(x), network.eval()(x))


def test_the_network_is_left_as_it_was():
    network = small_cnn().train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    export_graph(network, torch.ones(2, 1, 8, 8))
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


class FrozenBody(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Dropout(0.5))
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        with torch.no_grad():
            h = self.body(x)
            with torch.enable_grad():
                scale = self.head.weight.mean()
        return self.head(h * scale)


def test_parts_without_gradients_stay_without_them():
    network = FrozenBody()
    graph = build_graph(*export_graph(network, torch.ones(2, 5)))
    x = noise(8, 5)
    assert train(graph, x, 5) == pytest.approx(train(network, x, 5), rel=1e-5)
    for (name, mine), theirs in zip(graph.named_parameters(), network.parameters(), strict=True):
        assert (mine.grad is None) == (theirs.grad is None) == name.startswith("body")
    for mine, theirs in zip(graph.buffers(), network.buffers(), strict=True):
        torch.testing.assert_close(mine, theirs)


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(7, 4)
        self.head = nn.Linear(4, 7, bias=False)
        self.head.weight = self.words.weight

    def forward(self, x):
        return self.head(self.words(x.long()).mean(1))


def test_tied_weights_stay_tied_through_a_file(tmp_path):
    network = Tied()
    config, weights = export_graph(network, torch.ones(2, 3))
    write_weights(tmp_path / "w.safetensors", weights)
    graph = build_graph(config, read_weights(tmp_path / "w.safetensors"))
    assert graph.get_parameter("head.weight") is graph.get_parameter("words.weight")
    assert len(list(graph.parameters())) == 1
    assert set(graph.state_dict()) == set(network.state_dict())


class Masked(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3, 3)
        mask = torch.full((3, 3), -torch.inf).triu(1)
        self.register_buffer("mask", mask, persistent=False)
        self.register_buffer("kept", mask.clone())
        self.scale = torch.tensor([2.0, 3.0, 4.0])

    def forward(self, x):
        scores = (x.unsqueeze(1) * x.unsqueeze(2) + self.mask + self.kept).softmax(-1)
        return self.head(scores.mean(1) * self.scale + torch.tensor([1.0, 2.0, 3.0]))


def test_masks_of_infinities_and_constants_go_through_a_file(tmp_path):
    network = Masked().eval()
    config, weights = export_graph(network, torch.ones(2, 3))
    write_weights(tmp_path / "w.safetensors", weights)
    graph = build_graph(config, read_weights(tmp_path / "w.safetensors")).eval()
    x = noise(4, 3)
    torch.testing.assert_close(graph(x), network(x))
    assert set(graph.state_dict()) == {"head.weight", "head.bias", "kept"}
    assert torch.equal(graph.get_buffer("mask"), network.mask)
    again, _ = export_graph(graph, torch.ones(2, 3))
    assert again == config


def test_linear_layers_can_be_hooked_and_given_other_rows():
    _, graph, x = pair("residual")
    seen = []
    head = graph.get_submodule("head")
    assert isinstance(head, nn.Linear)
    hook = head.register_forward_pre_hook(lambda _, args: seen.append(args[0].shape))
    graph.eval()(x)
    hook.remove()
    assert seen == [(8, 4)]
    head.weight = nn.Parameter(torch.ones(7, 4))
    head.bias = nn.Parameter(torch.zeros(7))
    assert graph(x).shape == (8, 7)
    again = build_graph(*export_graph(graph, x[:2])).eval()
    torch.testing.assert_close(again(x), graph(x))


def test_a_head_that_gets_a_bias_later_is_saved_with_it():
    network = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2, bias=False))
    graph = build_graph(*export_graph(network, torch.ones(2, 4)))
    head = graph.get_submodule("2")
    head.weight, head.bias = nn.Parameter(torch.ones(3, 4)), nn.Parameter(torch.ones(3))
    again = build_graph(*export_graph(graph, torch.ones(2, 4)))
    assert list(again.state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    torch.testing.assert_close(again(torch.ones(5, 4)), graph(torch.ones(5, 4)))


def test_a_part_replaced_by_a_module_of_another_class_is_exported_anew():
    network = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    graph = build_graph(*export_graph(network, torch.ones(2, 4)))
    graph.add_module("2", nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 2)))
    again = build_graph(*export_graph(graph, torch.ones(2, 4)))
    assert "2.2.weight" in again.state_dict()
    torch.testing.assert_close(again(torch.ones(5, 4)), graph(torch.ones(5, 4)))


def test_copies_and_pickles_of_it_run_and_are_apart():
    _, graph, x = pair("transformer")
    graph.eval()
    for other in (copy.deepcopy(graph), pickle.loads(pickle.dumps(graph))):
        assert torch.equal(other(x), graph(x))
        next(other.parameters()).data.add_(1)
        assert not torch.equal(other(x), graph(x))


class Deciding(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3, 2)

    def forward(self, x):
        return self.head(x) if x.sum() > 0 else self.head(-x)


class Fixed(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3, 2)

    def forward(self, x):
        return self.head(x.reshape(2, 3))


class Two(Fixed):
    def forward(self, x):
        return self.head(x), x


class Foreign(Fixed):
    def forward(self, x):
        return self.head(torch.linalg.inv(x.unsqueeze(2) @ x.unsqueeze(1) + torch.eye(3)).sum(1))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (Deciding, "decides by the numbers in a tensor"),
        (Fixed, "works for batches of 2 rows only"),
        (Two, "more than one tensor"),
        (Foreign, "linalg_inv.* cannot hold"),
        (nn.Identity, "returns its input"),
    ],
)
def test_what_cannot_be_a_graph_is_refused_with_the_way_out(make, says, capfd):
    with pytest.raises(ModelError, match=says) as caught:
        export_graph(make(), torch.ones(2, 3))
    assert "\n" not in str(caught.value)
    assert "config={...}" in str(caught.value)
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""


def test_an_example_of_one_row_is_refused():
    with pytest.raises(ModelError, match="two rows are needed"):
        export_graph(mlp(), torch.ones(1, 5))
