"""Sketches of tasks: without rows, and differentially private."""

from bequest.hub.sketches.task_sketch import (
    TaskSketch,
    local_sketch,
    similarity,
    sketch,
    with_sketch,
)

__all__ = ["TaskSketch", "local_sketch", "similarity", "sketch", "with_sketch"]
