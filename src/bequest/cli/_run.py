"""From the words on the command line to an exit code; the only place where errors are caught.

0 done, 1 refused or failed, 2 wrong usage, 130 interrupted, 141 the reader of our output left.
"""

from __future__ import annotations

import atexit
import difflib
import io
import logging
import os
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

from cyclopts import CycloptsError, UnknownCommandError

from bequest.cli._app import COMMANDS, app
from bequest.cli._console import Said, note, tidy
from bequest.cli._early import check_early
from bequest.core.deadline import STARTED
from bequest.core.timeout import abandoned
from bequest.errors import BequestError

__all__ = ["main", "run"]


def main() -> NoReturn:
    """Run the command line of this process and leave it."""
    signal.signal(signal.SIGTERM, _stop)
    _replace_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # names may hold what this terminal cannot show
            stream.reconfigure(errors="backslashreplace")
    code = run(sys.argv[1:], _age())
    if abandoned():
        _leave_at_once(code)
    sys.exit(code)


def run(tokens: Sequence[str], age: float = 0.0) -> int:
    """Run one command, of what stands behind ``bequest`` on the command line; the exit code.

    `age` is how many seconds ago the process started, for budgets count from there.
    """
    debug = "--debug" in tokens
    STARTED.set(time.perf_counter() - age)
    try:
        with _told(debug):
            check_early(tokens)
            app(tokens, print_error=False, exit_on_error=False, result_action="return_value")
            sys.stdout.flush()
    except UnknownCommandError:
        note(f"{_unknown(tokens[0])} Try: bequest --help")
        return 2
    except CycloptsError as error:
        known = f"{tokens[0]} " if tokens and tokens[0] in COMMANDS else ""
        note(f"{error} Try: bequest {known}--help")
        return 2
    except KeyboardInterrupt:
        note("interrupted: nothing is left half written.")
        return 130
    except BrokenPipeError:
        # `bequest list | head`: whoever read has seen enough; the rest goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except BequestError as error:
        return _failed(str(error), debug)
    except OSError as error:
        return _failed(_of_disk(error), debug)
    except Exception as error:  # the last door before a person: no traceback passes it
        return _failed(f"unexpected {type(error).__name__}: {error} (a bug? see --debug)", debug)
    return 0


def _leave_at_once(code: int) -> NoReturn:
    """Leave while a call that was given up still runs, in torch say.

    The interpreter would end its thread inside of C++, which aborts the whole process.
    """
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # whoever read has left
            stream.flush()
    os._exit(code)


def _age() -> float:
    """Seconds since this process started; 0 where the system does not say it."""
    try:
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        up = float(Path("/proc/uptime").read_text().split()[0])
        return max(0.0, up - float(fields[19]) / os.sysconf("SC_CLK_TCK"))
    except (OSError, ValueError, IndexError):  # no Linux
        return 0.0


def _replace_closed_streams() -> None:
    """Who closed them (``>&-``) wants to hear nothing; no file of ours may come in their place."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115


def _failed(line: str, debug: bool) -> int:
    if debug:
        print(tidy(traceback.format_exc()), end="", file=sys.stderr)
    note(line)
    return 1


def _of_disk(error: OSError) -> str:
    """The fault and its place, without the number that only the system knows."""
    if error.strerror is None:
        return f"the system failed: {error or type(error).__name__}."
    places = " and ".join(str(place) for place in (error.filename, error.filename2) if place)
    what = error.strerror[:1].lower() + error.strerror[1:]
    return f"{places}: {what}." if places else f"the system failed, it did not say where: {what}."


def _unknown(name: str) -> str:
    # Said here, because the library would import every command for its own line.
    close = difflib.get_close_matches(name, COMMANDS, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return f"no command named {name!r}.{hint} Known: {', '.join(COMMANDS)}."


def _stop(number: int, frame: object) -> NoReturn:
    # An exception rather than death: what was half written is removed on the way out.
    raise SystemExit(128 + number)


@contextmanager
def _told(debug: bool) -> Iterator[None]:
    """Log to stderr: what a person must know as lines of ours, everything with --debug."""
    logger = logging.getLogger("bequest")
    handler = Said()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG if debug else logging.WARNING)
    try:
        with warnings.catch_warnings():
            if not debug:
                warnings.simplefilter("ignore")
            yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
