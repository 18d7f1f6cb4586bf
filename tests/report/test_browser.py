"""The page in a real browser."""

from __future__ import annotations

import html
import shutil
import subprocess

import pytest
from PIL import Image

from bequest.report import render, write_report

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
QUIET = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--hide-scrollbars",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no chromium on PATH to look at the page with")


def browse(page, *flags: str, profile) -> str:
    command = [CHROMIUM, *QUIET, f"--user-data-dir={profile}", *flags, page.as_uri()]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return run.stdout


def test_a_browser_paints_the_page_and_shows_what_matters(tmp_path, samples):
    page = write_report(samples["helps"](), tmp_path / "report.html")
    picture = tmp_path / "report.png"
    shot = f"--screenshot={picture}"
    dom = browse(page, shot, "--window-size=1000,1600", "--dump-dom", profile=tmp_path / "a")
    if not picture.exists():
        browse(page, shot, "--window-size=1000,1600", profile=tmp_path / "b")
    for words in (
        "about 12 more right answers in 100",
        "118",
        "The gain over training from scratch",
        "Which source",
        "Every arm that was tried",
    ):
        assert words in dom
    image = Image.open(picture).convert("L")
    shades = image.getcolors(256)
    assert shades is not None
    assert len(shades) > 40, "a blank page has one shade"
    most = max(count for count, _ in shades) / (image.width * image.height)
    assert 0.5 < most < 0.99


@pytest.mark.parametrize("name", ["helps", "crowded"])
def test_a_phone_never_scrolls_sideways(tmp_path, samples, name):
    text = render(samples[name]()).replace("default-src 'none';", "")
    frame = (
        f"<iframe srcdoc='{html.escape(text, quote=True)}' style='width:390px;height:900px' "
        "onload='document.title = this.contentDocument.documentElement.scrollWidth'></iframe>"
    )
    page = tmp_path / "phone.html"
    page.write_text(f"<!DOCTYPE html><title>not loaded</title>{frame}", encoding="utf-8")
    dom = browse(page, "--dump-dom", profile=tmp_path / "profile")
    assert "<title>390</title>" in dom
