"""The page of a hub's graph in a real browser, driven through a pipe.

`python tests/report/test_graph_page_browser.py` prints what 10,000 nodes and 30,000 edges cost;
with a file name, such as `docs/images/hub-graph.png`, it draws a smaller graph there.
"""

from __future__ import annotations

import base64
import fcntl
import io
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bequest.core import Verdict
from bequest.report.graph_page import write_graph
from bequest.report.graph_view import GraphEdge, GraphNode, HubGraph

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
EVIL = "</script><script>window.ran = 1</script><img src=x onerror='window.ran = 1'>"

pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no chromium on PATH to look at the page with")


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


def node_at(browser, number):
    """Where a node stands in the window."""
    return browser.js(
        f"(() => {{ const g = window.bequestGraph, p = g.framedGraphToViewport("
        f"g.getNodeDisplayData('{number}')), b = document.querySelector('#stage')"
        ".getBoundingClientRect(); return [p.x + b.left, p.y + b.top] })()"
    )


def made(models=60, tasks=6, transfers=90, parents=20, seed=0):
    """A graph of the shape that hubs have: groups of tasks, and models that help within one."""
    rng = np.random.default_rng(seed)
    own = rng.choice(tasks, models, p=(share := 1 / np.arange(1, tasks + 1) ** 0.7) / share.sum())
    groups = np.arange(tasks) % max(1, min(12, tasks // 2))
    nodes = [GraphNode(f"t{t}", f"task {t}", "task", "", (("rows", "400"),)) for t in range(tasks)]
    for m in range(models):
        facts = (("published", "2026-11-20T10:00:00+00:00"), ("digest", f"{m:064x}"))
        licence = ("MIT", "Apache-2.0", "CC-BY-4.0")[m % 3]
        nodes.append(GraphNode(f"m{m}", f"team{own[m]}/model-{m}", "model", licence, facts))
    edges = [GraphEdge(f"m{m}", f"t{own[m]}", "trained on") for m in range(models)]
    for m in range(1, parents + 1):
        verified = (None, True, False)[m % 3]
        edges.append(GraphEdge(f"m{m - 1}", f"m{m}", "made from", "fine-tune", verified=verified))
    for _ in range(transfers):
        m, inside = int(rng.integers(models)), rng.random() < 0.8
        near = np.flatnonzero(groups == groups[own[m]]) if inside else np.arange(tasks)
        gain, half = float(rng.normal(0.05 if inside else -0.04, 0.06)), float(rng.uniform(0, 0.08))
        verdict = Verdict(gain, gain - half, gain + half, "accuracy")
        edges.append(GraphEdge(f"m{m}", f"t{rng.choice(near)}", "transfer", "probe", verdict))
    return HubGraph("our hub", tuple(nodes), tuple(edges))


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    found = Browser(tmp_path_factory.mktemp("profile"))
    yield found
    found.close()


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    return write_graph(made(), tmp_path_factory.mktemp("page") / "graph.html")


def test_the_graph_is_drawn_and_nothing_is_asked_of_a_network(browser, page):
    browser.open(page)
    assert browser.js("window.bequestGraph.getGraph().order") == 66
    assert browser.complaints() == []
    asked = [e["params"]["request"]["url"] for e in browser.events
             if e.get("method") == "Network.requestWillBeSent"]  # fmt: skip
    assert asked == [page.as_uri()]
    picture = browser.picture().crop((300, 100, 1280, 840))
    colours = {colour for _, colour in picture.getcolors(2**24)}
    assert len(colours) > 200


@pytest.mark.parametrize("models", [60, 3100])
def test_tasks_are_diamonds_and_models_are_discs(browser, tmp_path, models):
    """Sigma's own shaders, of few and of many nodes, are changed by their text."""
    browser.open(write_graph(made(models), tmp_path / "graph.html"))
    for number, inside in ((0, False), (30, True)):
        browser.js(
            f"(() => {{ const g = window.bequestGraph, p = g.getNodeDisplayData('{number}'); "
            "g.getCamera().setState({ x: p.x, y: p.y, ratio: 0.02 }); g.refresh(); })()"
        )
        time.sleep(0.5)
        x, y = node_at(browser, number)
        data = f"window.bequestGraph.getNodeDisplayData('{number}')"
        size = browser.js(f"window.bequestGraph.scaleSize({data}.size)")
        picture = browser.picture()
        middle, corner = (
            np.array(picture.getpixel((round(x - off), round(y - off))), dtype=int)
            for off in (0.2 * size, 0.62 * size)
        )
        assert size > 15
        assert bool(np.abs(middle - corner).sum() < 60) is inside


def test_a_click_opens_the_card_and_escape_closes_it(browser, page):
    browser.open(page)
    x, y = node_at(browser, 10)
    for kind in ("Moved", "Pressed", "Released"):
        browser.mouse(kind, x, y)
    browser.until("!document.querySelector('#panel').hidden")
    text = browser.js("document.querySelector('#panel').innerText")
    assert "/model-4" in text
    assert "published" in text
    assert "Made from (1)" in text
    assert "verified" in text
    browser.key("Escape")
    browser.until("document.querySelector('#panel').hidden")


def test_the_whole_is_reached_by_keyboard(browser, page):
    browser.open(page)
    browser.js("document.querySelector('#find').focus()")
    browser("Input.insertText", text="model-31")
    browser.key("Enter", "\r")
    assert browser.js("document.activeElement.textContent").endswith("/model-31")
    browser.js("document.querySelector('#stage').focus()")
    before = browser.js("window.bequestGraph.getCamera().getState().ratio")
    browser.key("+", "+")
    browser.until(f"window.bequestGraph.getCamera().getState().ratio < {before} / 1.4")
    focused = "document.querySelector('#panel li button').focus()"
    browser.js(focused)
    browser.key("Enter", "\r")
    browser.until("document.querySelector('#panel h2').textContent.startsWith('task')")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("#by-licence|MIT", "20 of 60 models"),
        ("#by-task|task 5", "{} of 60 models"),
        ("#legend input[value=hurts]|", None),
    ],
)
def test_filters_leave_what_fits(browser, page, change, told):
    browser.open(page)
    query, _, option = change.partition("|")
    browser.js(
        f"(() => {{ const box = document.querySelector('{query}'); if (box.type === 'checkbox') "
        f"box.click(); else {{ box.value = [...box.options].find((o) => "
        f"o.text.startsWith('{option}')).value; box.dispatchEvent(new Event('change')); }} }})()"
    )
    shown = (
        "(() => { const g = window.bequestGraph; return [g.getGraph().filterNodes((n) => "
        "!g.getNodeDisplayData(n).hidden), g.getGraph().filterEdges((e) => "
        "!g.getEdgeDisplayData(e).hidden)] })()"
    )
    nodes, edges = browser.js(shown)
    models = [n for n in nodes if int(n) >= 6]
    graph = made()
    kept = [graph.edges[int(e)] for e in edges]
    assert kept
    if told is None:
        assert len(kept) == len(graph.edges) - graph.counts["hurts"]
        assert "hurts" not in {e.verdict.kind for e in kept if e.verdict}
        return
    assert browser.js("document.querySelector('#told').textContent") == told.format(len(models))
    assert 0 < len(models) < 60
    for node in (graph.nodes[int(n)] for n in models):
        assert option == "task 5" or node.licence == "MIT"


def test_cards_with_scripts_in_them_are_text(browser, tmp_path):
    nodes = (
        GraphNode("a", EVIL, "model", EVIL, ((EVIL, EVIL),)),
        GraphNode("t", EVIL, "task", "", ((EVIL, EVIL),)),
    )
    edges = (
        GraphEdge("a", "t", "transfer", EVIL, Verdict(0.1, 0.0, 0.2, EVIL)),
        GraphEdge("t", "a", "made from", EVIL, verified=True, evidence=EVIL),
    )
    browser.open(write_graph(HubGraph(EVIL, nodes, edges), tmp_path / "evil.html"))
    browser.js("document.querySelector('#find').focus()")
    browser("Input.insertText", text="window.ran")
    browser.until("document.querySelectorAll('#found button').length === 2")
    for number in (0, 1):
        browser.js(f"document.querySelectorAll('#found button')[{number}].click()")
        text = browser.js("document.querySelector('#panel').textContent")
        assert text.count(EVIL) >= 4
    assert browser.js("document.querySelectorAll('img').length") == 0
    assert browser.js("window.ran === undefined")
    assert browser.complaints() == []


def test_without_scripts_the_tables_are_read(browser, page):
    browser("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.open(page)
        light = browser.picture()
    finally:
        browser("Emulation.setScriptExecutionDisabled", value=False)
    shades = light.convert("L").crop((0, 150, 1280, 860)).getcolors(256)
    assert sum(count for count, shade in shades if shade < 120) > 3000, "no text is there"


def test_without_webgl_it_says_so_and_shows_the_tables(browser, page):
    hook = "HTMLCanvasElement.prototype.getContext = () => null"
    number = browser("Page.addScriptToEvaluateOnNewDocument", source=hook)["identifier"]
    try:
        browser.open(page)
        assert "no WebGL" in browser.js("document.querySelector('#plainly').innerText")
        assert browser.js(
            "document.querySelector('#tables').open && document.querySelector('#app').hidden"
        )
    finally:
        browser("Page.removeScriptToEvaluateOnNewDocument", identifier=number)


def test_a_phone_never_scrolls_sideways_and_the_card_leaves_room(browser, page):
    browser.open(page, 390, 800)
    wide = "document.documentElement.scrollWidth"
    assert browser.js(wide) == 390
    browser.js("document.querySelector('#find').value = 'model-7'")
    browser.js("document.querySelector('#find').dispatchEvent(new Event('input'))")
    browser.js("document.querySelector('#found button').click()")
    assert browser.js(wide) == 390
    top, stage = browser.js(
        "['#panel', '#stage'].map((q) => document.querySelector(q).getBoundingClientRect().top)"
    )
    assert top - stage > 150
    browser.js("document.querySelector('#tables').open = true")
    assert browser.js(wide) == 390


def test_dark_and_light_are_followed_while_it_is_open(browser, page):
    browser.open(page)
    seen = {}
    for name in ("light", "dark"):
        feature = {"name": "prefers-color-scheme", "value": name}
        browser("Emulation.setEmulatedMedia", features=[feature])
        time.sleep(0.3)
        seen[name] = (browser.picture().getpixel((1270, 400)), browser.js(
            "window.bequestGraph.getNodeDisplayData('0').color"))  # fmt: skip
    browser("Emulation.setEmulatedMedia", features=[])
    assert min(seen["light"][0]) > 240
    assert max(seen["dark"][0]) < 40
    assert seen["light"][1] != seen["dark"][1]


MOVE = """new Promise((done) => { const gaps = [], g = window.bequestGraph, c = g.getCamera();
let last = performance.now(), k = 0;
const step = (now) => { gaps.push(now - last); last = now;
  c.setState({ x: 0.5 + 0.2 * Math.sin(k / 20), y: 0.5 + 0.1 * Math.cos(k / 13) });
  if (++k < 60) requestAnimationFrame(step); else done(gaps.slice(5)); };
requestAnimationFrame(step); })"""
SCRIPT = """(() => { const g = window.bequestGraph, took = [];
for (let k = 0; k < 20; k++) {
  const start = performance.now(); g.render(); took.push(performance.now() - start); }
return took.sort((a, b) => a - b)[10]; })()"""


FILTER = """(() => { const start = performance.now(); window.bequestGraph.refresh();
return performance.now() - start; })()"""


WATCH = """window.gaps = []; (() => { let last = performance.now(); const step = (now) => {
window.gaps.push(now - last); last = now; requestAnimationFrame(step); };
requestAnimationFrame(step); })()"""


def dragged(browser):
    """Milliseconds between two frames while the mouse drags the graph."""
    browser.js(WATCH)
    browser.mouse("Pressed", 800, 500)
    for number in range(80):
        browser.mouse("Moved", 800 - 3 * number, 500 + number)
        time.sleep(0.03)
    gaps = browser.js("window.gaps")
    browser.mouse("Released", 560, 580)
    return statistics.median(gaps[len(gaps) // 3 :])


def measured(folder, models=9700, tasks=300, transfers=18_300, parents=2000):
    """What a large graph costs, from the layout to a frame."""
    graph = made(models, tasks, transfers, parents)
    start = time.process_time()
    page = write_graph(graph, Path(folder) / "large.html")
    found = {"nodes": len(graph.nodes), "edges": len(graph.edges),
             "written_cpu_s": time.process_time() - start,
             "page_mb": page.stat().st_size / 1e6}  # fmt: skip
    browser = Browser(Path(folder) / "profile")
    try:
        start = time.perf_counter()
        browser.open(page)
        found["opened_s"] = time.perf_counter() - start
        found["script_ms_per_frame"] = browser.js(SCRIPT)
        found["frame_ms"] = statistics.median(browser.js(MOVE))
        found["drag_frame_ms"] = dragged(browser)
        found["filter_ms"] = min(browser.js(FILTER) for _ in range(3))
        browser("HeapProfiler.enable")
        browser("HeapProfiler.collectGarbage")
        found["heap_mb"] = browser("Runtime.getHeapUsage")["usedSize"] / 1e6
        assert browser.complaints() == []
    finally:
        browser.close()
    return found


@pytest.mark.slow
def test_ten_thousand_nodes_and_thirty_thousand_edges_stay_fluent(tmp_path):
    found = measured(tmp_path)
    assert (found["nodes"], found["edges"]) == (10_000, 30_000)
    assert found["script_ms_per_frame"] < 100  # 1 ms on an idle machine
    assert found["heap_mb"] < 60
    assert found["frame_ms"] < 1000  # by a software renderer on shared cores


def pictured(place):
    """A picture of a middling graph, for the documentation."""
    with tempfile.TemporaryDirectory() as work:
        browser = Browser(Path(work) / "profile")
        try:
            browser.open(write_graph(made(500, 36, 800, 120), Path(work) / "graph.html"), 1280, 760)
            time.sleep(3)
            browser.picture().quantize(128).save(place, optimize=True)
        finally:
            browser.close()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        pictured(sys.argv[1])
    else:
        with tempfile.TemporaryDirectory() as work:
            for name, value in measured(work).items():
                sys.stdout.write(f"{name:20} {value:.4g}\n")
