"""`bequest show`: one entry of a hub, or a model folder."""

from __future__ import annotations

import re
import shutil
import sys
import textwrap
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

import bequest as bq
from bequest.cli._console import line, print_json, sized, table, tidy
from bequest.cli._options import COMMON, HUB, Common, HubPlace, command
from bequest.cli._sources import model_folder
from bequest.core import Outcome
from bequest.core.validation import validate_path
from bequest.frameworks.files.folder_facts import fact_lines, folder_facts
from bequest.frameworks.files.not_a_folder import single_file
from bequest.hub import Entry, split_reference
from bequest.hub.records.facts import came_of, card_facts, made, taught
from bequest.report.graph_view import spoken

__all__ = ["app"]

app = command(
    "show",
    "bequest show wards/ward7",
    "bequest show wards/ward7@2 --hub /team/hub --json",
    "bequest show wards/ward7 --search",
    "bequest show all-MiniLM-L6-v2/",
)
MOST = 15  # transfers that are listed
WIDE = 80  # columns in a pipe
NAME = 24  # of a task's name in a table, so that a row fits
BRANCH = str.maketrans("├└─", "│  ")


@app.default
def show(
    name: str,
    /,
    *,
    search: Annotated[bool, Parameter(show_default=False)] = False,
    hub: HubPlace = HUB,
    common: Common = COMMON,
) -> None:
    """Show an entry of a hub or a model folder: its card, its parents, what it taught.

    What it was made from is held against the weights: a claim is verified, not verified, or false.

    Parameters
    ----------
    name
        The latest version of this name, or NAME@VERSION; or a model folder, of whatever library,
        which is shown where there is one of that name.
    search
        Also look among all entries for parents that the card does not name; the first search
        reads each of them once.
    """
    place = validate_path(name, "an entry or a model folder").expanduser()
    if place.exists():
        _show_folder(place, common)
        return
    wanted, version = split_reference(name)
    store = bq.Hub(hub)
    entry = store.show(wanted, version)
    versions = [e.version for e in store.list(wanted, every=True) if e.name == wanted]
    lineage = store.lineage(wanted, entry.version, search=search)
    task = entry.card.task.fingerprint
    came = list(made(entry, store.outcomes(task) if task and entry.card.parents else ()))
    gave = list(taught(wanted, store.outcomes(wanted), version))
    if common.json:
        print_json(
            {
                **entry.to_dict(),
                "versions": versions,
                "lineage": [asdict(edge) for edge in lineage.edges],
                "made_by": [came_of(outcome) for outcome in came],
                "taught": [came_of(outcome) for outcome in gave],
            }
        )
        return
    line(entry)
    _print_pairs([*card_facts(entry), ("versions", ", ".join(map(str, versions)))])
    if lineage.edges:
        _print_tree(str(lineage))
    _print_made(came)
    _print_taught(gave)
    _print_files(entry)


def _show_folder(place: Path, common: Common) -> None:
    if place.is_file():
        raise single_file(place)
    facts = folder_facts(model_folder(place))
    if common.json:
        print_json({"folder": place, **facts})
        return
    line(place)
    size = sized(facts.pop("bytes"))
    _print_pairs([*fact_lines(facts), ("size", size)])


def _width() -> int:
    return max(40, shutil.get_terminal_size().columns) if sys.stdout.isatty() else WIDE


def _print_pairs(pairs: Sequence[tuple[str, str]]) -> None:
    widest = min(14, max(len(label) for label, _ in pairs))
    for label, value in pairs:
        first = tidy(label).ljust(widest) + "  "
        _wrap(value, first, " " * (widest + 2))


def _wrap(text: str, first: str, rest: str) -> None:
    """Print a text within the width; a word that is longer than a line is left whole."""
    flat = " ".join(tidy(text).split())
    lines = textwrap.wrap(
        flat,
        _width(),
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    )
    line("\n".join(lines) if lines else first.rstrip())


def _print_tree(tree: str) -> None:
    line("\nMade from")
    for branch in tree.splitlines():
        found = re.match(r"[│├└─ ]*", branch)
        start = found.group() if found else ""
        if len(start) > _width() // 2:  # of many generations: no column is left to wrap in
            line(branch)
        else:
            _wrap(branch[len(start) :], start, start.translate(BRANCH) + "  ")


def _print_made(outcomes: Iterable[Outcome]) -> None:
    for outcome in outcomes:
        gain, interval = _plain(outcome)
        _wrap(
            f"{outcome.method} from {outcome.source}: {gain} ({interval}) over from scratch: "
            f"{outcome.verdict.kind}",
            "\nMade by ",
            "  ",
        )


def _print_taught(outcomes: Sequence[Outcome]) -> None:
    if not outcomes:
        line("\nSource of no recorded transfer")
        return
    kinds = Counter(outcome.verdict.kind for outcome in outcomes)
    line(
        f"\nSource of {len(outcomes)} recorded transfer{'s' if len(outcomes) > 1 else ''}: "
        f"{kinds['helps']} helped, {kinds['hurts']} hurt, {kinds['undecided']} undecided"
    )
    shown = sorted(outcomes, key=lambda o: -o.verdict.gain)
    head = ("to the task", "by", "gain", "interval", "verdict")
    table(head, [_row(outcome) for outcome in shown[:MOST]])
    if len(shown) > MOST:
        line(f"and {len(shown) - MOST} more, which --json has.")


def _row(outcome: Outcome) -> tuple[str, ...]:
    task = outcome.target.name
    task = task if len(task) <= NAME else f"{task[: NAME - 1]}…"
    return (task, outcome.method, *_plain(outcome), outcome.verdict.kind)


def _plain(outcome: Outcome) -> tuple[str, str]:
    """Gain and interval with the signs that every terminal has."""
    gain, interval = (
        part.replace("\N{MINUS SIGN}", "-").replace("\N{NO-BREAK SPACE}", " ")
        for part in spoken(outcome.verdict)
    )
    return gain, interval


def _print_files(entry: Entry) -> None:
    line()
    table(
        ("file", "size", "sha256 (its beginning)"),
        [(path, sized(file.size), file.digest[:16]) for path, file in entry.files.items()],
    )
