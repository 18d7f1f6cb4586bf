"""A progress bar on a terminal, nothing in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from bequest.cli._console import tidy

__all__ = ["progress"]


@contextmanager
def progress(what: str) -> Iterator[Callable[[str, float | None], None]]:
    """Show how far the work is; the callable takes what is being done, and a share from 0 to 1
    (None where nobody knows).

    Until it is called the first time, the bar only shows that something is going on.
    """
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(
        *columns, console=console, transient=True, disable=not sys.stderr.isatty()
    ) as bar:
        shown = bar.add_task(escape(tidy(what)), total=None)

        def tell(what: str, share: float | None) -> None:
            total = None if share is None else 1.0
            bar.update(shown, description=escape(tidy(what)), total=total, completed=share or 0.0)

        yield tell
