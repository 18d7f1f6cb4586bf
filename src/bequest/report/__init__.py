"""One self-contained HTML page that says what came of a transfer."""

from bequest.report.page import render, write_report

__all__ = ["render", "write_report"]
