"""What can be seen to be wrong before the libraries are imported, which takes seconds."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from bequest.cli._paths import existing
from bequest.errors import BudgetTooSmall, DataError
from bequest.frameworks.files.not_a_folder import is_onnx, single_file
from bequest.frameworks.hugging_face.name import HuggingFaceName, is_huggingface_name
from bequest.frameworks.pretrained.catalogue import pretrained_named

__all__ = ["check_budget", "check_early", "check_held_out", "check_model", "check_source"]

DATA_AT = {"train": 1, "rank": 1, "transfer": 1, "predict": 2}  # which word is the data
WITH_SOURCES = ("rank", "transfer")


def check_early(tokens: Sequence[str]) -> None:
    """Raise where a path of a command is not there, or its budget is none.

    What is no such mistake, or cannot be told without the command's own reading of the words, is
    left to the command, which checks again.
    """
    command = tokens[0] if tokens else ""
    if any(word.strip().endswith("=") or not word.strip() for word in tokens):
        return  # a path that is empty is wrong usage
    if command not in DATA_AT or {"--help", "-h", "--version"}.intersection(tokens):
        return
    words = tokens[: DATA_AT[command] + 1]
    if len(words) > DATA_AT[command] and all(word and word[0] != "-" for word in words):
        existing(Path(words[-1]))
    for name in ("test", "unlabelled"):
        for value in _values(tokens, f"--{name}"):
            check_held_out(name, Path(value))
    for value in _values(tokens, "--source") if command in WITH_SOURCES else ():
        check_source(Path(value))
    for value in _values(tokens, "--budget"):
        if (seconds := _number(value)) is not None:
            check_budget(seconds)


def _values(tokens: Sequence[str], option: str) -> Iterator[str]:
    for place, word in enumerate(tokens):
        name, equals, value = word.partition("=")
        value = value if equals else "".join(tokens[place + 1 : place + 2])
        if name == option and value and not value.startswith("-"):
            yield value


def _number(value: str) -> float | None:
    try:
        return float(value)
    except ValueError:  # the command says so
        return None


def check_held_out(name: str, path: Path) -> None:
    """Raise where nothing is at the path that an option names."""
    if not path.expanduser().exists():
        raise DataError(f"there is no file or folder {path}, which --{name} names.")


def check_budget(budget: float) -> None:
    """Raise where it is no number of seconds above zero."""
    if not 0 < budget < math.inf:
        raise BudgetTooSmall(f"--budget must be a number of seconds above zero, not {budget:g}.")


def check_source(folder: Path) -> None:
    """Raise where no source is there, or a file that is no whole model."""
    place = check_model(folder)
    if place.is_file() and not is_onnx(place):
        raise single_file(place)


def check_model(place: Path) -> Path:
    """The path itself, where something is there, or a model elsewhere is called so."""
    if is_huggingface_name(place):
        HuggingFaceName.parse(place)
        return place
    if not place.expanduser().exists():
        pretrained_named(place).path()
    return place.expanduser()
