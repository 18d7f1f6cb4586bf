"""Which parameters of a source go where in a target, by which rule, and with what confidence."""

from bequest.mapping.plans.entry import Entry, Move
from bequest.mapping.plans.parameter_map import ParameterMap
from bequest.mapping.stages import map_parameters

__all__ = ["Entry", "Move", "ParameterMap", "map_parameters"]
