"""Embeddings of graphs: against published figures, against PyKEEN, and what they are worth.

python -m benchmarks.triples --data FOLDER [--oracle PYTHON] [--quick] [--only PART]

FOLDER has nations/, kinships/ and umls/, each with train.txt, valid.txt and test.txt, as PyKEEN's
wheel ships them under pykeen/datasets (`pip download --no-deps pykeen==1.11.1`, unzip). They are
not part of this project: whose data they were states no licence. With SemGroups.txt beside them,
the UMLS semantic groups of the U.S. National Library of Medicine (group|name|code|concept), the
trial on these is done, too. PYTHON is an interpreter that has PyKEEN: it judges our vectors, and on
Nations it trains its own at the same settings (elsewhere that takes it many minutes).
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import bequest as bq
from benchmarks.__main__ import RESULTS, machine
from bequest.api import embed
from bequest.data.triples import Triples, read_triples
from bequest.frameworks.combined.entities import SCORINGS, EntityFeatures
from bequest.training.link_ranks import filtered_ranks, rank_summary
from bequest.training.triples import TriplesLoop, fit_triples

DATA = Path(__file__).parents[2] / "shared" / "data" / "triples"
SETS = ("nations", "kinships", "umls")
MODELS = ("complex", "distmult", "transe")
SMALL = 2000  # triples, up to which PyKEEN trains, too
# Filtered test figures on the same splits. Nations: Pu et al., Learning Context-based Embeddings
# for Knowledge Graph Completion, Journal of Data and Information Science 2022.
# Kinships: as Nathani et al., ACL 2019, list them (MRR; of TransE hits@10). UMLS: Das et al.,
# MINERVA, ICLR 2018 (hits@10). Both as collected in github.com/irokin/Link-Prediction-Experiment-
# Results, whose other cells for UMLS are those of other sets, and are left out.
PUBLISHED = {
    ("nations", "transe"): {"mrr": 0.4813, "hits@10": 0.9801},
    ("nations", "distmult"): {"mrr": 0.7131, "hits@10": 0.9776},
    ("nations", "complex"): {"mrr": 0.6677, "hits@10": 0.9776},
    ("kinships", "transe"): {"hits@10": 0.841},
    ("kinships", "distmult"): {"mrr": 0.516, "hits@10": 0.867},
    ("kinships", "complex"): {"mrr": 0.823, "hits@10": 0.971},
    ("umls", "distmult"): {"hits@10": 0.992},
    ("umls", "complex"): {"hits@10": 0.995},
}
WITHHELD = ("embassy", "militaryalliance", "treaties")  # relations of Nations


def link_prediction(folder: Path, model: str, seeds: int, epochs: int, oracle: str | None) -> dict:
    """Mean filtered figures on the test triples, beside the published ones and PyKEEN's."""
    train = read_triples(folder / "train.txt")
    valid, test = (
        read_triples(folder / f"{part}.txt").among(train)[0] for part in ("valid", "test")
    )
    known = np.concatenate([train.rows, valid, test])
    sizes = (len(train.entities), len(train.relations))
    runs, began = [], time.process_time()
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        scoring = SCORINGS[model]
        fit = fit_triples(scoring, train.rows, sizes, TriplesLoop(epochs=epochs), rng=rng)
        runs.append(rank_summary(filtered_ranks(scoring, fit.entities, fit.relations, test, known)))
    seconds = (time.process_time() - began) / seeds
    said = {
        "set": folder.name,
        "model": model,
        "ours": {key: float(np.mean([run[key] for run in runs])) for key in runs[0]},
        "seeds": seeds,
        "cpu_s": seconds,
        "published": PUBLISHED.get((folder.name, model), {}),
    }
    said["ratio_to_published"] = {k: said["ours"][k] / v for k, v in said["published"].items()}
    if oracle:
        said["pykeen"] = _asked(oracle, folder, model, fit, epochs if len(train) < SMALL else 0)
        theirs = said["pykeen"]["of_our_vectors"]
        if "own" in said["pykeen"]:
            said["ratio_to_pykeen_mrr"] = said["ours"]["mrr"] / said["pykeen"]["own"]["mrr"]
        said["largest_gap_of_evaluators"] = max(abs(theirs[k] - runs[-1][k]) for k in theirs)
    return said


def _asked(oracle: str, folder: Path, model: str, fit, epochs: int) -> dict:
    with tempfile.TemporaryDirectory() as place:
        vectors = Path(place) / "vectors.npz"
        np.savez(vectors, entities=fit.entities.numpy(), relations=fit.relations.numpy())
        script = Path(__file__).with_name("triples_oracle.py")
        done = subprocess.run(
            [oracle, "-W", "ignore", str(script), str(folder), model, str(vectors), str(epochs)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=True,
        )
    return json.loads(done.stdout.splitlines()[-1])


def shuffled(features: EntityFeatures) -> EntityFeatures:
    """The same vectors under each other's names: what a graph that knows nothing looks like."""
    order = np.random.default_rng(0).permutation(len(features.entities))
    return EntityFeatures(
        [features.entities[place] for place in order],
        *(features.vectors, features.relations, features.relation_vectors),
        scoring=features.scoring,
        card=features.card,
    )


def trial(name: str, task: bq.Task, graph: EntityFeatures, on: tuple[str, ...]) -> dict:
    """The verdict on a graph's features, and on the same under shuffled names."""
    said = {"trial": name, "rows": len(task)}
    for title, source in (("graph", graph), ("shuffled", shuffled(graph))):
        result = bq.transfer(task, [source.on(*on)], methods=["features", "probe"], budget=120)
        verdict = result.verdict
        said[title] = {
            "verdict": verdict.kind,
            "gain": verdict.gain,
            "low": verdict.low,
            "high": verdict.high,
            "metric": verdict.metric,
            "method": result.outcome.method,
        }
        print(f"  {name}, {title}: {verdict}", flush=True)
    return said


def semantic_groups(folder: Path, rows: int | None) -> dict:
    """Which of 15 groups a medical concept is in, from the semantic network that relates concepts.

    From scratch reads the first and the last word of the concept's name.
    """
    graph = embed(_all(folder / "umls"), name="UMLS semantic network")
    lines = (folder / "SemGroups.txt").read_text(encoding="utf-8").splitlines()
    group = {_plain(line.split("|")[3]): line.split("|")[0] for line in lines}
    concepts = [entity for entity in graph.entities if entity in group]
    if rows is not None:
        concepts = sorted(np.random.default_rng(0).permutation(concepts)[:rows].tolist())
    parts = [concept.split("_") for concept in concepts]
    table = {"concept": concepts, "first": [p[0] for p in parts], "last": [p[-1] for p in parts]}
    labels = [group[concept] for concept in concepts]
    counts = {label: labels.count(label) for label in labels}
    kept = np.array([counts[label] > 1 for label in labels])
    table = {k: np.array([*v, None], dtype=object)[:-1][kept] for k, v in table.items()}
    task = bq.Task.from_table(
        {**table, "group": np.array(labels, dtype=object)[kept]}, "group", name="semantic group"
    )
    return trial(f"semantic groups, {len(task)} concepts", task, graph, ("concept",))


def _plain(name: str) -> str:
    return re.sub(r"[^a-z]+", "_", name.lower()).strip("_")


def _all(folder: Path) -> Triples:
    parts = [read_triples(folder / f"{part}.txt") for part in ("train", "valid", "test")]
    return Triples.of([triple for part in parts for triple in _named(part)], folder.name)


def _named(triples: Triples) -> list[tuple[str, str, str]]:
    return [
        (triples.entities[h], triples.relations[r], triples.entities[t])
        for h, r, t in triples.rows.tolist()
    ]


def withheld(folder: Path, relation: str) -> dict:
    """Whether one nation stands in a relation to another, from all other relations.

    The relation itself, and its like per head (``rel...``), is left out of the graph. From scratch
    reads who the two are.
    """
    triples = _named(_all(folder))
    graph = embed([t for t in triples if t[1] not in (relation, f"rel{relation}")], name="nations")
    pairs = [(a, b) for a in graph.entities for b in graph.entities if a != b]
    there = {(h, t) for h, r, t in triples if r == relation}
    table = {
        "from": [a for a, _ in pairs],
        "to": [b for _, b in pairs],
        relation: [pair in there for pair in pairs],
    }
    task = bq.Task.from_table(table, relation, name=relation)
    return trial(f"nations, {relation}", task, graph, ("from", "to"))


def scale(entities: int, triples: int, epochs: int | None) -> dict:
    """Seconds and memory of a large graph of 40 communities, in a process of its own."""
    code = f"from benchmarks.triples import grown; grown({entities}, {triples}, {epochs})"
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def grown(entities: int, triples: int, epochs: int | None) -> None:
    """Make a graph, embed it, print what it took; relation r leads from community c to c + r."""
    rng = np.random.default_rng(0)
    community = rng.integers(40, size=entities)
    members = [np.flatnonzero(community == c) for c in range(40)]
    head, relation = rng.integers(entities, size=triples), rng.integers(20, size=triples)
    goal = (community[head] + relation) % 40
    tail = np.array([rng.choice(members[c]) for c in goal])
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "grown.tsv"
        with path.open("w") as file:
            rows = zip(head, relation, tail, strict=True)
            file.writelines(f"e{h}\tr{r}\te{t}\n" for h, r, t in rows)
        del head, relation, tail, goal, members
        before, began = _peak(), time.perf_counter()
        graph = read_triples(path)
        read = time.perf_counter() - began
    began = time.perf_counter(), time.process_time()
    features = embed(graph, epochs=epochs, budget=3600)
    near = features.of([f"e{n}" for n in range(2000)])
    gaps = ((near[:1000, None] - near[None, 1000:]) ** 2).sum(axis=2)
    hit = community[1000:2000][gaps.argmin(axis=1)] == community[:1000]
    said = {
        "entities": entities,
        "triples": len(graph),
        "epochs": features.card.settings["epochs"],
        "read_s": read,
        "embed_s": time.perf_counter() - began[0],
        "embed_cpu_s": time.process_time() - began[1],
        "peak_mb": _peak(),
        "peak_mb_before": before,
        "nearest_is_of_the_same_community": float(hit.mean()),
        "by_chance": 1 / 40,
    }
    print(json.dumps(said))


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def links(data: Path, quick: bool, oracle: str | None) -> list[dict]:
    """Link prediction on every set that is at hand."""
    found = []
    seeds, epochs = (1, 30) if quick else (2, 100)
    for name in SETS:
        if not (data / name / "train.txt").is_file():
            print(f"left out: {name}, there is no {data / name / 'train.txt'}")
            continue
        for model in MODELS:
            said = link_prediction(data / name, model, seeds, epochs, oracle)
            found.append(said)
            print(
                f"{name} {model}: mrr {said['ours']['mrr']:.3f}, "
                f"hits@10 {said['ours']['hits@10']:.3f}; "
                f"to published {_ratios(said['ratio_to_published'])}; "
                f"to PyKEEN {said.get('ratio_to_pykeen_mrr', float('nan')):.3f}, "
                f"evaluators apart by {said.get('largest_gap_of_evaluators', float('nan')):.0e}",
                flush=True,
            )
    return found


def trials(data: Path, quick: bool, oracle: str | None) -> list[dict]:
    """Verdicts on what graphs are worth to tables."""
    found = []
    if (data / "umls" / "train.txt").is_file() and (data / "SemGroups.txt").is_file():
        found += [semantic_groups(data, rows) for rows in ((60,) if quick else (None, 60))]
    else:
        print("left out: semantic groups, there is no umls or no SemGroups.txt")
    if (data / "nations" / "train.txt").is_file():
        found += [withheld(data / "nations", r) for r in (WITHHELD[:1] if quick else WITHHELD)]
    return found


def large(data: Path, quick: bool, oracle: str | None) -> dict:
    """What a large graph takes."""
    said = scale(*((20_000, 100_000, 2) if quick else (100_000, 1_000_000, 5)))
    print(f"scale: {said}")
    return said


PARTS = {"links": links, "trials": trials, "scale": large}


def run(*, quick: bool, data: Path = DATA, oracle: str | None = None) -> dict:
    """All parts for which the data are at hand."""
    return {name: part(data, quick, oracle) for name, part in PARTS.items()}


def _ratios(ratios: dict[str, float]) -> str:
    return ", ".join(f"{key} {value:.3f}" for key, value in ratios.items()) or "none"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--oracle", help="an interpreter that has PyKEEN")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", choices=PARTS, help="the other parts stay as they are written")
    chosen = parser.parse_args()
    path = RESULTS / f"triples{'-quick' if chosen.quick else ''}.json"
    figures = json.loads(path.read_text())["figures"] if path.is_file() else {}
    for name in [chosen.only] if chosen.only else PARTS:
        figures[name] = PARTS[name](chosen.data.resolve(), chosen.quick, chosen.oracle)
        path.write_text(json.dumps({"machine": machine(), "figures": figures}, indent=1) + "\n")
        print(f"{name}: written to {path.relative_to(Path.cwd())}", flush=True)


if __name__ == "__main__":
    main()
