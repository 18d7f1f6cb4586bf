"""Faults done to a hub on purpose; each prints its counts as JSON.

python tests/hub/hub_faults.py kills FOLDER 1000
python tests/hub/hub_faults.py race FOLDER 2000
python tests/hub/hub_faults.py full FOLDER LIMIT_IN_BYTES
"""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import sys
import time
import traceback
from pathlib import Path

import hub_tiny
import numpy as np

from bequest.errors import Conflict, HubError
from bequest.hub import Hub


def kills(folder: Path, times: int) -> dict[str, int]:
    """Kill a process that publishes without end, at random moments of its work."""
    clock = random.Random(0)
    start = time.monotonic()
    for _ in range(3):
        Hub(folder).publish(hub_tiny.TinyModel(np.zeros(20_000)), "first", licence="MIT")
    tick = (time.monotonic() - start) / 3  # a loaded machine is slow: kill by its own measure
    for _ in range(times):
        child = os.fork()
        if not child:
            publish_without_end(folder)
        time.sleep(clock.uniform(0.0, 3 * tick))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    hub = Hub(folder)
    hub.publish(hub_tiny.TinyModel([0.0]), "last", licence="MIT")
    return counts(hub, acknowledged(folder))


def publish_without_end(folder: Path) -> None:
    rng = np.random.default_rng()
    # O_APPEND and one write: what stands in this file was acknowledged.
    heard = os.open(folder.with_suffix(".heard"), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    while True:
        model = hub_tiny.TinyModel(rng.normal(size=20_000))
        entry = Hub(folder).publish(model, "ward", licence="MIT")
        os.write(heard, f"{entry} {entry.digest}\n".encode())


def acknowledged(folder: Path) -> dict[str, str]:
    heard = folder.with_suffix(".heard")
    lines = heard.read_text().splitlines() if heard.exists() else []
    return dict(line.split() for line in lines)


def counts(hub: Hub, heard: dict[str, str]) -> dict[str, int]:
    entries = hub.list(every=True)
    half = 0
    for entry in entries:
        try:
            hub.pull(entry.name, entry.version)
        except HubError:
            half += 1
    held = {str(entry): entry.digest for entry in entries}
    used = {file.digest for entry in entries for file in entry.files.values()}
    stored = {p.parent.name + p.name for p in (hub.folder / "objects").glob("*/*")}
    return {
        "entries": len(entries),
        "acknowledged": len(heard),
        "half": half,
        "lost": sum(held.get(name) != digest for name, digest in heard.items()),
        "temporaries": len(list((hub.folder / "tmp").iterdir())),
        "orphans": len(stored - used),
    }


def race(folder: Path, rounds: int, processes: int = 4) -> dict[str, int]:
    """Several processes publish the same next version, round after round."""
    Hub(folder).publish(hub_tiny.TinyModel([0.0]), "ward", licence="MIT")
    reader, writer = os.pipe()
    children = []
    for process in range(processes):
        child = os.fork()
        if not child:
            run_race(folder, rounds, process, writer)
        children.append(child)
    os.close(writer)
    with os.fdopen(reader) as said:
        winners = [int(line) for line in said]
    failed = sum(os.waitpid(child, 0)[1] != 0 for child in children)
    return {
        "rounds": rounds,
        "winners": len(winners),
        "rounds_with_one_winner": sum(winners.count(r) == 1 for r in range(1, rounds + 1)),
        "latest": Hub(folder).show("ward").version,
        "failed_processes": failed,
    }


def run_race(folder: Path, rounds: int, process: int, writer: int) -> None:
    try:
        for expected in range(1, rounds + 1):
            # All wait for the round, so that all publish at once.
            while Hub(folder).show("ward").version < expected:
                time.sleep(0.001)
            try:
                model = hub_tiny.TinyModel([float(expected), float(process)])
                Hub(folder).publish(model, "ward", licence="MIT", expect=expected)
                os.write(writer, f"{expected}\n".encode())
            except Conflict:
                continue
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def full(folder: Path, limit: int) -> dict[str, str]:
    """Publish where no file may grow beyond a limit, as on a full disk."""
    model = hub_tiny.TinyModel(np.zeros(100_000))
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        return {"published": str(Hub(folder).publish(model, "big", licence="MIT"))}
    except HubError as error:
        return {"refused": str(error)}


if __name__ == "__main__":
    hub_tiny.register()
    fault = {"kills": kills, "race": race, "full": full}[sys.argv[1]]
    print(json.dumps(fault(Path(sys.argv[2]), int(sys.argv[3]))))
