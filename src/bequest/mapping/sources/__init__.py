"""Where the parameters come from: networks, mappings of tensors, files."""
