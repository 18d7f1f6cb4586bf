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
from tests.mapping.pairs.strange_convnets import (
    autoencoder,
    critic,
    densenet,
    inception,
    mixer,
    regnet,
    unet,
    wave,
)
from tests.mapping.pairs.strange_decoders import (
    bloom,
    falcon,
    gemma,
    gpt_neox,
    opt,
    phi3,
    qwen2,
    qwen3,
)
from tests.mapping.pairs.strange_encoders import (
    albert,
    clip,
    dinov2,
    electra,
    segformer,
    swin,
    whisper,
)
from tests.mapping.pairs.strange_tables import (
    factorisation,
    graph,
    perceiver,
    tab_transformer,
    translator,
    two_towers,
    whole_transformer,
)
from tests.mapping.pairs.vision_transformers import vit_channels_last, vit_fused, vit_linear_patches

PAIRS: dict[str, Callable[[], Pair]] = {
    "albert": albert,
    "autoencoder": autoencoder,
    "bart": bart,
    "bert": bert,
    "bloom": bloom,
    "branches": branches,
    "convnext": convnext,
    "densenet": densenet,
    "dinov2": dinov2,
    "distilbert": distilbert,
    "electra": electra,
    "falcon": falcon,
    "gemma": gemma,
    "gpt-neox": gpt_neox,
    "gpt2-linear": gpt2_linear,
    "gpt2-split": gpt2_split,
    "gru-cells": gru_cells,
    "inception": inception,
    "llama-fused": llama_fused,
    "llama-split": llama_split,
    "lstm-cells": lstm_cells,
    "lstm-one-bias": lstm_one_bias,
    "mixer": mixer,
    "mlp": mlp,
    "mobilenet-v2": mobilenet_v2,
    "opt": opt,
    "phi3": phi3,
    "qwen2": qwen2,
    "qwen3": qwen3,
    "regnet": regnet,
    "resnet-basic": resnet_basic,
    "resnet-bottleneck": resnet_bottleneck,
    "roberta": roberta,
    "segformer": segformer,
    "swin": swin,
    "t5": t5,
    "translator": translator,
    "two-towers": two_towers,
    "unet": unet,
    "vit-fused": vit_fused,
    "vit-linear-patches": vit_linear_patches,
    "wave": wave,
    "whole-transformer": whole_transformer,
}

# What they take cannot be guessed from their layers: they are mapped with an example.
TOLD_PAIRS: dict[str, Callable[[], Pair]] = {
    "clip": clip,
    "factorisation": factorisation,
    "graph": graph,
    "perceiver": perceiver,
    "tab-transformer": tab_transformer,
    "whisper": whisper,
}

HARD_PAIRS: dict[str, Callable[[], Pair]] = {
    "critic": critic,
    "llama-neighbours": llama_neighbours,
    "lstm-separate-gates": lstm_separate_gates,
    "vit-channels-last": vit_channels_last,
}
