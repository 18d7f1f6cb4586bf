"""`bequest show` prints where a model comes from, as its weights tell."""

from __future__ import annotations

import bequest as bq
from bequest.core import Card, InputSpec
from bequest.frameworks.torch.model import TorchModel
from bequest.nets.mlp import MLP


def model(**about) -> TorchModel:
    return TorchModel(
        MLP(numbers=12, outputs=2, widths=(32, 32)),
        spec=InputSpec("vector", (12,)),
        classes=("no", "yes"),
        card=Card(**about),
        structure={"net": "mlp", "config": {"numbers": 12, "outputs": 2, "widths": [32, 32]}},
        head="head",
    )


def test_show_names_a_false_claim_beside_the_true_one(cli, tmp_path):
    base = model()
    hub = bq.Hub(tmp_path / "hub")
    hub.publish(base, "base", licence="MIT")
    hub.publish(model(), "stranger", licence="MIT")
    hub.publish(base, "child", licence="MIT", parents=["base", "stranger"])
    lines = cli("show", "child", "--hub", hub.folder).out.splitlines()
    tree = [line for line in lines if line[:1] in "├└" and line]
    assert [line[3:9] for line in tree] == ["base@1", "strang"]
    assert "verified, identical" in tree[0]
    assert "FALSE CLAIM, unrelated" in tree[1]


def test_show_searches_for_a_parent_that_the_card_does_not_name(cli, tmp_path):
    base = model()
    hub = bq.Hub(tmp_path / "hub")
    hub.publish(base, "base", licence="MIT")
    hub.publish(base, "child", licence="MIT")
    assert "Made from" not in cli("show", "child", "--hub", hub.folder).out
    said = cli("show", "child", "--hub", hub.folder, "--search").out
    assert "base@1 [not declared, found in the weights, identical," in " ".join(said.split())
