"""Self-contained HTML pages: what came of a transfer, what a map moves, what a hub holds."""

from bequest.report.graph_page import render_graph, write_graph
from bequest.report.graph_view import GraphEdge, GraphNode, HubGraph
from bequest.report.map_page import render_map, write_map
from bequest.report.page import render, write_report
from bequest.report.sentences import summary

__all__ = [
    "GraphEdge",
    "GraphNode",
    "HubGraph",
    "render",
    "render_graph",
    "render_map",
    "summary",
    "write_graph",
    "write_map",
    "write_report",
]
