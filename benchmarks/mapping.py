"""Mapping two networks of 100 million parameters: seconds to plan, to apply, and peak memory.

Two pairs, each in both directions: GPT-2 small of transformers and a plain GPT in torch (linear
layers, q, k and v apart), and ViT-B of transformers and a plain one (q, k and v fused). Random
numbers, built here: nothing is downloaded. One thread.

- map: CPU seconds of `map_parameters`, which also runs both networks to settle what shapes leave
  open; with the network as source, and with a safetensors file of it (names and shapes only, the
  file's header included).
- apply: CPU seconds against copying the same bytes (every tensor cloned), in turns, as the ratio
  of the two; half the speed of a plain copy is a ratio of 2. GPT-2 stores most of its numbers
  transposed, and transposing alone takes longer than copying: copies that transpose the same
  tensors stand beside it.
- memory: in a process of its own, the peak while `apply` runs above what was there before it,
  against the target's bytes and its largest tensor.

    python -m benchmarks.mapping [--quick]
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional
from transformers import GPT2Config, GPT2LMHeadModel, ViTConfig, ViTForImageClassification

import bequest as bq
from bequest.executors.local import single_threaded

MB = 2**20
SMALL = {"width": 128, "layers": 4, "heads": 4}
FULL = {"width": 768, "layers": 12, "heads": 12}
LIMITS = {"map_s": 2.0, "apply_ratio": 2.0}


class Attention(nn.Module):
    """Of several heads; q, k and v in one product or in three."""

    def __init__(self, width: int, heads: int, *, fused: bool, causal: bool) -> None:
        super().__init__()
        self.heads, self.causal = heads, causal
        if fused:
            self.qkv = nn.Linear(width, 3 * width)
        else:
            self.q, self.k, self.v = (nn.Linear(width, width) for _ in range(3))
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        parts = self.qkv(x).chunk(3, -1) if hasattr(self, "qkv") else (f(x) for f in self._three())
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts)
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        return self.proj(mixed.transpose(1, 2).flatten(2))

    def _three(self) -> tuple[nn.Module, ...]:
        return self.q, self.k, self.v


class Block(nn.Module):
    """Pre-norm attention and perceptron."""

    def __init__(
        self, width: int, heads: int, *, fused: bool, causal: bool, act: nn.Module
    ) -> None:
        super().__init__()
        eps = 1e-5 if causal else 1e-12
        self.before = nn.LayerNorm(width, eps=eps)
        self.attend = Attention(width, heads, fused=fused, causal=causal)
        self.between = nn.LayerNorm(width, eps=eps)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), act, nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attend(self.before(x))
        return x + self.mlp(self.between(x))


class GPT(nn.Module):
    """A decoder whose output shares the tokens' table."""

    def __init__(self, width: int, layers: int, heads: int) -> None:
        super().__init__()
        self.tokens = nn.Embedding(50257, width)
        self.places = nn.Embedding(1024, width)
        act = nn.GELU(approximate="tanh")
        self.blocks = nn.ModuleList(
            Block(width, heads, fused=False, causal=True, act=act) for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, 50257, bias=False)
        self.out.weight = self.tokens.weight

    def forward(self, input_ids: Tensor) -> Tensor:
        x = self.tokens(input_ids) + self.places(torch.arange(input_ids.shape[1]))
        for block in self.blocks:
            x = block(x)
        return self.out(self.norm(x))


class ViT(nn.Module):
    """An encoder of patches with a class token."""

    def __init__(self, width: int, layers: int, heads: int) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, 16, stride=16)
        self.token = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.places = nn.Parameter(torch.randn(1, 197, width) * 0.02)
        self.blocks = nn.Sequential(
            *(Block(width, heads, fused=True, causal=False, act=nn.GELU()) for _ in range(layers))
        )
        self.norm = nn.LayerNorm(width, eps=1e-12)
        self.head = nn.Linear(width, 1000)

    def forward(self, pixel_values: Tensor) -> Tensor:
        x = self.patches(pixel_values).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1) + self.places
        return self.head(self.norm(self.blocks(x))[:, 0])


def theirs(kind: str, width: int, layers: int, heads: int) -> nn.Module:
    if kind == "gpt":
        config = GPT2Config(n_embd=width, n_layer=layers, n_head=heads, use_cache=False)
        return GPT2LMHeadModel(config)
    vit = ViTConfig(
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=4 * width,
        num_labels=1000,
    )
    return ViTForImageClassification(vit)


def networks(pair: str, size: dict[str, int]) -> tuple[nn.Module, nn.Module, dict[str, Tensor]]:
    """Source, target and an example of a pair such as "gpt" or "gpt, back"."""
    torch.manual_seed(0)
    kind = pair.split(",")[0]
    both = [theirs(kind, **size).eval(), (GPT if kind == "gpt" else ViT)(**size).eval()]
    if pair.endswith("back"):
        both.reverse()
    if kind == "gpt":
        return *both, {"input_ids": torch.randint(0, 50257, (1, 16))}
    return *both, {"pixel_values": torch.randn(1, 3, 224, 224)}


def cpu(call) -> float:
    gc.collect()
    start = time.process_time()
    call()
    return time.process_time() - start


def cloned(module: nn.Module, turned: Collection[str] = ()) -> list[Tensor]:
    """Every tensor copied once; those that are named, transposed."""
    own = {id(t): (name, t.detach()) for name, t in module.state_dict(keep_vars=True).items()}
    return [t.t().contiguous() if name in turned else t.clone() for name, t in own.values()]


def size_of(module: nn.Module) -> tuple[int, int]:
    """Bytes of all tensors, each once, and of the largest."""
    own = {id(t): t.nbytes for t in (*module.parameters(), *module.buffers())}
    return sum(own.values()), max(own.values())


def timed(pair: str, size: dict[str, int], repeats: int, folder: Path) -> dict:
    source, target, example = networks(pair, size)
    file = folder / "source.safetensors"
    save_file({name: t.detach().clone() for name, t in source.state_dict().items()}, file)
    start = time.process_time()
    plan = bq.map_parameters(source, target, example=example)
    first = time.process_time() - start  # of the first pair: what torch loads on first use, too
    made_up = [cpu(lambda: bq.map_parameters(source, target)) for _ in range(repeats)]
    given = [
        cpu(lambda: bq.map_parameters(source, target, example=example)) for _ in range(repeats)
    ]
    by_name = [cpu(lambda: bq.map_parameters(file, target)) for _ in range(repeats)]
    turned = {
        entry.target
        for entry in plan.entries
        for move in entry.moves
        if move.taken.transposed != move.put.transposed
    }
    plan.apply(), cloned(target)  # both once, unmeasured
    calls = plan.apply, lambda: cloned(target), lambda: cloned(target, turned)
    turns = [[cpu(call) for call in calls] for _ in range(4 * repeats + 1)]
    apply_s, clone_s, turned_s = (statistics.median(column) for column in zip(*turns, strict=True))
    return {
        "pair": pair,
        "parameters": sum(p.numel() for p in target.parameters()),
        "megabytes": size_of(target)[0] / MB,
        "largest_difference": plan.verify(example),
        "coverage": plan.coverage,
        "map_first_s": first,
        "map_s": statistics.median(given),
        "map_made_up_s": statistics.median(made_up),
        "map_from_file_s": statistics.median(by_name),
        "apply_s": apply_s,
        "clone_s": clone_s,
        "transposing_clone_s": turned_s,
        "transposed_share": sum(e.size for e in plan.entries if e.target in turned)
        / sum(e.size for e in plan.entries),
        "apply_ratio": statistics.median(mine / plain for mine, plain, _ in turns),
        "apply_ratio_to_transposing": statistics.median(mine / plain for mine, _, plain in turns),
        "memory": {kind: in_child(pair, size, kind, file) for kind in ("network", "file")},
    }


def in_child(pair: str, size: dict[str, int], kind: str, file: Path) -> dict:
    """Peak memory of `apply`, measured in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.mapping", "--memory", pair, json.dumps(size)]
    done = subprocess.run(
        [*command, kind, str(file)], capture_output=True, text=True, check=True,
        cwd=Path(__file__).parents[1],
    )  # fmt: skip
    return json.loads(done.stdout)


def memory(pair: str, size: dict[str, int], kind: str, file: str) -> dict:
    source, target, example = networks(pair, size)
    known = {} if kind == "file" else {"example": example}
    plan = bq.map_parameters(Path(file) if kind == "file" else source, target, **known)
    if kind == "file":
        del source
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # what was freed goes back, so that it is not taken for free
    Path("/proc/self/clear_refs").write_text("5")  # the peak from here on
    before = resident("VmRSS")
    made = plan.apply()
    peak = resident("VmHWM") - before
    whole, largest = size_of(made)
    return {
        "peak_mb": peak / MB,
        "target_mb": whole / MB,
        "largest_tensor_mb": largest / MB,
        "over_target_in_largest_tensors": (peak - whole) / largest,
    }


def resident(key: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(key))


def run(quick: bool = False) -> dict:
    size, repeats = (SMALL, 1) if quick else (FULL, 3)
    with single_threaded(), tempfile.TemporaryDirectory() as folder:
        pairs = [
            timed(pair, size, repeats, Path(folder))
            for pair in ("gpt", "gpt, back", "vit", "vit, back")
        ]
    return {"limits": LIMITS, "pairs": pairs}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--memory", nargs=4)
    chosen = parser.parse_args()
    if chosen.memory:
        pair, size, kind, file = chosen.memory
        with single_threaded():
            print(json.dumps(memory(pair, json.loads(size), kind, file)))
    else:
        print(json.dumps(run(chosen.quick), indent=2))


if __name__ == "__main__":
    main()
