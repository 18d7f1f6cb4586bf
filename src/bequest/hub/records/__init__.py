"""What a hub says of a model: its entry, name, licence, and what its card states."""
