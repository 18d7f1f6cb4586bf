from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path

import pytest
from tests.report.page_tags import Tags

import bequest.report
from bequest.core import Verdict
from bequest.errors import DataError
from bequest.report.graph_page import SCRIPTS, render_graph, write_graph
from bequest.report.graph_view import GraphEdge, GraphNode, HubGraph, pack

VENDOR = Path(bequest.report.__file__).parent / "templates" / "vendor"
EVIL = "</script><script>alert(1)</script>\"><img src=x onerror=alert(1)><!--'{{ 7 * 7 }}\u2028"


def transfer(source, target, gain, metric="accuracy"):
    verdict = Verdict(gain, gain - 0.02, gain + 0.02, metric)
    return GraphEdge(source, target, "transfer", "probe", verdict)


def small():
    nodes = (
        GraphNode("a", "wards/ward3", "model", "MIT", (("version", "2"),)),
        GraphNode("b", "wards/ward7", "model", "Apache-2.0"),
        GraphNode("c", "lost/parent", "elsewhere"),
        GraphNode("t", "ward 7", "task", "", (("rows", "40"),)),
        GraphNode("u", "wine", "task"),
    )
    edges = (
        GraphEdge("a", "t", "trained on"),
        GraphEdge("a", "b", "made from", "fine-tune", verified=True, evidence="rank 4."),
        GraphEdge("c", "b", "made from", "fine-tune", verified=False),
        transfer("a", "t", 0.12),
        transfer("b", "u", -0.05),
        transfer("c", "u", 0.01),
    )
    return HubGraph("our hub", nodes, edges)


def data_of(text):
    return json.loads(re.search(r'id="graph-data">(.*?)</script>', text, re.S)[1])


def test_the_page_is_whole_and_counts_what_helped_and_what_hurt():
    page = Tags(render_graph(small()))
    assert page.open == []
    assert "Models and tasks of our hub" in page.text
    assert "2 models, 2 tasks, 3 transfers (1 helped, 1 hurt, 1 undecided)" in page.text


def test_without_a_script_the_same_stands_in_tables():
    rows = re.findall(r"<tr><th.*?</tr>", render_graph(small()))
    cells = [[re.sub(r"<.*?>", "", c) for c in re.findall(r"<t[hd].*?</t[hd]>", r)] for r in rows]
    made = "wards/ward3 (verified), lost/parent (FALSE CLAIM)"
    assert ["wards/ward7", "Apache-2.0", "", made] in cells
    gain = "+12.0 points (+10.0 to +14.0)"
    assert ["wards/ward3", "ward 7", "probe", gain, "helps"] in cells
    assert ["wards/ward7", "wine", "probe", "−5.0 points (−7.0 to −3.0)", "hurts"] in cells


def test_the_data_says_verdict_colour_and_claim_of_every_edge():
    found = data_of(render_graph(small()))
    nodes, edges = found["nodes"], found["edges"]
    assert nodes["name"][3] == "ward 7"
    assert [nodes["licences"][k] for k in nodes["licence"]][:2] == ["MIT", "Apache-2.0"]
    assert edges["kind"] == [0, 1, 1, 2, 2, 2]
    assert edges["verdict"] == [-1, -1, -1, 0, 1, 2]
    assert edges["verified"] == [-1, 1, 0, -1, -1, -1]
    tones = edges["tone"]
    assert tones[3] == 100
    assert -100 < tones[4] < 0 < tones[5] < 100
    assert found["scales"] == [["Right answers", "−10.6 points", "+10.6 points"]]


def test_gains_of_different_metrics_have_colours_of_their_own():
    nodes = (GraphNode("a", "a"), GraphNode("t", "t", "task"))
    graph = HubGraph("h", nodes, (transfer("a", "t", 0.1), transfer("a", "t", 9e4, "r2")))
    assert data_of(render_graph(graph))["edges"]["tone"] == [100, 100]


@pytest.mark.parametrize("gain", [float("nan"), float("inf"), 0.0])
def test_a_gain_without_a_size_is_drawn_all_the_same(gain):
    nodes = (GraphNode("a", "a"), GraphNode("t", "t", "task"))
    tone = data_of(render_graph(HubGraph("h", nodes, (transfer("a", "t", gain),))))["edges"]["tone"]
    assert tone == [100 if gain > 1 else 0]


def test_the_order_of_the_nodes_does_not_move_them():
    graph = small()
    turned = HubGraph(graph.title, graph.nodes[::-1], graph.edges)
    found, other = (json.loads(pack(one))["nodes"] for one in (graph, turned))
    assert found["x"] == other["x"][::-1]
    assert found["y"] == other["y"][::-1]


def test_text_of_strangers_is_text_everywhere():
    nodes = (
        GraphNode("a", EVIL, "model", EVIL, ((EVIL, EVIL),)),
        GraphNode("t", EVIL, "task"),
    )
    edges = (
        GraphEdge("a", "t", "transfer", EVIL, Verdict(0.1, 0.0, 0.2, EVIL)),
        GraphEdge("t", "a", "made from", EVIL, evidence=EVIL, verified=True),
    )
    text = render_graph(HubGraph(EVIL, nodes, edges))
    page = Tags(text)
    assert page.open == []
    assert [tag for tag, _ in page.seen].count("script") == len(SCRIPTS) + 1
    assert "img" not in [tag for tag, _ in page.seen]
    assert not [attrs for _, attrs in page.seen if any(name.startswith("on") for name in attrs)]
    assert page.text.count("{{ 7 * 7 }}") >= 6
    assert data_of(text)["nodes"]["name"] == [EVIL, EVIL]
    assert not set("<>&\u2028") & set(pack(HubGraph(EVIL, nodes, edges)))


def test_the_policy_names_every_script_and_nothing_is_loaded():
    text = render_graph(small())
    scripts = re.findall(r"<script>(.*?)</script>", text, re.S)
    assert len(scripts) == len(SCRIPTS)
    digests = [base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in scripts]
    policy = next(a["content"] for t, a in Tags(text).seen if t == "meta" and "http-equiv" in a)
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
    assert policy == f"default-src 'none'; style-src 'unsafe-inline'; script-src {allowed}"
    loads = [a for _, a in Tags(text).seen if {"src", "href", "action"} & a.keys()]
    assert loads == []
    assert not re.search(r"@import|sourceMappingURL", text)


def test_the_libraries_are_what_their_table_says():
    table = re.findall(r"`(\S+\.js)` \|.*`(\w{64})`", (VENDOR / "README.md").read_text())
    sums = {f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in VENDOR.glob("*.js")}
    assert dict(table) == sums
    assert "Alexis Jacomy" in render_graph(small())
    assert "Guillaume Plique" in render_graph(small())


def test_an_empty_hub_has_a_page():
    page = Tags(render_graph(HubGraph("nothing")))
    assert page.open == []
    assert "0 models, 0 tasks, 0 transfers" in page.text
    assert "There is nothing in it yet." in page.text


def test_of_a_large_graph_the_tables_say_what_they_leave_out():
    text = render_graph(HubGraph("h", tuple(GraphNode(str(n), f"m{n}") for n in range(1500))))
    assert "500 more are left out here" in text
    assert len(data_of(text)["nodes"]["name"]) == 1500


def test_an_edge_to_nowhere_and_a_key_that_is_there_twice_are_refused():
    with pytest.raises(ValueError, match="'a' and 'z' are not both nodes"):
        HubGraph("h", (GraphNode("a", "a"),), (GraphEdge("a", "z", "made from"),))
    with pytest.raises(ValueError, match="one key"):
        HubGraph("h", (GraphNode("a", "a"), GraphNode("a", "b")))


def test_a_page_into_no_folder_is_one_line(tmp_path):
    with pytest.raises(DataError, match="there is no folder"):
        write_graph(small(), tmp_path / "no" / "graph.html")
