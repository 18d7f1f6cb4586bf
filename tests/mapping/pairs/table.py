"""Every pair, by name. A pair is built on each call, from explicit seeds."""

from collections.abc import Callable

from tests.mapping.pairs.pair import Pair
from tests.mapping.pairs.resnets import resnet_basic, resnet_bottleneck

PAIRS: dict[str, Callable[[], Pair]] = {
    "resnet-basic": resnet_basic,
    "resnet-bottleneck": resnet_bottleneck,
}
