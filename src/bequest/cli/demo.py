"""`bequest demo`: the main job on data that scikit-learn ships."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import bequest as bq
from bequest.cli._options import COMMON, Common, command
from bequest.cli._outcome import print_result, save_result
from bequest.cli._places import is_result, new_folder
from bequest.cli._progress import progress
from bequest.cli._say import line, print_json, table
from bequest.cli._settings import check_options
from bequest.optional import need

__all__ = ["app"]

app = command("demo", "bequest demo", "bequest demo --out demo/ --budget 60")
LICENCE = "CC-BY-4.0"  # that of the data sets


@app.default
def demo(
    *, budget: float = 15.0, seed: int = 0, out: Path = Path("demo"), common: Common = COMMON
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
    told: list[dict[str, Any]] = []
    chapters = need("bequest.demo", extra="", purpose="the demo").chapters
    with new_folder(out, ours=_is_demo) as folder:
        hub = bq.Hub(folder / "hub")
        for chapter in chapters(seed):
            with progress("training the sources") as tell:
                result: bq.Result = chapter.run(budget, tell)
            save_result(result, folder / chapter.name)
            hub.publish(result.model, f"demo/{chapter.name}", licence=LICENCE)
            hub.record(result.outcome)
            told.append({"question": chapter.question, **json.loads(result.outcome.to_json())})
            if not common.json:
                line(chapter.question)
                print_result(result)
                line()
        entries = hub.list()
    if common.json:
        print_json({"transfers": told, "written": out})
        return
    table(("in the hub", "sha256"), [(entry, entry.digest[:12]) for entry in entries])
    line()
    line(f"Written: {out}. Open {out / 'digits' / 'report.html'} in a browser.")


def _is_demo(folder: Path) -> bool:
    """Whether the demo wrote it, and nobody else has published into its hub."""
    others = [path for path in folder.iterdir() if path.name != "hub"]
    if not (folder / "hub" / "registry.sqlite").is_file():
        return False
    if not all(path.is_dir() and is_result(path) for path in others):
        return False
    return all(name.startswith("demo/") for name in bq.Hub(folder / "hub").names())
