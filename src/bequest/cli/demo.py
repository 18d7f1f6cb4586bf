"""`bequest demo`: the main job on real data that comes along."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import bequest as bq
from bequest.api.result_folder import write_result
from bequest.cli._console import line, print_json, prose, table
from bequest.cli._options import COMMON, Common, command
from bequest.cli._outcome import print_result, print_suggestions
from bequest.cli._paths import is_result, new_folder
from bequest.cli._progress import progress
from bequest.cli._settings import check_options
from bequest.optional import need

__all__ = ["app"]

app = command("demo", "bequest demo", "bequest demo --out demo/ --budget 60")
HUB = (
    "Both models of digits were used for the digits of two groups of writers more. What does the "
    "hub suggest for a new task, digits of still others?"
)


@app.default
def demo(
    *, budget: float = 25.0, seed: int = 0, out: Path = Path("demo"), common: Common = COMMON
) -> None:
    """Transfer on real data.

    Parameters
    ----------
    budget
        Seconds for each of the transfers.
    seed
        Same seed, machine and versions: same numbers.
    out
        The folder to write: a hub, and a folder with model, outcome and page for each transfer.
    """
    check_options(budget=budget, seed=seed)
    quiet, told = common.json, list[dict[str, Any]]()
    if not quiet:
        line("Three transfers, each judged against training from scratch, then a hub.")
    the = need("bequest.demo", extra="", purpose="the demo")
    with new_folder(out, ours=_is_demo) as folder:
        hub = bq.Hub(folder / "hub")
        for chapter in the.chapters(seed):
            if not quiet:
                line(f"\n{chapter.question}")
            if chapter.missing:
                told.append({"question": chapter.question, "missing": chapter.missing})
                if not quiet:
                    prose(f"Left out: {chapter.missing}")
                continue
            with progress("starting") as tell:
                result: bq.Result = chapter.run(hub, budget, seed, tell)
            write_result(result, folder / chapter.name)
            told.append({"question": chapter.question, **json.loads(result.outcome.to_json())})
            if not quiet:
                print_result(result)
        with progress("two more tasks") as tell:
            the.remember(hub, seed, tell)
        suggested = hub.suggest(the.new_task(seed))
        lineage, entries = hub.lineage("demo/other-writers"), hub.list()
    if quiet:
        names = [one.name for one in suggested]
        print_json({"transfers": told, "suggested": names, "written": out})
        return
    line()
    prose(HUB)
    print_suggestions(suggested, "accuracy")
    line("\nWhat was the second model made from, by its card and by its weights?")
    line(lineage)
    line()
    table(("in the hub", "sha256"), [(entry, entry.digest[:12]) for entry in entries])
    page = next(out / one.name / "report.html" for one in the.chapters(seed) if not one.missing)
    line(f"\nWritten: {out}. Open {page} in a browser.")


def _is_demo(folder: Path) -> bool:
    """Whether the demo wrote it, and nobody else has published into its hub."""
    others = [path for path in folder.iterdir() if path.name != "hub"]
    if not (folder / "hub" / "registry.sqlite").is_file():
        return False
    if not all(path.is_dir() and is_result(path) for path in others):
        return False
    return all(name.startswith("demo/") for name in bq.Hub(folder / "hub").names())
