"""`bequest show`: one entry of a hub."""

from __future__ import annotations

from collections.abc import Iterator

import bequest as bq
from bequest.cli._options import HUB, Common, HubPlace, command
from bequest.cli._say import line, print_json, table
from bequest.cli._size import sized
from bequest.hub import Entry, split_reference

__all__ = ["app"]

app = command("show", "bequest show wards/ward7", "bequest show wards/ward7@2 --json")
_COMMON = Common()


@app.default
def show(name: str, /, *, hub: HubPlace = HUB, common: Common = _COMMON) -> None:
    """Show one entry of a hub, and what it was made from as its weights tell.

    Parameters
    ----------
    name
        The latest version of this name, or NAME@VERSION.
    """
    wanted, version = split_reference(name)
    store = bq.Hub(hub)
    entry = store.show(wanted, version)
    versions = [e.version for e in store.list(wanted, every=True) if e.name == wanted]
    if common.json:
        print_json({**entry.to_dict(), "versions": versions})
        return
    line(entry)
    table(("", ""), list(_facts(entry, versions)))
    line()
    if entry.card.parents:
        for branch in str(store.lineage(wanted, entry.version)).splitlines():
            line(branch)
        line()
    table(
        ("file", "size", "sha256"),
        [(path, sized(file.size), file.digest) for path, file in entry.files.items()],
    )


def _facts(entry: Entry, versions: list[int]) -> Iterator[tuple[str, object]]:
    card = entry.card
    yield "licence", entry.licence
    yield "published", entry.published
    yield "versions", ", ".join(map(str, versions))
    yield "digest", entry.digest
    for word in ("name", "kind", "modality", "rows", "metric"):
        if word in card.task:
            yield f"task {word}", card.task[word]
    if classes := card.task.get("classes"):
        yield "classes", ", ".join(map(str, classes))
    for metric, value in card.metrics.items():
        yield metric, f"{value:.4g}"
    if card.parents:
        yield "made from", ", ".join(card.parents)
    if card.method:
        yield "method", " ".join([card.method, *(f"{k}={v}" for k, v in card.settings.items())])
    for part in card.moved:
        yield "moved", ", ".join(f"{key}: {value}" for key, value in part.items())
