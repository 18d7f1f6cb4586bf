"""Regularisation towards the source: do DELTA and batch spectral shrinkage earn their place?

Plain fine-tuning, L2-SP, DELTA (with attention over the channels, and without) and batch spectral
shrinkage (BSS), with the same source, steps, step size, first head and order of the rows. The step
size is chosen for plain fine-tuning, then each of the others chooses its strength out of two, all
by three-fold cross-validation inside the training rows. The test rows choose nothing.

The rule, written before any figure was seen. The families are images, heart, wine and reviews, and
the unit is a run: one task, number of labels and seed. In a family the bar is plain fine-tuning or
L2-SP, whichever has the higher mean over the runs on the test rows. A method earns its place when
its mean paired difference to the bar has a t interval over the runs above zero in one family at
least. The interval is of 95 % for the four families together (Bonferroni: 98.75 % each). DELTA is
judged with its attention; the form without stands in for it only where the attention adds nothing:
where its mean difference to the form without is not above zero over the runs of all families but
wine (whose unit is another).

Stops and resumes: each run is kept under benchmarks/runs/ when it is done.

    python -m benchmarks.regularisers [--quick] [--only NAME]
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from contextlib import nullcontext
from functools import cache
from pathlib import Path

import numpy as np
import torch
from scipy import stats
from torch.nn import functional

import bequest as bq
from benchmarks.delta import Delta, attention, stages
from benchmarks.real_tasks import TASKS, missing_folders
from benchmarks.shrinkage import Shrinkage
from bequest.core import Card
from bequest.core.metric import metric_named
from bequest.data.splits import folds
from bequest.executors.local import single_threaded
from bequest.frameworks.torch.model import TorchModel
from bequest.methods.head import new_head, probe_head
from bequest.methods.l2_sp import source_pull
from bequest.training import Loop, fit_network, seeded
from bequest.training.fit import target_scale

RUNS = Path(__file__).parent / "runs"
LABELS = (5, 20, 50)
SEEDS = (0, 1, 2)
FAMILIES = {
    "images": ("digits 0-4 to 5-9", "fashion 0-4 to 5-9", "fashion to mnist"),
    "heart": tuple(f"heart: cleveland to {name}" for name in ("hungarian", "switzerland", "va")),
    "wine": ("wine: white to red",),
    "reviews": ("reviews: books to dvd", "reviews: electronics to kitchen"),
}
RATES = (2e-3, 5e-3)
STRENGTHS = {
    "plain": (0.0,),
    "l2-sp": (0.01, 0.1),
    "delta": (0.01, 0.1),
    "delta, no attention": (0.01, 0.1),
    "bss": (1e-3, 1e-2),
}
CANDIDATES = ("delta", "delta, no attention", "bss")
SEEN = 256  # rows on which the attention is measured


@cache
def source_of(name):
    task = TASKS[name]
    rows, _, _ = task.load()
    with single_threaded():
        return bq.train(rows, net=task.nets[0], name=rows.name)


def steps_of(labels):
    return 200 if labels >= 50 else 100


def tuned(source, task, method, strength, *, lr, steps, seed):
    """The source fine-tuned on `task`; whatever is drawn is the same for every method."""
    module = copy.deepcopy(source.module).requires_grad_(True)
    with seeded(np.random.default_rng(seed)) as generator:
        new_head(module, source, task)
        with penalty_of(method, strength, module, source, task) as penalty:
            fit_network(
                module,
                task,
                source.encoder,
                Loop(steps=steps, lr=lr),
                generator=generator,
                penalty=penalty,
            )
    return TorchModel(
        module,
        spec=source.spec,
        classes=task.classes,
        card=Card(),
        encoder=source.encoder,
        head=source.head,
        target_scale=target_scale(task),
    )


def penalty_of(method, strength, module, source, task):
    if method == "plain":
        return nullcontext()
    if method == "l2-sp":
        return nullcontext(source_pull(module, source.head, strength))
    if method == "bss":
        return Shrinkage(module, source.head, strength)
    return Delta(module, source.module, shares_of(method, module, source, task), strength)


def shares_of(method, module, source, task):
    seen = task.take(np.arange(min(SEEN, len(task))))
    inputs = torch.from_numpy(source.encode(seen.inputs))
    layers = stages(module, inputs[:2], source.head)
    if method == "delta, no attention":
        return dict.fromkeys(layers)
    probed = copy.deepcopy(module)
    probe_head(probed, source, task)
    if task.kind == "classification":
        return attention(
            probed, inputs, torch.from_numpy(seen.targets), functional.cross_entropy, layers
        )
    mean, scale = target_scale(task)
    targets = torch.from_numpy(((seen.targets - mean) / scale).astype(np.float32))
    return attention(probed, inputs, targets[:, None], functional.mse_loss, layers)


def inside(source, task, method, strength, lr, steps, seed):
    """Cross-validated metric of the training rows; the loss parts what is level."""
    second = metric_named(
        "neg_log_loss" if task.kind == "classification" else "neg_mean_squared_error", task.kind
    )
    [pairs] = folds(task, 3, rng=np.random.default_rng(seed))
    first_scores, second_scores = [], []
    for train, held in pairs:
        model = tuned(source, task.take(train), method, strength, lr=lr, steps=steps, seed=seed)
        output = model.output(task.inputs[held])
        y = task.targets
        first_scores.append(task.row_scores(output, held))
        second_scores.append(second.linearise(y[held], output))
    return float(np.concatenate(first_scores).mean()), float(np.concatenate(second_scores).mean())


def run_one(name, labels, seed):
    """One draw of the target: settings chosen inside its rows, then the scores on the others."""
    source, task, steps = source_of(name), TASKS[name].draw(labels, seed), steps_of(labels)
    start = time.process_time()
    with single_threaded():
        rates = {lr: inside(source, task, "plain", 0.0, lr, steps, seed) for lr in RATES}
        lr = max(rates, key=rates.get)
        rows, chosen = {}, {}
        for method, strengths in STRENGTHS.items():
            found = (
                {0.0: rates[lr]}
                if method == "plain"
                else {s: inside(source, task, method, s, lr, steps, seed) for s in strengths}
            )
            chosen[method] = max(found, key=found.get)
            model = tuned(source, task, method, chosen[method], lr=lr, steps=steps, seed=seed)
            test = task.test
            rows[method] = test.row_scores(model.output(test.inputs))
    keep = {
        "task": name,
        "labels": labels,
        "seed": seed,
        "rows": len(task),
        "test_rows": len(task.test),
        "metric": task.metric_name,
        "lr": lr,
        "steps": steps,
        "strengths": {m: s for m, s in chosen.items() if m != "plain"},
        "score": {m: float(r.mean()) for m, r in rows.items()},
        "over_plain": {m: paired(r - rows["plain"]) for m, r in rows.items() if m != "plain"},
        "over_l2_sp": {m: paired(rows[m] - rows["l2-sp"]) for m in CANDIDATES},
        "cpu_seconds": time.process_time() - start,
    }
    RUNS.mkdir(exist_ok=True)
    work = path_of(name, labels, seed).with_suffix(".part")
    work.write_text(json.dumps(keep))
    work.replace(path_of(name, labels, seed))


def paired(differences):
    """Mean over the test rows, and the half width of its normal 95 % interval."""
    error = differences.std(ddof=1) / np.sqrt(len(differences))
    return [float(differences.mean()), float(1.96 * error)]


def path_of(name, labels, seed):
    title = "".join(c if c.isalnum() else "-" for c in name)
    return RUNS / f"regularisers_{title}_{labels}_{seed}.json"


def interval(differences, level):
    """Mean over runs with its t interval."""
    values = np.asarray(differences)
    mean, half = float(values.mean()), float("inf")
    if len(values) > 1:
        error = values.std(ddof=1) / np.sqrt(len(values))
        half = float(stats.t.ppf(0.5 + level / 2, len(values) - 1) * error)
    return {"mean": mean, "low": mean - half, "high": mean + half}


def judged(runs):
    """Each family's bar, and each method's difference to it; what the rule says of it all."""
    families = {}
    level = 1 - 0.05 / len(FAMILIES)
    for family, names in FAMILIES.items():
        mine = [r for r in runs if r["task"] in names]
        if not mine:
            continue
        means = {m: float(np.mean([r["score"][m] for r in mine])) for m in STRENGTHS}
        bar = max(("plain", "l2-sp"), key=means.get)
        families[family] = {
            "runs": len(mine),
            "mean_score": means,
            "bar": bar,
            "over_the_bar": {m: over(mine, m, bar, level) for m in CANDIDATES},
            "over_plain": {m: over(mine, m, "plain", level) for m in ("l2-sp", *CANDIDATES)},
        }
    same_unit = [r for r in runs if r["metric"] != "r2"]
    added = over(same_unit, "delta", "delta, no attention", 0.95)
    won = {
        m: [f for f, said in families.items() if said["over_the_bar"][m]["low"] > 0]
        for m in CANDIDATES
    }
    form = "delta" if added["mean"] > 0 else "delta, no attention"
    return {
        "level": level,
        "families": families,
        "tasks_at_95": {
            name: {m: over(mine, m, families[family]["bar"], 0.95) for m in CANDIDATES}
            for family, names in FAMILIES.items()
            for name in names
            if (mine := [r for r in runs if r["task"] == name])
        },
        "attention_over_none": added,
        "families_won": won,
        "earned": [m for m in (form, "bss") if won[m]],
    }


def over(runs, method, other, level):
    return interval([r["score"][method] - r["score"][other] for r in runs], level)


def run(quick: bool = False, only: str = "") -> dict:
    """Run what is not kept yet, then judge all that is."""
    missing = missing_folders()
    names = [n for family in FAMILIES.values() for n in family]
    names = [n for n in names if only in n and (not missing or n.startswith("digits"))]
    plan = [(n, labels, seed) for seed in SEEDS for labels in LABELS for n in names]
    if quick:
        small = ("digits", "heart: cleveland to hungarian", "wine")
        plan = [(n, 5, 0) for n in names if n.startswith(small)]
    for key in plan:
        if not path_of(*key).exists():
            run_one(*key)
            print(f"{key[0]}, {key[1]} labels, seed {key[2]}: done", flush=True)
    runs = [json.loads(path_of(*key).read_text()) for key in plan]
    return {
        "left_out": missing,
        "rates": RATES,
        "strengths": STRENGTHS,
        "cpu_seconds": sum(r["cpu_seconds"] for r in runs),
        **judged(runs),
        "runs": runs,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", default="")
    chosen = parser.parse_args()
    said = run(chosen.quick, chosen.only)
    print(json.dumps({key: value for key, value in said.items() if key != "runs"}, indent=2))


if __name__ == "__main__":
    main()
