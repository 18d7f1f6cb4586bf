"""Which numbers of a source go where in a target, by which rule, and how sure that is."""

from bequest.mapping.make import map_parameters
from bequest.mapping.plan import Entry, Move, ParameterMap

__all__ = ["Entry", "Move", "ParameterMap", "map_parameters"]
