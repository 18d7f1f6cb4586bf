"""The table of commands. A file of theirs is imported only when its command is called."""

from __future__ import annotations

from importlib.metadata import version

from cyclopts import App

__all__ = ["COMMANDS", "app"]

COMMANDS = {
    "demo": "See it work: a source that helps and one that hurts, on real data.",
    "train": "Train a model from scratch: a first source.",
    "rank": "Rank sources for a task, before anything is trained.",
    "suggest": "Name models of a hub that are likely to help, before any is opened.",
    "transfer": "Choose a source, move what fits, verify the gain over from scratch.",
    "pretrained": "List pretrained sources that install as packages.",
    "predict": "Predict with a model folder.",
    "report": "Write the HTML page of an outcome.",
    "publish": "Put a model into a hub.",
    "pull": "Copy a model out of a hub.",
    "list": "List what a hub holds.",
    "show": "Show an entry of a hub or a model folder: its card, its parents, what it taught.",
    "map": "Plan which parameters of a source go where in a target.",
    "convert": "Turn a checkpoint that is a pickle into safetensors.",
    "query": "Ask a hub's knowledge graph, in SPARQL.",
    "graph": "Write the HTML page of a hub's graph: who taught whom, and what it brought.",
    "hub": "Care for a hub: verify it, record outcomes, carry entries to another hub.",
}

app = App(
    name="bequest",
    help="Pass on what models have learned: choose, move, verify, record and share.",
    help_epilogue=(
        "Examples:\n"
        "  bequest demo\n"
        "  bequest train ward3.csv --target outcome --out ward3/\n"
        "  bequest transfer ward7.csv --target outcome --source ward3/ --out ward7/"
    ),
    help_format="plaintext",
    version=lambda: version("bequest"),
    suppress_keyboard_interrupt=False,
    sort_key=None,
)
for place, (name, summary) in enumerate(COMMANDS.items()):
    app.command(f"bequest.cli.{name}:app", name=name, help=summary, sort_key=place)
