"""The one door to huggingface_hub: its client, and its errors in our words."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

from bequest.errors import BequestError, ModelError, OutOfTime
from bequest.frameworks.hugging_face.name import HuggingFaceName
from bequest.optional import need

__all__ = ["client", "translated"]

TOKEN = "(hf auth login, or HF_TOKEN)"
ODD = (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError)  # of odd answers
_LOCK = Lock()
_LEVELS: list[int] = []


def client() -> Any:
    """huggingface_hub's client, with its cache, its tokens and its settings."""
    hub = need("huggingface_hub", extra="hf", purpose="models by their name on the Hub")
    return hub.HfApi(library_name="bequest")


@contextmanager
def translated(
    name: HuggingFaceName, refusal: type[BequestError] = ModelError, what: str = "fetched"
) -> Iterator[None]:
    """Say in one line of ours what huggingface_hub, the network or the disk has to say.

    Parameters
    ----------
    name : HuggingFaceName
        What was asked for.
    refusal : type of BequestError
        Raised in place of theirs.
    what : str
        What was to be done, as it reads after "could not be".
    """
    try:
        with _quiet():
            yield
    except OutOfTime as error:
        raise refusal(f"the Hub does not answer for {name}.") from error
    except BequestError:
        raise
    except (OSError, ValueError, RuntimeError, *ODD) as error:
        raise refusal(_said(error, name, what)) from error
    except Exception as error:
        if not _theirs(error):
            raise
        raise refusal(_said(error, name, what)) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep huggingface_hub from logging each attempt: what came of them is said once."""
    logger = logging.getLogger("huggingface_hub")
    with _LOCK:
        _LEVELS.append(logger.level)
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        with _LOCK:  # the last of several threads puts back what the first one found
            level = _LEVELS.pop()
            logger.setLevel(logging.ERROR if _LEVELS else level)


def _theirs(error: Exception) -> bool:
    module = type(error).__module__.partition(".")[0]
    return module in ("huggingface_hub", "httpx", "httpx2", "httpcore", "httpcore2", "hf_xet")


def _said(error: Exception, name: HuggingFaceName, what: str) -> str:
    errors = need("huggingface_hub.errors", extra="hf", purpose="models by their name on the Hub")
    absent = (
        errors.LocalEntryNotFoundError,
        errors.OfflineModeIsEnabled,
        errors.RevisionResolutionError,
    )
    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, errors.GatedRepoError):
        return (
            f"hf://{name.repo} is gated: accept its terms on its page of the Hub, and give a token "
            f"of yours {TOKEN}."
        )
    if isinstance(error, errors.RepositoryNotFoundError):
        return (
            f"the Hub shows no model hf://{name.repo}: there is none of that name, or it is "
            f"private and no token that may see it is given {TOKEN}."
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return f"hf://{name.repo} has no revision {name.revision or 'main'}."
    if isinstance(error, absent) and what == "fetched":
        return f"{name} is not in the cache as a whole, and the Hub cannot be reached."
    if status in (401, 403):
        return f"the Hub does not allow it for hf://{name.repo}: give a token that may {TOKEN}."
    if status is not None and (status >= 500 or status == 429):
        return f"the Hub answers {status} for {name}: try again later."
    if status is not None:
        return f"the Hub answers {status} for {name}: {_line(error)}"
    if _theirs(error) and isinstance(error, (errors.HTTPError, *absent)):
        return f"the Hub cannot be reached for {name} ({type(error).__name__})."
    return f"{name} could not be {what}: {_line(error)}"


def _line(error: Exception) -> str:
    said = getattr(error, "server_message", None) or str(error) or type(error).__name__
    return " ".join(said.split())[:200]
