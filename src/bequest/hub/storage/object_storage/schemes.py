"""The addresses of object storage, and what each asks for as credentials."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from bequest.errors import HubError
from bequest.hub.storage.object_storage.bucket import Bucket
from bequest.hub.storage.object_storage.store import RemoteStore
from bequest.hub.storage.store import Store

__all__ = ["CACHES", "open_az", "open_file", "open_gs", "open_s3"]

CACHES = Path("~/.cache/bequest")


def _open(
    credentials: str, url: str, *, wait: float, cache: Path | None, storage: Mapping[str, Any]
) -> Store:
    bucket = Bucket(url, storage, credentials)
    return RemoteStore(bucket, cache or _cache_of(url, storage), wait)


def _cache_of(url: str, storage: Mapping[str, Any]) -> Path:
    """Another folder for each address, named so that a person knows it."""
    told_apart = json.dumps([url.removesuffix("/"), str(storage.get("endpoint", ""))])
    readable = re.sub(r"[^a-z0-9]+", "-", url.lower())[-40:].strip("-")
    name = f"{readable}-{hashlib.sha256(told_apart.encode()).hexdigest()[:16]}"
    try:
        return (CACHES / name).expanduser()
    except RuntimeError as error:  # nobody knows where this user's home is
        raise HubError(f"there is no home folder for the cache of {url}: give cache=.") from error


open_s3 = partial(_open, "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
open_gs = partial(_open, "set GOOGLE_APPLICATION_CREDENTIALS to the path of a key file")
open_az = partial(_open, "set AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY")
open_file = partial(_open, "")  # a folder asks for none
