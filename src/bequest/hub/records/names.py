"""Names of entries: one strict pattern that means the same on every platform."""

from __future__ import annotations

import re
from numbers import Integral
from typing import Any

from bequest.errors import HubError

__all__ = [
    "LONGEST",
    "checked_name",
    "checked_version",
    "digest_in",
    "name_and_version",
    "split_reference",
]

LONGEST = 128  # characters of a whole name
_MOST = 10**9  # versions of one name

# ASCII only, so that no two names look alike; a segment ends in a letter or a digit, so that no
# file system cuts a dot off; lower case only, so that none folds two names into one.
_SEGMENT = r"[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?"
_NAME = re.compile(rf"{_SEGMENT}(?:/{_SEGMENT}){{0,2}}")
_VERSION = re.compile(r"[1-9][0-9]{0,8}")
_DIGEST = re.compile(r"(?:sha256:)?([0-9a-f]{64})")
_DEVICES = frozenset(
    ["con", "prn", "aux", "nul", "conin$", "conout$"]
    + [f"{device}{digit}" for device in ("com", "lpt") for digit in range(10)]
)


def checked_name(name: str) -> str:
    """Give the name back, or say what is wrong with it.

    Parameters
    ----------
    name : str
        One to three segments joined by ``/``, each of lower-case ASCII letters, digits and
        ``-_.``, beginning and ending with a letter or a digit; 128 characters at most; no ``..``
        and no device name of Windows.

    Returns
    -------
    str
        `name`, unchanged.

    Raises
    ------
    HubError
        The name breaks the pattern.

    Examples
    --------
    >>> checked_name("wards/ward7")
    'wards/ward7'
    >>> checked_name("../../etc/passwd")
    Traceback (most recent call last):
        ...
    bequest.errors.HubError: '../../etc/passwd' is no name for a hub: '..' leads out of it. Use ...
    """
    if not isinstance(name, str):
        raise HubError(f"a name in a hub is text, not a {type(name).__name__}.")
    fault = _fault(name)
    if fault:
        shown = name if len(name) <= 60 else f"{name[:57]}..."
        raise HubError(
            f"{shown!a} is no name for a hub: {fault}. Use one to three parts joined by '/', of "
            f"lower-case letters, digits and '-_.', such as 'wards/ward7'."
        )
    return name


def split_reference(text: str) -> tuple[str, int | None]:
    """Split ``name@version``, as `Entry` prints itself, into its two parts.

    Examples
    --------
    >>> split_reference("wards/ward7@2"), split_reference("wards/ward7")
    (('wards/ward7', 2), ('wards/ward7', None))
    """
    name, at, version = text.partition("@")
    if not at:
        return checked_name(name), None
    if not _VERSION.fullmatch(version):
        raise HubError(f"{version!a} is no version: versions are whole numbers from 1.")
    return checked_name(name), int(version)


def name_and_version(said: Any) -> tuple[str, int | None]:
    """Split what a record calls a model, whoever wrote it: nothing is refused.

    Where no version stands at the end, all of it is the name.

    Examples
    --------
    >>> name_and_version("wards/ward7@2"), name_and_version("a@b@3"), name_and_version("Net @ 3")
    (('wards/ward7', 2), ('a@b', 3), ('Net @ 3', None))
    """
    text = str(said)
    name, at, version = text.rpartition("@")
    if at and _VERSION.fullmatch(version):
        return name, int(version)
    return text, None


def digest_in(said: str) -> str | None:
    """The digest that a card names, with ``sha256:`` before it or without; None where none.

    Examples
    --------
    >>> digest_in("sha256:" + "0f" * 32) == digest_in("0f" * 32), digest_in("wards/ward7")
    (True, None)
    """
    found = _DIGEST.fullmatch(said)
    return found.group(1) if found else None


def checked_version(version: Any, what: str = "a version") -> int | None:
    """The version that was asked for, or one line where it is no whole number.

    Examples
    --------
    >>> checked_version(2), checked_version(None)
    (2, None)
    >>> checked_version(True)
    Traceback (most recent call last):
        ...
    bequest.errors.HubError: a version is a whole number, such as 2, not a bool: True.
    """
    if version is None:
        return None
    # True would be 1, and SQLite takes "1" and 1.0 for 1, too.
    if isinstance(version, bool) or not isinstance(version, Integral):
        kind, shown = type(version).__name__, f"{version!a:.80}"
        raise HubError(f"{what} is a whole number, such as 2, not a {kind}: {shown}.")
    if abs(int(version)) >= _MOST:
        raise HubError(f"{what} has nine digits at most.")
    return int(version)


def _fault(name: str) -> str:
    if not name:
        return "it is empty"
    if len(name) > LONGEST:
        return f"it has {len(name)} characters, {LONGEST} are the most"
    if ".." in name:
        return "'..' leads out of it"
    if not _NAME.fullmatch(name):
        return "it breaks the pattern"
    devices = [part for part in name.split("/") if part.split(".")[0] in _DEVICES]
    return f"{devices[0]!r} is a device on Windows" if devices else ""
