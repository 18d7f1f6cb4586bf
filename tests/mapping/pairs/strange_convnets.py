"""Convolutional networks with joins, groups, gates and parametrised weights.

B images, C channels.
"""

from collections.abc import Mapping

import torch
from tests.mapping.pairs.pair import Pair, State, moved, numbers, scrambled
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm, weight_norm
from transformers import RegNetConfig, RegNetForImageClassification

CHANNELS = 8


def conv(inputs: int, outputs: int, size: int, **options: object) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, size, padding=size // 2, **options)


class Squeezed(nn.Module):
    """torchvision's names, with groups, and a gate of two linear layers."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = conv(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = conv(width, width, 3, stride=stride, groups=width // 4, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = conv(width, width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(width)
        self.se_reduce = nn.Linear(width, inputs // 4)
        self.se_expand = nn.Linear(inputs // 4, width)
        self.downsample = None
        if stride > 1 or inputs != width:
            layers = conv(inputs, width, 1, stride=stride, bias=False), nn.BatchNorm2d(width)
            self.downsample = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        kept = x if self.downsample is None else self.downsample(x)
        x = self.bn1(self.conv1(x)).relu()
        x = self.bn2(self.conv2(x)).relu()
        gate = self.se_expand(self.se_reduce(x.mean((2, 3))).relu()).sigmoid()
        x = self.bn3(self.conv3(x * gate[:, :, None, None]))
        return (kept + x).relu()


class PlainRegNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = conv(3, CHANNELS, 3, stride=2, bias=False)
        self.bn1 = nn.BatchNorm2d(CHANNELS)
        sizes = [(CHANNELS, 8, 2), (8, 8, 1)], [(8, 16, 2), (16, 16, 1)]
        for n, blocks in enumerate(sizes, start=1):
            self.add_module(f"layer{n}", nn.Sequential(*(Squeezed(*size) for size in blocks)))
        self.fc = nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn1(self.conv1(x)).relu()
        return self.fc(self.layer2(self.layer1(x)).mean((2, 3)))


def regnet() -> Pair:
    config = RegNetConfig(
        embedding_size=CHANNELS,
        hidden_sizes=[8, 16],
        depths=[2, 2],
        groups_width=4,
        layer_type="y",
        num_labels=5,
    )
    unit = {"convolution": "conv", "normalization": "bn"}

    def truth(state: Mapping[str, Tensor]) -> State:
        stem = "regnet.embedder.embedder"
        places = {f"{stem}.{k}": f"{v}1" for k, v in unit.items()} | {"classifier.1": "fc"}
        result: State = {}
        for stage in range(2):
            for block in range(2):
                left = f"regnet.encoder.stages.{stage}.layers.{block}"
                right = f"layer{stage + 1}.{block}"
                for n, place in enumerate((0, 1, 3), start=1):
                    for k, v in unit.items():
                        places[f"{left}.layer.{place}.{k}"] = f"{right}.{v}{n}"
                for n, name in ((0, "reduce"), (2, "expand")):
                    gate = f"{left}.layer.2.attention.{n}"
                    result[f"{right}.se_{name}.weight"] = state[f"{gate}.weight"][:, :, 0, 0]
                    result[f"{right}.se_{name}.bias"] = state[f"{gate}.bias"]
                if block == 0:
                    places[f"{left}.shortcut.convolution"] = f"{right}.downsample.0"
                    places[f"{left}.shortcut.normalization"] = f"{right}.downsample.1"
        return result | moved(state, places)

    left = scrambled(RegNetForImageClassification(config), 400)
    return Pair(left, scrambled(PlainRegNet(), 401), (numbers(2, 3, 32, 32, seed=402),), truth)


class Dense(nn.Module):
    """Each layer reads all before it, joined."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential()
        self.features.add_module("conv0", conv(3, CHANNELS, 3, bias=False))
        for n in range(3):
            width = CHANNELS * (n + 1)
            self.features.add_module(f"norm{n + 1}", nn.BatchNorm2d(width))
            self.features.add_module(f"conv{n + 1}", conv(width, CHANNELS, 3, bias=False))
        self.features.add_module("norm_last", nn.BatchNorm2d(4 * CHANNELS))
        self.classifier = nn.Linear(4 * CHANNELS, 5)

    def forward(self, x: Tensor) -> Tensor:
        parts = dict(self.features.named_children())
        x = parts["conv0"](x)
        for n in range(1, 4):
            x = torch.cat([x, parts[f"conv{n}"](parts[f"norm{n}"](x).relu())], dim=1)
        return self.classifier(parts["norm_last"](x).relu().mean((2, 3)))


class DenseLists(nn.Module):
    """The same with a list of what was seen; names say nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.e = nn.Linear(4 * CHANNELS, 5)
        self.d = nn.BatchNorm2d(4 * CHANNELS)
        self.c = nn.ModuleList(conv(CHANNELS * n, CHANNELS, 3, bias=False) for n in (3, 2, 1))
        self.b = nn.ModuleList(nn.BatchNorm2d(CHANNELS * n) for n in (3, 2, 1))
        self.a = conv(3, CHANNELS, 3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        seen = [self.a(x)]
        for n in (2, 1, 0):
            seen.append(self.c[n](self.b[n](torch.cat(seen, dim=1)).relu()))
        return self.e(self.d(torch.cat(seen, dim=1)).relu().mean((2, 3)))


def densenet() -> Pair:
    places = {"features.conv0": "a", "features.norm_last": "d", "classifier": "e"}
    for n in range(1, 4):
        places |= {f"features.norm{n}": f"b.{3 - n}", f"features.conv{n}": f"c.{3 - n}"}
    left, right = scrambled(Dense(), 410), scrambled(DenseLists(), 411)
    example = (numbers(2, 3, 16, 16, seed=412),)
    return Pair(left, right, example, lambda state: moved(state, places))


class Double(nn.Sequential):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(
            conv(inputs, outputs, 3),
            nn.GroupNorm(2, outputs),
            nn.ReLU(),
            conv(outputs, outputs, 3),
            nn.GroupNorm(2, outputs),
            nn.ReLU(),
        )


class UNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.down1, self.down2 = Double(3, 8), Double(8, 16)
        self.middle = Double(16, 32)
        self.up2, self.up1 = nn.ConvTranspose2d(32, 16, 2, 2), nn.ConvTranspose2d(16, 8, 2, 2)
        self.merge2, self.merge1 = Double(32, 16), Double(16, 8)
        self.outc = nn.Conv2d(8, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        one = self.down1(x)
        two = self.down2(nn.functional.max_pool2d(one, 2))
        x = self.middle(nn.functional.max_pool2d(two, 2))
        x = self.merge2(torch.cat([two, self.up2(x)], dim=1))
        return self.outc(self.merge1(torch.cat([one, self.up1(x)], dim=1)))


class HandGroupNorm(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.offset, self.factor = nn.Parameter(torch.zeros(width)), nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        parts = x.unflatten(1, (2, -1)).flatten(2)
        mean, var = parts.mean(2, keepdim=True), parts.var(2, unbiased=False, keepdim=True)
        x = ((parts - mean) / (var + 1e-5).sqrt()).reshape(x.shape)
        return x * self.factor[:, None, None] + self.offset[:, None, None]


class RecursiveUNet(nn.Module):
    """Nested: each level holds the one below it."""

    def __init__(self, inputs: int, width: int, levels: int) -> None:
        super().__init__()
        self.inner = RecursiveUNet(width, 2 * width, levels - 1) if levels else None
        if levels:
            self.back = nn.ConvTranspose2d(2 * width, width, 2, 2)
            self.c3, self.c4 = conv(2 * width, width, 3), conv(width, width, 3)
            self.n3, self.n4 = HandGroupNorm(width), HandGroupNorm(width)
        self.c1, self.c2 = conv(inputs, width, 3), conv(width, width, 3)
        self.n1, self.n2 = HandGroupNorm(width), HandGroupNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        x = self.n2(self.c2(self.n1(self.c1(x)).relu())).relu()
        if self.inner is None:
            return x
        below = self.back(self.inner(nn.functional.max_pool2d(x, 2)))
        x = self.n3(self.c3(torch.cat([x, below], dim=1))).relu()
        return self.n4(self.c4(x)).relu()


class NestedUNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.final = nn.Conv2d(8, 2, 1)
        self.net = RecursiveUNet(3, 8, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.final(self.net(x))


def unet() -> Pair:
    def truth(state: Mapping[str, Tensor]) -> State:
        levels = ["net", "net.inner", "net.inner.inner"]
        places = {"outc": "final"}
        for n, left in enumerate(("down1", "down2", "middle")):
            places |= {f"{left}.0": f"{levels[n]}.c1", f"{left}.3": f"{levels[n]}.c2"}
            places |= {f"{left}.1": f"{levels[n]}.n1", f"{left}.4": f"{levels[n]}.n2"}
        for n in (1, 2):
            right = levels[n - 1]
            places |= {f"up{n}": f"{right}.back"}
            places |= {f"merge{n}.0": f"{right}.c3", f"merge{n}.3": f"{right}.c4"}
            places |= {f"merge{n}.1": f"{right}.n3", f"merge{n}.4": f"{right}.n4"}
        found = moved(state, places)
        for name in list(found):
            unit, last = name.split(".")[-2:]
            if unit in ("n1", "n2", "n3", "n4"):
                new = {"weight": "factor", "bias": "offset"}[last]
                found[name.removesuffix(last) + new] = found.pop(name)
        return found

    left, right = scrambled(UNet(), 420), scrambled(NestedUNet(), 421)
    return Pair(left, right, (numbers(2, 3, 16, 16, seed=422),), truth)


class Inception(nn.Module):
    """Four branches; two end in the same shape."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.branch1 = conv(inputs, 4, 1)
        self.branch2 = nn.Sequential(conv(inputs, 4, 1), nn.ReLU(), conv(4, 4, 3))
        self.branch3 = nn.Sequential(conv(inputs, 4, 1), nn.ReLU(), conv(4, 4, 5))
        self.branch4 = conv(inputs, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        pooled = nn.functional.max_pool2d(x, 3, 1, 1)
        found = [self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(pooled)]
        return torch.cat(found, dim=1).relu()


class FusedInception(nn.Module):
    """The three 1 × 1 products of the input in one."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.pool_proj = conv(inputs, 4, 1)
        self.wide, self.mid = conv(4, 4, 5), conv(4, 4, 3)
        self.enter = conv(inputs, 12, 1)

    def forward(self, x: Tensor) -> Tensor:
        one, two, three = self.enter(x).chunk(3, dim=1)
        last = self.pool_proj(nn.functional.max_pool2d(x, 3, 1, 1))
        return torch.cat([one, self.mid(two.relu()), self.wide(three.relu()), last], dim=1).relu()


class Branched(nn.Module):
    def __init__(self, block: type[nn.Module], names: tuple[str, str, str]) -> None:
        super().__init__()
        self.names = names
        layers = conv(3, 8, 3), nn.Sequential(block(8), block(16)), nn.Linear(16, 5)
        for name, layer in zip(names, layers, strict=True):
            self.add_module(name, layer)

    def forward(self, x: Tensor) -> Tensor:
        stem, body, head = (getattr(self, name) for name in self.names)
        return head(body(stem(x)).amax((2, 3)))


def inception() -> Pair:
    def truth(state: Mapping[str, Tensor]) -> State:
        places = {"stem": "p", "head": "r"}
        result: State = {}
        for n in range(2):
            places |= {f"body.{n}.branch4": f"q.{n}.pool_proj"}
            places |= {f"body.{n}.branch2.2": f"q.{n}.mid", f"body.{n}.branch3.2": f"q.{n}.wide"}
            for kind in ("weight", "bias"):
                parts = [
                    state[f"body.{n}.{k}.{kind}"] for k in ("branch1", "branch2.0", "branch3.0")
                ]
                result[f"q.{n}.enter.{kind}"] = torch.cat(parts)
        return result | moved(state, places)

    left = scrambled(Branched(Inception, ("stem", "body", "head")), 430)
    right = scrambled(Branched(FusedInception, ("p", "q", "r")), 431)
    return Pair(left, right, (numbers(2, 3, 16, 16, seed=432),), truth)


class AutoEncoder(nn.Module):
    """A variational one, at its mean."""

    def __init__(self) -> None:
        super().__init__()
        self.enc = nn.Sequential(
            nn.Conv2d(1, 8, 4, 2, 1), nn.ReLU(), nn.Conv2d(8, 8, 4, 2, 1), nn.ReLU(), nn.Flatten()
        )
        self.fc_mu, self.fc_var = nn.Linear(128, 6), nn.Linear(128, 6)
        self.fc_decode = nn.Linear(6, 128)
        self.dec = nn.Sequential(
            nn.ConvTranspose2d(8, 8, 4, 2, 1), nn.ReLU(), nn.ConvTranspose2d(8, 1, 4, 2, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.enc(x)
        mean, spread = self.fc_mu(x), self.fc_var(x)
        x = self.dec(self.fc_decode(mean).relu().unflatten(1, (8, 4, 4)))
        return torch.cat([x.flatten(1), mean, spread], dim=1)


class FusedAutoEncoder(nn.Module):
    """Mean and spread of one layer; layers in the order of the alphabet."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.ConvTranspose2d(8, 1, 4, 2, 1)
        self.b = nn.ConvTranspose2d(8, 8, 4, 2, 1)
        self.c = nn.Linear(6, 128)
        self.d = nn.Linear(128, 12)
        self.e, self.f = nn.Conv2d(8, 8, 4, 2, 1), nn.Conv2d(1, 8, 4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        mean, spread = self.d(self.e(self.f(x).relu()).relu().flatten(1)).chunk(2, dim=-1)
        x = self.a(self.b(self.c(mean).relu().view(-1, 8, 4, 4)).relu())
        return torch.cat([x.flatten(1), mean, spread], dim=1)


def autoencoder() -> Pair:
    places = {"enc.0": "f", "enc.2": "e", "fc_decode": "c", "dec.0": "b", "dec.2": "a"}

    def truth(state: Mapping[str, Tensor]) -> State:
        result = moved(state, places)
        for kind in ("weight", "bias"):
            result[f"d.{kind}"] = torch.cat([state[f"fc_mu.{kind}"], state[f"fc_var.{kind}"]])
        return result

    left, right = scrambled(AutoEncoder(), 440), scrambled(FusedAutoEncoder(), 441)
    return Pair(left, right, (numbers(3, 1, 16, 16, seed=442),), truth)


class Wave(nn.Module):
    """Dilated convolutions over time, weights as length and direction, gates in one product."""

    def __init__(self) -> None:
        super().__init__()
        self.start = nn.Conv1d(2, CHANNELS, 1)
        self.layers = nn.ModuleList(
            weight_norm(nn.Conv1d(CHANNELS, 2 * CHANNELS, 3, padding=2**n, dilation=2**n))
            for n in range(3)
        )
        self.skips = nn.ModuleList(nn.Conv1d(CHANNELS, CHANNELS, 1) for _ in range(3))
        self.end = nn.Linear(CHANNELS, 4)

    def forward(self, x: Tensor) -> Tensor:
        x, total = self.start(x), 0.0
        for layer, skip in zip(self.layers, self.skips, strict=True):
            content, gate = layer(x).chunk(2, dim=1)
            found = skip(content.tanh() * gate.sigmoid())
            x, total = x + found, total + found
        return self.end(total.relu().mean(2))


class PlainWave(nn.Module):
    """Plain weights."""

    def __init__(self) -> None:
        super().__init__()
        self.z = nn.Linear(CHANNELS, 4)
        self.y = nn.ModuleList(nn.Conv1d(CHANNELS, CHANNELS, 1) for _ in range(3))
        self.x = nn.ModuleList(
            nn.Conv1d(CHANNELS, 2 * CHANNELS, 3, padding=2**n, dilation=2**n) for n in range(3)
        )
        self.w = nn.Conv1d(2, CHANNELS, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.w(x)
        total = torch.zeros_like(x)
        for one, other in zip(self.x, self.y, strict=True):
            both = one(x)
            found = other(both[:, :CHANNELS].tanh() * both[:, CHANNELS:].sigmoid())
            x, total = x + found, total + found
        return self.z(total.relu().mean(2))


def wave() -> Pair:
    def truth(state: Mapping[str, Tensor]) -> State:
        places = {"start": "w", "end": "z", "skips": "y"}
        result: State = {}
        for n in range(3):
            size = state[f"layers.{n}.parametrizations.weight.original0"]
            way = state[f"layers.{n}.parametrizations.weight.original1"]
            result[f"x.{n}.weight"] = size * way / way.norm(dim=(1, 2), keepdim=True)
            result[f"x.{n}.bias"] = state[f"layers.{n}.bias"]
        return result | moved(state, places)

    left, right = scrambled(Wave(), 450), scrambled(PlainWave(), 451)
    return Pair(left, right, (numbers(2, 2, 40, seed=452),), truth)


class Critic(nn.Module):
    """Weights over their largest singular value."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            spectral_norm(nn.Linear(12, 16)),
            nn.LeakyReLU(0.2),
            spectral_norm(nn.Linear(16, 16)),
            nn.LeakyReLU(0.2),
            nn.Linear(16, 2),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class PlainCritic(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.c, self.b, self.a = nn.Linear(16, 2), nn.Linear(16, 16), nn.Linear(12, 16)

    def forward(self, x: Tensor) -> Tensor:
        for layer in (self.a, self.b):
            x = nn.functional.leaky_relu(layer(x), 0.2)
        return self.c(x)


def critic() -> Pair:
    left = scrambled(Critic(), 460)

    def truth(state: Mapping[str, Tensor]) -> State:
        result = {f"c.{k}": state[f"layers.4.{k}"] for k in ("weight", "bias")}
        for n, name in ((0, "a"), (2, "b")):
            result[f"{name}.weight"] = left.layers[n].weight.detach()
            result[f"{name}.bias"] = state[f"layers.{n}.bias"]
        return result

    return Pair(left, scrambled(PlainCritic(), 461), (numbers(7, 12, seed=462),), truth)


class Mixer(nn.Module):
    """Tokens mixed by a linear layer over the turned activations."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 4, 4)
        self.blocks = nn.ModuleList()
        for _ in range(2):
            self.blocks.append(
                nn.ModuleDict(
                    {
                        "norm1": nn.LayerNorm(16),
                        "mlp_tokens": nn.Sequential(
                            nn.Linear(16, 16), nn.GELU(), nn.Linear(16, 16)
                        ),
                        "norm2": nn.LayerNorm(16),
                        "mlp_channels": nn.Sequential(
                            nn.Linear(16, 16), nn.GELU(), nn.Linear(16, 16)
                        ),
                    }
                )
            )
        self.norm = nn.BatchNorm1d(16)
        self.head = nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).flatten(2).mT
        for block in self.blocks:
            x = x + block["mlp_tokens"](block["norm1"](x).mT).mT
            x = x + block["mlp_channels"](block["norm2"](x))
        return self.head(self.norm(x.mean(1)))


class ConvMixer(nn.Module):
    """Tokens mixed by 1-D convolutions of size one over the tokens as channels."""

    def __init__(self) -> None:
        super().__init__()
        self.q = nn.Linear(16, 5)
        self.p = nn.BatchNorm1d(16)
        self.n = nn.ModuleList(nn.LayerNorm(16) for _ in range(4))
        self.m = nn.ModuleList(nn.Linear(16, 16) for _ in range(4))
        self.k = nn.ModuleList(nn.Conv1d(16, 16, 1) for _ in range(4))
        self.j = nn.Linear(48, 16)

    def forward(self, x: Tensor) -> Tensor:
        x = x.unfold(2, 4, 4).unfold(3, 4, 4).permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(1, 2)
        x = self.j(x)
        for i in range(2):
            x = x + self.k[2 * i + 1](nn.functional.gelu(self.k[2 * i](self.n[i](x))))
            x = x + self.m[i](nn.functional.gelu(self.m[2 + i](self.n[2 + i](x))))
        return self.q(self.p(x.mean(1)))


def mixer() -> Pair:
    def truth(state: Mapping[str, Tensor]) -> State:
        places = {"norm": "p", "head": "q"}
        result = {"j.weight": state["stem.weight"].flatten(1), "j.bias": state["stem.bias"]}
        for i in range(2):
            left = f"blocks.{i}"
            places |= {f"{left}.norm1": f"n.{i}", f"{left}.norm2": f"n.{2 + i}"}
            places |= {f"{left}.mlp_channels.0": f"m.{2 + i}", f"{left}.mlp_channels.2": f"m.{i}"}
            for n, place in ((0, 2 * i), (2, 2 * i + 1)):
                result[f"k.{place}.weight"] = state[f"{left}.mlp_tokens.{n}.weight"][:, :, None]
                result[f"k.{place}.bias"] = state[f"{left}.mlp_tokens.{n}.bias"]
        return result | moved(state, places)

    left, right = scrambled(Mixer(), 470), scrambled(ConvMixer(), 471)
    return Pair(left, right, (numbers(2, 3, 16, 16, seed=472),), truth)
