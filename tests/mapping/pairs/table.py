"""Every pair, by name. A pair is built on each call, from explicit seeds.

In `HARD_PAIRS` the same layer holds its numbers in another order on each side. Shapes and names
say nothing of it: only the outputs do.
"""

from collections.abc import Callable

from tests.mapping.pairs.convnets import convnext, mobilenet_v2
from tests.mapping.pairs.decoders import (
    gpt2_linear,
    gpt2_split,
    llama_fused,
    llama_neighbours,
    llama_split,
)
from tests.mapping.pairs.encoder_decoders import bart, t5
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
from tests.mapping.pairs.vision_transformers import vit_channels_last, vit_fused, vit_linear_patches

PAIRS: dict[str, Callable[[], Pair]] = {
    "bart": bart,
    "bert": bert,
    "branches": branches,
    "convnext": convnext,
    "distilbert": distilbert,
    "gpt2-linear": gpt2_linear,
    "gpt2-split": gpt2_split,
    "gru-cells": gru_cells,
    "llama-fused": llama_fused,
    "llama-split": llama_split,
    "lstm-cells": lstm_cells,
    "lstm-one-bias": lstm_one_bias,
    "mlp": mlp,
    "mobilenet-v2": mobilenet_v2,
    "resnet-basic": resnet_basic,
    "resnet-bottleneck": resnet_bottleneck,
    "roberta": roberta,
    "t5": t5,
    "vit-fused": vit_fused,
    "vit-linear-patches": vit_linear_patches,
}

HARD_PAIRS: dict[str, Callable[[], Pair]] = {
    "llama-neighbours": llama_neighbours,
    "lstm-separate-gates": lstm_separate_gates,
    "vit-channels-last": vit_channels_last,
}
