"""Self-contained HTML pages: what came of a transfer, and what a parameter map moves."""

from bequest.report.map_page import render_map, write_map
from bequest.report.page import render, write_report

__all__ = ["render", "render_map", "write_map", "write_report"]
