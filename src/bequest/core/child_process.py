"""A script of ours in a process that may take so many bytes and no more.

This file is also what starts it, run as a file and without the package: a child whose work is done
in milliseconds must not first import all that we do.
"""

from __future__ import annotations

import os
import runpy
import sys
from contextlib import suppress
from types import ModuleType

if sys.platform != "win32":
    import resource

__all__ = ["allowed", "command"]


def command(script: str, *arguments: str, memory: int, needs: ModuleType) -> list[str]:
    """The command that runs a script in Python, apart from all that is installed but one package.

    Parameters
    ----------
    script : str
        A file, with ``if __name__ == "__main__"``.
    *arguments : str
        What it finds in ``sys.argv[1:]``.
    memory : int
        Bytes of addresses that it may take, where the system can limit that; fewer where it lets
        us have no more.
    needs : module
        A package that it imports; whatever is installed beside it can be imported, too.

    Returns
    -------
    list of str
    """
    packages = os.path.dirname(os.path.dirname(os.path.abspath(str(needs.__file__))))
    start = (sys.executable, "-I", "-S", os.path.abspath(__file__))
    return [*start, str(memory), packages, script, *arguments]


def allowed(memory: int) -> int:
    """How many of these bytes a process of ours may take; all of them where nothing is known.

    Examples
    --------
    >>> allowed(2**20) <= 2**20
    True
    """
    if sys.platform == "win32":
        return memory
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    return memory if hard == resource.RLIM_INFINITY else min(memory, hard)


def _limit(memory: int) -> None:
    if sys.platform == "win32":
        return
    for kind, most in ((resource.RLIMIT_AS, allowed(memory)), (resource.RLIMIT_CORE, 0)):
        with suppress(OSError, ValueError):  # macOS takes no limit on addresses
            resource.setrlimit(kind, (most, most))


if __name__ == "__main__":
    _limit(int(sys.argv[1]))
    sys.path.append(sys.argv[2])
    del sys.argv[:3]
    runpy.run_path(sys.argv[0], run_name="__main__")
