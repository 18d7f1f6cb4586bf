"""Third stage: what matching leaves open, decided by running both networks, or by the weights."""
