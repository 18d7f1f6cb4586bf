"""What several commands ask for in the same words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, final, get_args

from cyclopts import App, CycloptsError, Parameter, Token, convert

from bequest.cli._console import line, print_json

__all__ = ["COMMON", "HUB", "Common", "HubPlace", "command"]

# A text: a Path would lose one slash of an address.
HubPlace = Annotated[
    str,
    Parameter(
        metavar="PLACE", help="The hub: its folder, or an address such as s3://bucket/prefix."
    ),
]
HUB = "~/.bequest"


@final
@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Common:
    """Options that every command has."""

    json: Annotated[bool, Parameter(show_default=False)] = False
    """Print JSON, for machines."""

    debug: Annotated[bool, Parameter(show_default=False)] = False
    """Show the traceback of an error, and all that is logged."""

    def answer(self, values: object, *lines: object) -> None:
        """Print values as JSON where that is wanted, else lines for a person."""
        if self.json:
            print_json(values)
        else:
            for one in lines:
                line(one)


COMMON = Common()


def command(name: str, *examples: str) -> App:
    """The app of one command, with its examples at the end of its help."""
    return App(
        name=name,
        help_epilogue="\n  ".join(["Examples:", *examples]),
        help_format="plaintext",
        default_parameter=Parameter(negative=(), converter=_converted),
    )


def _converted(hint: Any, tokens: Sequence[Token]) -> Any:
    """What cyclopts makes of tokens, but for an empty path: it would be the current folder."""
    for token in tokens:
        if Path in (hint, *get_args(hint)) and not token.value.strip():
            raise CycloptsError(msg=f"{token.keyword or 'A path'} is empty: name a file or folder.")
    return convert(hint, tokens)
