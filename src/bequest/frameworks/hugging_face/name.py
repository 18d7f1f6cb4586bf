"""What a model of the Hugging Face Hub is called: ``hf://org/name`` or ``hf://org/name@revision``.

Such a name becomes part of paths in a cache, so that it is read strictly before anything is done.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from typing import Any, Self, final

from bequest.core.plain_values import quoted
from bequest.errors import ModelError

__all__ = ["HuggingFaceName", "is_huggingface_name"]

# One slash, too: that is what a path makes of it.
SCHEME = re.compile(r"hf:/{1,2}(?!/)")
PART = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?")
REVISION = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.+/-]{0,198}[A-Za-z0-9_+-])?")
COMMIT = re.compile(r"[0-9a-f]{40}")
ODD = ("..", "--", "//")  # of which the first climbs, and the second joins names in the cache


@final
@dataclass(frozen=True)
class HuggingFaceName:
    """A repository of models on the Hub, and one revision of it.

    Parameters
    ----------
    repo : str
        ``org/name``, or the name alone for the few that have no organisation.
    revision : str
        A branch, a tag or a commit; empty for the latest of the default branch.
    """

    repo: str
    revision: str = ""

    @classmethod
    def parse(cls, given: Any) -> Self:
        """Read a name.

        Raises
        ------
        ModelError
            It is not such a name.

        Examples
        --------
        >>> HuggingFaceName.parse("hf://org/name@v1")
        HuggingFaceName(repo='org/name', revision='v1')
        """
        text = SCHEME.sub("hf://", str(given), count=1)
        repo, at, revision = text.removeprefix("hf://").partition("@")
        parts = repo.split("/")
        sound = SCHEME.match(text) and len(parts) <= 2 and all(map(PART.fullmatch, parts))
        if not sound or any(odd in repo for odd in ODD[:2]) or repo.endswith(".git"):
            raise ModelError(
                f"{quoted(text, 100)} names no model of the Hugging Face Hub: "
                "write hf://org/name or hf://org/name@revision."
            )
        if at and (
            not REVISION.fullmatch(revision) or any(o in revision for o in (ODD[0], ODD[2]))
        ):
            raise ModelError(
                f"{quoted(revision, 100)} is no revision of hf://{repo}: name a branch, a tag or a "
                "commit."
            )
        return cls(repo, revision)

    def __str__(self) -> str:
        return f"hf://{self.repo}" + (f"@{self.revision}" if self.revision else "")

    @property
    def pinned(self) -> bool:
        """Whether it names a commit, whose content never changes."""
        return COMMIT.fullmatch(self.revision) is not None

    def at(self, commit: str) -> Self:
        """The same model at a commit, 40 hex digits."""
        return replace(self, revision=commit)


def is_huggingface_name(given: Any) -> bool:
    """Whether a text or path is meant as such a name, sound or not.

    Examples
    --------
    >>> is_huggingface_name("hf://org/name"), is_huggingface_name("org/name")
    (True, False)
    """
    return isinstance(given, str | os.PathLike) and str(given).startswith("hf:/")
