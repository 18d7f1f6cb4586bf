from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import shutil
import subprocess
from dataclasses import replace

import pytest
from tests.report.page_tags import Tags
from torch import nn

import bequest as bq
from bequest.errors import DataError
from bequest.mapping import Entry, ParameterMap
from bequest.report import render, render_map, write_map
from bequest.report.map_view import view_of

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
EVIL = "<script>alert(1)</script>\"><img src=x onerror=alert(1)>'{{ 7 * 7 }}"


def net(width, classes):
    return nn.Sequential(nn.Linear(4, width), nn.BatchNorm1d(width), nn.Linear(width, classes))


@pytest.fixture(scope="module")
def refused():
    """Four columns against six, and no names: the first layer is refused."""
    other = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
    return bq.map_parameters(net(8, 3), other)


@pytest.fixture(scope="module")
def sound():
    return bq.map_parameters(net(8, 3), net(16, 4), skip="2")


def large(count=1000):
    made = [
        Entry(f"body.{n // 10}.part{n % 10}.weight", (3, 4), "weight", (), (), "initialised", 1.0)
        for n in range(count)
    ]
    return ParameterMap(tuple(made))


def test_the_page_is_whole_and_says_what_comes_from_where(sound):
    page = Tags(render_map(sound, source="ward 3", target="ward 7"))
    assert page.open == []
    assert "Parameter map from ward 3 to ward 7" in page.text
    moved = sum(entry.copied + entry.reshaped for entry in sound.entries if entry.moves) - 1
    total = 16 * 4 + 16 * 5 + 16 * 4 + 4  # the counter of the batches is no number of the network
    assert f"{round(100 * moved / total, 1):g}\xa0% of the target’s {total} parameters" in page.text
    for words in ("initialised (skipped)", "running_mean", "16 × 4", "2 tensors of the sou"):
        assert words in page.text


def test_what_is_refused_stands_above_the_table(refused):
    text = render_map(refused)
    assert "cannot be applied" in text
    assert text.index("4 input columns against 6") < text.index('id="tensors"')
    assert text.count('class="chip refused"') >= 1


def test_doubts_of_a_stored_map_are_shown(sound):
    stored = ParameterMap.from_json(sound.to_json())
    other = bq.map_parameters(net(8, 3), net(16, 4), skip=["2", "0"], plan=stored)
    assert other.discrepancies
    assert "suggest another map" in render_map(other)


def test_names_of_strangers_are_escaped():
    entry = Entry(EVIL, (2,), EVIL, (EVIL,), (), EVIL, 0.4, problem=EVIL)
    plan = ParameterMap((entry,), unused=(EVIL,), notes=(EVIL,))
    text = render_map(plan, source=EVIL, target=EVIL)
    page = Tags(text)
    assert [tag for tag, _ in page.seen].count("script") == 1
    assert not [attrs for _, attrs in page.seen if any(name.startswith("on") for name in attrs)]
    assert "img" not in [tag for tag, _ in page.seen]
    assert page.text.count("{{ 7 * 7 }}") >= 5


def test_the_policy_of_the_page_allows_its_one_script_and_nothing_else(sound):
    text = render_map(sound)
    [script] = re.findall(r"<script>(.*?)</script>", text, re.S)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = next(
        attrs["content"]
        for tag, attrs in Tags(text).seen
        if tag == "meta" and "http-equiv" in attrs
    )
    assert policy == (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    )
    assert not re.search(r"https?://|url\(|@import", text)


def test_few_tensors_are_all_shown_and_many_are_folded_by_block():
    assert all(block.open for block in view_of(large(50)).blocks)
    view = view_of(large(1000))
    assert not any(block.open for block in view.blocks)
    assert [block.name for block in view.blocks[:2]] == ["body.0", "body.1"]
    assert view_of(large(6000)).more == 1000


def test_a_block_with_a_refused_tensor_is_open_and_as_sure_as_its_least_sure():
    bad = replace(large(1000).entries[500], problem="no")
    plan = replace(large(1000), entries=(*large(1000).entries[:500], bad))
    assert [block.name for block in view_of(plan).blocks if block.open] == ["body.50"]


def test_a_map_of_nothing_has_a_page():
    assert "no parameters to fill" in render_map(ParameterMap(()))


def test_a_page_into_no_folder_is_one_line(sound, tmp_path):
    with pytest.raises(DataError, match="there is no folder"):
        write_map(sound, tmp_path / "no" / "map.html")


def test_the_report_shows_the_map_that_its_outcome_keeps(samples, refused):
    outcome = samples["helps"]()
    kept = replace(outcome, parameter_map=json.loads(refused.to_json()))
    text = render(kept)
    assert Tags(text).open == []
    assert "The parameter map: 9 tensors" in text
    assert "1.running_mean" in text
    assert "<script" not in text
    broken = replace(outcome, parameter_map={"format": 99})
    assert "The parameter map" not in render(broken)
    assert "The parameter map" not in render(outcome)


def browse(page, profile, *flags):
    command = [
        CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
        "--disable-background-networking", f"--user-data-dir={profile}", *flags, page.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout


@pytest.mark.skipif(not CHROMIUM, reason="no chromium on PATH to look at the page with")
def test_in_a_browser_the_script_runs_under_the_policy_and_filters(tmp_path):
    page = tmp_path / "map.html"
    text = render_map(large(1000))
    assert Tags(text).open == []
    page.write_text(text, encoding="utf-8")
    dom = browse(page, tmp_path / "a", "--dump-dom")
    assert '<div id="filter" role="search">' in dom, "the script shows the box that it serves"
    typed = (
        "const i = document.querySelector('#filter input'); i.value = 'body.7. part3'; "
        "i.dispatchEvent(new Event('input'));"
    )
    loose = re.sub(r"; script-src '[^']*'", "; script-src 'unsafe-inline'", text)
    page.write_text(loose.replace("</body>", f"<script>{typed}</script></body>"), encoding="utf-8")
    dom = browse(page, tmp_path / "b", "--dump-dom")
    assert "<output>1 of 1,000</output>" in dom
    assert len(re.findall(r'<details class="block [^>]*hidden', dom)) == 99


@pytest.mark.skipif(not CHROMIUM, reason="no chromium on PATH to look at the page with")
def test_on_a_phone_the_page_never_scrolls_sideways(tmp_path, refused):
    long = replace(refused.entries[0], target="module." * 12 + "very_long_name_of_a_tensor" * 3)
    text = render_map(replace(refused, entries=(long, *refused.entries)))
    text = text.replace("default-src 'none';", "")
    frame = (
        f"<iframe srcdoc='{html.escape(text, quote=True)}' style='width:390px;height:900px' "
        "onload='document.title = this.contentDocument.documentElement.scrollWidth'></iframe>"
    )
    page = tmp_path / "phone.html"
    page.write_text(f"<!DOCTYPE html><title>not loaded</title>{frame}", encoding="utf-8")
    assert "<title>390</title>" in browse(page, tmp_path / "profile", "--dump-dom")
