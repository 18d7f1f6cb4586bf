"""Which numbers of a source go where in a target, by which rule, and how sure that is."""

from bequest.mapping.plans.entry import Entry, Move
from bequest.mapping.plans.parameter_map import ParameterMap
from bequest.mapping.stages import map_parameters

__all__ = ["Entry", "Move", "ParameterMap", "map_parameters"]
