"""Models on their way into a hub and out of it."""
