"""The page of a hub's graph in a real browser."""

from __future__ import annotations

import time

import numpy as np
import pytest
from tests.report.browser_tab import CHROMIUM, Browser
from tests.report.graph_figures import made, measured

from bequest.core import Verdict
from bequest.report.graph_page import write_graph
from bequest.report.graph_view import GraphEdge, GraphNode, HubGraph

EVIL = "</script><script>window.ran = 1</script><img src=x onerror='window.ran = 1'>"


pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no chromium on PATH to look at the page with")


def node_at(browser, number):
    """Where a node stands in the window."""
    return browser.js(
        f"(() => {{ const g = window.bequestGraph, p = g.framedGraphToViewport("
        f"g.getNodeDisplayData('{number}')), b = document.querySelector('#stage')"
        ".getBoundingClientRect(); return [p.x + b.left, p.y + b.top] })()"
    )


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


@pytest.mark.slow
def test_ten_thousand_nodes_and_thirty_thousand_edges_stay_fluent(tmp_path):
    found = measured(tmp_path)
    assert (found["nodes"], found["edges"]) == (10_000, 30_000)
    assert found["script_ms_per_frame"] < 100  # 1 ms on an idle machine
    assert found["heap_mb"] < 60
    assert found["frame_ms"] < 1000  # by a software renderer on shared cores
