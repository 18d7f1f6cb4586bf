"""Which numbers of a source go where in a target, by which rule, and how sure that is."""

from bequest.mapping.entry import Entry, Move
from bequest.mapping.make import map_parameters
from bequest.mapping.plan import ParameterMap

__all__ = ["Entry", "Move", "ParameterMap", "map_parameters"]
