"""The demo: a pretrained network that helps, a source that hurts, and what a hub knows."""

from bequest.demo.chapters import PHOTOS, Chapter, chapters, new_task, remember

__all__ = ["PHOTOS", "Chapter", "chapters", "new_task", "remember"]
