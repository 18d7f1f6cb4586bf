"""Whether a parameter map's confidence means something: the share of tensors that are right.

Pairs of implementations of one architecture with other names, whose true map is known; the source
as its state dict, in the order of registration, and sorted by name, as safetensors writes files;
and once more with half of all sizes, a narrower network. Nothing is run: names, shapes and order
alone. The most that such entries are sure was chosen on every second pair; the table gives the
others. Of narrower sources only the origin of a tensor is compared: its values have no truth.

    python -m benchmarks.map_confidence
"""

from __future__ import annotations

import argparse
import json

import numpy as np
import torch
from tests.mapping.pairs.table import PAIRS

import bequest as bq
from bequest.errors import MapError

ROUNDING = 1e-6
SMALL = 8  # sizes from here on are halved: classes, kernels and the like stay


def entries(name: str, *, in_order: bool) -> list[tuple[float, bool]]:
    """Confidence of each tensor that a map fills, and whether its values are the true ones."""
    pair = PAIRS[name]()
    held = pair.left.state_dict()
    truth = pair.truth(held)
    source = held if in_order else {key: held[key] for key in sorted(held)}
    try:
        plan = bq.map_parameters(source, pair.right)
        made = plan.state_dict()
    except MapError:
        return []
    return [
        (entry.confidence, bool((made[entry.target] - truth[entry.target]).abs().max() <= ROUNDING))
        for entry in plan.entries
        if entry.moves and entry.role != "constant" and torch.is_floating_point(made[entry.target])
    ]


def narrower(name: str, *, in_order: bool) -> list[tuple[float, bool]]:
    """The same from a source of half the width: whether a tensor comes from the right ones."""
    pair = PAIRS[name]()
    true = bq.map_parameters(pair.left, pair.right, example=pair.example)
    origin = {entry.target: set(entry.sources) for entry in true.entries}
    held = pair.left.state_dict()
    source = {key: torch.zeros(_halved(held[key])) for key in (held if in_order else sorted(held))}
    try:
        plan = bq.map_parameters(source, pair.right)
    except MapError:
        return []
    return [
        (entry.confidence, set(entry.sources) == origin[entry.target])
        for entry in plan.entries
        if entry.moves and entry.role != "constant"
    ]


def _halved(tensor: torch.Tensor) -> list[int]:
    return [size // 2 if size >= SMALL and size % 2 == 0 else size for size in tensor.shape]


def summary(found: list[tuple[float, bool]]) -> list[dict]:
    """By confidence: how many tensors, and the share that is right."""
    groups = ((0.0, 0.25), (0.25, 0.5), (0.5, 0.65), (0.65, 1.01))
    rows = []
    for low, high in groups:
        inside = [(sure, right) for sure, right in found if low <= sure < high]
        if inside:
            sure, right = np.mean(inside, axis=0)
            rows.append({"tensors": len(inside), "confidence": float(sure), "right": float(right)})
    return rows


def run(quick: bool = False) -> dict:
    names = list(PAIRS)[:8] if quick else list(PAIRS)
    figures: dict = {"chosen_on": names[::2], "reported_on": names[1::2]}
    for order in ("in order", "sorted"):
        for part, members in (("chosen", names[::2]), ("reported", names[1::2])):
            found = [e for name in members for e in entries(name, in_order=order == "in order")]
            figures[f"{order}, {part}"] = summary(found)
            found = [e for name in members for e in narrower(name, in_order=order == "in order")]
            figures[f"{order}, narrower, {part}"] = summary(found)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    print(json.dumps(run(parser.parse_args().quick), indent=1))


if __name__ == "__main__":
    main()
