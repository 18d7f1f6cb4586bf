"""Every pair, by name. A pair is built on each call, from explicit seeds."""

from collections.abc import Callable

from tests.mapping.pairs.convnets import convnext, mobilenet_v2
from tests.mapping.pairs.encoders import bert, distilbert, roberta
from tests.mapping.pairs.pair import Pair
from tests.mapping.pairs.recurrent import (
    gru_cells,
    lstm_cells,
    lstm_one_bias,
    lstm_separate_gates,
)
from tests.mapping.pairs.resnets import resnet_basic, resnet_bottleneck
from tests.mapping.pairs.small import branches, mlp
from tests.mapping.pairs.vision_transformers import vit_fused, vit_linear_patches

PAIRS: dict[str, Callable[[], Pair]] = {
    "bert": bert,
    "branches": branches,
    "convnext": convnext,
    "distilbert": distilbert,
    "gru-cells": gru_cells,
    "lstm-cells": lstm_cells,
    "lstm-one-bias": lstm_one_bias,
    "lstm-separate-gates": lstm_separate_gates,
    "mlp": mlp,
    "mobilenet-v2": mobilenet_v2,
    "resnet-basic": resnet_basic,
    "resnet-bottleneck": resnet_bottleneck,
    "roberta": roberta,
    "vit-fused": vit_fused,
    "vit-linear-patches": vit_linear_patches,
}
