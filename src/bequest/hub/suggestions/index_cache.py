"""What is kept of a store, on disk here, so that the next process need not read it all.

It is an index as the graph is: taken from the store, thrown away where it does not fit it, and
left out where the folder cannot be written.
"""

from __future__ import annotations

import json
import logging
import os
import zipfile
from array import array
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bequest.frameworks.files.temporary import clean_up, sibling
from bequest.hub.storage.store import Mark, Snapshot
from bequest.hub.suggestions.outcome_table import Gains, Kept

__all__ = ["NAME", "load", "save"]

logger = logging.getLogger(__name__)

Array = NDArray[Any]
NAME = "suggest.npz"
FORMAT = 4  # one that was read by other rules is read anew
_UNSOUND = (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, RecursionError)


def save(kept: Kept, path: Path, state: Snapshot) -> None:
    """Write it, whole or not at all; where that fails nothing is lost but time."""
    said = {
        "format": FORMAT,
        "mark": asdict(replace(state.newest(), findings=0, finding_hash="")),
        "names": kept.names,
        "licence": kept.licence,
        "kinds": list(kept.kinds),
        "tasks": list(kept.tasks),
        "keys": list(kept.gains),
        "scores": [list(gains.scores) for gains in kept.gains.values()],
    }
    arrays = {
        "said": np.frombuffer(json.dumps(said).encode(), dtype=np.uint8),
        **{name: np.array(getattr(kept, name)) for name in ("version", "origin", "kind")},
        "sketched": np.array(list(kept.sketches), dtype=int),
        "sketches": np.array(list(kept.sketches.values()), dtype=np.float32),
    }
    for place, gains in enumerate(kept.gains.values()):
        for name in ("model", "task", "gain"):
            arrays[f"{place} {name}"] = np.array(getattr(gains, name))
        for number, (places, values) in enumerate(gains.scores.values()):
            arrays[f"{place} rows {number}"] = np.array(places)
            arrays[f"{place} values {number}"] = np.array(values)
    try:
        _write(path, arrays)
    except OSError as error:  # a full disk, or a folder that is read-only
        logger.debug("%s is not written: %s", path, error)


def load(path: Path, state: Snapshot) -> Kept | None:
    """What `save` wrote; None where there is nothing, it is damaged, or of another registry."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            said = json.loads(arrays["said"].tobytes())
            if said["format"] != FORMAT or not state.holds(mark := Mark(**said["mark"])):
                return None
            return _kept(said, [mark.entries, mark.outcomes], arrays)
    except FileNotFoundError:
        return None
    except _UNSOUND as error:
        logger.debug("%s is left aside: %s", path, error)
        return None


def _kept(said: Mapping[str, Any], read: list[int], arrays: Mapping[str, Array]) -> Kept:
    kept = Kept()
    kept.read, kept.names, kept.licence = read, said["names"], said["licence"]
    kept.models = {name: number for number, name in enumerate(kept.names)}
    kept.kinds = {tuple(kind): number for number, kind in enumerate(said["kinds"])}
    kept.tasks = {name: number for number, name in enumerate(said["tasks"])}
    kept.version, kept.origin, kept.kind = (
        array("l", arrays[name].tolist()) for name in ("version", "origin", "kind")
    )
    numbers = arrays["sketched"].tolist()
    kept.sketches = dict(zip(numbers, arrays["sketches"], strict=True))
    for place, (key, scores) in enumerate(zip(said["keys"], said["scores"], strict=True)):
        modality, kind, metric = key
        model, task = (array("l", arrays[f"{place} {name}"].tolist()) for name in ("model", "task"))
        gains = Gains(model, task, array("d", arrays[f"{place} gain"].tolist()))
        for number, name in enumerate(scores):
            places, values = arrays[f"{place} rows {number}"], arrays[f"{place} values {number}"]
            gains.scores[name] = array("l", places.tolist()), array("d", values.tolist())
        kept.gains[modality, kind, metric] = gains
    kept.entries = len(kept.names)
    _check(kept)
    return kept


def _check(kept: Kept) -> None:
    """Raise where a number points to nothing."""
    models, tasks = len(kept.names), len(kept.tasks)
    sizes = {len(kept.licence), len(kept.version), len(kept.origin), len(kept.kind), models}
    above = [max(kept.origin, default=-1) >= tasks, max(kept.kind, default=-1) >= len(kept.kinds)]
    for gains in kept.gains.values():
        sizes_of = {len(gains), len(gains.model), len(gains.task)}
        places = [max(scored, default=-1) for scored, _ in gains.scores.values()]
        above += [len(sizes_of) > 1, max(gains.model, default=-1) >= models]
        above += [max(gains.task, default=-1) >= tasks, max(places, default=-1) >= len(gains)]
    if len(sizes) > 1 or any(above):
        raise ValueError("its numbers point to nothing")


def _write(path: Path, arrays: Mapping[str, Array]) -> None:
    # No fsync: a file that is cut off fails its own checksums, and is then taken for none.
    work = sibling(path)
    try:
        with work.open("xb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
        os.replace(work, path)
        clean_up(path)
    finally:
        work.unlink(missing_ok=True)
