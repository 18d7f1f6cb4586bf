"""Power lost at every moment of a hub's life, by a recording of what it asked the system to do.

python tests/hub/hub_power.py FOLDER STATES

A process publishes, records, conflicts and takes in a bundle under `strace`, which writes down
every call that changes a file or a folder, SQLite's too. Then, for every prefix of these calls,
disks are made as the promises of POSIX allow them: what was synced is there; of all else any part
may be, each name and each write by itself, writes also torn between sectors. The two halves of a
rename count as two names. On each such disk a hub is opened: everything acknowledged before that
moment must be there and whole, nothing half may be seen, and the next publication must work.
"""

from __future__ import annotations

import json
import logging
import os
import random
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import hub_tiny
import numpy as np

from bequest.core import Outcome, TaskSummary, Verdict
from bequest.errors import BequestError, Conflict
from bequest.hub import Hub

_CHANGES = (
    "open,openat,creat,close,lseek,write,pwrite64,ftruncate,fsync,fdatasync,"
    "mkdir,mkdirat,rmdir,unlink,unlinkat,link,linkat,rename,renameat,renameat2"
)
# Calls that change files, too, and that nothing here makes: the recording would be wrong.
_UNKNOWN = "writev,pwritev,pwritev2,truncate,fallocate,copy_file_range,sendfile,symlink,symlinkat"
logger = logging.getLogger(__name__)

_SECTOR = 512  # bytes that a disk writes whole


@dataclass(eq=False)
class Node:
    """A file, or a folder with its names as the process sees them."""

    names: dict[str, Node] | None = None


@dataclass(frozen=True)
class Change:
    """One thing that a disk may know or not: a name in a folder, or bytes in a file."""

    node: Node
    name: str = ""
    target: Node | None = None  # what the name means from now on; None: nothing
    start: int = 0
    data: bytes | None = None
    size: int | None = None


@dataclass
class Life:
    """A recording: changes and syncs in order, and what was acknowledged after how many of them."""

    root: Node = field(default_factory=lambda: Node({}))
    events: list[Change | Node] = field(default_factory=list)  # a node alone: it was synced
    heard: list[tuple[int, str]] = field(default_factory=list)


@hub_tiny.quiet(logging.ERROR)
def power(folder: Path, states: int, honest: bool = True) -> dict[str, int]:
    """Lose power in about that many states, spread over all moments.

    Where not `honest`, the disk forgets folders that were synced: this must be noticed.
    """
    folder.mkdir(parents=True)
    life = recorded(folder)
    synced = _synced(life, honest)
    moments = len(life.events)
    found = Counter(calls=moments, acknowledged=len(life.heard))
    dice = random.Random(0)
    every = max(1, 5 * moments // states)
    for moment in range(1 + dice.randrange(every), moments + 1, every):
        for keep in (_nothing, _everything, _some(dice, 0.2), _some(dice, 0.5), _some(dice, 0.8)):
            found["states"] += 1
            disk = folder / "disk"
            _write(disk, *_left(life, synced, moment, keep), life.root)
            heard = [what for when, what in life.heard if when < moment]
            found.update(_judged(disk / "some" / "hub", heard))
            shutil.rmtree(disk)
    return {"lost": 0, "half": 0, "unusable": 0, **found}


def recorded(folder: Path) -> Life:
    """Let a process live under strace, and read what it did within `folder`."""
    other = Hub(folder / "other")
    other.publish(hub_tiny.TinyModel([5.0]), "from/afar", licence="MIT")
    other.bundle("from/afar", folder / "bundle")
    trace, place = folder / "trace", folder / "lived"
    place.mkdir()
    command = ["strace", "-f", "-y", "-xx", "-s", "100000000", "-e", "signal=none"]
    command += ["-e", f"trace={_CHANGES},{_UNKNOWN}", "-o", str(trace)]
    subprocess.run([*command, sys.executable, __file__, "live", str(folder)], check=True)
    with trace.open(encoding="ascii") as lines:
        return _read(lines, os.fsencode(place))


def live(folder: Path) -> None:
    """What is recorded; each line of `heard` is written when something was acknowledged."""
    place = folder / "lived"
    heard = os.open(place / "heard", os.O_WRONLY | os.O_CREAT)

    def say(*what: str) -> None:
        for line in what:
            os.write(heard, line.encode())

    hub = Hub(place / "some" / "hub")
    for number in range(4):
        name = f"ward{number % 2}"
        entry = hub.publish(hub_tiny.TinyModel([float(number)] * 9), name, licence="MIT")
        say(f"{entry} {entry.digest}")
    entry = hub.publish(hub_tiny.TinyModel([0.0] * 9), "again", licence="MIT")  # known objects
    say(f"{entry} {entry.digest}")
    say(hub.record(_outcome(1)))
    with suppress(Conflict):
        hub.publish(hub_tiny.TinyModel([7.0]), "again", licence="MIT", expect=5)
    del hub  # closed: the log goes into the file
    hub = Hub(place / "some" / "hub")
    say(hub.record(_outcome(2)))
    hub._store.records._kept[0][0].execute("PRAGMA wal_autocheckpoint = 8")  # so that it happens
    say(*(f"{entry} {entry.digest}" for entry in hub.unbundle(folder / "bundle")))
    for number in range(3):
        weights = np.random.default_rng(number).normal(size=700)
        entry = hub.publish(hub_tiny.TinyModel(weights), "late", licence="MIT", parents=["ward1"])
        say(f"{entry} {entry.digest}")


def _outcome(number: int) -> Outcome:
    target, verdict = TaskSummary(name=f"ward{number}"), Verdict(0.06, 0.03, 0.09, "accuracy")
    return Outcome(
        target=target,
        source="a",
        method="probe",
        selected="transfer",
        verdict=verdict,
        seed=number,
    )


_LINE = re.compile(r"(\w+)\((.*)\) += (-?\d+)")
_TEXT = r'"((?:\\x[0-9a-f]{2})*)"'
_PLACE = re.compile(
    rf"(?:AT_FDCWD(?:<[^>]*>)?|\d+<((?:\\x[0-9a-f]{{2}})*|[^>]*)>), {_TEXT}|{_TEXT}"
)


def _read(lines: Iterator[str], place: bytes) -> Life:
    life, files = Life(), {}
    for line in _whole(lines):
        parsed = _LINE.match(line)
        if parsed is None or int(parsed[3]) < 0:
            continue
        call, said, result = parsed[1], parsed[2], int(parsed[3])
        if call == "close":
            files.pop(int(said.partition("<")[0]), None)
        elif call in ("write", "pwrite64", "ftruncate", "fsync", "fdatasync", "lseek"):
            _of_file(life, files, call, said, result)
        else:
            _of_names(life, files, call, said, result, place)
    return life


def _whole(lines: Iterator[str]) -> Iterator[str]:
    """Calls in the order in which they ended: those of several threads are cut in two."""
    begun: dict[str, str] = {}
    for line in lines:
        thread, _, said = line.rstrip("\n").partition(" ")
        said = said.lstrip()
        if said.endswith("<unfinished ...>"):
            begun[thread] = said.removesuffix("<unfinished ...>").rstrip()
        elif said.startswith("<... "):
            yield begun.pop(thread) + said.partition(" resumed>")[2]
        else:
            yield said


def _of_file(life: Life, files: dict, call: str, said: str, result: int) -> None:
    number = int(re.match(r"\d+", said)[0])
    if number not in files:
        return
    node, at = files[number]
    if call == "lseek":
        files[number] = node, result
    elif call == "ftruncate":
        life.events.append(Change(node, size=int(said.rpartition(", ")[2])))
    elif call in ("fsync", "fdatasync"):
        life.events.append(node)
    else:
        data = _bytes(re.search(_TEXT, said)[1])[:result]
        if node is life.root.names.get("heard"):
            life.heard.append((len(life.events), data.decode()))
            return
        start = int(said.rpartition(", ")[2]) if call == "pwrite64" else at
        life.events.append(Change(node, start=start, data=data))
        if call == "write":
            files[number] = node, at + result


def _of_names(life: Life, files: dict, call: str, said: str, result: int, place: bytes) -> None:
    paths = [_within(match, place) for match in _PLACE.finditer(said)]
    if all(path is None for path in paths):
        return
    if call not in _CHANGES.split(","):
        raise NotImplementedError(f"{call} is not understood: {said[:200]}")
    folder, name = _found(life, paths[0])
    if call in ("open", "openat", "creat"):
        node = folder.names.get(name) if name else folder
        if node is None:
            node = _named(life, folder, name, Node())
        elif "O_TRUNC" in said:
            life.events.append(Change(node, size=0))
        files[result] = node, 0
    elif call in ("mkdir", "mkdirat"):
        _named(life, folder, name, Node({}))
    elif call in ("rmdir", "unlink", "unlinkat"):
        _named(life, folder, name, None)
    else:
        node = folder.names[name]
        _named(life, *_found(life, paths[1]), node)
        if call.startswith("rename"):
            _named(life, folder, name, None)


def _named(life: Life, folder: Node, name: str, node: Node | None) -> Node | None:
    life.events.append(Change(folder, name=name, target=node))
    if node is None:
        del folder.names[name]
    else:
        folder.names[name] = node
    return node


def _within(match: re.Match, place: bytes) -> list[str] | None:
    folder = _bytes(match[1] or "") if match[3] is None else b""
    path = os.path.join(folder, _bytes(match[2] if match[3] is None else match[3]))
    if path != place and not path.startswith(place + b"/"):
        return None
    return [part.decode() for part in path[len(place) :].split(b"/") if part]


def _found(life: Life, parts: list[str]) -> tuple[Node, str]:
    """The folder in which a path ends, and its last part."""
    node = life.root
    for part in parts[:-1]:
        node = node.names[part]
    return node, parts[-1] if parts else ""


def _bytes(escaped: str) -> bytes:
    return bytes.fromhex(escaped.replace("\\x", ""))


def _synced(life: Life, honest: bool) -> list[float]:
    """For every event: after how many events it is on the disk whatever happens."""
    ends: dict[int, float] = {}
    found = [float("inf")] * len(life.events)
    for place in reversed(range(len(life.events))):
        event = life.events[place]
        if isinstance(event, Node):
            if honest or event.names is None:
                ends[id(event)] = place + 1
        else:
            found[place] = ends.get(id(event.node), float("inf"))
    return found


Keep = Callable[[Change], list[Change]]


def _nothing(change: Change) -> list[Change]:
    return []


def _everything(change: Change) -> list[Change]:
    return [change]


def _some(dice: random.Random, share: float) -> Keep:
    def keep(change: Change) -> list[Change]:
        if dice.random() > share:
            return []
        if change.data is None or dice.random() < 0.5:
            return [change]
        parts = range(0, len(change.data), _SECTOR)
        torn = [(change.start + p, change.data[p : p + _SECTOR]) for p in parts]
        return [Change(change.node, start=s, data=d) for s, d in torn if dice.random() < 0.5]

    return keep


def _left(
    life: Life, synced: list[float], moment: int, keep: Keep
) -> tuple[dict[Node, dict[str, Node]], dict[Node, bytearray]]:
    """Names and bytes of a disk whose power went after so many events."""
    names: dict[Node, dict[str, Node]] = {}
    content: dict[Node, bytearray] = {}
    for event, end in zip(life.events[:moment], synced[:moment], strict=True):
        if isinstance(event, Node):
            continue
        for change in [event] if end <= moment else keep(event):
            if change.name and change.target is None:
                names.setdefault(change.node, {}).pop(change.name, None)
            elif change.name:
                names.setdefault(change.node, {})[change.name] = change.target
            else:
                _changed(content.setdefault(change.node, bytearray()), change)
    return names, content


def _changed(data: bytearray, change: Change) -> None:
    if change.data is None:
        data[change.size :] = bytes(max(0, change.size - len(data)))
        return
    end = change.start + len(change.data)
    data.extend(bytes(max(0, end - len(data))))
    data[change.start : end] = change.data


def _write(place: Path, names: dict, content: dict, node: Node) -> None:
    if node.names is None:
        place.write_bytes(content.get(node, b""))
        return
    place.mkdir()
    for name, inner in names.get(node, {}).items():
        _write(place / name, names, content, inner)


def _judged(folder: Path, heard: list[str]) -> Counter[str]:
    """What is lost, half or unusable in the hub of one disk."""
    found: Counter[str] = Counter()
    try:
        entries, outcomes, wrong = set(), set(), ()
        if (folder / "registry.sqlite").exists():
            hub = Hub(folder)
            wrong = hub.verify()
            entries = {f"{entry} {entry.digest}" for entry in hub.list(every=True)}
            with hub._store.records.reading() as db:
                outcomes = {row[0] for row in db.execute("SELECT digest FROM outcomes")}
        found["lost"] += len(set(heard) - entries - outcomes)
        found["half"] += len([finding for finding in wrong if finding.wrong])
    except BequestError:
        found["lost"] += len(heard)
    try:
        Hub(folder).publish(hub_tiny.TinyModel([9.0]), "next", licence="MIT")
        if Hub(folder).pull("next").weights.tolist() != [9.0]:
            found["unusable"] += 1
    except BequestError as error:
        found["unusable"] += 1
        logger.critical("%s", error)
    return +found


if __name__ == "__main__":
    hub_tiny.register()
    if sys.argv[1] == "live":
        live(Path(sys.argv[2]))
    else:
        print(json.dumps(power(Path(sys.argv[1]), int(sys.argv[2]))))
