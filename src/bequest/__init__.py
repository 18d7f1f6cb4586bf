"""bequest: pass on what models have learned.

Choose the source that helps, move what fits of it, verify the gain over training from scratch,
record the outcome, share the result.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
del lazy_loader
