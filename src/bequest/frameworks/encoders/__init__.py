"""From samples to a network's inputs: columns, pixels, tokens."""
