"""The contracts of methods, modalities and stores as checks that plug-in authors run on theirs.

>>> from bequest.testing import METHOD_CHECKS
>>> "check_the_source_is_left_alone" in [check.__name__ for check in METHOD_CHECKS]
True
"""

from bequest.testing.methods import METHOD_CHECKS, MethodCase
from bequest.testing.modalities import MODALITY_CHECKS, ModalityCase
from bequest.testing.stores import STORE_CHECKS, StoreCase

__all__ = [
    "METHOD_CHECKS",
    "MODALITY_CHECKS",
    "STORE_CHECKS",
    "MethodCase",
    "ModalityCase",
    "StoreCase",
]
