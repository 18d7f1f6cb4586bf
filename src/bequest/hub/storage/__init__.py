"""Where a hub keeps files and records, and what every store answers."""
