"""A store in a folder: files under their hashes, and one SQLite file with the registry."""
