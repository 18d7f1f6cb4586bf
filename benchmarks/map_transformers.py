"""Whether the parameter map is right on the model classes of the installed transformers.

Every class of the automatic mappings is built small (`small_models`), the source with numbers of
its own in each tensor, the target freshly initialised. A case is right where every tensor of the
target is, number by number, what it should be, and the plan can be applied:

- a: the class's own state dict into a second network: what `load_state_dict` would load
- b: the same with the state dict's order shuffled
- c: the file that `save_pretrained` writes; files whose names are not the network's (transformers
  converts some when it saves) are counted apart
- d: a base or a pretraining network into a task head of its family: tensors of one name and shape,
  with or without the prefix of the base, are the source's, all others stay as they were

Beside them stand `map_widths` (e) and `map_real_weights` (g).

    python -m benchmarks.map_transformers [--quick] [--case a] [--only NAME] [--packages FOLDER]

One process of its own works at a time, with limited memory and time, and results are kept under
benchmarks/runs/, by the digest of the mapping's code: it can be stopped and goes on where it was.
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import json
import logging
import multiprocessing
import random
import resource
import signal
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import safe_open
from torch import Tensor, nn
from transformers import PreTrainedModel

import bequest as bq
from benchmarks import map_real_weights, map_widths, small_models
from benchmarks.small_models import (
    NotBuiltError,
    build_of,
    class_of,
    classes,
    families,
    fill,
    small_config,
)
from bequest import mapping

RUNS = Path(__file__).parent / "runs" / "map_transformers"
SECONDS, GIGABYTES, TASKS = 60, 8, 100  # CPU for one result, for a worker, results of a worker
LABELS = 3  # of a new head
ARROW = " to "
BASES = ("MODEL", "MODEL_FOR_PRETRAINING", "MODEL_FOR_MASKED_LM", "MODEL_FOR_CAUSAL_LM")
HEADS = tuple(
    f"MODEL_FOR_{task}"
    for task in (
        "SEQUENCE_CLASSIFICATION", "TOKEN_CLASSIFICATION", "QUESTION_ANSWERING", "MULTIPLE_CHOICE",
        "IMAGE_CLASSIFICATION", "VIDEO_CLASSIFICATION", "AUDIO_CLASSIFICATION",
        "SEMANTIC_SEGMENTATION", "AUDIO_FRAME_CLASSIFICATION", "AUDIO_XVECTOR",
    )
)  # fmt: skip


def own_state(name: str, *, shuffled: bool = False) -> dict[str, Any]:
    """A class's state dict into a second network of the class."""
    source, target = _two(name)
    state = source.state_dict()
    if shuffled:
        names = list(state)
        random.Random(0).shuffle(names)
        state = {key: state[key] for key in names}

    def loaded() -> dict[str, Tensor]:
        target.load_state_dict(state, strict=False)
        return target.state_dict()

    return judged(state, target, loaded)


def own_file(name: str) -> dict[str, Any]:
    """The file that a network writes into a second network of its class."""
    source, target = _two(name)
    with tempfile.TemporaryDirectory() as folder:
        source.save_pretrained(folder)
        with safe_open(Path(folder) / "model.safetensors", "pt") as file:
            written = set(file.keys())
        state, own = source.state_dict(), target.state_dict(keep_vars=True)
        renamed = sorted(written - set(state))
        shared = {id(own[key]) for key in written if key in own}

        def loaded() -> dict[str, Tensor]:
            kept = {k: v for k, v in state.items() if renamed or id(own[k]) in shared}
            target.load_state_dict(kept, strict=False)
            return target.state_dict()

        return judged(Path(folder), target, loaded) | {"renamed": renamed[:1]}


def base_to_head(pair: str) -> dict[str, Any]:
    """A base or a pretraining network into a task head of its family: "BertModel to BertFor…"."""
    giver, taker = pair.split(ARROW)
    config = copy.deepcopy(small_config(taker))
    torch.manual_seed(0)
    source = build_of(class_of(giver), config)
    if "QuestionAnswering" not in taker:  # its two labels are the ends of the answer
        config.num_labels = LABELS
    target = build_of(class_of(taker), config)
    fill(source)
    givers = by_name(source, target)
    own = target.state_dict(keep_vars=True)
    named = sum(own[name].numel() for name in givers)
    if 2 * named < sum(tensor.numel() for tensor in own.values()):
        raise NotBuiltError("less than half of the target's parameters have a name in the source")

    def loaded() -> dict[str, Tensor]:
        state = source.state_dict()
        target.load_state_dict({ours: state[its] for ours, its in givers.items()}, strict=False)
        return target.state_dict()

    return judged(source, target, loaded)


def by_name(source: PreTrainedModel, target: PreTrainedModel) -> dict[str, str]:
    """The target's names that the source has too, in one shape; prefixes of the base may differ."""
    theirs = {name: tuple(tensor.shape) for name, tensor in source.state_dict().items()}
    ours, its = (f"{network.base_model_prefix}." for network in (target, source))
    found = {}
    for name, tensor in target.state_dict().items():
        bare = name.removeprefix(ours)
        for other in (name, bare, its + name, its + bare):
            if theirs.get(other) == tuple(tensor.shape):
                found[name] = other
                break
    return found


def judged(source: Any, target: nn.Module, loaded: Callable[[], Mapping[str, Tensor]]) -> dict:
    """Map, and compare with what is `loaded` afterwards into the target itself."""
    start = time.process_time()
    try:
        plan = bq.map_parameters(source, target)
        seconds = time.process_time() - start
        made, applied = plan.state_dict(), plan.apply()
    except TimeoutError:
        raise
    except Exception as error:  # a failure of the map, whichever it is
        return {"right": False, "first_wrong": f"{type(error).__name__}: {error}"[:300],
                "cpu_s": time.process_time() - start}  # fmt: skip
    hidden = _not_saved(target)
    expected = loaded()
    wrong = [name for name, tensor in expected.items() if not _equal(made.get(name), tensor)]
    wrong += [n for n, tensor in _not_saved(applied).items() if not _equal(hidden.get(n), tensor)]
    entries = {entry.target: entry for entry in plan.entries}
    return {
        "right": not wrong,
        "tensors": len(expected),
        "wrong": len(wrong),
        "first_wrong": _shown(wrong[0], entries.get(wrong[0])) if wrong else "",
        "confidence": plan.confidence,
        "coverage": plan.coverage,
        "body_coverage": plan.body_coverage,
        "cpu_s": seconds,
    }


def _two(name: str) -> tuple[PreTrainedModel, PreTrainedModel]:
    torch.manual_seed(0)
    source, target = small_models.build(name), small_models.build(name)
    fill(source)
    return source, target


def _not_saved(module: nn.Module) -> dict[str, Tensor]:
    """Buffers that no state dict holds."""
    saved = module.state_dict()
    return {name: t.clone() for name, t in module.named_buffers() if name not in saved}


def _equal(one: Tensor | None, other: Tensor) -> bool:
    """But for rounding, which weights that are computed from others have."""
    if one is None or (one.dtype, one.shape) != (other.dtype, other.shape):
        return False
    if not other.is_floating_point():
        return torch.equal(one, other)
    return torch.allclose(one, other, rtol=1e-6, atol=0.0, equal_nan=True)


def _shown(name: str, entry: mapping.Entry | None) -> str:
    if entry is None:
        return f"{name}: not in the plan"
    given = f" of {', '.join(entry.sources)}" if entry.sources else ""
    return f"{name}: {entry.rule}{given} ({entry.confidence:.2f})"


def same_class_names() -> list[str]:
    return list(classes())


def head_pairs() -> list[str]:
    """Every task head with its family's base, and with one pretraining network."""
    found: dict[str, None] = {}
    for tables in families().values():
        bases = [tables[table][0] for table in BASES if table in tables]
        for head in (name for table in HEADS for name in tables.get(table, ())):
            found.update({f"{base}{ARROW}{head}": None for base in bases[:2] if base != head})
    return sorted(found)


CASES: dict[str, tuple[Callable[[], list[str]], Callable[[str], dict]]] = {
    "a": (same_class_names, own_state),
    "b": (same_class_names, lambda name: own_state(name, shuffled=True)),
    "c": (same_class_names, own_file),
    "d": (head_pairs, base_to_head),
}

OTHERS: dict[str, Callable[[bool, str], Any]] = {
    "e": lambda quick, packages: map_widths.run(quick),
    "g": map_real_weights.run,
}


def outcome(case: str, name: str) -> dict:
    """The result of one case, never an exception: what was not built has a reason."""
    signal.signal(signal.SIGPROF, _late)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return CASES[case][1](name)
    except NotBuiltError as error:
        return {"not_built": str(error)[:500]}
    except TimeoutError:
        return {"right": False, "first_wrong": f"took more than {SECONDS} CPU seconds"}
    except Exception as error:  # of other people's: a network that is not saved, not loaded
        return {"not_built": f"{type(error).__name__}: {error}"[:500]}
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        small_config.cache_clear()


def _late(*_: object) -> None:
    raise TimeoutError


def _limited() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (GIGABYTES * 2**30,) * 2)
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    logging.disable(logging.WARNING)


def _pool() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(
        1, multiprocessing.get_context("spawn"), _limited, max_tasks_per_child=TASKS
    )


@cache
def _folder() -> Path:
    """Where results of this code and this transformers are kept."""
    digest = hashlib.sha256(version("transformers").encode())
    for path in sorted(Path(mapping.__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return RUNS / digest.hexdigest()[:12]


def results(case: str, names: Iterable[str]) -> dict[str, dict]:
    """Of these names, those that are kept and those that are computed now."""
    found, pool = {}, _pool()
    for name in names:
        path = _folder() / case / f"{name}.json"
        if not path.exists():
            try:
                found[name] = pool.submit(outcome, case, name).result(timeout=20 * SECONDS)
            except (OSError, RuntimeError) as error:  # the worker died, or hangs outside Python
                pool.shutdown(wait=False, cancel_futures=True)
                pool, found[name] = _pool(), {"not_built": f"the worker died: {error!r}"[:300]}
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(found[name]))
        found[name] = json.loads(path.read_text())
    pool.shutdown()
    return found


def summary(found: Mapping[str, dict]) -> dict:
    """Counts of one case, all that is wrong and all that was not built."""
    built = {name: one for name, one in found.items() if "not_built" not in one}
    wrong = {name: one["first_wrong"] for name, one in built.items() if not one["right"]}
    renamed = {name: one["renamed"][0] for name, one in built.items() if one.get("renamed")}
    seconds = [one["cpu_s"] for one in built.values() if "cpu_s" in one]
    return {
        "right": len(built) - len(wrong),
        "wrong": len(wrong),
        "not_built": len(found) - len(built),
        "tensors": sum(one.get("tensors", 0) for one in built.values()),
        "wrong_tensors": sum(one.get("wrong", 0) for one in built.values()),
        "wrong_at_confidence_0.9": sum(
            not one["right"] and one.get("confidence", 0) >= 0.9 for one in built.values()
        ),
        "renamed": len(renamed),
        "renamed_right": sum(built[name]["right"] for name in renamed),
        "body_coverage_1": sum(one.get("body_coverage") == 1 for one in built.values()),
        "cpu_s": {"median": statistics.median(seconds), "max": max(seconds)} if seconds else {},
        "names_wrong": wrong,
        "names_renamed": renamed,
        "names_not_built": {n: one["not_built"] for n, one in found.items() if "not_built" in one},
    }


def run(quick: bool = False, case: str = "", only: str = "", packages: str = "") -> dict:
    """The quick form takes every tenth name of each case."""
    figures: dict[str, Any] = {"transformers": version("transformers")}
    for key in [case] if case else [*CASES, *OTHERS]:
        if key in OTHERS:
            figures[key] = OTHERS[key](quick, packages)
            continue
        names = CASES[key][0]()
        names = [name for name in names if only in name] if only else names
        figures[key] = summary(results(key, names[:: 10 if quick else 1]))
        counts = {name: value for name, value in figures[key].items() if isinstance(value, int)}
        print(key, counts, figures[key]["cpu_s"], flush=True)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--case", choices=[*CASES, *OTHERS], default="")
    parser.add_argument("--only", default="", help="part of a name")
    parser.add_argument("--packages", default="", help="a folder with published networks")
    print(json.dumps(run(**vars(parser.parse_args())), indent=1))


if __name__ == "__main__":
    main()
