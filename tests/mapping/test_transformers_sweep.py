"""The map between two networks of one class, and from a base to its task heads, as names say.

Well-known classes always; every tenth class and pair of the installed transformers as slow tests.
All of them: `python -m benchmarks.map_transformers`.
"""

from __future__ import annotations

import pytest
from benchmarks.map_transformers import head_pairs, outcome
from benchmarks.small_models import classes

KNOWN = (
    "BartForConditionalGeneration",
    "BertModel",
    "CLIPModel",
    "DistilBertForMaskedLM",
    "GPT2LMHeadModel",
    "LlamaForCausalLM",
    "MixtralForCausalLM",
    "ResNetForImageClassification",
    "RobertaForSequenceClassification",
    "SwinModel",
    "T5ForConditionalGeneration",
    "ViTForImageClassification",
    "Wav2Vec2ForPreTraining",
)
PAIRS = (
    "BartModel to BartForSequenceClassification",
    "BertForPreTraining to BertForSequenceClassification",
    "BertModel to BertForTokenClassification",
    "DebertaV2Model to DebertaV2ForSequenceClassification",
    "DistilBertForMaskedLM to DistilBertForSequenceClassification",
    "ElectraForPreTraining to ElectraForSequenceClassification",
    "GPT2Model to GPT2ForSequenceClassification",
    "LlamaForCausalLM to LlamaForSequenceClassification",
    pytest.param("LongformerModel to LongformerForTokenClassification", marks=pytest.mark.slow),
    "T5Model to T5EncoderModel",
    "ViTModel to ViTForImageClassification",
    "Wav2Vec2ForPreTraining to Wav2Vec2ForSequenceClassification",
)


@pytest.mark.parametrize("name", KNOWN)
@pytest.mark.parametrize("case", ["a", "b"])
def test_every_tensor_of_a_well_known_class_takes_its_own(case, name):
    assert_right(outcome(case, name))


@pytest.mark.parametrize(
    "name",
    [
        "BertForMaskedLM",
        "T5ForConditionalGeneration",
        "ViTForImageClassification",  # these are saved under other names, or in other pieces
        "Gemma4AudioModel",  # with bounds that are infinite
        "LwDetrModel",  # with a tensor that is empty
        "MixtralForCausalLM",
        "LlavaForConditionalGeneration",
        "NomicBertForTokenClassification",
        "Inkling2LoopTextModel",  # stacked experts, gate and up in turn; queries in two tensors
    ],
)
def test_every_tensor_takes_its_own_from_the_file_of_a_class(name):
    assert_right(outcome("c", name))


@pytest.mark.parametrize("pair", PAIRS)
def test_a_new_head_is_initialised_and_all_else_is_the_bases(pair):
    assert_right(outcome("d", pair))


@pytest.mark.slow
@pytest.mark.parametrize("name", classes()[::10])
@pytest.mark.parametrize("case", ["a", "b"])
def test_every_tensor_of_a_class_takes_its_own(case, name):
    assert_right(built(outcome(case, name)))


@pytest.mark.slow
@pytest.mark.parametrize("place", range(0, 760, 10))
def test_every_tenth_head_is_initialised_and_all_else_is_the_bases(place):
    if place >= len(head_pairs()):
        pytest.skip("this transformers has fewer heads")
    assert_right(built(outcome("d", head_pairs()[place])))


@pytest.mark.slow
def test_most_classes_can_be_built():
    names = classes()[::10]
    missing = [name for name in names if "not_built" in outcome("a", name)]
    assert 5 * len(missing) < len(names), missing


def built(found: dict) -> dict:
    if "not_built" in found:
        pytest.skip(found["not_built"])
    return found


def assert_right(found: dict) -> None:
    assert "not_built" not in found, found
    assert found["right"], found["first_wrong"]
