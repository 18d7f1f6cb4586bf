"""Where a hub may stand, for the tests that hold everywhere."""

from __future__ import annotations

import subprocess
import sys
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import pytest

from bequest.hub import Hub

# For a test that takes `hub`: in a folder, and on object storage.
everywhere = pytest.mark.parametrize("hub", ["folder", "file", "s3"], indirect=True)


@dataclass(frozen=True)
class Shared:
    """A prefix of a bucket, and a folder for the caches of those who use it."""

    url: str
    endpoint: str
    folder: Path

    def hub(self, cache: str = "one", who: str = "owner", **options) -> Hub:
        return Hub(self.url, cache=self.folder / cache, storage=self.storage(who), **options)

    def storage(self, who: str = "owner") -> dict[str, str]:
        if self.url.startswith("file:"):
            return {}
        return {
            "endpoint": self.endpoint,
            "region": "us-east-1",
            "access_key_id": who,
            "secret_access_key": "secret",
        }


def serve():
    """Start a server, yield its address, stop it."""
    script = Path(__file__).with_name("s3_server.py")
    process = subprocess.Popen(
        [sys.executable, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        address = process.stdout.readline().strip()
        make = urllib.request.Request(f"{address}/bucket", method="PUT")
        with urllib.request.urlopen(make, timeout=30):
            yield address
        process.stdin.close()
        process.wait(30)
