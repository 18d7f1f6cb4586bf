"""Lineage: what the weights say of a claimed parent."""

from __future__ import annotations

import copy
import gc
import os
import sqlite3
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hub_places import everywhere
from torch import nn

import bequest as bq
from bequest.core import Card, InputSpec
from bequest.errors import EntryNotFound
from bequest.frameworks.torch.model import TorchModel
from bequest.hub import Hub
from bequest.hub.lineage import Edge, Lineage, SketchIndex, merge_of, relate, tree
from bequest.nets.mlp import MLP


def weights(seed: int, widths=(40, 32, 24), inputs=20, outputs=5) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    sizes = [inputs, *widths, outputs]
    found = {}
    for place, (before, after) in enumerate(pairwise(sizes)):
        scale = before**-0.5
        drawn = rng.normal(scale=scale, size=(after, before)).astype(np.float32)
        found[f"{place}.weight"] = drawn
        found[f"{place}.bias"] = rng.normal(scale=0.1, size=after).astype(np.float32)
    return found


def nudged(parent, seed: int, size: float = 0.2) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        name: (v + size * v.std() * rng.normal(size=v.shape)).astype(v.dtype)
        for name, v in parent.items()
    }


def test_a_copy_is_identical():
    assert relate(weights(0), weights(0)).kind == "identical"


def test_a_fine_tuned_model_is_seen_and_its_direction_is_not():
    found = relate(nudged(weights(0), 1), weights(0))
    assert (found.kind, found.direction) == ("fine-tuned", "not told")


def test_two_trainings_from_one_beginning_are_not_taken_for_a_fine_tuning():
    beginning = weights(0)
    siblings = [nudged(beginning, seed) for seed in (1, 2)]
    assert relate(*siblings).kind == "common origin"
    assert relate(siblings[0], beginning).kind == "fine-tuned"


def test_models_that_were_trained_alone_are_not_claimed_whatever_they_say(hub):
    """At its default seed every training of one architecture has the same beginning."""
    for number in range(4):
        rng = np.random.default_rng(100 + number)
        rows = rng.normal(size=(80, 12))
        task = bq.Task.from_arrays(rows, rows @ rng.normal(size=12) > 0, name=f"task {number}")
        parents = ["alone0"] if number else []
        hub.publish(bq.train(task, net="mlp"), f"alone{number}", licence="MIT", parents=parents)
    found = hub.lineage("alone3", search=True)
    assert [(edge.parent, edge.verified) for edge in found.edges] == [("alone0@1", None)]


def test_a_new_head_of_other_width_does_not_hide_the_parent():
    child = nudged(weights(0), 1) | {
        "3.weight": np.ones((9, 24), np.float32),
        "3.bias": np.zeros(9, np.float32),
    }
    assert relate(child, weights(0)).kind == "fine-tuned"


def test_no_two_independent_models_of_a_hundred_are_related():
    models = [weights(seed) for seed in range(100)]
    kinds = {relate(one, other).kind for one, other in pairwise(models)}
    assert kinds == {"unrelated"}


def test_models_whose_inputs_weigh_alike_are_still_unrelated():
    # All units look along one direction, as after training: not a sign of descent.
    strong = np.random.default_rng(9).normal(size=20).astype(np.float32)
    pair = [weights(seed) for seed in (0, 1)]
    for one in pair:
        one["0.weight"] += one["0.bias"][:, None] * 20 * strong
    assert relate(*pair).kind == "unrelated"


def test_the_rank_of_a_merged_adapter_is_stated():
    parent = weights(0)
    rng = np.random.default_rng(5)
    child = dict(parent)
    for name in ("0.weight", "1.weight", "2.weight"):
        shape = parent[name].shape
        change = rng.normal(size=(shape[0], 3)) @ rng.normal(size=(3, shape[1]))
        child[name] = (parent[name] + 0.02 * change).astype(np.float32)
    found = relate(child, parent)
    assert found.kind == "lora"
    assert "rank of 3" in found.evidence


def test_a_merge_states_its_shares():
    parents = [nudged(weights(0), seed) for seed in (1, 2, 3)]
    child = {
        name: 0.5 * parents[0][name] + 0.3 * parents[1][name] + 0.2 * parents[2][name]
        for name in parents[0]
    }
    shares, _ = merge_of(child, parents)
    np.testing.assert_allclose(shares, [0.5, 0.3, 0.2], atol=1e-3)


def test_a_fine_tuned_model_is_no_merge_of_its_parent_and_another():
    assert merge_of(nudged(weights(0), 1), [weights(0), weights(1)]) is None


def narrowed(parent, kept):
    child = {}
    columns = np.arange(20)
    for place in range(4):
        rows = kept[place] if place < 3 else np.arange(5)
        child[f"{place}.weight"] = parent[f"{place}.weight"][rows][:, columns]
        child[f"{place}.bias"] = parent[f"{place}.bias"][rows]
        columns = rows
    return child


def some_units(seed: int = 3):
    rng = np.random.default_rng(seed)
    return [np.sort(rng.permutation(width)[: width // 2]) for width in (40, 32, 24)]


def test_units_that_are_left_out_are_seen():
    assert relate(narrowed(weights(0), some_units()), weights(0)).kind == "pruned"


def test_a_narrow_model_is_not_found_in_a_strange_wide_one():
    strangers = [relate(narrowed(weights(s), some_units(s)), weights(s + 50)) for s in range(20)]
    assert {found.kind for found in strangers} == {"unrelated"}


def test_numbers_set_to_zero_tell_the_direction():
    parent = weights(0)
    child = {name: np.where(np.abs(v) > 0.1, v, 0).astype(v.dtype) for name, v in parent.items()}
    assert (relate(child, parent).kind, relate(child, parent).direction) == ("pruned", "told")
    assert relate(parent, child).direction == "reversed"


def repeated_units(parent):
    """Wider, with units repeated and what leaves them halved: the same function."""
    child = dict(parent)
    again = np.append(np.arange(40), np.arange(10))
    scale = np.where(np.bincount(again)[again] > 1, 0.5, 1.0).astype(np.float32)
    child["0.weight"], child["0.bias"] = parent["0.weight"][again], parent["0.bias"][again]
    child["1.weight"] = parent["1.weight"][:, again] * scale
    return child


def test_repeated_units_tell_that_a_model_was_grown():
    found = relate(repeated_units(weights(0)), weights(0))
    assert (found.kind, found.direction) == ("grown", "told")


def test_the_one_that_was_grown_is_not_taken_for_the_parent():
    assert relate(weights(0), repeated_units(weights(0))).direction == "reversed"


def test_a_model_with_one_weight_tells_nothing():
    # Its units are the task's: two fits of one data set agree with nothing handed over.
    one = {"weight": np.random.default_rng(0).normal(size=(10, 60))}
    near = {"weight": one["weight"] + 0.01}
    assert relate(near, one).kind == "not told"


def test_the_parent_is_found_among_a_thousand_without_reading_them(tmp_path):
    index = SketchIndex(tmp_path / "sketches.sqlite")
    with index.writing() as db:
        for seed in range(1000):
            index.add(db, str(seed), weights(seed))
    firsts = [index.nearest(nudged(weights(s), 7, 0.5), k=1)[0][0] for s in range(0, 1000, 50)]
    assert firsts == [str(seed) for seed in range(0, 1000, 50)]


def test_a_forgotten_model_is_not_found(tmp_path):
    index = SketchIndex(tmp_path / "sketches.sqlite")
    with index.writing() as db:
        index.add(db, "a", weights(0))
        index.add(db, "b", weights(1))
        index.forget(db, ["a"])
    assert [key for key, _ in index.nearest(weights(0))] == ["b"]
    assert index.known() == {"b"}


def network(seed: int, *, method: str = "", parents=()) -> TorchModel:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        module = MLP(numbers=12, outputs=2, widths=(32, 32))
    return wrapped(module, method, parents)


def wrapped(module: nn.Module, method: str = "", parents=()) -> TorchModel:
    config = {"numbers": 12, "outputs": 2, "widths": [32, 32]}
    return TorchModel(
        module,
        spec=InputSpec("vector", (12,)),
        classes=("no", "yes"),
        card=Card(name="net", method=method, parents=tuple(parents)),
        structure={"net": "mlp", "config": config},
        head="head",
    )


def tuned(parent: TorchModel, seed: int, **about) -> TorchModel:
    module = copy.deepcopy(parent.module)
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in module.parameters():
            value += 0.02 * torch.randn(value.shape, generator=rng)
    return wrapped(module, **about)


@pytest.fixture
def family(hub):
    base = network(0)
    hub.publish(base, "base", licence="MIT")
    hub.publish(network(1), "stranger", licence="MIT")
    child = tuned(base, 2, method="fine-tune", parents=["base"])
    hub.publish(child, "child", licence="MIT")
    hub.publish(tuned(child, 3, parents=["child@1"]), "grandchild", licence="MIT")
    hub.publish(tuned(base, 4, parents=["stranger"]), "liar", licence="MIT")
    hub.publish(network(5, method="distil", parents=["base"]), "student", licence="MIT")
    hub.publish(tuned(base, 6, parents=["elsewhere"]), "orphan", licence="MIT")
    return hub


def test_a_true_claim_is_verified_through_the_generations(family):
    found = family.lineage("grandchild")
    assert [(e.parent, e.relation, e.verified) for e in found.edges] == [
        ("child@1", "fine-tuned", True),
        ("base@1", "fine-tuned", True),
    ]


def test_a_lineage_prints_as_a_tree(family):
    lines = str(family.lineage("grandchild")).splitlines()
    assert lines[0] == "grandchild@1"
    assert lines[1].startswith("└─ child@1  [declared derived, verified, fine-tuned")
    assert lines[2].startswith("   └─ base@1  [declared fine-tune, verified")


def test_a_false_claim_is_shown_as_such(family):
    found = family.lineage("liar")
    assert [edge.parent for edge in found.false_claims] == ["stranger@1"]
    assert "FALSE CLAIM" in str(found)


def test_a_search_finds_the_parent_that_was_not_named(family):
    edges = family.lineage("liar", search=True).edges
    undeclared = {edge.parent for edge in edges if not edge.declared}
    assert "base@1" in undeclared
    assert "stranger@1" not in undeclared


def test_a_damaged_file_of_sketches_is_made_anew(family):
    whole = family.lineage("liar", search=True)
    (family.folder / "sketches.sqlite").write_bytes(b"no database at all" * 100)
    assert family.lineage("liar", search=True) == whole


def held(path):
    """Whether somebody is writing to a database."""
    with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as db:
        try:
            db.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return True
        return False


def test_a_search_holds_nothing_while_it_loads_and_keeps_what_it_has_seen(family, monkeypatch):
    monkeypatch.setattr(tree, "_TOGETHER", 2)
    path, seen, pull = family.folder / "sketches.sqlite", [], Hub.pull

    def load(hub, *name, **options):
        assert not path.exists() or not held(path)
        seen.append(name)
        if len(seen) == 6:
            raise KeyboardInterrupt
        return pull(hub, *name, **options)

    monkeypatch.setattr(Hub, "pull", load)
    with pytest.raises(KeyboardInterrupt):
        family.lineage("liar", search=True)
    assert len(SketchIndex(path).known()) == 4
    family.lineage("liar", search=True)
    assert len(SketchIndex(path).known()) == len(family.list())


def test_two_search_at_once(family):
    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(lambda n: family.lineage("liar", search=True), range(2))
    assert one == other


@pytest.mark.parametrize("before", [False, True])
def test_a_search_in_a_hub_that_may_not_be_written_leaves_it_as_it_is(family, monkeypatch, before):
    if before:
        family.lineage("orphan", search=True)
    found = family.lineage("liar", search=before)
    path, refused = family.folder / "sketches.sqlite", Hub(family.folder)
    content = path.read_bytes() if before else None
    family.publish(tuned(network(0), 9), "late", licence="MIT")

    def access(place, mode):
        return mode != os.W_OK or family.folder not in (Path(place), *Path(place).parents)

    monkeypatch.setattr(os, "access", access)
    edges = {edge.parent for edge in refused.lineage("liar", search=True).edges}
    assert {edge.parent for edge in found.edges} | {"late@1", "base@1"} <= edges
    assert (path.read_bytes() if path.exists() else None) == content
    work = refused._index.path.parent
    assert work.exists()
    del refused
    gc.collect()
    assert not work.exists()


def test_an_index_is_not_made_by_being_read(tmp_path):
    index = SketchIndex(tmp_path / "sketches.sqlite")
    assert (index.known(), index.nearest(weights(0))) == (frozenset(), [])
    assert list(tmp_path.iterdir()) == []
    with closing(sqlite3.connect(index.path)) as db:
        db.execute("PRAGMA user_version = 1")  # a file that is all but empty
    assert (index.known(), index.nearest(weights(0))) == (frozenset(), [])


def test_distillation_is_declared_only(family):
    (edge,) = family.lineage("student").edges
    assert (edge.declared, edge.verified) == ("distil", None)


def test_a_parent_elsewhere_is_not_told(family):
    (edge,) = family.lineage("orphan").edges
    assert (edge.parent, edge.verified) == ("elsewhere", None)


def test_a_model_without_weights_is_not_told(hub, tiny):
    hub.publish(tiny([1.0, 2.0]), "first", licence="MIT")
    hub.publish(tiny([1.0, 3.0]), "second", licence="MIT", parents=["first"])
    assert [edge.verified for edge in hub.lineage("second").edges] == [None]


@everywhere
def test_a_version_made_from_its_own_name_comes_from_the_one_before(hub):
    base = network(0)
    hub.publish(base, "net", licence="MIT")
    hub.publish(tuned(base, 1), "net", licence="MIT", parents=["net"])
    assert [(e.parent, e.verified) for e in hub.lineage("net").edges] == [("net@1", True)]


def test_verifying_a_hub_names_the_lie_and_what_cannot_be_told(family):
    found = family.verify()
    assert [(f.subject, f.wrong) for f in found] == [
        ("liar@1", True),
        ("orphan@1", False),
        ("student@1", False),
    ]


def test_verifying_one_name_looks_at_that_one(family):
    assert family.verify("child") == ()
    assert len(family.verify("liar")) == 1


def test_verifying_finds_an_altered_file(family):
    entry = family.show("child")
    file = entry.files["config.json"]
    path = family.folder / "objects" / file.digest[:2] / file.digest[2:]
    os.chmod(path, stat.S_IRUSR | stat.S_IWUSR)
    path.write_bytes(path.read_bytes()[:-1] + b" ")
    found = [f for f in family.verify("child") if f.about == "file"]
    assert [f.subject for f in found] == ["child@1"]
    assert found[0].wrong


def altered(hub, name, version):
    with hub._store.records.writing() as db:
        db.execute(
            "UPDATE entries SET record = replace(record, 'MIT', 'BSD') "
            "WHERE name = ? AND version = ?",
            (name, version),
        )


def test_verifying_one_name_tells_nothing_of_others(hub, tiny):
    for name in ("ward", "ward7", "ward"):
        hub.publish(tiny([1.0]), name, licence="MIT")
    altered(hub, "ward7", 1)
    with hub._store.records.writing() as db:
        db.execute("INSERT INTO outcomes (digest, record) VALUES ('00', 'altered')")
        db.execute("DELETE FROM uses WHERE name = 'ward7'")
    assert hub.verify("ward") == ()
    of_it = [finding.message for finding in hub.verify("ward7")]
    assert len(of_it) == 1 + len(hub.show("ward").files)
    assert all("ward7@1" in message for message in of_it)
    assert len(hub.verify()) == len(of_it) + 1


def test_verifying_one_name_tells_who_uses_its_files(hub, tiny):
    hub.publish(tiny([1.0]), "ward", licence="MIT")
    with hub._store.records.writing() as db:
        db.execute("DELETE FROM uses WHERE name = 'ward'")
    assert {f.about for f in hub.verify("ward")} == {"row"}


def test_verifying_one_name_tells_that_its_newest_row_was_altered(hub, tiny):
    for number in range(2):
        hub.publish(tiny([float(number)]), "ward", licence="MIT")
    altered(hub, "ward", 2)
    assert ["the row of ward@2" in f.message for f in hub.verify("ward")] == [True]


def test_verifying_a_name_that_is_not_there_says_so(family):
    with pytest.raises(EntryNotFound, match="Did you mean 'child'"):
        family.verify("chlid")


def test_a_model_without_parents_has_an_empty_tree(hub):
    hub.publish(network(0), "alone", licence="MIT")
    assert hub.lineage("alone") == Lineage("alone@1", ())


def test_a_lineage_of_many_parents_or_many_ways_prints_soon_and_each_branch_once():
    wide = tuple(Edge(f"p{n}", "m@1", "", "derived", None, "no.") for n in range(50_000))
    start = time.process_time()
    assert str(Lineage("m@1", wide)).count("\n") == 50_000
    # Two models a generation, each made from both of the one before: 2^60 ways to the first.
    steps = [(f"{n}{a}@1", f"{n + 1}{b}@1") for n in range(60) for a in "xy" for b in "xy"]
    deep = tuple(Edge(p, c, "", "derived", None, "no.") for p, c in reversed(steps))
    printed = str(Lineage("60x@1", deep)).splitlines()
    assert time.process_time() - start < 5
    assert len(printed) == 1 + 2 + 59 * 4
    assert sum(line.endswith("Its parents stand above.") for line in printed) == 58 * 2


def test_a_lineage_deeper_than_python_prints():
    chain = tuple(Edge(f"{n + 1}@1", f"{n}@1", "", "derived", None, "no.") for n in range(1500))
    assert str(Lineage("0@1", chain)).count("\n") == 1500


def test_each_model_of_a_lineage_is_looked_at_once(hub):
    hub.publish(network(0), "x0", licence="MIT")
    hub.publish(network(1), "y0", licence="MIT")
    for n in range(5):
        for name in ("x", "y"):
            parents = [f"x{n}@1", f"y{n}@1"]
            hub.publish(network(0, parents=parents), f"{name}{n + 1}", licence="MIT")
    edges = hub.lineage("x5").edges
    assert len(edges) == len(set(edges)) == 2 + 4 * 4
