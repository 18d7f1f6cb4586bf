"""Recorded outcomes, and which models are likely to help a task."""
