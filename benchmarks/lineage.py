"""Do the weights tell what a model was made from?

Small perceptrons and residual networks are trained here on scikit-learn's digits. Of them, 200
models are made: fine-tuned, LoRA merged in, averaged, pruned, grown, distilled, and models trained
anew that name a parent which is none. Each is also held against a network that it has nothing to
do with. Thresholds are compared with every pair of independent trainings.

    python -m benchmarks.lineage
"""

from __future__ import annotations

import argparse
import copy
import json
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional

from bequest.hub.lineage.correlate import agreement
from bequest.hub.lineage.relate import merge_of, relate
from bequest.hub.lineage.sketches import SketchIndex
from bequest.nets.mlp import MLP
from bequest.nets.resnet import ResNet

FIRST = 200_000  # of the seeds: no threshold was chosen on networks of these
WIDTHS = (96, 64, 48)
COUNTS = {
    "fine-tuned": 40, "lora": 30, "merged": 25, "pruned": 35, "grown": 30, "distilled": 20,
    "unrelated": 20,
}  # fmt: skip
# A distilled student has weights of its own: it is right to see nothing in them.
SEEN_AS = {"distilled": "unrelated"}


def digits() -> tuple[torch.Tensor, torch.Tensor]:
    images, labels = load_digits(return_X_y=True)
    return torch.tensor(images / 16 - 0.3, dtype=torch.float32), torch.tensor(labels)


def fresh(kind: str, seed: int, widths: tuple[int, ...] = WIDTHS) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(FIRST + seed)
        if kind == "mlp":
            return MLP(numbers=64, outputs=10, widths=widths)
        return ResNet(channels=1, outputs=10, widths=(16, 32))


def run_net(net: nn.Module, rows: torch.Tensor) -> torch.Tensor:
    return net(rows if isinstance(net, MLP) else rows.reshape(-1, 1, 8, 8))


def train(
    net: nn.Module, rows, targets, seed: int, steps: int, lr: float = 2e-3, batch: int = 64
) -> nn.Module:
    rng = np.random.default_rng(FIRST + seed)
    optimiser = torch.optim.AdamW([p for p in net.parameters() if p.requires_grad], lr=lr)
    net.train()
    for _ in range(steps):
        chosen = torch.from_numpy(rng.integers(len(rows), size=batch))
        functional.cross_entropy(run_net(net, rows[chosen]), targets[chosen]).backward()
        optimiser.step()
        optimiser.zero_grad()
    return net.eval()


def numbers(net: nn.Module) -> dict[str, np.ndarray]:
    return {name: value.detach().numpy() for name, value in net.state_dict().items()}


def steps_of(kind: str, quick: bool) -> int:
    return (150 if quick else 400) if kind == "mlp" else (40 if quick else 100)


class Family:
    """Data and trained networks from which the derived ones are made."""

    def __init__(self, quick: bool) -> None:
        self.rows, self.targets = digits()
        self.quick = quick
        amount = {"mlp": 16, "resnet": 6}
        self.bases = {
            kind: [self.trained(kind, seed, seed + 1000) for seed in range(count)]
            for kind, count in amount.items()
        }

    def trained(self, kind: str, start: int, order: int) -> nn.Module:
        steps = steps_of(kind, self.quick)
        return train(fresh(kind, start), self.rows, self.targets, order, steps)

    def base(self, number: int) -> tuple[str, int]:
        kind = "resnet" if number % 4 == 3 else "mlp"
        return kind, number % len(self.bases[kind])

    def task(self, number: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Another task: labels renamed, inputs changed a little, some of the rows."""
        rng = np.random.default_rng([FIRST, number])
        chosen = rng.permutation(len(self.rows))[:600]
        renamed = torch.from_numpy(rng.permutation(10))
        noise = torch.from_numpy(rng.normal(scale=0.1, size=(600, 64)).astype(np.float32))
        return self.rows[chosen] + noise, renamed[self.targets[chosen]]


def fine_tuned(family: Family, number: int):
    kind, place = family.base(number)
    parent = family.bases[kind][place]
    child = copy.deepcopy(parent)
    if number % 2:  # with a head of its own
        child.head = nn.Linear(child.head.in_features, 10)
    if number % 5 == 0:
        for parameter in next(iter(child.children())).parameters():
            parameter.requires_grad_(False)
    steps = steps_of(kind, family.quick) // (1 + number % 3)
    lr = (1e-3, 3e-4, 2e-3)[number % 3]
    return train(child, *family.task(number), number, steps, lr), [parent]


def lora(family: Family, number: int):
    kind, place = family.base(number)
    parent = family.bases[kind][place]
    child = copy.deepcopy(parent)
    rank = (1, 2, 4)[number % 3]
    torch.manual_seed(number)
    chosen = [m for m in child.modules() if isinstance(m, nn.Linear | nn.Conv2d)][1:-1]
    child.eval().requires_grad_(False)
    pairs = []
    for layer in chosen:
        flat = layer.weight.detach().flatten(1)
        low = nn.Parameter(torch.randn(rank, flat.shape[1]) / flat.shape[1] ** 0.5)
        pairs.append(
            (layer, layer.weight.detach(), nn.Parameter(torch.zeros(len(flat), rank)), low)
        )
    for layer, *_ in pairs:
        del layer.weight
    head = [p.requires_grad_(True) for p in child.head.parameters()]
    optimiser = torch.optim.AdamW([p for pair in pairs for p in pair[2:]] + head, lr=3e-3)
    rows, targets = family.task(number)
    for _ in range(30):
        for layer, start, high, low in pairs:
            layer.weight = start + (high @ low).reshape(start.shape)
        functional.cross_entropy(run_net(child, rows[:200]), targets[:200]).backward()
        optimiser.step()
        optimiser.zero_grad()
    for layer, start, high, low in pairs:
        del layer.weight
        layer.weight = nn.Parameter((start + (high @ low).reshape(start.shape)).detach())
    return child, [parent]


def merged(family: Family, number: int):
    rng = np.random.default_rng([3, number])
    parents = [fine_tuned(family, 4 * (number % 8) + 2 * k)[0] for k in range(2 + number % 2)]
    if not all(isinstance(p, type(parents[0])) for p in parents):
        parents = [fine_tuned(family, 4 * number + 16 * 4 * k)[0] for k in range(2 + number % 2)]
    shares = rng.dirichlet([3.0] * len(parents))
    child = copy.deepcopy(parents[0])
    state = child.state_dict()
    for name, value in state.items():
        if value.is_floating_point():
            state[name] = sum(
                float(s) * p.state_dict()[name] for s, p in zip(shares, parents, strict=True)
            )
    child.load_state_dict(state)
    return child, parents


def _narrowed(parent: MLP, kept: list[np.ndarray]) -> MLP:
    child = fresh("mlp", 0, tuple(len(k) for k in kept))
    before = np.arange(64)
    with torch.no_grad():
        for ours, theirs, rows in zip(
            _linears(child), _linears(parent), [*kept, None], strict=True
        ):
            rows = np.arange(10) if rows is None else rows
            ours.weight.copy_(theirs.weight[rows][:, before])
            ours.bias.copy_(theirs.bias[rows])
            before = rows
    return child


def _linears(net: MLP) -> list[nn.Linear]:
    return [m for m in net.modules() if isinstance(m, nn.Linear)]


def pruned(family: Family, number: int):
    rows, targets = family.task(number)
    if number % 3 == 0:  # single numbers
        kind, place = family.base(number)
        parent = family.bases[kind][place]
        child = copy.deepcopy(parent)
        with torch.no_grad():
            for value in child.parameters():
                if value.ndim > 1:
                    limit = value.abs().quantile(0.3 + 0.1 * (number % 4))
                    value.mul_(value.abs() > limit)
        return child, [parent]
    parent = family.bases["mlp"][number % len(family.bases["mlp"])]
    rng = np.random.default_rng([5, number])
    kept = []
    for layer in _linears(parent)[:-1]:
        size = len(layer.weight) * (5 + number % 4) // 10
        norms = layer.weight.detach().norm(dim=1).numpy()
        chosen = norms.argsort()[-size:] if number % 2 else rng.permutation(len(norms))[:size]
        kept.append(np.sort(chosen))
    child = _narrowed(parent, kept)
    return (train(child, rows, targets, number, 60, 5e-4) if number % 3 == 1 else child), [parent]


def grown(family: Family, number: int):
    parent = family.bases["mlp"][number % len(family.bases["mlp"])]
    rng = np.random.default_rng([6, number])
    wider = tuple(width + (16, 32)[number % 2] for width in WIDTHS)
    child = fresh("mlp", 9000 + number, wider)
    before, counts = np.arange(64), np.ones(64)
    with torch.no_grad():
        for ours, theirs, width in zip(
            _linears(child), _linears(parent), [*wider, None], strict=True
        ):
            size = len(theirs.weight)
            rows = np.arange(size)
            if width is not None and number % 3:  # Net2Net: units repeated, function kept
                rows = np.append(rows, rng.integers(size, size=width - size))
                scale = torch.from_numpy((1 / counts[before]).astype(np.float32))
                ours.weight.copy_(theirs.weight[rows][:, before] * scale)
                ours.bias.copy_(theirs.bias[rows])
            elif number % 3:
                scale = torch.from_numpy((1 / counts[before]).astype(np.float32))
                ours.weight.copy_(theirs.weight[:, before] * scale)
                ours.bias.copy_(theirs.bias)
            else:  # the parent's numbers first, new ones behind
                ours.weight[:size, : theirs.weight.shape[1]] = theirs.weight
                ours.bias[:size] = theirs.bias
            before, counts = rows, np.bincount(rows, minlength=size).astype(float)
    rows, targets = family.task(number)
    return (train(child, rows, targets, number, 60, 5e-4) if number % 2 else child), [parent]


def distilled(family: Family, number: int):
    kind, place = family.base(number)
    parent = family.bases[kind][place]
    with torch.no_grad():
        soft = run_net(parent, family.rows).softmax(dim=1)
    steps = steps_of(kind, family.quick)
    return train(fresh(kind, 5000 + number), family.rows, soft, number, steps), [parent]


def unrelated(family: Family, number: int):
    kind, place = family.base(number)
    return family.trained(kind, 7000 + number, 8000 + number), [family.bases[kind][place]]


MAKERS: dict[str, Callable] = {
    "fine-tuned": fine_tuned, "lora": lora, "merged": merged, "pruned": pruned, "grown": grown,
    "distilled": distilled, "unrelated": unrelated,
}  # fmt: skip


def seen(child: nn.Module, parents: list[nn.Module]) -> tuple[str, str, str]:
    ours, theirs = numbers(child), [numbers(parent) for parent in parents]
    mixed = merge_of(ours, theirs)
    if mixed is not None:
        return "merged", mixed[1], "told"
    found = relate(ours, theirs[0])
    return found.kind, found.evidence, found.direction


def null(family: Family) -> dict:
    """Independent trainings."""
    apart = {"surprise": [], "correlation": []}
    claimed = 0
    for nets in family.bases.values():
        for one, other in combinations(map(numbers, nets), 2):
            found = agreement(one, other)
            apart["surprise"].append(found.surprise)
            apart["correlation"].append(found.correlation)
            claimed += relate(one, other).kind != "unrelated"
    return {
        "pairs": len(apart["surprise"]),
        "claimed": claimed,
        "largest surprise": max(apart["surprise"]),
        "standard deviation of the surprise": float(np.std(apart["surprise"])),
        "largest correlation": max(apart["correlation"]),
    }


def siblings(family: Family) -> dict:
    """Pairs of trainings from the same initial weights, on one task and on two: none was made from
    the other."""
    kinds = {"in another order": Counter(), "on another task": Counter()}
    for number in range(4 if family.quick else 20):
        kind, place = family.base(number)
        base = numbers(family.bases[kind][place])
        other = family.trained(kind, place, 3000 + number)
        kinds["in another order"][relate(numbers(other), base).kind] += 1
        other = train(
            fresh(kind, place), *family.task(number), 5000 + number, steps_of(kind, family.quick)
        )
        kinds["on another task"][relate(numbers(other), base).kind] += 1
    return {how: dict(found) for how, found in kinds.items()}


def search(family: Family, amount: int = 1200) -> dict:
    """Find the parent among many models by their sketches."""
    with tempfile.TemporaryDirectory() as folder:
        index = SketchIndex(Path(folder) / "lineage.sqlite")
        started = time.perf_counter()
        nets = family.bases["mlp"]
        with index.writing() as db:
            for place in range(amount):
                net = nets[place] if place < len(nets) else fresh("mlp", 20_000 + place)
                index.add(db, str(place), numbers(net))
        built = time.perf_counter() - started
        hits, ranks, waited = 0, [], []
        for number in range(40):
            kind, place = family.base(number)
            if kind != "mlp":
                continue
            child = numbers(fine_tuned(family, number)[0])
            started = time.perf_counter()
            found = [key for key, _ in index.nearest(child, k=5)]
            waited.append(time.perf_counter() - started)
            ranks.append(found.index(str(place)) if str(place) in found else -1)
            hits += ranks[-1] == 0
        return {
            "models": amount,
            "searches": len(ranks),
            "parent first": hits,
            "seconds to sketch all": built,
            "milliseconds a search": 1000 * float(np.median(waited)),
            "bytes a model": index.path.stat().st_size / amount,
        }


def run(quick: bool = False) -> dict:
    torch.set_num_threads(1)
    started = time.perf_counter()
    family = Family(quick)
    counts = {kind: max(count // 5, 3) if quick else count for kind, count in COUNTS.items()}
    table: dict[str, Counter] = {}
    directions: dict[str, Counter] = {}
    wrong, strangers, right = [], Counter(), 0
    for kind, count in counts.items():
        table[kind], directions[kind] = Counter(), Counter()
        for number in range(count):
            child, parents = MAKERS[kind](family, number)
            found, evidence, direction = seen(child, parents)
            table[kind][found] += 1
            directions[kind][direction] += 1
            if found == SEEN_AS.get(kind, kind):
                right += 1
            else:
                wrong.append([kind, number, found, evidence])
            other = fresh("mlp" if isinstance(child, MLP) else "resnet", 40_000 + number)
            stranger = train(other, family.rows, family.targets, number, 60)
            strangers[seen(child, [stranger])[0]] += 1
    total = sum(counts.values())
    return {
        "edges": total,
        "right": right,
        "share right": right / total,
        "table": {kind: dict(row) for kind, row in table.items()},
        "directions": {kind: dict(row) for kind, row in directions.items()},
        "wrong": wrong,
        "claims of a stranger as parent are called": dict(strangers),
        "independent trainings": null(family),
        "trainings from the same initial weights are called": siblings(family),
        "search": search(family),
        "seconds": time.perf_counter() - started,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    figures = run(chosen.quick)
    kinds = sorted({found for row in figures["table"].values() for found in row})
    print(f"{'made':12}" + "".join(f"{kind:>14}" for kind in kinds))
    for kind, row in figures["table"].items():
        print(f"{kind:12}" + "".join(f"{row.get(found, 0):14}" for found in kinds))
    rest = {key: value for key, value in figures.items() if key != "table"}
    print(json.dumps(rest, indent=1))
    if chosen.out:
        chosen.out.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
