"""The one door for packages that are optional, or too heavy to import with the face."""

from __future__ import annotations

import importlib
from typing import Any

from bequest.errors import MissingExtra

__all__ = ["need"]


def need(module: str, *, extra: str, purpose: str) -> Any:
    """Import `module` when it is used, or say how to get it.

    Parameters
    ----------
    module : str
        Dotted name of the module.
    extra : str
        The extra of bequest that brings it; ``""`` for what the core installs already and only
        loads late.
    purpose : str
        What it is for, as it reads after "is needed for".

    Returns
    -------
    module
        The imported module.

    Raises
    ------
    MissingExtra
        The package is not installed.

    Examples
    --------
    >>> need("json", extra="", purpose="reading cards").loads("[1]")
    [1]
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        wanted = f"bequest[{extra}]" if extra else package
        raise MissingExtra(
            f"{package} is needed for {purpose} and is not installed ({error}).\n"
            f"Install it: pip install '{wanted}'",
            name=package,
        ) from error
