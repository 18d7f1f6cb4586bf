"""What of a table's rows can be won back from what is published of it.

Three things are published of iris (150 rows, 3 classes): 100 points of a reduced kernel mean
embedding by k-means, the sums of a sketch without noise (which bequest does not publish), and the
sketch that it does publish, at several epsilon. Points are the embedding's own; from sums, as many
rows as there are in each class are fitted until their features add up to what is published, by an
attacker who knows the counts, the columns and their ranges. "In reach" is the share of true rows
within 1e-5. "Nearer" is the share of pairs of a true row and a fresh sample (drawn from a normal
law with the class's mean and covariance, as many rows) where what was won back is nearer to the row
than the sample is: 50 % is chance. "Nearest" counts the rows to which it is nearer than all of 99
fresh samples are: 1.5 of 150 is chance.

Run: python -m benchmarks.sketch_leak
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import torch
from sklearn.cluster import KMeans
from sklearn.datasets import load_iris

from bequest.core import Task
from bequest.hub.sketches.common_space import direction
from bequest.hub.sketches.embedding import FEATURES, frequencies, task_features
from bequest.hub.sketches.task_sketch import sketch

FRESH = 99


def nearest(rows: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Distance of every row to the nearest of some points."""
    return np.sqrt(((rows[:, None] - points[None]) ** 2).sum(-1)).min(1)


def fitted(wanted: np.ndarray, start: np.ndarray, steps: int = 1500) -> np.ndarray:
    """As many rows as there are, moved until their features add up to the sums."""
    names = np.stack([direction(f"place {place}") for place in range(start.shape[1])])
    maps = torch.tensor(names / np.sqrt(start.shape[1]) @ frequencies())
    guess, aim = torch.tensor(start, requires_grad=True), torch.tensor(wanted)
    adam = torch.optim.Adam([guess], lr=0.05)
    slower = torch.optim.lr_scheduler.CosineAnnealingLR(adam, steps)
    for _ in range(steps):
        adam.zero_grad()
        angles = torch.asinh(guess) @ maps
        found = torch.cat([angles.cos(), angles.sin()], 1).sum(0) / np.sqrt(FEATURES / 2)
        ((found - aim) ** 2).sum().backward()
        adam.step()
        slower.step()
    return guess.detach().numpy()


def leak(task: Task, made: dict[Any, np.ndarray], seed: int = 0) -> dict[str, float]:
    """How near what was won back of every class comes to its rows, against fresh samples."""
    rng, near, beaten, reach = np.random.default_rng(seed), [], [], []
    for label, points in made.items():
        rows = np.asarray(task.inputs, dtype=float)[task.targets == label]
        won = nearest(rows, points)
        law = rows.mean(0), np.cov(rows.T)
        size = (FRESH, len(points))
        fresh = np.array([nearest(rows, one) for one in rng.multivariate_normal(*law, size)])
        near.append((won < fresh).mean(axis=0))
        beaten.append((won < fresh).all(axis=0))
        reach.append(won < 1e-5)
    return {
        "in reach": float(np.concatenate(reach).mean()),
        "nearer": float(np.concatenate(near).mean()),
        "nearest": int(np.concatenate(beaten).sum()),
    }


def from_sums(task: Task, sums: np.ndarray, steps: int = 1500) -> dict[int, np.ndarray]:
    """What the attacker wins back from the sums of every class."""
    rng, made = np.random.default_rng(0), {}
    for label in range(len(task.classes)):
        rows = np.asarray(task.inputs, dtype=float)[task.targets == label]
        made[label] = fitted(sums[label], rng.uniform(rows.min(0), rows.max(0), rows.shape), steps)
    return made


def run(quick: bool = False) -> dict[str, dict[str, float]]:
    task = Task.from_arrays(*load_iris(return_X_y=True), name="iris")
    rows = np.asarray(task.inputs, dtype=float)
    points = KMeans(100, n_init=1, random_state=0).fit(rows).cluster_centers_
    # The points have no labels: each is held against the rows of every class.
    found = {"k-means, 100 points": leak(task, dict.fromkeys(range(3), points))}
    clean = np.stack([task_features(task)[task.targets == c].sum(0) for c in range(3)])
    found["sums without noise"] = leak(task, from_sums(task, clean))
    for epsilon in (1.0,) if quick else (100.0, 8.0, 1.0):
        made = sketch(task, epsilon=epsilon, rng=np.random.default_rng(0))
        won = from_sums(task, np.array(made.sums))
        found[f"sketch, epsilon {epsilon:g}"] = leak(task, won)
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    for what, said in run(parser.parse_args().quick).items():
        print(f"{what:24}", {name: round(value, 3) for name, value in said.items()})
