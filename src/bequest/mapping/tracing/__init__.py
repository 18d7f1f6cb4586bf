"""First stage: what a network's operations are, which tensors they use and what they read."""
