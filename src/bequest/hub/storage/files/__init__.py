"""Bytes on disk: under their hashes, synced, and safe beside forks and faults."""
