"""Files that lie: in trained networks the names of two tensors of one shape are exchanged.

The two differ in role (what the last parts of their names say) or in depth (the number of their
block). The state dict is mapped into a fresh network of the class, and the plan's confidence stands
beside that of the honest state dict: a swap is noticed where the plan, or one of the two entries,
is less sure than without it, or `apply` refuses. Beside it, what was planned is bound to the two
networks and run on an example: `check` should report every swap, as the honest map goes through.

Trained here, on handwritten digits and newsgroup posts: a ViT, a ResNet and a GPT-2 of bytes, and
a ConvNeXt and a Llama that chose no constant of the method; and, where they are installed, MiniLM
and EfficientNet-Lite0 as they were published. A false alarm is a tensor of an honest state dict,
trained or random, that is said to be exchanged. Swaps in random networks cannot be seen, nor need
those of two tensors that have learned the same.

    python -m benchmarks --only map_name_swaps [--quick]
"""

from __future__ import annotations

import gzip
import json
import random
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from transformers import (
    ConvNextConfig,
    ConvNextForImageClassification,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    ResNetConfig,
    ResNetForImageClassification,
    ViTConfig,
    ViTForImageClassification,
)

import bequest as bq
from benchmarks.map_real_weights import installed, published
from benchmarks.real_tasks import DATA
from bequest.errors import MapError
from bequest.executors.local import single_threaded
from bequest.mapping import ParameterMap

RUNS = Path(__file__).parent / "runs" / "map_name_swaps"
SWAPS, STEPS = 40, 400  # of each network
NUMBER = re.compile(r"\d+")
Trained = tuple[nn.Module, Callable[[], nn.Module], Any]  # the network, a fresh one, an example


def vit() -> nn.Module:
    return ViTForImageClassification(
        ViTConfig(
            hidden_size=32, num_hidden_layers=4, num_attention_heads=4, intermediate_size=64,
            image_size=8, patch_size=2, num_channels=1, num_labels=10,
        )
    )  # fmt: skip


def resnet() -> nn.Module:
    return ResNetForImageClassification(
        ResNetConfig(
            num_channels=1, embedding_size=16, hidden_sizes=[16, 32], depths=[3, 3],
            layer_type="basic", num_labels=10,
        )
    )  # fmt: skip


def gpt2() -> nn.Module:
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=128, n_embd=48, n_layer=4, n_head=4, n_positions=64, use_cache=False,
            bos_token_id=0, eos_token_id=0,
        )
    )  # fmt: skip


def convnext() -> nn.Module:
    return ConvNextForImageClassification(
        ConvNextConfig(
            num_channels=1, patch_size=2, num_stages=2, hidden_sizes=[32, 64], depths=[3, 3],
            image_size=8, num_labels=10,
        )
    )  # fmt: skip


def llama() -> nn.Module:
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=128, hidden_size=48, intermediate_size=128, num_hidden_layers=4,
            num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64,
            bos_token_id=0, eos_token_id=0, use_cache=False,
        )
    )  # fmt: skip


def digits(seed: int) -> dict[str, Tensor]:
    images, labels = load_digits(return_X_y=True)
    rows = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))[:64]
    pixels = torch.tensor(images / 16.0, dtype=torch.float32).reshape(-1, 1, 8, 8)
    return {"pixel_values": pixels[rows], "labels": torch.tensor(labels)[rows]}


@cache
def codes() -> Tensor:
    """The first bytes of the posts."""
    with gzip.open(next((DATA / "twenty_newsgroups").glob("*.gz")), "rt") as lines:
        text = " ".join(json.loads(line)["text"] for line in islice(lines, 500))
    return torch.tensor([min(ord(letter), 127) for letter in text])


def posts(seed: int) -> dict[str, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    starts = torch.randint(len(codes()) - 64, (32,), generator=rng)
    rows = torch.stack([codes()[start : start + 64] for start in starts.tolist()])
    return {"input_ids": rows, "labels": rows}


SMALL = {"ViT, digits": (vit, digits), "ResNet, digits": (resnet, digits), "GPT-2": (gpt2, posts)}
HELD_OUT = {"ConvNeXt, digits": (convnext, digits), "Llama": (llama, posts)}  # chose no constant


def trained(name: str) -> Trained:
    """A network of ours after `STEPS` steps of Adam, kept on disk."""
    make, data = (SMALL | HELD_OUT)[name]
    torch.manual_seed(0)
    network, path = make(), RUNS / f"{name}-{STEPS}.pt"
    if not path.exists():
        steps = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=0.01)
        for step in range(STEPS):
            steps.zero_grad()
            network(**data(step)).loss.backward()
            steps.step()
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(network.state_dict(), path)
    network.load_state_dict(torch.load(path, weights_only=True))
    example = {key: rows[:2] for key, rows in data(0).items() if key != "labels"}
    return network.eval(), make, example


def candidates(state: dict[str, Tensor]) -> list[tuple[str, str, str]]:
    """Pairs of names of one shape, and in what they differ: role or depth."""
    learned = [name for name, t in state.items() if t.is_floating_point() and t.numel() > 1]
    found = []
    for place, one in enumerate(learned):
        for other in learned[place + 1 :]:
            if state[one].shape != state[other].shape or torch.equal(state[one], state[other]):
                continue
            same_role = NUMBER.sub("#", one) == NUMBER.sub("#", other)
            found.append((one, other, "depth" if same_role else "role"))
    return found


def chosen(pairs: list[tuple[str, str, str]], count: int) -> list[tuple[str, str, str]]:
    """Half of them across roles and half across depths, drawn."""
    rng, found = random.Random(0), []
    for kind in ("role", "depth"):
        several = [pair for pair in pairs if pair[2] == kind]
        found += rng.sample(several, min(count // 2, len(several)))
    return found


def refused(plan: ParameterMap) -> bool:
    try:
        plan.apply()
    except MapError:
        return True
    return False


def swapped(state: dict[str, Tensor], one: str, other: str) -> dict[str, Tensor]:
    return state | {one: state[other], other: state[one]}


def lied_to(plan: ParameterMap, one: str, other: str) -> ParameterMap:
    """The plan as one who believes the file makes it: each of the two from the other."""

    def other_way(name: str) -> str:
        return {one: other, other: one}.get(name, name)

    entries = []
    for entry in plan.entries:
        moves = tuple(
            replace(
                m, source=other_way(m.source), taken=replace(m.taken, tensor=other_way(m.source))
            )
            for m in entry.moves
        )
        entries.append(replace(entry, moves=moves))
    return ParameterMap(tuple(entries), plan.unused, plan.notes, plan.body)


def outcomes(name: str, network: nn.Module, make: Callable[[], nn.Module], example: Any,
             count: int) -> list[dict]:  # fmt: skip
    """Each swap of one network; the honest map must go through."""
    state = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    target = make().eval()
    honest = bq.map_parameters(state, target)
    between = bq.map_parameters(network, target, example=example)
    if between.check(example):
        raise RuntimeError(f"the honest map of {name} is not right: {between.check(example)}")
    found = []
    for one, other, kind in chosen(candidates(state), count):
        believed = ParameterMap.from_json(lied_to(between, one, other).to_json())
        bound = bq.map_parameters(network, target, plan=believed)
        found.append({
            "network": name,
            "kind": kind,
            "swap": [one, other],
            "reported_with_example": bool(bound.check(example)),
            "outputs_differ_by": None if bound.problems else bound.verify(example),
            **noticed(honest, swapped(state, one, other), target, (one, other)),
        })  # fmt: skip
    return found


def noticed(
    honest: ParameterMap, file: dict[str, Tensor], target: nn.Module, names: tuple[str, str]
) -> dict[str, Any]:
    """How sure the map of a lying file is, without an example, against that of the honest one."""
    try:
        plan = bq.map_parameters(file, target)
    except MapError as error:
        return {"noticed": True, "refused": True, "reason": str(error)[:120]}
    sure = {entry.target: entry.confidence for entry in honest.entries}
    lowered = [e.target for e in plan.entries if e.confidence < sure[e.target]]
    fails = refused(plan) and not refused(honest)
    return {
        "honest_confidence": honest.confidence,
        "confidence": plan.confidence,
        "lowered": [name for name in lowered if name in names],
        "refused": fails,
        "named": any(all(n in note for n in names) for note in plan.notes if "exchanged" in note),
        "noticed": fails or plan.confidence < honest.confidence or any(n in lowered for n in names),
    }


def alarms(network: nn.Module, make: Callable[[], nn.Module]) -> dict[str, int]:
    """Tensors of the honest state dict, and of a random network's, that are called exchanged."""
    torch.manual_seed(1)
    found = {"tensors": len(network.state_dict())}
    for kind, source in (("trained", network), ("random", make())):
        plan = bq.map_parameters(source.state_dict(), make().eval())
        found[kind] = 2 * sum("exchanged" in note for note in plan.notes)
    return found


def summary(found: list[dict]) -> dict:
    counts: dict[str, Counter] = {}
    for one in found:
        kind, network = one["kind"], one["network"]
        for group in ("all", kind, network, f"{network}, {kind}"):
            kept = counts.setdefault(group, Counter())
            kept["swaps"] += 1
            for key in ("noticed", "named", "refused", "reported_with_example"):
                kept[key] += bool(one.get(key))
    return {group: dict(kept) for group, kept in counts.items()}


def run(quick: bool = False) -> dict:
    """The honest map of each network, and its swaps."""
    networks = {name: trained(name) for name in SMALL | HELD_OUT}
    networks |= published(installed()) if installed() else {}
    found, false = [], {}
    with single_threaded():
        for name, parts in networks.items():
            false[name] = alarms(*parts[:2])
            found += outcomes(name, *parts, 10 if quick else SWAPS)
            print(name, summary(found)[name], false[name], flush=True)
    return {
        "held_out": list(HELD_OUT),
        "summary": summary(found),
        "false_alarms": false,
        "swaps": found,
    }
