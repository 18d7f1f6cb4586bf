"""A made graph of any size, and what its page costs in a real browser.

`python -m tests.report.graph_figures` prints it for 10,000 nodes and 30,000 edges; with a file
name, such as `docs/images/hub-graph.png`, it draws a smaller graph there.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from tests.report.browser_tab import Browser

from bequest.core import Verdict
from bequest.report.graph_page import write_graph
from bequest.report.graph_view import GraphEdge, GraphNode, HubGraph

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
