"""Dense networks into mixtures of experts."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers import MistralConfig, MistralForCausalLM, MixtralConfig, MixtralForCausalLM

import bequest as bq
from bequest.mapping import ParameterMap
from bequest.mapping.conversions.experts import upcycled

SIZES = {
    "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 1, "vocab_size": 40, "rms_norm_eps": 1e-6,
    "rope_parameters": {"rope_type": "default", "rope_theta": 1e4},
}  # fmt: skip
TOKENS = torch.arange(10).reshape(2, 5)


def drawn(module, seed=0):
    torch.manual_seed(seed)
    for tensor in module.parameters():
        nn.init.normal_(tensor, std=0.3)
    return module.eval()


def mistral():
    return drawn(MistralForCausalLM(MistralConfig(**SIZES, sliding_window=None)))


def mixtral(experts=4, seed=1):
    return drawn(MixtralForCausalLM(MixtralConfig(**SIZES, num_local_experts=experts)), seed)


class Mlp(nn.Module):
    def __init__(self, width=8, bias=True):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, 24, bias), nn.Linear(24, width, bias)

    def forward(self, rows):
        return self.fc2(torch.relu(self.fc1(rows)))


class Moe(nn.Module):
    """Each row by its two best experts, whose weights sum to one."""

    def __init__(self, count=4, width=8):
        super().__init__()
        self.experts = nn.ModuleList(Mlp(width) for _ in range(count))
        self.router = nn.Linear(width, count)

    def forward(self, rows):
        weights, best = self.router(rows).softmax(-1).topk(2)
        weights = weights / weights.sum(-1, keepdim=True)
        every = torch.stack([expert(rows) for expert in self.experts], -2)
        taken = every.gather(-2, best[..., None].expand(*best.shape, rows.shape[-1]))
        return (taken * weights[..., None]).sum(-2)


class Net(nn.Module):
    def __init__(self, make, blocks=3):
        super().__init__()
        self.first = nn.Linear(5, 8)
        self.blocks = nn.ModuleList(
            nn.ModuleDict({"norm": nn.LayerNorm(8), "mlp": make()}) for _ in range(blocks)
        )
        self.head = nn.Linear(8, 3)

    def forward(self, rows):
        rows = self.first(rows)
        for block in self.blocks:
            rows = rows + block["mlp"](block["norm"](rows))
        return self.head(rows)


def shapes(module):
    return {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}


def apart(module):
    """The state dict of a Mixtral as its first files were written: every expert for itself."""
    found = {}
    for name, tensor in module.state_dict().items():
        holder, fused, _ = name.replace(".mlp.", ".block_sparse_moe.").partition("gate_up_proj")
        for expert, matrix in enumerate(tensor) if fused or "experts.down" in name else ():
            if fused:
                found[f"{holder}{expert}.w1.weight"], found[f"{holder}{expert}.w3.weight"] = (
                    matrix.chunk(2)
                )
            else:
                found[f"{holder.removesuffix('down_proj')}{expert}.w2.weight"] = matrix
        if not fused and "experts.down" not in name:
            found[holder] = tensor
    return found


def test_mistral_becomes_a_mixtral_that_gives_the_same():
    source, target = mistral(), mixtral()
    plan = bq.map_parameters(source, target, example={"input_ids": TOKENS})
    made = plan.apply()
    with torch.no_grad():
        assert torch.allclose(source(TOKENS).logits, made(TOKENS).logits, atol=1e-5)
    rules = {entry.target: entry.rule for entry in plan.entries}
    assert rules["model.layers.1.mlp.gate.weight"] == "initialised: new router of 4 experts"
    assert rules["model.layers.1.mlp.experts.gate_up_proj"] == "fuse, expert copy"


@pytest.mark.parametrize("by_names", [False, True])
def test_a_hand_written_mixture_gives_what_the_dense_network_gives(by_names):
    source, target = drawn(Net(Mlp)), drawn(Net(Moe), 1)
    rows = torch.randn(6, 5)
    plan = bq.map_parameters(source, target, example=rows)
    if by_names:
        found = upcycled(shapes(source), shapes(target))
        names = [name for name in shapes(target) if "experts" in name]
        assert sorted(names) == sorted(name for name in found if "router" not in name)
        assert all(
            found[n].sources == (n.replace(n[n.index("experts") : n.index("fc")], ""),)
            for n in names
        )
        return
    with torch.no_grad():
        assert torch.allclose(source(rows), plan.apply()(rows), atol=1e-5)
    router = plan.apply().blocks[0]["mlp"].router
    assert torch.equal(router.weight, target.blocks[0]["mlp"].router.weight)
    assert torch.equal(router.bias, target.blocks[0]["mlp"].router.bias)


def test_experts_that_were_saved_apart_are_stacked_and_back():
    whole = mixtral()
    found = upcycled({n: tuple(t.shape) for n, t in apart(whole).items()}, shapes(whole))
    assert len(found) == 6  # two stacks of experts and a router in each of two blocks
    back = upcycled(shapes(whole), {n: tuple(t.shape) for n, t in apart(whole).items()})
    assert len(back) == 2 * (4 * 3 + 1)
    for entries, source, wanted in (
        (found, apart(whole), whole.state_dict()),
        (back, whole.state_dict(), apart(whole)),
    ):
        for name, entry in entries.items():
            values = torch.full(entry.shape, torch.nan)
            for move in entry.moves:
                move.put.of(values).copy_(move.taken.of(source[move.source]))
            assert torch.equal(values, wanted[name])
            assert entry.initialised == 0


def test_blocks_by_another_hand_are_met_in_order():
    source = {f"body.l{n}.ff.{w}": s for n in "abc" for w, s in shapes(Mlp()).items()}
    found = upcycled(source, shapes(Net(Moe)))
    assert found["blocks.1.mlp.experts.3.fc1.weight"].sources == ("body.lb.ff.fc1.weight",)
    assert found["blocks.1.mlp.experts.3.fc1.weight"].confidence < 0.95
    fewer = {name: shape for name, shape in source.items() if ".lc." not in name}
    assert upcycled(fewer, shapes(Net(Moe))) == {}


def test_a_transposed_and_a_fused_dense_block_are_read():
    target = shapes(mixtral())
    fused = {}
    for n in range(2):
        fused[f"h.{n}.mlp.gate_up_proj.weight"] = (48, 16)
        fused[f"h.{n}.mlp.down_proj.weight"] = (24, 16)  # as (inputs, outputs)
    found = upcycled(fused, target)
    down = found["model.layers.1.mlp.experts.down_proj"]
    assert down.rule == "transpose, fuse, expert copy"
    moves = found["model.layers.0.mlp.experts.gate_up_proj"].moves
    assert [move.taken.start for move in moves] == [0] * 4 + [24] * 4
    assert [move.put.start for move in moves] == [0] * 4 + [24] * 4
    assert [move.put.index for move in moves] == [0, 1, 2, 3] * 2


def test_encoder_and_decoder_keep_to_their_own():
    inner = {"wi.weight": (8, 4), "wo.weight": (4, 8)}
    source = {
        f"{side}.block.{n}.layer.1.DenseReluDense.{w}": shape
        for side in ("encoder", "decoder")
        for n in range(2)
        for w, shape in inner.items()
    }
    target = {
        f"{side}.block.1.layer.1.mlp.experts.expert_{e}.{w}": shape
        for side in ("decoder", "encoder")
        for e in range(3)
        for w, shape in inner.items()
    }
    found = upcycled(source, target)
    assert set(found) == set(target)
    for name, entry in found.items():
        side, last = name.partition(".")[0], name.partition("expert_")[2][2:]
        assert entry.sources == (f"{side}.block.1.layer.1.DenseReluDense.{last}",)


@pytest.mark.parametrize(
    ("source", "target"),
    [
        (mixtral(), mixtral()),  # equal names and shapes are matched as everything else
        (mistral(), mistral()),
        (Net(lambda: Mlp(8, bias=False)), Net(Moe)),  # no biases to copy
        (Net(lambda: nn.Linear(8, 8)), Net(Moe)),
        (mixtral(2), mixtral(4)),
    ],
)
def test_what_is_no_upcycling_is_left_alone(source, target):
    assert upcycled(shapes(source), shapes(target)) == {}


def test_a_skipped_router_and_a_stored_map_are_as_they_were():
    source, target = mistral(), mixtral()
    plan = bq.map_parameters(
        source, target, skip="model.layers.0.mlp", example={"input_ids": TOKENS}
    )
    rules = {entry.target: entry.rule for entry in plan.entries}
    assert rules["model.layers.0.mlp.experts.down_proj"] == "initialised (skipped)"
    again = ParameterMap.from_json(plan.to_json())
    assert again.diff(plan) == ""
    bound = bq.map_parameters(
        source, target, skip="model.layers.0.mlp", plan=again, example={"input_ids": TOKENS}
    )
    assert not bound.discrepancies
    one, two = bound.state_dict(), plan.state_dict()
    assert all(torch.equal(one[name], two[name]) for name in two)


def test_a_map_that_takes_an_expert_which_is_not_there_is_refused():
    whole = mixtral()
    text = bq.map_parameters(whole, Net(Moe)).to_json()
    assert '"index"' not in text
    plan = bq.map_parameters(mistral(), whole).to_json()
    assert '"index":3' in plan.replace(" ", "")
