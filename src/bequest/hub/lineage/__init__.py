"""Lineage that is checked, not declared: what the weights say of a claimed parent."""
