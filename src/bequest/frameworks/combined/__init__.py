"""Models made of other models: averages, stacks, relabelled ones, and functions."""
