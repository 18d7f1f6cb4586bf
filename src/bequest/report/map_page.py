"""The page of a parameter map: which parameters go where, by which rule, and how sure that is."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path

from markupsafe import Markup

from bequest.core import Outcome
from bequest.errors import MapError
from bequest.mapping import ParameterMap
from bequest.report import template
from bequest.report.map_view import MapView, view_of
from bequest.report.template import PAGES, write_page

__all__ = ["map_of", "render_map", "write_map"]


def render_map(
    plan: ParameterMap, *, source: str = "the source", target: str = "the target"
) -> str:
    """A parameter map as a whole page of HTML that needs no other file and no network.

    All names are escaped; the one script, which filters the rows, is ours and named to the browser
    by its sha256.

    Examples
    --------
    >>> import bequest as bq
    >>> from torch import nn
    >>> net = nn.Sequential(nn.Linear(4, 3))
    >>> "100" in render_map(bq.map_parameters(net, net), source="ward 3")
    True
    """
    script = template.source("map.js").strip()
    return PAGES.get_template("map_page.html").render(
        map=view_of(plan),
        source=source,
        target=target,
        script=Markup(script),  # our own file
        digest=template.digest(script),
        version=version("bequest"),
    )


def write_map(
    plan: ParameterMap, path: str | Path, *, source: str = "the source", target: str = "the target"
) -> Path:
    """Write the page of a parameter map to a file, see `write_page`."""
    return write_page(path, render_map(plan, source=source, target=target))


def map_of(outcome: Outcome) -> MapView | None:
    """The map that an outcome keeps; None where its method made none, or it cannot be read."""
    if not outcome.parameter_map:
        return None
    try:
        return view_of(ParameterMap.from_json(json.dumps(outcome.parameter_map)))
    except (MapError, OverflowError):
        return None  # `moved` says the same in short
