"""One loop for every torch method, and what goes into it."""

from bequest.training.augment import AUGMENTATIONS
from bequest.training.fit import fit_network, seeded
from bequest.training.loop import Loop, run

__all__ = ["AUGMENTATIONS", "Loop", "fit_network", "run", "seeded"]
