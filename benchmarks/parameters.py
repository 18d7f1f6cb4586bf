"""Does a parameter map pay? A wider, deeper or narrower target, from the source or from scratch.

The target is twice as wide, twice as deep or half as wide as the source. It is trained three times
in the same way (same network, fresh numbers, encoder, rows in the same order, steps and step size):

- from scratch;
- same names: what has a tensor of the same name and shape in the source starts there, the rest
  fresh (``load_state_dict(strict=False)`` after dropping what has another shape), head and all;
- map: the method Parameters.

The source itself, fine-tuned unchanged, stands beside them: is another size worth anything?

Rules, written before any figure of the test rows was seen. The step size is 2e-3 or 5e-3, whichever
gives the target *from scratch* the lower loss on a third of the training rows, trained on the other
two thirds: the other two take it as it is, which can only favour from scratch. The fine-tuned
source chooses its own in the same way. 100 steps, 200 at 50 labels a class. The test rows choose
nothing: those of the data set, 3,000 at most, or a half that is drawn once and that no training row
comes from. Whatever was tried out on the map's own rules was tried on other rows and seeds.

A cell is a task, size and number of labels. Its interval, of 95 %, is a bootstrap over test rows
and seeds together; as there are few seeds, their spread is widened by n / (n - 1). The means over
all cells of classification are t intervals over tasks, of which there are few.

Stops and resumes: each run is kept under benchmarks/runs/ when it is done.

    python -m benchmarks.parameters [--quick] [--only NAME]
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
from scipy import stats

import bequest as bq
from benchmarks.real_tasks import TASKS, missing_folders
from bequest.core import Card
from bequest.core.metric import metric_named
from bequest.data.splits import folds
from bequest.executors.local import single_threaded
from bequest.frameworks.torch.model import TorchModel
from bequest.frameworks.torch.networks import build
from bequest.methods.fine_tune import FineTune
from bequest.methods.network import network_config
from bequest.methods.parameters import Parameters
from bequest.training import Loop, fit_network, seeded
from bequest.training.fit import target_scale

RUNS = Path(__file__).parent / "runs"
LABELS = (5, 20, 50)
RATES = (2e-3, 5e-3)
SIZES = ("wider", "deeper", "narrower")
STARTS = ("from scratch", "same names", "map")
WIDTHS = {"wider": 64, "deeper": 32, "narrower": 16}  # the source's is 32
DEEPER = {"resnet": 2, "mlp": 4}  # blocks a stage and hidden layers; the source's are 1 and 2
SEEDS = {
    "digits 0-4 to 5-9": 3,
    "fashion 0-4 to 5-9": 3,
    "fashion to mnist": 3,
    "wine: white to red": 5,
    "reviews: books to dvd": 5,
    "reviews: electronics to kitchen": 5,
}
MOST_TESTED = 3000
DRAWS = 2000


@cache
def source_of(name):
    task = TASKS[name]
    rows, _, _ = task.load()
    with single_threaded():
        return bq.train(rows, net=task.nets[0], name=rows.name)


@cache
def parts(name):
    """The source's rows, the rows to draw from, and test rows that no draw touches."""
    source, pool, test = TASKS[name].load()
    if test is None:
        order = np.random.default_rng(0).permutation(len(pool))
        pool, test = pool.take(order[: len(pool) // 2]), pool.take(order[len(pool) // 2 :])
    return source, pool, test.take(np.arange(min(len(test), MOST_TESTED)))


def draw(name, labels, seed):
    return replace(TASKS[name], load=lambda: parts(name)).draw(labels, seed)


def target_of(source, task, size):
    """Network and config of the target, with the map's settings."""
    net = source.structure["net"]
    layers = DEEPER[net] if size == "deeper" else None
    config = network_config(net, task, source.encoder, width=WIDTHS[size], layers=layers)
    return net, config, layers


def trained(start, source, task, size, *, lr, steps, seed):
    """The target trained from one of the three starts; what is drawn is the same for all."""
    net, config, layers = target_of(source, task, size)
    rng = np.random.default_rng(seed)
    if start == "map":
        method = Parameters(width=WIDTHS[size], layers=layers, coverage=0.0, lr=lr, steps=steps)
        model = method.fit([bq.Source(source)], task, rng=rng)
        assert model.structure["config"] == config
        assert model.encoder == source.encoder
        return model
    with seeded(rng) as generator:
        module = build(net, config)
        if start == "same names":
            own = module.state_dict()
            same = {
                key: tensor
                for key, tensor in source.module.state_dict().items()
                if key in own and own[key].shape == tensor.shape
            }
            module.load_state_dict(same, strict=False)
        fit_network(module, task, source.encoder, Loop(steps=steps, lr=lr), generator=generator)
    return TorchModel(
        module,
        spec=task.spec,
        classes=task.classes,
        card=Card(),
        encoder=source.encoder,
        structure={"net": net, "config": config},
        target_scale=target_scale(task),
    )


def tuned(source, task, *, lr, steps, seed):
    return FineTune(lr=lr, steps=steps).fit(
        [bq.Source(source)], task, rng=np.random.default_rng(seed)
    )


def chosen_rate(fit, task, seed):
    """The step size with the lower loss on a third of the training rows."""
    second = metric_named(
        "neg_log_loss" if task.kind == "classification" else "neg_mean_squared_error", task.kind
    )
    [[(train, held), *_]] = folds(task, 3, rng=np.random.default_rng(seed))

    def score(lr):
        model = fit(task.take(train), lr=lr)
        return second.value(task.targets[held], model.output(task.inputs[held]))

    return max(RATES, key=score)


def run_one(name, labels, seed):
    """One draw of the target: every size from every start, and the source fine-tuned."""
    source, task = source_of(name), draw(name, labels, seed)
    steps = 200 if labels >= 50 else 100
    start_time = time.process_time()
    rows, rates, covered = {}, {}, {}

    def judge(key, model):
        output = model.output(task.test.inputs)
        rows[key] = task.test.row_scores(output)

    def plain(few, lr):
        return tuned(source, few, lr=lr, steps=steps, seed=seed)

    with single_threaded():
        for size in SIZES:

            def fresh(few, lr, size=size):
                return trained("from scratch", source, few, size, lr=lr, steps=steps, seed=seed)

            rates[size] = chosen_rate(fresh, task, seed)
            for start in STARTS:
                judge(
                    f"{size}, {start}",
                    trained(start, source, task, size, lr=rates[size], steps=steps, seed=seed),
                )
            _, _, layers = target_of(source, task, size)
            plan = Parameters(width=WIDTHS[size], layers=layers).map([bq.Source(source)], task)
            covered[size] = plan.body_coverage
        rates["source"] = chosen_rate(plain, task, seed)
        judge("source, fine-tuned", plain(task, rates["source"]))
    said = {
        "task": name,
        "labels": labels,
        "seed": seed,
        "rows": len(task),
        "test_rows": len(task.test),
        "metric": task.metric_name,
        "steps": steps,
        "rates": rates,
        "body_coverage": covered,
        "score": {key: float(values.mean()) for key, values in rows.items()},
        "cpu_seconds": time.process_time() - start_time,
    }
    keep(said, rows)


def keep(said, rows):
    RUNS.mkdir(exist_ok=True)
    path = path_of(said["task"], said["labels"], said["seed"])
    work = path.with_suffix(".part.npz")
    told = np.frombuffer(json.dumps(said).encode(), np.uint8)
    np.savez_compressed(work, said=told, **{k: v.astype(np.float32) for k, v in rows.items()})
    work.replace(path)


def kept(path):
    with np.load(path) as file:
        said = json.loads(file["said"].tobytes())
        return said, {key: file[key].astype(np.float64) for key in file.files if key != "said"}


def path_of(name, labels, seed):
    title = "".join(c if c.isalnum() else "-" for c in name)
    return RUNS / f"parameters_{title}_{labels}_{seed}.npz"


def interval(differences, rng):
    """Mean of paired differences, shape (seeds, rows), with a bootstrap over both."""
    seeds, rows = differences.shape
    wider = np.sqrt(seeds / (seeds - 1)) if seeds > 1 else 1.0
    means = np.empty(DRAWS)
    for n in range(DRAWS):
        by_seed = differences[:, rng.integers(rows, size=rows)].mean(axis=1)
        middle = by_seed.mean()
        drawn = by_seed[rng.integers(seeds, size=seeds)].mean()
        means[n] = middle + wider * (drawn - middle)
    low, high = np.quantile(means, (0.025, 0.975))
    return {"mean": float(differences.mean()), "low": float(low), "high": float(high)}


def pairs(size):
    """What is held against what: the map against the other starts, and the source itself."""
    return {
        "from scratch": (f"{size}, map", f"{size}, from scratch"),
        "same names": (f"{size}, map", f"{size}, same names"),
        "source": (f"{size}, map", "source, fine-tuned"),
    }


def cells(runs):
    """One a task, size and number of labels."""
    found = []
    groups = {}
    for said, rows in runs:
        groups.setdefault((said["task"], said["labels"], said["metric"]), []).append((said, rows))
    for (task, labels, metric), group in sorted(groups.items()):
        for size in SIZES:
            keys = [f"{size}, {start}" for start in STARTS] + ["source, fine-tuned"]
            rng = np.random.default_rng(0)
            found.append(
                {
                    "task": task,
                    "labels": labels,
                    "metric": metric,
                    "size": size,
                    "seeds": len(group),
                    "score": {k: float(np.mean([s["score"][k] for s, _ in group])) for k in keys},
                    "map_over": {
                        other: interval(np.stack([r[one] - r[two] for _, r in group]), rng)
                        for other, (one, two) in pairs(size).items()
                    },
                }
            )
    return found


def over_tasks(found, other):
    """Mean over classification cells, its t interval over tasks; and how many cells are told."""
    by_task = {}
    for cell in found:
        if cell["metric"] != "r2":
            by_task.setdefault(cell["task"], []).append(cell["map_over"][other]["mean"])
    values = np.array([np.mean(v) for v in by_task.values()])
    mean, half = float(values.mean()), None
    if len(values) > 1:
        error = values.std(ddof=1) / np.sqrt(len(values))
        half = float(stats.t.ppf(0.975, len(values) - 1) * error)
    said = [cell["map_over"][other] for cell in found]
    return {
        "mean": mean,
        "low": None if half is None else mean - half,
        "high": None if half is None else mean + half,
        "cells": len(said),
        "above": sum(s["low"] > 0 for s in said),
        "below": sum(s["high"] < 0 for s in said),
    }


def summary(found):
    groups = {"all": found} | {s: [c for c in found if c["size"] == s] for s in SIZES}
    return {
        size: {other: over_tasks(group, other) for other in pairs(size)}
        for size, group in groups.items()
    }


def run(quick: bool = False, only: str = "") -> dict:
    """Run what is not kept yet, then judge all that is."""
    missing = missing_folders()
    names = [n for n in SEEDS if only in n and (not missing or n.startswith("digits"))]
    plan = [(n, labels, seed) for n in names for labels in LABELS for seed in range(SEEDS[n])]
    if quick:
        plan = [(n, 5, 0) for n in names if n.startswith(("digits", "wine"))]
    for key in plan:
        if not path_of(*key).exists():
            run_one(*key)
            print(f"{key[0]}, {key[1]} labels, seed {key[2]}: done", flush=True)
    runs = [kept(path_of(*key)) for key in plan]
    found = cells(runs)
    return {
        "left_out": missing,
        "rates": RATES,
        "cpu_seconds": sum(said["cpu_seconds"] for said, _ in runs),
        "summary": summary(found),
        "cells": found,
        "runs": [said for said, _ in runs],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", default="")
    chosen = parser.parse_args()
    print(json.dumps(run(chosen.quick, chosen.only)["summary"], indent=2))


if __name__ == "__main__":
    main()
