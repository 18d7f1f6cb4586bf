"""Second stage: which of the source's tensors each of the target's corresponds to."""
