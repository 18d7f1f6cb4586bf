"""One tab of a headless browser, driven through a pipe."""

from __future__ import annotations

import base64
import fcntl
import io
import json
import os
import shutil
import subprocess
import time
from pathlib import Path

from PIL import Image

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
QUIET = (
    "--headless",
    "--no-sandbox",
    "--enable-unsafe-swiftshader",
    "--no-first-run",
    "--hide-scrollbars",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-pipe",
)


class Browser:
    """One tab; `browser("Page.navigate", url=...)` is a command of the DevTools protocol."""

    def __init__(self, profile):
        theirs, self._to = os.pipe()
        self._from, back = os.pipe()
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD, 20) for end in (theirs, back)]
        self._process = subprocess.Popen(
            [CHROMIUM, *QUIET, f"--user-data-dir={profile}"],
            preexec_fn=lambda: [
                os.dup2(end, place) for end, place in zip(ends, (3, 4), strict=True)
            ],
            close_fds=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for end in (theirs, back, *ends):
            os.close(end)
        self._said, self._number, self._session, self.events = b"", 0, {}, []
        target = self("Target.createTarget", url="about:blank")["targetId"]
        session = self("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self._session = {"sessionId": session}
        for domain in ("Page", "Runtime", "Log", "Network"):
            self(f"{domain}.enable")

    def __call__(self, method, **params):
        self._number += 1
        message = {"id": self._number, "method": method, "params": params, **self._session}
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while (answer := self._read()).get("id") != self._number:
            self.events.append(answer)
        assert "error" not in answer, answer
        return answer["result"]

    def _read(self):
        while b"\0" not in self._said:
            part = os.read(self._from, 2**20)
            assert part, "the browser is gone"
            self._said += part
        message, _, self._said = self._said.partition(b"\0")
        return json.loads(message)

    def open(self, page, width=1280, height=860):
        self.events.clear()
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self("Emulation.setDeviceMetricsOverride", **size)
        self("Page.navigate", url=Path(page).as_uri())
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self._read())

    def js(self, code):
        found = self("Runtime.evaluate", expression=code, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def until(self, code):
        for _ in range(200):
            if self.js(code):
                return
            time.sleep(0.05)
        raise AssertionError(code)

    def mouse(self, kind, x, y):
        button = "none" if kind == "Moved" else "left"
        self("Input.dispatchMouseEvent", type=f"mouse{kind}", x=x, y=y, button=button,
             buttons=int(kind != "Released"), clickCount=1)  # fmt: skip

    def key(self, key, text=""):
        self("Input.dispatchKeyEvent", type="keyDown", key=key, **({"text": text} if text else {}))
        self("Input.dispatchKeyEvent", type="keyUp", key=key)

    def picture(self):
        found = self("Page.captureScreenshot")["data"]
        return Image.open(io.BytesIO(base64.b64decode(found))).convert("RGB")

    def complaints(self):
        """Exceptions, dialogs, and what the page's policy kept from running."""
        wrong = ("Runtime.exceptionThrown", "Page.javascriptDialogOpening")
        logged = [e for e in self.events if e.get("method") == "Log.entryAdded"]
        return [e for e in self.events if e.get("method") in wrong] + [
            e for e in logged if e["params"]["entry"]["level"] == "error"
        ]

    def close(self):
        try:
            self("Browser.close")
            self._process.wait(20)
        finally:
            self._process.kill()
            self._process.wait()
            os.close(self._to)
            os.close(self._from)
