"""State dicts as checkpoints of 2019 and training wrappers name them: networks of today, renamed.

Each case is a class whose state dict is renamed, the class that it is to be loaded into, and what
the target's names are called there. Names of today that are in neither stay initialised.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

State = dict[str, Tensor]
PLACES = 64  # of the small GPT-2


@dataclass(frozen=True)
class OldNames:
    """One file of another time."""

    source: str
    target: str
    rename: tuple[tuple[str, str], ...] = ()  # patterns on today's names, in order
    absent: str = "$^"  # pattern of today's names that the file did not have
    added: Callable[[State], Mapping[str, Tensor]] = field(default=lambda state: {})
    prefix: tuple[str, str] = ("", "")  # what is in front of the same name: in source and target

    def file(self, state: State) -> State:
        """A state dict of today's source as the file has it."""
        kept = {k: v for k, v in state.items() if not re.search(self.absent, k)}
        return {self.old(name): tensor.clone() for name, tensor in kept.items()} | dict(
            self.added(state)
        )

    def old(self, name: str) -> str:
        for pattern, new in self.rename:
            name = re.sub(pattern, new, name)
        return name

    def expected(self, state: State) -> State:
        """What the target is to hold, by its own names; what is not there stays as it was."""
        theirs, ours = self.prefix
        return {ours + k.removeprefix(theirs): v for k, v in state.items() if k.startswith(theirs)}


GAMMA_BETA = ((r"LayerNorm\.weight$", "LayerNorm.gamma"), (r"LayerNorm\.bias$", "LayerNorm.beta"))
OPENAI = (
    (r"(ln_\w+)\.weight$", r"\1.g"),
    (r"(ln_\w+|c_\w+)\.bias$", r"\1.b"),
    (r"(c_\w+)\.weight$", r"\1.w"),
)
WEIGHT_NORM = (
    (r"parametrizations\.weight\.original0$", "weight_g"),
    (r"parametrizations\.weight\.original1$", "weight_v"),
)


def places(prefix: str) -> Callable[[State], State]:
    """The numbers of the positions, once a saved buffer."""
    return lambda state: {
        f"{prefix}embeddings.position_ids": torch.arange(
            len(state[f"{prefix}embeddings.position_embeddings.weight"])
        )[None]
    }


def masks(state: State) -> State:
    """GPT-2's triangles and the number in place of what may not be seen."""
    blocks = sorted({name.split(".attn")[0] for name in state if ".attn.c_attn" in name})
    triangle = torch.ones(PLACES, PLACES, dtype=torch.uint8).tril()[None, None]
    return {f"{block}.attn.bias": triangle for block in blocks} | {
        f"{block}.attn.masked_bias": torch.tensor(-1e4) for block in blocks
    }


def relative_bias(state: State) -> State:
    """A table of T5's cross-attention that no version ever read."""
    own = "decoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
    return {own.replace("0.SelfAttention", "1.EncDecAttention"): torch.rand_like(state[own])}


def fairseq(state: State) -> State:
    return {f"{part}.version": torch.tensor([3.0]) for part in ("encoder", "decoder")}


CASES = {
    "BERT with gamma and beta": OldNames("BertForPreTraining", "BertForPreTraining", GAMMA_BETA),
    "BERT with gamma and beta, one bias of the vocabulary": OldNames(
        "BertForPreTraining", "BertForPreTraining", GAMMA_BETA, absent=r"decoder\.bias$"
    ),
    "BERT with the bias at the decoder": OldNames(
        "BertForPreTraining", "BertForPreTraining", absent=r"predictions\.bias$"
    ),
    "BERT with saved positions": OldNames(
        "BertForPreTraining", "BertForMaskedLM", GAMMA_BETA, added=places("bert."),
    ),
    "BERT's prefix into the base": OldNames(
        "BertForPreTraining", "BertModel", GAMMA_BETA, prefix=("bert.", "")
    ),
    "BERT without prefix into a head": OldNames(
        "BertModel", "BertForSequenceClassification", GAMMA_BETA, prefix=("", "bert.")
    ),
    "BERT of an encoder of questions": OldNames(
        "BertModel", "BertModel", ((r"^", "question_encoder.bert_model."),)
    ),
    "BERT with another case of its norms": OldNames(
        "BertModel", "BertModel", ((r"LayerNorm", "layer_norm"),)
    ),
    "RoBERTa": OldNames(
        "RobertaForMaskedLM", "RobertaForMaskedLM",
        absent=r"lm_head\.decoder\.bias$", added=places("roberta."),
    ),
    "RoBERTa's prefix into the base": OldNames(
        "RobertaForMaskedLM", "RobertaModel", absent=r"lm_head\.decoder\.bias$",
        prefix=("roberta.", ""),
    ),
    "RoBERTa into a head": OldNames(
        "RobertaForMaskedLM", "RobertaForSequenceClassification", added=places("roberta."),
        prefix=("roberta.", "roberta."),
    ),
    "GPT-2 with masks": OldNames("GPT2LMHeadModel", "GPT2LMHeadModel", added=masks),
    "GPT-2 without prefix, with masks": OldNames(
        "GPT2Model", "GPT2LMHeadModel", added=masks, prefix=("", "transformer.")
    ),
    "GPT-2 of the first port": OldNames(
        "GPT2Model", "GPT2LMHeadModel", OPENAI, prefix=("", "transformer.")
    ),
    "GPT-2 of the first port into the base": OldNames("GPT2Model", "GPT2Model", OPENAI),
    "T5 with a table too many": OldNames(
        "T5ForConditionalGeneration", "T5ForConditionalGeneration", added=relative_bias
    ),
    "BART without prefix, with versions": OldNames(
        "BartModel", "BartForConditionalGeneration", added=fairseq, prefix=("", "model.")
    ),
    "Wav2Vec2 with weight_g and weight_v": OldNames("Wav2Vec2Model", "Wav2Vec2Model", WEIGHT_NORM),
    "Wav2Vec2 with weight_g and weight_v into a head": OldNames(
        "Wav2Vec2Model", "Wav2Vec2ForCTC", WEIGHT_NORM, prefix=("", "wav2vec2.")
    ),
    **{
        f"{name} behind {prefix}": OldNames(name, name, ((r"^", prefix),))
        for name in ("BertModel", "GPT2Model", "ResNetModel", "T5Model")
        for prefix in (
            "module.", "_orig_mod.", "model.", "backbone.", "encoder.", "net.",
            "module._orig_mod.", "model.module.",
        )
    },
    "Lightning's, with the weights of its loss": OldNames(
        "ResNetForImageClassification", "ResNetForImageClassification", ((r"^", "net."),),
        added=lambda state: {"criterion.weight": torch.ones(2)},
    ),
    "compiled in parts": OldNames(
        "BertModel", "BertModel", ((r"^(encoder\.layer\.\d+)", r"\1._orig_mod"),)
    ),
    "checkpointed in parts": OldNames(
        "ViTModel", "ViTModel", ((r"(\.\d+)\.", r"\1._checkpoint_wrapped_module."),)
    ),
}  # fmt: skip
