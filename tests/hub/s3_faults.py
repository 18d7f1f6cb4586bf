"""Faults done to a hub on object storage on purpose; each prints its counts as JSON.

python tests/hub/s3_faults.py kills FOLDER 50
python tests/hub/s3_faults.py race FOLDER 100
python tests/hub/s3_faults.py memory FOLDER 256

Each starts a server of its own. Processes are forked before any of them has used the bucket.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import resource
import signal
import sys
import time
import traceback
from pathlib import Path

import hub_places
import hub_tiny
import numpy as np
from hub_places import Shared

from bequest.errors import Conflict, HubError
from bequest.hub.records.entry import StoredFile
from bequest.hub.storage.files.streams import hash_file
from bequest.hub.storage.folder.store import FolderStore
from bequest.hub.storage.object_storage.bucket import Bucket
from bequest.hub.storage.object_storage.remote_objects import FetchedObjects


def kills(shared: Shared, times: int) -> dict[str, int]:
    """Kill a process that publishes without end, at random moments of its work."""
    clock = random.Random(0)
    tick = time_of_one(shared)  # a loaded machine is slow: kill by its own measure
    for number in range(times):
        child = os.fork()
        if not child:
            publish_without_end(shared, f"cache{number % 3}")
        time.sleep(clock.uniform(0.3 * tick, 3 * tick))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    fresh, used = shared.hub("fresh"), shared.hub("cache0")
    used.publish(hub_tiny.TinyModel([0.0]), "last", licence="MIT")
    entries = fresh.list(every=True)
    half = 0
    for entry in entries:
        try:
            fresh.pull(entry.name, entry.version)
        except HubError:
            half += 1
    held = {str(entry): entry.digest for entry in entries}
    heard = acknowledged(shared)
    return {
        "kills": times,
        "entries": len(entries),
        "acknowledged": len(heard),
        "half": half,
        "lost": sum(held.get(name) != digest for name, digest in heard.items()),
        "unlike": int(used.list(every=True) != entries),
        "temporaries": len(list((shared.folder / "cache0" / "tmp").iterdir())),
    }


def time_of_one(shared: Shared) -> float:
    """Seconds of a first publication, by a process of its own: none is forked from this one."""
    start = time.monotonic()
    child = os.fork()
    if not child:
        shared.hub("first").publish(hub_tiny.TinyModel([0.0]), "first", licence="MIT")
        os._exit(0)
    os.waitpid(child, 0)
    return time.monotonic() - start


def publish_without_end(shared: Shared, cache: str) -> None:
    rng = np.random.default_rng()
    # O_APPEND and one write: what stands in this file was acknowledged.
    heard = os.open(shared.folder / "heard", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    hub = shared.hub(cache)
    while True:
        entry = hub.publish(hub_tiny.TinyModel(rng.normal(size=20_000)), "ward", licence="MIT")
        os.write(heard, f"{entry} {entry.digest}\n".encode())


def acknowledged(shared: Shared) -> dict[str, str]:
    heard = shared.folder / "heard"
    lines = heard.read_text().splitlines() if heard.exists() else []
    return dict(line.split() for line in lines)


def race(shared: Shared, rounds: int, processes: int = 4) -> dict[str, int]:
    """Several machines publish the same next version, round after round."""
    reader, writer = os.pipe()
    children = []
    for process in range(processes):
        child = os.fork()
        if not child:
            run_race(shared, rounds, process, writer)
        children.append(child)
    os.close(writer)
    with os.fdopen(reader) as said:
        winners = [int(line) for line in said]
    failed = sum(os.waitpid(child, 0)[1] != 0 for child in children)
    return {
        "rounds": rounds,
        "winners": len(winners),
        "rounds_with_one_winner": sum(winners.count(r) == 1 for r in range(rounds)),
        "latest": shared.hub("fresh").show("ward").version,
        "failed_processes": failed,
    }


def run_race(shared: Shared, rounds: int, process: int, writer: int) -> None:
    try:
        hub = shared.hub(f"cache{process}")
        for expected in range(rounds):
            # All wait for the round, so that all publish at once.
            while expected and latest(hub) < expected:
                time.sleep(0.005)
            with contextlib.suppress(Conflict):
                model = hub_tiny.TinyModel([float(expected), float(process)])
                hub.publish(model, "ward", licence="MIT", expect=expected)
                os.write(writer, f"{expected}\n".encode())
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def latest(hub) -> int:
    try:
        return hub.show("ward").version
    except HubError:  # nobody has published yet
        return 0


def memory(shared: Shared, mebibytes: int) -> dict[str, int]:
    """Send a large file and fetch it again, and say by how much the memory grew."""
    large = shared.folder / "large"
    with large.open("wb") as file:
        for _ in range(mebibytes):
            file.write(os.urandom(2**20))
    stored = StoredFile(*hash_file(large))
    small = shared.folder / "small"
    small.write_bytes(b"to have all loaded")
    bucket = Bucket(shared.url, shared.storage())
    objects = FetchedObjects(bucket, FolderStore(shared.folder / "cache", 30.0))
    objects.keep({hash_file(small)[0]: small})
    before = peak()
    objects.keep({stored.digest: large})
    sent = peak()
    assert hash_file(objects.located(stored))[0] == stored.digest
    return {
        "file_mib": mebibytes,
        "growth_sending_mib": sent - before,
        "growth_fetching_mib": peak() - sent,
    }


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


if __name__ == "__main__":
    hub_tiny.register()
    fault = {"kills": kills, "race": race, "memory": memory}[sys.argv[1]]
    folder = Path(sys.argv[2])
    folder.mkdir(exist_ok=True)
    for address in hub_places.serve():
        print(json.dumps(fault(Shared("s3://bucket/hub", address, folder), int(sys.argv[3]))))
