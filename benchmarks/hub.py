"""A hub's storage: how fast it publishes, opens and lists; and the faults that it must withstand.

- publish: models of a few numbers (four files each) from one process, every one on the disk before
  it is acknowledged, in turns with the bare limit: a loop that writes the same bytes to the same
  number of files and folders, syncs each of them, and commits the same record to SQLite in full
  synchronisation. The ratio is of the two's rates; the machine's disk is in both.
- open: `Hub(folder)` and one `show`, against `sqlite3.connect` and the same row.
- list: every entry, and those of one prefix, against reading the same rows and parsing their JSON.

With --faults: 1,000 kills while a process publishes and its graph follows, 2,000 rounds of four
processes at one name, 50 publications on a full disk, 1,000 flipped bits, and power lost at every
moment of a recorded life; see tests/hub/hub_faults.py and hub_power.py.

    python -m benchmarks.hub [--quick] [--faults]
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np

from benchmarks.hub_made import fill
from bequest.core import Card, InputSpec, Model
from bequest.frameworks.files.folder import write_folder
from bequest.hub import Entry, Hub

SIZES = {True: (1_000,), False: (1_000, 100_000)}  # by quick
LIMITS = {"publish_per_s": 200.0, "open_s": 1.0}
SCRIPTS = Path(__file__).parents[1] / "tests" / "hub"
FAULTS = {  # script, fault, and how often: in full, quick
    "kills": ("hub_faults.py", "kills", 1_000, 30),
    "race": ("hub_faults.py", "race", 2_000, 50),
    "full disk": ("hub_faults.py", "full", 50, 10),
    "flipped bits": ("hub_faults.py", "flips", 1_000, 30),
    "power": ("hub_power.py", "", 3_000, 100),
}


class Numbers(Model):
    """A model that is nothing but a few numbers."""

    def __init__(self, weights: np.ndarray, card: Card | None = None) -> None:
        self.weights, self.card = weights, card or Card(name="numbers")
        self.spec, self.classes = InputSpec("vector", (len(weights),)), ("no", "yes")

    def output(self, X: np.ndarray) -> np.ndarray:
        yes = 1 / (1 + np.exp(-np.asarray(X) @ self.weights))
        return np.stack([1 - yes, yes], axis=1)

    def parameters(self) -> dict[str, np.ndarray]:
        return {"weights": self.weights}

    @property
    def structure(self) -> dict:
        return {"columns": len(self.weights)}

    def with_card(self, card: Card) -> Numbers:
        return Numbers(self.weights, card)

    def save(self, folder: str | Path) -> None:
        def write(work: Path) -> None:
            (work / "weights.f64").write_bytes(self.weights.tobytes())

        config = {"columns": len(self.weights)}
        write_folder(folder, kind="numbers", config=config, card=self.card, write=write)


class Bare:
    """The least that keeps the same bytes as safely: files, folders, one commit."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for number in range(256):
            (folder / f"{number:02x}").mkdir(parents=True)
        self.db = sqlite3.connect(folder / "bare.sqlite", isolation_level=None)
        self.db.execute("PRAGMA journal_mode = WAL")
        self.db.execute("PRAGMA synchronous = FULL")
        self.db.execute("CREATE TABLE kept (name TEXT PRIMARY KEY, record TEXT)")

    def keep(self, entry: Entry, files: dict[str, bytes]) -> None:
        for digest, content in files.items():
            place = self.folder / digest[:2]
            with (place / digest).open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            handle = os.open(place, os.O_RDONLY)
            os.fsync(handle)
            os.close(handle)
        record = json.dumps(entry.to_dict())
        self.db.execute("INSERT INTO kept VALUES (?, ?)", (str(entry), record))


def publish(hub: Hub, bare: Bare, blocks: int, each: int = 20) -> dict:
    """Rates of the two, in turns: medians over blocks."""
    rates: dict[str, list[float]] = {"hub": [], "bare": []}
    cpu = time.process_time()
    spent = 0.0
    for block in range(blocks):
        models = [Numbers(np.array([block, number, 0.5])) for number in range(each)]
        start, cpu = time.perf_counter(), time.process_time()
        entries = [
            hub.publish(model, f"bench/m{block}-{number}", licence="MIT")
            for number, model in enumerate(models)
        ]
        rates["hub"].append(each / (time.perf_counter() - start))
        spent += time.process_time() - cpu
        written = [{f.digest: _object(hub, f.digest) for f in e.files.values()} for e in entries]
        start = time.perf_counter()
        for entry, files in zip(entries, written, strict=True):
            bare.keep(entry, files)
        rates["bare"].append(each / (time.perf_counter() - start))
    middle = {name: statistics.median(found) for name, found in rates.items()}
    return {
        "publish_per_s": middle["hub"],
        "publish_per_s_best": max(rates["hub"]),
        "bare_per_s": middle["bare"],
        "bare_per_s_best": max(rates["bare"]),
        "publish_ratio": statistics.median(
            ours / least for ours, least in zip(rates["hub"], rates["bare"], strict=True)
        ),
        "publish_cpu_ms": 1000 * spent / (blocks * each),
    }


def opened(folder: Path, name: str) -> dict:
    """Seconds to open and to show one entry; the worst of seven."""

    def ours() -> None:
        Hub(folder).show(name)

    def least() -> None:
        with closing(sqlite3.connect(folder / "registry.sqlite")) as db:
            question = "SELECT record FROM entries WHERE name = ? ORDER BY version DESC LIMIT 1"
            json.loads(db.execute(question, (name,)).fetchone()[0])

    return {"open_s": max(_times(ours, 7)), "open_bare_s": max(_times(least, 7))}


def listed(folder: Path, prefix: str) -> dict:
    """Seconds to list all, and the entries under a prefix."""
    found: dict[str, float] = {}
    for what, given in (("all", ""), ("prefix", prefix)):

        def ours(given: str = given) -> None:
            Hub(folder).list(given)

        def least(given: str = given) -> None:
            question = "SELECT record FROM entries WHERE name >= ? AND name < ? ORDER BY name"
            with closing(sqlite3.connect(folder / "registry.sqlite")) as db:
                rows = db.execute(question, (given, f"{given}\x7f"))
                [json.loads(record) for (record,) in rows]

        found[f"list_{what}_s"] = statistics.median(_times(ours, 3))
        found[f"list_{what}_bare_s"] = statistics.median(_times(least, 3))
        found[f"list_{what}_entries"] = len(Hub(folder).list(given))
    return found


def faults(quick: bool = False) -> dict:
    """Every fault in a process of its own; what it counted."""
    found = {}
    for name, (script, fault, whole, short) in FAULTS.items():
        with tempfile.TemporaryDirectory(prefix="bequest-") as work:
            given = [fault] * bool(fault) + [str(Path(work, "hub")), str(short if quick else whole)]
            start = time.perf_counter()
            command = [sys.executable, str(SCRIPTS / script), *given]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            found[name] = json.loads(done.stdout)
            print(f"{name}: {found[name]} in {time.perf_counter() - start:.0f} s", flush=True)
    return found


def speed(quick: bool = False) -> dict:
    """Publishing, opening and listing at every size."""
    found = {}
    for models in SIZES[quick]:
        with tempfile.TemporaryDirectory(prefix="bequest-") as work:
            place = Path(work, "hub")
            made = fill(place, models, models // 5, 3 * models)
            hub = Hub(place)
            hub.publish(Numbers(np.zeros(3)), "bench/first", licence="MIT")
            figures = publish(hub, Bare(Path(work, "bare")), 5 if quick else 20)
            figures |= opened(place, made.model_name(models // 2))
            figures |= listed(place, "team1/")
            found[str(models)] = figures
            print(f"{models} entries: {json.dumps(figures)}", flush=True)
    return found


def run(quick: bool = False) -> dict:
    return {"limits": LIMITS, "speed": speed(quick), "faults": faults(quick)}


def _object(hub: Hub, digest: str) -> bytes:
    return (hub.folder / "objects" / digest[:2] / digest[2:]).read_bytes()


def _times(call: Callable[[], None], times: int) -> list[float]:
    found = []
    for _ in range(times):
        start = time.perf_counter()
        call()
        found.append(time.perf_counter() - start)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the short form, some minutes")
    parser.add_argument("--faults", action="store_true", help="the faults instead of the speed")
    chosen = parser.parse_args()
    print(json.dumps((faults if chosen.faults else speed)(chosen.quick), indent=1))


if __name__ == "__main__":
    main()
