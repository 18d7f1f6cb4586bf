"""`bequest pull`: a model out of a hub."""

from __future__ import annotations

from pathlib import Path

import bequest as bq
from bequest.cli._options import COMMON, HUB, Common, HubPlace, command
from bequest.cli._paths import is_model, new_folder
from bequest.hub import split_reference

__all__ = ["app"]

app = command(
    "pull",
    "bequest pull wards/ward7 --out ward7/",
    "bequest pull wards/ward7@2 --hub /team/hub --out ward7/",
)


@app.default
def pull(name: str, /, *, hub: HubPlace = HUB, out: Path, common: Common = COMMON) -> None:
    """Copy a model out of a hub, every file checked.

    Parameters
    ----------
    name
        The latest version of this name, or NAME@VERSION.
    out
        The model folder to write.
    """
    wanted, version = split_reference(name)
    with new_folder(out, ours=is_model) as folder:
        entry = bq.Hub(hub).fetch(wanted, folder, version)
    pulled = f"Pulled {entry} ({entry.licence}, {entry.digest[:12]})"
    common.answer({**entry.to_dict(), "written": out}, pulled, f"Written: {out}")
