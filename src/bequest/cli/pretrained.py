"""`bequest pretrained`: the pretrained sources that install as packages."""

from __future__ import annotations

from typing import Any

import bequest as bq
from bequest.cli._console import line, print_json, sized, table
from bequest.cli._options import COMMON, Common, command
from bequest.frameworks.pretrained.catalogue import Pretrained

__all__ = ["app"]

app = command(
    "pretrained",
    "bequest pretrained",
    "bequest pretrained --json",
)


@app.default
def list_pretrained(*, common: Common = COMMON) -> None:
    """List pretrained sources that install as packages; --source takes their names."""
    found = list(bq.pretrained().values())
    if common.json:
        print_json([_values(one) for one in found])
        return
    rows = [
        (one.name, one.modality, one.licence, sized(one.size), "yes" if one.installed else "no")
        for one in found
    ]
    table(("name", "inputs", "licence", "size", "installed"), rows)
    line()
    for one in found:
        line(f"{one.name}: {one.about}")
        if not one.installed:
            line(f"  pip install '{one.install}'")


def _values(one: Pretrained) -> dict[str, Any]:
    names = ("name", "modality", "about", "licence", "package", "version", "file", "sha256")
    values: dict[str, Any] = {name: getattr(one, name) for name in names}
    return values | {
        "bytes": one.size,
        "parameters": one.parameters,
        "installed": one.installed,
        "install": one.install,
        "citation": one.citation,
    }
