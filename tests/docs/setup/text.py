"""The files that the page speaks of: reviews of two shops, and a folder as the Hub has them."""

import csv
import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertForSequenceClassification

import bequest as bq
from bequest.methods.fine_tune import FineTune

GOOD = """lovely superb charming brilliant splendid delightful perfect gripping solid pleasant
    graceful cheerful elegant inspired refined sturdy warm bright clever honest generous crisp
    tender vivid"""
BAD = """dull broken awful clumsy boring dreadful flimsy bland noisy sloppy tedious shabby stale
    crude gloomy brittle dreary faulty murky hollow careless messy feeble sour"""
FILMS = "film plot cast scene ending score"
KITCHEN = "kettle pan toaster blender knife oven"
REST = "the a was really and it not my again today for we bought saw"


def reviews(things, rows, seed):
    rng = np.random.default_rng(seed)
    for row in range(rows):
        good = row % 2 == 1
        words, others = [text.split() for text in ((GOOD, BAD) if good else (BAD, GOOD))]
        filling = list(rng.choice(REST.split(), 6))
        chosen = [rng.choice(words if rng.random() < 0.8 else others) for _ in range(3)]
        text = [*chosen, *rng.choice(things.split(), 2), *filling]
        yield " ".join(rng.permutation(text)), "good" if good else "bad"


def write(path, rows):
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("body", "stars"), *rows])


def tokenizer():
    known = " ".join([GOOD, BAD, FILMS, KITCHEN, REST]).split()
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *known]
    made = Tokenizer(models.WordLevel({w: n for n, w in enumerate(words)}, unk_token="[UNK]"))
    made.normalizer = normalizers.Lowercase()
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return made


def upload(folder, config, tensors):
    folder.mkdir()
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# Reviews of films\n")
    tokenizer().save(str(folder / "tokenizer.json"))


write("kitchen.csv", reviews(KITCHEN, 60, seed=1))
write("kitchen-later.csv", reviews(KITCHEN, 600, seed=2))
torch.manual_seed(0)
config = BertConfig(
    vocab_size=len(tokenizer().get_vocab()), hidden_size=32, num_hidden_layers=2,
    num_attention_heads=2, intermediate_size=64, max_position_embeddings=32,
    id2label={0: "bad", 1: "good"},
)  # fmt: skip
fresh = BertForSequenceClassification(config)
values = {**config.to_dict(), "architectures": ["BertForSequenceClassification"]}
upload(Path("untrained"), values, fresh.state_dict())
texts, labels = zip(*reviews(FILMS, 2000, seed=0), strict=True)
films = bq.Task.from_text(list(texts), list(labels))
tuned = FineTune(steps=300, lr=2e-3).fit(
    [bq.Source(bq.load("untrained"))], films, rng=np.random.default_rng(0)
)
upload(Path("bert-films"), values, tuned.module.network.state_dict())
