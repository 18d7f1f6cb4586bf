"""Small networks in plain PyTorch on both sides, where only names and order differ."""

from collections.abc import Mapping

from tests.mapping.pairs.pair import Pair, State, moved, numbers, scrambled
from torch import Tensor, nn

WIDTH = 16


class NamedPerceptron(nn.Module):
    """All layers but the last are square, and none is registered where it is run."""

    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.ModuleDict(
            {
                "m3": nn.Linear(WIDTH, WIDTH),
                "m0": nn.Linear(WIDTH, WIDTH),
                "last": nn.Linear(WIDTH, 3),
                "m2": nn.Linear(WIDTH, WIDTH),
            }
        )
        self.second_norm = nn.LayerNorm(WIDTH)
        self.m1 = nn.Linear(WIDTH, WIDTH)
        self.first_norm = nn.BatchNorm1d(WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        x = self.parts["m2"](x).relu()  # the numbers in the names are wrong on purpose
        x = self.first_norm(self.parts["m0"](x)).tanh()
        x = self.m1(x).relu()
        x = self.second_norm(self.parts["m3"](x)).tanh()
        return self.parts["last"](x)


def mlp() -> Pair:
    def square() -> nn.Module:
        return nn.Linear(WIDTH, WIDTH)

    left = nn.Sequential(
        nn.Sequential(square(), nn.ReLU(), square(), nn.BatchNorm1d(WIDTH), nn.Tanh()),
        nn.Sequential(square(), nn.ReLU(), square(), nn.LayerNorm(WIDTH), nn.Tanh()),
        nn.Linear(WIDTH, 3),
    )
    places = {"0.0": "parts.m2", "0.2": "parts.m0", "0.3": "first_norm", "1.0": "m1"}
    places |= {"1.2": "parts.m3", "1.3": "second_norm", "2": "parts.last"}
    return Pair(
        left=scrambled(left, seed=50),
        right=scrambled(NamedPerceptron(), seed=51),
        example=(numbers(5, WIDTH, seed=52),),
        truth=lambda state: moved(state, places),
    )


class MainFirst(nn.Module):
    """A residual block with a 3 × 3 shortcut, so that both branches have one shape."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(channels)
        self.shortcut_conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.shortcut_bn = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        main = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))
        return (main + self.shortcut_bn(self.shortcut_conv(x))).relu()


class ShortcutFirst(nn.Module):
    """The same block with opaque names, and the shortcut both registered and run first."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        for name in ("a", "b", "c"):
            unit = [nn.Conv2d(channels, channels, 3, padding=1), nn.BatchNorm2d(channels)]
            self.add_module(name, nn.ModuleList(unit))

    def forward(self, x: Tensor) -> Tensor:
        kept = self.a[1](self.a[0](x))
        x = self.c[1](self.c[0](x)).relu()
        return (kept + self.b[1](self.b[0](x))).relu()


class ConvNet(nn.Module):
    def __init__(self, block: type[nn.Module], names: tuple[str, str, str]) -> None:
        super().__init__()
        self.names = names
        layers = (
            nn.Conv2d(3, WIDTH, 3, stride=2, padding=1),
            nn.Sequential(block(WIDTH), block(WIDTH)),
            nn.Linear(WIDTH, 5),
        )
        for name, layer in zip(names, layers, strict=True):
            self.add_module(name, layer)

    def forward(self, images: Tensor) -> Tensor:
        stem, body, head = (getattr(self, name) for name in self.names)
        return head(body(stem(images)).amax((2, 3)))


def _branches_truth(state: Mapping[str, Tensor]) -> State:
    places = {"stem": "x", "head": "z"}
    branches = {"conv1": "c.0", "bn1": "c.1", "conv2": "b.0", "bn2": "b.1"}
    branches |= {"shortcut_conv": "a.0", "shortcut_bn": "a.1"}
    for block in range(2):
        for left, right in branches.items():
            places[f"body.{block}.{left}"] = f"y.{block}.{right}"
    return moved(state, places)


def branches() -> Pair:
    return Pair(
        left=scrambled(ConvNet(MainFirst, ("stem", "body", "head")), seed=53),
        right=scrambled(ConvNet(ShortcutFirst, ("x", "y", "z")), seed=54),
        example=(numbers(2, 3, 16, 16, seed=55),),
        truth=_branches_truth,
    )
