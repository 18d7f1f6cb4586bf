"""Single bits flipped in a hub at rest: what is told of them, and whether anything reads wrong."""

from __future__ import annotations

import os
import random
import shutil
from collections import Counter
from pathlib import Path

import hub_tiny
import numpy as np

from bequest.core import Outcome, TaskSummary, Verdict
from bequest.errors import BequestError
from bequest.hub import Hub

__all__ = ["flips"]


@hub_tiny.quiet()
def flips(folder: Path, times: int) -> dict[str, dict[str, int]]:
    """Flip one bit, read all there is, put it back; until `times` flips were told of.

    ``told``: reading says so, or `Hub.verify` does. ``unused``: nothing is kept there, as in a free
    part of a page: all reads as before. ``wrong``: something reads otherwise than it was written,
    and nobody says so. ``unclean``: another error than one of ours. A graph is built anew
    (``rebuilt``) or says the same as before; a tenth as many bits are flipped there.
    """
    logged, whole = _made(folder)
    dice, found = random.Random(0), {place: Counter() for place in ("object", "registry", "log")}
    places = {"object": (whole, "objects/*/*"), "registry": (whole, "registry.sqlite"),
              "log": (logged, "registry.sqlite-wal")}  # fmt: skip
    truths = {hub: _truth(hub) for hub in (logged, whole)}
    while sum(counted["told"] for counted in found.values()) < times:
        place = min(found, key=lambda name: found[name]["told"])
        hub, pattern = places[place]
        kept = {path: path.read_bytes() for path in hub.glob("registry.*")}
        _flip(dice.choice(sorted(hub.glob(pattern))), dice, kept)
        found[place][_what_is_told(hub, truths[hub])] += 1
        for path in hub.glob("registry.*"):
            path.unlink()
        for path, content in kept.items():
            path.write_bytes(content)
    found["graph"] = _of_graph(whole, dice, times // 10)
    return {place: dict(counted) for place, counted in found.items()}


def _made(folder: Path) -> tuple[Path, Path]:
    """A hub of 40 entries and 10 outcomes whose log was not folded in; and a copy, closed."""
    logged, whole = folder / "logged", folder / "whole"
    child = os.fork()
    if not child:
        hub = Hub(logged)
        for number in range(40):
            model = hub_tiny.TinyModel(np.random.default_rng(number).normal(size=50 + number))
            hub.publish(model, f"team/model{number % 13}", licence="MIT")
            if number % 4 == 0:
                hub.record(_outcome(number))
        os._exit(0)  # as if killed
    os.waitpid(child, 0)
    (logged / "registry.sqlite-shm").unlink()  # it does not outlive the machine
    shutil.copytree(logged, whole)
    Hub(whole).list()  # the last who closes it folds the log in
    return logged, whole


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


def _flip(path: Path, dice: random.Random, kept: dict[Path, bytes]) -> None:
    content = bytearray(kept.setdefault(path, path.read_bytes()))
    bit = dice.randrange(8 * len(content))
    content[bit // 8] ^= 1 << bit % 8
    path.chmod(0o644)
    path.write_bytes(content)


def _truth(hub: Path) -> list:
    """What a copy of it says: reading may fold its log in."""
    copy = hub.with_name("copy")
    shutil.copytree(hub, copy)
    said = _said(Hub(copy))
    shutil.rmtree(copy)
    return said


def _said(hub: Hub) -> list:
    named = [hub.show(name).version for name in hub.names()]
    return [hub.list(every=True), hub.list(), named, hub.outcomes()]


def _what_is_told(folder: Path, truth: list) -> str:
    hub = Hub(folder)
    try:
        if hub.verify():
            return "told"
        return "unused" if _said(hub) == truth else "wrong"
    except BequestError:
        return "told"
    except Exception:
        return "unclean"


def _of_graph(whole: Path, dice: random.Random, times: int) -> Counter[str]:
    found = Counter()
    truth = sorted(Hub(whole).export("nt").splitlines())
    graph, pristine = whole / "graph", whole.with_name("graph")
    shutil.copytree(graph, pristine)
    for _ in range(times):
        paths = [path for path in sorted(graph.rglob("*")) if path.is_file()]
        _flip(dice.choice([path for path in paths if path.stat().st_size]), dice, {})
        before = (graph / "current.json").read_bytes()
        try:
            same = sorted(Hub(whole).export("nt").splitlines()) == truth
            rebuilt = (graph / "current.json").read_bytes() != before
            found["rebuilt" if same and rebuilt else "unused" if same else "wrong"] += 1
        except BequestError:
            found["told"] += 1
        except Exception:
            found["unclean"] += 1
        shutil.rmtree(graph)
        shutil.copytree(pristine, graph)
    return found
