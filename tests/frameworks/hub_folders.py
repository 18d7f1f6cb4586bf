"""Tiny folders as people upload them to the Hugging Face Hub, made here with random weights."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers.models.auto import CONFIG_MAPPING, modeling_auto

WORDS = [
    "[PAD]", "[UNK]", "[CLS]", "[SEP]", "good", "bad", "film", "a", "few", "words", "the", "very",
]  # fmt: skip
SIZE = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "vocab_size": len(WORDS),
    "max_position_embeddings": 24,
    "pad_token_id": 0,
    "bos_token_id": 2,
    "eos_token_id": 3,
}
TEXTS = {
    "bert": SIZE,
    "roberta": SIZE,
    "distilbert": {**SIZE, "dim": 16, "hidden_dim": 32, "n_layers": 2, "n_heads": 2},
    "electra": {**SIZE, "embedding_size": 16},
    "modernbert": {**SIZE, "cls_token_id": 2, "sep_token_id": 3},
    "gpt2": {**SIZE, "n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 24},
    "llama": {**SIZE, "num_key_value_heads": 1},
    "bart": {
        **SIZE, "d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 32,
        "decoder_ffn_dim": 32, "encoder_attention_heads": 2, "decoder_attention_heads": 2,
    },
}  # fmt: skip
IMAGES = {
    "vit": {**SIZE, "image_size": 16, "patch_size": 8},
    "resnet": {
        "embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic",
    },
    "convnext": {"hidden_sizes": [8, 16], "depths": [1, 1], "num_stages": 2},
}  # fmt: skip
PREPROCESSOR = {
    "size": {"height": 16, "width": 16},
    "image_mean": [0.5, 0.4, 0.3],
    "image_std": [0.5, 0.25, 0.2],
    "resample": 2,
}


def tokenizer() -> Tokenizer:
    made = Tokenizer(models.WordLevel({word: n for n, word in enumerate(WORDS)}, unk_token="[UNK]"))
    made.normalizer = normalizers.Lowercase()
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return made


def network(kind, head="SEQUENCE_CLASSIFICATION", *, labels=("no", "yes", "maybe"), **settings):
    """A network of transformers with random weights; `head` as in its MODEL_FOR_..._MAPPING."""
    size = {**(TEXTS | IMAGES)[kind], **settings}
    if labels:
        size["id2label"] = dict(enumerate(labels))
    config = CONFIG_MAPPING[kind](**size)
    mapping = getattr(modeling_auto, f"MODEL_FOR_{head}_MAPPING" if head else "MODEL_MAPPING")
    made = mapping[type(config)]
    made = made[0] if isinstance(made, tuple) else made
    with torch.random.fork_rng():
        torch.manual_seed(0)
        built = made(config)
        for weight in built.parameters():  # tuned networks have no zeros left
            torch.nn.init.normal_(weight, std=0.3)
    return built.eval()


def write(folder: Path, net, *, files=("tokenizer.json",), shards: int = 1, **config) -> Path:
    """The folder of a network, without asking transformers to write it."""
    folder.mkdir(parents=True, exist_ok=True)
    values = json.loads(net.config.to_json_string(use_diff=False))
    values = {**values, "architectures": [type(net).__name__], **config}
    (folder / "config.json").write_text(json.dumps(values))
    tensors = {name: t.clone().contiguous() for name, t in net.state_dict().items()}
    names = sorted(tensors)
    if shards == 1:
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    else:
        parts = [names[start::shards] for start in range(shards)]
        weight_map = {}
        for place, part in enumerate(parts, start=1):
            file = f"model-{place:05d}-of-{shards:05d}.safetensors"
            save_file({n: tensors[n] for n in part}, folder / file, {"format": "pt"})
            weight_map |= dict.fromkeys(part, file)
        index = {"metadata": {}, "weight_map": weight_map}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    if "tokenizer.json" in files:
        tokenizer().save(str(folder / "tokenizer.json"))
    if "preprocessor_config.json" in files:
        (folder / "preprocessor_config.json").write_text(json.dumps(PREPROCESSOR))
    return folder
