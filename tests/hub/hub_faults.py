"""Faults done to a hub on purpose; each prints its counts as JSON.

python tests/hub/hub_faults.py kills FOLDER 1000   kill -9 while it publishes and its graph follows
python tests/hub/hub_faults.py race FOLDER 2000   four processes publish the same next version
python tests/hub/hub_faults.py full FOLDER 50   a disk of 4 MB with no room left (Linux)
python tests/hub/hub_faults.py flips FOLDER 1000   single bits of objects, registry, log and graph
python tests/hub/hub_faults.py limit FOLDER BYTES   no file may grow beyond a limit
"""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections import Counter
from pathlib import Path

import hub_tiny
import numpy as np
from hub_flips import flips

from bequest.errors import BequestError, Conflict, HubError
from bequest.hub import Hub

_MODELS = "SELECT (COUNT(DISTINCT ?m) AS ?n) { ?m a fair4ml:MLModel }"
_MOUNT = 'mount -t tmpfs -o size=4m none "$1" && exec "$2" "$3" filled "$1" "$4"'


def kills(folder: Path, times: int) -> dict[str, int]:
    """Kill a process that publishes and follows the graph without end, at random moments."""
    clock = random.Random(0)
    # Children are forked from here, so that no import is waited for; nothing here opens the graph.
    Hub(folder).publish(hub_tiny.TinyModel(np.zeros(20_000)), "first", licence="MIT")
    while len(acknowledged(folder)) < 3:
        tick = one_life(folder, 1.0)  # a loaded machine is slow: kill by its own measure
    tick /= len(acknowledged(folder))
    for _ in range(times):
        one_life(folder, clock.uniform(0.0, 8 * tick))
    hub = Hub(folder)
    hub.publish(hub_tiny.TinyModel([0.0]), "last", licence="MIT")
    return {"kills": times, **counts(hub, acknowledged(folder))}


def one_life(folder: Path, seconds: float) -> float:
    child = os.fork()
    if not child:
        publish_without_end(folder)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return seconds


def publish_without_end(folder: Path) -> None:
    rng = np.random.default_rng()
    hub = Hub(folder)
    # O_APPEND and one write: what stands in this file was acknowledged.
    heard = os.open(folder.with_suffix(".heard"), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    while True:
        model = hub_tiny.TinyModel(rng.normal(size=20_000))
        entry = hub.publish(model, "ward", licence="MIT")
        os.write(heard, f"{entry} {entry.digest}\n".encode())
        if rng.random() < 0.5:
            hub.export("nt")
            os.write(heard, b"graph followed\n")


def acknowledged(folder: Path) -> list[list[str]]:
    heard = folder.with_suffix(".heard")
    return [line.split() for line in heard.read_text().splitlines()] if heard.exists() else []


def counts(hub: Hub, heard: list[list[str]]) -> dict[str, int]:
    entries = hub.list(every=True)
    half = 0
    for entry in entries:
        try:
            hub.pull(entry.name, entry.version)
        except HubError:
            half += 1
    held = {str(entry): entry.digest for entry in entries}
    said = [line for line in heard if line[0] != "graph"]
    used = {file.digest for entry in entries for file in entry.files.values()}
    stored = {p.parent.name + p.name for p in (hub.folder / "objects").glob("*/*")}
    known = int(hub.query(_MODELS, timeout=60)[0]["n"])
    rebuilt = hub.rebuild_graph() and int(hub.query(_MODELS, timeout=60)[0]["n"])
    return {
        "entries": len(entries),
        "acknowledged": len(said),
        "graph_followed": len(heard) - len(said),
        "half": half,
        "lost": sum(held.get(name) != digest for name, digest in said),
        "temporaries": len(list((hub.folder / "tmp").iterdir())),
        "orphans": len(stored - used),
        "findings": len(hub.verify()),
        "missing_in_graph": len(entries) - known,
        "missing_in_rebuilt_graph": len(entries) - rebuilt,
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
        lines = [line.split() for line in said]
    failed = sum(os.waitpid(child, 0)[1] != 0 for child in children)
    winners = Counter(int(number) for what, number in lines if what == "won")
    return {
        "rounds": rounds,
        "winners": winners.total(),
        "rounds_with_one_winner": sum(winners[r] == 1 for r in range(1, rounds + 1)),
        "conflicts": sum(what == "conflict" for what, _ in lines),
        "latest": Hub(folder).show("ward").version,
        "failed_processes": failed,
        "findings": len(Hub(folder).verify()),
    }


def run_race(folder: Path, rounds: int, process: int, writer: int) -> None:
    try:
        hub = Hub(folder)
        for expected in range(1, rounds + 1):
            # All wait for the round, so that all publish at once.
            while hub.show("ward").version < expected:
                time.sleep(0.001)
            try:
                model = hub_tiny.TinyModel([float(expected), float(process)])
                hub.publish(model, "ward", licence="MIT", expect=expected)
                os.write(writer, f"won {expected}\n".encode())
            except Conflict as error:
                if f"not at {expected} as expected" not in str(error):
                    raise
                os.write(writer, f"conflict {expected}\n".encode())
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def limit(folder: Path, size: int) -> dict[str, str]:
    """Publish where no file may grow beyond a size in bytes, as with a quota."""
    model = hub_tiny.TinyModel(np.zeros(100_000))
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    try:
        return {"published": str(Hub(folder).publish(model, "big", licence="MIT"))}
    except HubError as error:
        return {"refused": str(error)}


def full(folder: Path, times: int) -> dict[str, int]:
    """As `filled`, on a file system of 4 MB in memory that nobody else sees."""
    folder.mkdir(parents=True)
    command = ["unshare", "-rm", "sh", "-c", _MOUNT, "sh", folder, sys.executable, __file__]
    done = subprocess.run([*command, str(times)], capture_output=True, text=True, check=False)
    if not done.stdout:
        return {"not_possible_here": done.stderr.strip()[-200:]}
    return json.loads(done.stdout)


def filled(folder: Path, times: int) -> dict[str, int]:
    """Publish with less room than it takes, then make room and publish."""
    dice = random.Random(0)
    found = Counter(refused=0, clean=0, recovered=0, visible=0, damaged=0)
    kept, ballast, stages = 0, folder / "ballast", Counter()
    while found["refused"] < times:
        if found["refused"] % 10 == 0:  # a new hub: it must also be refused while it is made
            shutil.rmtree(folder / "hub", ignore_errors=True)
            kept = 0
        rng = np.random.default_rng(dice.randrange(10**9))
        room = dice.randrange(0, 130_000)
        ballast.write_bytes(bytes(max(0, shutil.disk_usage(folder).free - room)))
        try:
            model = hub_tiny.TinyModel(rng.normal(size=9_000))
            Hub(folder / "hub").publish(model, "a", licence="MIT")
            kept += 1
            continue  # it had room enough
        except BequestError as error:
            found["refused"] += 1
            found["clean"] += "full" in str(error) and "\n" not in str(error)
            stages[type(error.__cause__).__name__] += 1
        finally:
            ballast.unlink()
        hub = Hub(folder / "hub")
        before = len(hub.list(every=True)) if (folder / "hub" / "registry.sqlite").exists() else 0
        found["visible"] += before != kept
        small = hub.publish(hub_tiny.TinyModel([0.0]), "a", licence="MIT")
        found["recovered"] += small.version == kept + 1
        kept += 1
        found["damaged"] += len(hub.verify()) + len(list((hub.folder / "tmp").iterdir()))
        if shutil.disk_usage(folder).free < 1_000_000:
            shutil.rmtree(hub.folder)
            kept = 0
    return {**found, **{f"by_{cause}": number for cause, number in sorted(stages.items())}}


if __name__ == "__main__":
    hub_tiny.register()
    chosen = {"kills": kills, "race": race, "full": full, "filled": filled, "flips": flips}
    fault = {**chosen, "limit": limit}[sys.argv[1]]
    print(json.dumps(fault(Path(sys.argv[2]), int(sys.argv[3]))))
