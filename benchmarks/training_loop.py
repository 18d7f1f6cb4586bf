"""Our training loop against the barest one, on the same network and batches: CPU seconds."""

from __future__ import annotations

import statistics
import time

import torch
from torch.nn import functional

from bequest.frameworks.torch.networks import build
from bequest.training.loop import Loop
from bequest.training.loop import run as run_loop

ROWS, STEPS = 512, 60


def network():
    torch.manual_seed(0)
    return build("resnet", {"channels": 1, "outputs": 10, "stem": 2})


def barest(X, y):
    module = network()
    optimiser = torch.optim.AdamW(module.parameters(), lr=1e-3, fused=True)
    generator = torch.Generator().manual_seed(0)
    order = torch.cat([torch.randperm(ROWS, generator=generator) for _ in range(1 + STEPS // 16)])
    module.train()
    start = time.process_time()
    for step in range(STEPS):
        rows = order[32 * step : 32 * step + 32]
        loss = functional.cross_entropy(module(X[rows]), y[rows])
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
    return time.process_time() - start


def ours(X, y):
    module = network()
    generator = torch.Generator().manual_seed(0)
    start = time.process_time()
    run_loop(
        module,
        lambda rows: (X[rows], y[rows]),
        ROWS,
        functional.cross_entropy,
        Loop(steps=STEPS, batch=32),
        generator=generator,
    )
    return time.process_time() - start


def run(quick: bool = False) -> dict:
    """Median of the ratios of neighbouring runs, so that both see the same machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        X = torch.randn(ROWS, 1, 28, 28)
        y = torch.randint(0, 10, (ROWS,))
        ours(X, y), barest(X, y)  # both once, unmeasured
        pairs = [(ours(X, y), barest(X, y)) for _ in range(5 if quick else 15)]
    finally:
        torch.set_num_threads(threads)
    ratios = sorted(mine / bare for mine, bare in pairs)
    return {
        "ratio_to_the_barest_loop": statistics.median(ratios),
        "ratios": ratios,
        "ms_per_step": 1e3 * statistics.median(mine for mine, _ in pairs) / STEPS,
        "target": 1.05,
    }


if __name__ == "__main__":
    print(run())
