"""Which numbers of a source go where in a target, by which rule, and how sure that is."""
