"""The command line: one file per command, imported when that command is called."""

from bequest.cli._app import app
from bequest.cli._run import main, run

__all__ = ["app", "main", "run"]
