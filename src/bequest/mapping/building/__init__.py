"""Fourth stage: from correspondences to the entries of a map, with a rule for each axis."""
