"""What running a race's jobs in other processes costs: CPU seconds against the local executor.

30 jobs of about 44 ms: two arms of a linear model on 5 folds of 3 repeats of Fashion-MNIST 5-9, 20
labels a class. Five runs of each in turn; CPU seconds of this process and of all of its workers,
those of starting the first workers apart.

    python -m benchmarks --only executors
"""

from __future__ import annotations

import os
import statistics
import time
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.real_tasks import TASKS
from bequest.data.splits import folds
from bequest.evaluation import Arm
from bequest.evaluation.jobs import Entrants, FitJob, Keys
from bequest.executors.local import LocalExecutor
from bequest.executors.processes import ProcessExecutor
from bequest.methods.from_scratch import FromScratch

RUNS = 5
TICK = os.sysconf("SC_CLK_TCK")


def _fit(strength, task, rng):
    return FromScratch(net="linear", strength=strength).fit(task, rng=rng)


def _children():
    """CPU seconds of the processes below this one that are still alive."""
    total = 0.0
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if _below(int(fields[1])):
                total += (int(fields[11]) + int(fields[12])) / TICK
    return total


def _below(pid):
    while pid > 1:
        if pid == os.getpid():
            return True
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            return False
    return False


def _race(make, task, splits, arms):
    """CPU seconds of all jobs, the outputs, and the wall time."""
    start, before = time.process_time() + _children(), time.perf_counter()
    with make() as executor:
        keys = Keys.share(executor, task, Entrants((), arms), splits)
        jobs = [
            FitJob("from-scratch", arm, fold, (0, fold), keys)
            for arm in range(len(arms))
            for fold in range(len(splits))
        ]
        outputs = {done.job: done.value.output for done in executor.run(jobs)}
    return time.process_time() + _children() - start, outputs, time.perf_counter() - before


def run(quick: bool = False) -> dict:
    """CPU seconds of 30 jobs by executor, medians of several runs in turn, and their ratio."""
    task = TASKS["fashion 0-4 to 5-9"].draw(20, 0)
    splits = [pair for one in folds(task, 5, 3, rng=np.random.default_rng(0)) for pair in one]
    arms = tuple(Arm("", "linear", {"C": c}, partial(_fit, c)) for c in (0.1, 1.0))
    first, expected, _ = _race(ProcessExecutor, task, splits, arms)
    seconds = {"local": [], "processes": []}
    equal = True
    for _ in range(2 if quick else RUNS):
        for name, make in (("local", LocalExecutor), ("processes", ProcessExecutor)):
            cpu, outputs, _ = _race(make, task, splits, arms)
            seconds[name].append(cpu)
            equal &= all((outputs[job] == expected[job]).all() for job in expected)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    return {
        "jobs": len(splits) * len(arms),
        "cpu_seconds": medians,
        "runs": seconds,
        "first_processes_cpu_seconds": first,
        "ratio_processes_to_local": medians["processes"] / medians["local"],
        "same_bits": bool(equal),
    }
