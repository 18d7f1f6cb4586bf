"""Known differences of structure: experts, shared layers, names that a library changes in files."""
