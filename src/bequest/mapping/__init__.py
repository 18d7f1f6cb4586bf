"""Which parameters of a source go where in a target, by which rule, and with what confidence.

`stages` runs the rooms in order: `tracing` finds a network's operations, `sources` reads networks,
mappings and files, `matching` and `conversions` say which tensors correspond, `disambiguation`
decides what they leave open, `building` makes the entries of a map, with one of the `rules` for
each axis. `plans` is the map itself, and how it is applied.
"""

from bequest.mapping.plans.entry import Entry, Move
from bequest.mapping.plans.parameter_map import ParameterMap
from bequest.mapping.stages import map_parameters

__all__ = ["Entry", "Move", "ParameterMap", "map_parameters"]
