"""The contract of transfer methods as checks that plug-in authors run on theirs.

>>> from bequest.testing import METHOD_CHECKS
>>> "check_the_source_is_left_alone" in [check.__name__ for check in METHOD_CHECKS]
True
"""

from bequest.testing.methods import METHOD_CHECKS, MethodCase

__all__ = ["METHOD_CHECKS", "MethodCase"]
