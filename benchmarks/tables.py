"""The tables of the README and of docs/benchmarks.md, from the committed results.

python -m benchmarks.tables
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np

from benchmarks.regularisers import STRENGTHS

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results"
PAIRS = {
    "gpt": "GPT-2 small, transformers → plain torch",
    "gpt, back": "the same, back",
    "vit": "ViT-B, transformers → plain torch",
    "vit, back": "the same, back",
}
COLUMNS = {
    "from scratch": "from_scratch",
    "one family from scratch": "single_from_scratch",
    "ten lines": "best_of_ten_lines",
    "transfer": "transfer",
    "bequest": "bequest",
}
TITLES = {"l2-sp": "L2-SP", "bss": "BSS", "delta": "DELTA", "delta, no attention": "no attention"}


def results(name: str) -> dict:
    return json.loads((RESULTS / f"{name}.json").read_text())


def table(runs: list[dict], labels: int) -> str:
    """Mean test score over the seeds, in hundredths, one row a task."""
    rows = defaultdict(list)
    for run in runs:
        if run["labels"] == labels:
            title = f"{run['task']}, with its data" if run["with_data"] else run["task"]
            rows[title].append(run)
    lines = [
        f"| {labels} labels a class | " + " | ".join(COLUMNS) + " | verdicts |",
        "|---|" + "---:|" * len(COLUMNS) + "---|",
    ]
    for task, seeds in rows.items():
        means = [_mean(seeds, key) for key in COLUMNS.values()]
        said = ", ".join(sorted(run["verdict"] for run in seeds))
        lines.append(f"| {task} | " + " | ".join(means) + f" | {said} |")
    return "\n".join(lines)


def _mean(seeds: list[dict], key: str) -> str:
    if key == "best_of_ten_lines":
        values = [max(run["ten_lines"].values()) for run in seeds if run["ten_lines"]]
    else:
        values = [run[key] for run in seeds]
    return f"{100 * np.mean(values):.1f}" if values else "–"


def summary(figures: dict) -> str:
    """The figures over all runs, as a list."""
    said = figures["summary"]
    verdicts = said["verdicts"]
    lines = [
        f"- {said['runs']} runs of classification. What is handed over, on the test rows, in "
        "points with 95 % intervals over the tasks: "
        f"{_points(said['over_from_scratch_average'])} over the "
        f"average from scratch, {_points(said['over_single_from_scratch'])} over one family from "
        f"scratch, {_points(said['over_best_of_ten_lines'])} over the best of ten lines (which is "
        "chosen by the test rows).",
        f"- Verdicts: {verdicts['helps']} *helps* ({said['helps_that_truly_help']} truly), "
        f"{verdicts['hurts']} *hurts* ({said['hurts_that_truly_hurt']} truly), "
        f"{verdicts['undecided']} *undecided*. "
        f"The interval holds the gain on the test rows in "
        f"{100 * said['interval_covers_test_gain']:.0f} % of the runs, and in "
        f"{100 * said['interval_covers_test_gain_within_its_noise']:.0f} % within what the test "
        "rows can tell, which are a sample too.",
        f"- Transfer was handed over in {said['handed_over_transfer']} runs; in "
        f"{said['significant_negatives']} of them it is significantly below from scratch on the "
        f"test rows. Always transferring: "
        f"{_points(said['always_transfer_over_from_scratch'])}.",
        *_with_data(figures),
    ]
    return "\n".join(lines)


def _with_data(figures: dict) -> list[str]:
    """The runs in which the source's rows were given too; the ten lines have them in all runs."""
    said = figures.get("summary_with_data")
    if said is None:
        return []
    return [
        f"- With the source's rows, which the ten lines have in all runs: {said['runs']} runs, "
        f"{_points(said['over_from_scratch_average'])} over the average from scratch, "
        f"{_points(said['over_best_of_ten_lines'])} over the best of ten lines."
    ]


def _points(ends: list[float]) -> str:
    mean, low, high = (100 * end for end in ends)
    return f"{mean:+.1f} ({low:+.1f} to {high:+.1f})"


def pretrained() -> str:
    """Real pretrained networks beside ten lines of scikit-learn."""
    lines = [
        "| | draws | bequest | ten lines | difference, points | *helps* | CPU s |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name, said in results("pretrained")["figures"]["cases"].items():
        lines.append(
            f"| {name} | {said['draws']} | {100 * said['bequest']:.1f} | "
            f"{100 * said['ten_lines']:.1f} | {_points(said['difference'])} | "
            f"{said['verdicts']['helps']} | {said['cpu_seconds']:.0f} |"
        )
    return "\n".join(lines)


def others() -> str:
    """The other benchmarks, a line each."""
    logme = results("logme")["figures"]
    loop = results("training_loop")["figures"]
    coverage = results("gain_coverage")["figures"]["summary"]
    return "\n".join(
        [
            f"- LogME on 10,000 × 2,048 with ten classes takes "
            f"{logme['ratio']:.2f} × the time of one symmetric product and one "
            f"eigen-decomposition; on 100 × 2,048, "
            f"{1e3 * logme['wide_cpu_s']:.1f} ms. It agrees with brute force to "
            f"{logme['largest_error_against_brute_force']:.0e}.",
            f"- The training loop takes {loop['ratio_to_the_barest_loop']:.2f} × the time of the "
            "barest hand-written one.",
            "- The gain's interval in a simulation with real training, 1,000 runs a cell, against "
            "the alternatives:",
            "",
            "```text",
            *coverage,
            "```",
        ]
    )


def gain_averages() -> str:
    """Coverage where averages are compared, and the calibration of the probability."""
    figures = results("gain_averages")["figures"]
    names = {
        "neg_brier_score": "Brier score",
        "neg_mean_squared_error": "squared error",
        "neg_log_loss": "log loss",
        "accuracy": "accuracy",
    }
    runs = next(iter(figures["cells"].values()))["runs"]
    lines = [
        f"| judged by | cells of {runs:,} runs | covers, % | mean | under 93 % | false *helps*, at "
        "most % | decided, % |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name, title in names.items():
        for family, said in figures["summary"][name].items():
            if family == "bias by rows":
                continue
            low, mean, high = (100 * cover for cover in said["coverage"])
            what = f"**{title}**" if family == "all" else family
            lines.append(
                f"| {what} | {said['cells']} | {low:.1f} to {high:.1f} | {mean:.1f} | "
                f"{said['cells under 93 %']} | {100 * said['false_helps_at_most']:.1f} | "
                f"{100 * said['decided']:.1f} |"
            )
    sizes = list(figures["summary"]["neg_brier_score"]["bias by rows"])
    lines += [
        "",
        "| | bias over half the width: " + " rows | ".join(sizes) + " rows | error of the "
        "probability | of how many runs |",
        "|---|" + "---:|" * (len(sizes) + 2),
    ]
    for name, title in names.items():
        bias = figures["summary"][name]["bias by rows"]
        whole = figures["calibration"][name]["runs over all sizes"]
        lines.append(
            f"| {title} | "
            + " | ".join(f"{bias[size]:+.2f}" for size in sizes)
            + f" | {whole['error']:.3f} | {whole['runs']:,} |"
        )
    return "\n".join(lines)


def gain_on_tasks() -> str:
    """How often the interval holds the gain on the test rows of real tasks."""
    said = results("transfer")["figures"]["summary"]
    return (
        f"On the {said['runs']} runs of real tasks (`benchmarks/results/transfer.json`) the "
        "interval holds the gain on the held-out rows in "
        f"{100 * said['interval_covers_test_gain']:.0f} %. These rows "
        "are a sample too: with their own interval added in quadrature it is "
        f"{100 * said['interval_covers_test_gain_within_its_noise']:.0f} %."
    )


def fine_tuning() -> str:
    """What fine-tuning, and its average with the probe, add to the probe alone."""
    lines = [
        "| source and target | labels a class | probe | fine-tuned | average | Brier: probe "
        "| fine-tuned | average |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for task, said in results("fine_tuning")["figures"]["tasks"].items():
        for labels, found in said["over_the_probe"].items():
            cells = [f"{100 * found['accuracy']['mean']['probe']:.1f}"]
            cells += _over(found["accuracy"]["over_the_probe"], 100, 1)
            cells += [f"{found['brier']['mean']['probe']:.3f}"]
            cells += _over(found["brier"]["over_the_probe"], 1, 3)
            lines.append(f"| {task} | {labels} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def boosting() -> str:
    """Boosted trees as sources: mean balanced accuracy on the test rows, in hundredths."""
    runs = results("boosting")["figures"]["runs"]
    columns = [name for name in runs[0] if name not in ("task", "source", "seed")]
    groups = defaultdict(list)
    for run in runs:
        groups[run["task"], run["source"]].append(run)
    lines = [
        "| target | source | " + " | ".join(columns) + " |",
        "|---|---|" + "---:|" * len(columns),
    ]
    for (task, source), seeds in groups.items():
        cells = [_mean_of(seeds, name) for name in columns]
        lines.append(f"| {task} | {source} | " + " | ".join(cells) + " |")
    whole = [run for run in runs if run["continued, 30 rounds"] is not None]
    cells = [_mean_of(whole, name) for name in columns]
    lines.append("| all | boosted trees | " + " | ".join(cells) + " |")
    kept = results("boosting")["figures"]["largest_difference_from_disk"]
    largest = max(kept.values())
    lines += ["", f"From the disk no probability differs by more than {largest:.0e}."]
    return "\n".join(lines)


def _mean_of(runs: list[dict], name: str) -> str:
    values = [run[name] for run in runs if run[name] is not None]
    return f"{100 * np.mean(values):.1f}" if values else "–"


def _over(forms: dict, unit: float, digits: int) -> list[str]:
    found = [(unit * form["mean"], unit * form["half_width"]) for form in forms.values()]
    return [f"{mean:+.{digits}f} ± {half:.{digits}f}" for mean, half in found]


def regularisers() -> str:
    """The trial of the regularisers: differences by family, then the scores behind them."""
    figures = results("regularisers")["figures"]
    methods = [m for m in STRENGTHS if m not in ("plain", "l2-sp")]
    head = " | ".join(TITLES[m] for m in methods) + " |"
    lines = [
        f"| family | runs | bar | {head}",
        "|---|---:|---|" + "---:|" * len(methods),
    ]
    for family, said in figures["families"].items():
        gaps = " | ".join(_between(said["over_the_bar"][method]) for method in methods)
        bar = f"{TITLES.get(said['bar'], said['bar'])}, {100 * said['mean_score'][said['bar']]:.1f}"
        lines.append(f"| {family} | {said['runs']} | {bar} | {gaps} |")
    added = _between(figures["attention_over_none"])
    lines += [
        "",
        f"The attention over the channels adds {added} points (95 %, without the wine).",
        "",
        "By task, with plain intervals of 95 %, which decide nothing:",
        "",
        f"| task | {head}",
        "|---|" + "---:|" * len(methods),
    ]
    for task, said in figures["tasks_at_95"].items():
        gaps = " | ".join(_between(said[method]) for method in methods)
        lines.append(f"| {task} | {gaps} |")
    return "\n".join([*lines, "", _scores(figures["runs"])])


def _between(said: dict) -> str:
    mean, low, high = (round(100 * said[key], 1) + 0.0 for key in ("mean", "low", "high"))
    return f"{mean:+.1f} ({low:+.1f} to {high:+.1f})"


def _scores(runs: list[dict]) -> str:
    """Mean test score over the seeds, in hundredths, one row a task and number of labels."""
    rows = defaultdict(list)
    for run in runs:
        rows[run["task"], run["labels"]].append(run["score"])
    lines = [
        "| task | labels a class | " + " | ".join(TITLES.get(m, m) for m in STRENGTHS) + " |",
        "|---|---:|" + "---:|" * len(STRENGTHS),
    ]
    for (task, labels), scores in sorted(rows.items()):
        means = [f"{100 * np.mean([score[m] for score in scores]):.1f}" for m in STRENGTHS]
        lines.append(f"| {task} | {labels} | " + " | ".join(means) + " |")
    return "\n".join(lines)


def parameters() -> str:
    """The map against the other starts: sums, then a table for each size of the target."""
    figures = results("parameters")["figures"]
    lines = []
    for size, said in figures["summary"].items():
        told = [
            f"{_between(one)} points over {words}, {one['above']} cells above zero and "
            f"{one['below']} below"
            for words, one in zip(
                (
                    "from scratch",
                    "what has the same name and shape",
                    "the source fine-tuned as it is",
                ),
                said.values(),
                strict=True,
            )
        ]
        cells = said["from scratch"]["cells"]
        lines.append(f"- {size.capitalize()}, {cells} cells: {'; '.join(told)}.")
    for size in ("wider", "deeper", "narrower"):
        lines += ["", *_cells(figures["cells"], size)]
    return "\n".join(lines)


def _cells(cells: list[dict], size: str) -> list[str]:
    starts = ("from scratch", "same names", "map")
    lines = [
        f"| {size} | labels | {' | '.join(starts)} | source | map - from scratch | "
        "map - same names |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for cell in cells:
        if cell["size"] != size:
            continue
        keys = [*(f"{size}, {start}" for start in starts), "source, fine-tuned"]
        scores = " | ".join(f"{100 * cell['score'][key]:.1f}" for key in keys)
        over = " | ".join(_between(cell["map_over"][k]) for k in ("from scratch", "same names"))
        lines.append(f"| {cell['task']} | {cell['labels']} | {scores} | {over} |")
    return lines


def mapping() -> str:
    """Seconds and memory of a map between two networks of 100 million parameters."""
    lines = [
        "| source → target | map | from a file | apply | plain copy | ratio | transposing copy | "
        "ratio | memory over the target, network | file |",
        "|---|" + "---:|" * 9,
    ]
    for pair in results("mapping")["figures"]["pairs"]:
        memory = [f"{one['peak_mb'] - one['target_mb']:.0f} MB" for one in pair["memory"].values()]
        lines.append(
            f"| {PAIRS[pair['pair']]}, {pair['parameters'] / 1e6:.0f} M | {pair['map_s']:.2f} s | "
            f"{pair['map_from_file_s']:.2f} s | {pair['apply_s']:.3f} s | "
            f"{pair['clone_s']:.3f} s | {pair['apply_ratio']:.2f} | "
            f"{pair['transposing_clone_s']:.3f} s | "
            f"{pair['apply_ratio_to_transposing']:.2f} | {' | '.join(memory)} |"
        )
    return "\n".join(lines)


def suggest() -> str:
    """Predicted gains on published tables, each with what is known of its past."""
    lines = [
        "| table | measure | history alone | ours | interval covers |",
        "|---|---|---:|---:|---:|",
    ]
    for name, said in results("suggest")["figures"]["tables"].items():
        cells = [f"{said[key]:.3f}" for key in ("history", "ours")]
        measure = "weighted τ" if "networks" in name else "Pearson"
        row = " | ".join([name, measure, *cells])
        lines.append(f"| {row} | {100 * said['covered']:.0f} % |")
    return "\n".join(lines)


def suggest_coverage() -> str:
    """How often the intervals hold the gain where the truth is known: over the kinds of worlds."""
    figures = results("suggest")["figures"]["coverage"]
    columns = ("new task", "known task", "new model")
    lines = [f"| past | {' | '.join(columns)} |", "|---|" + "---:|" * len(columns)]
    for size, kinds in figures.items():
        cells = []
        for column in columns:
            found = [of[column] for of in kinds.values() if np.isfinite(of[column])]
            low, high = (
                f"{100 * end:.0f}" for end in (min(found, default=0), max(found, default=0))
            )
            cells.append((low if low == high else f"{low} to {high}") + " %" if found else "–")
        lines.append(f"| {size} | {' | '.join(cells)} |")
    return "\n".join(lines)


def suggest_rankings() -> str:
    """How well models are ranked where the truth is known: history alone, and ours."""
    figures = results("suggest")["figures"]["rankings"]
    kinds = list(next(iter(figures.values())))
    lines = [f"| past | {' | '.join(kinds)} |", "|---|" + "---:|" * len(kinds)]
    for size, found in figures.items():
        cells = [f"{found[kind]['history']:.3f} → {found[kind]['ours']:.3f}" for kind in kinds]
        lines.append(f"| {size.partition(',')[0]} | {' | '.join(cells)} |")
    return "\n".join(lines)


def suggest_scale() -> str:
    """Time and memory in a large hub."""
    said = results("suggest")["figures"]["scale"]
    return (
        f"- {said['models']:,} models, {said['tasks']:,} tasks, {said['outcomes']:,} outcomes: "
        f"{said['median_ms']:.0f} ms a suggestion ({said['cpu_ms']:.0f} ms of CPU; the slowest of "
        f"50 {said['slowest_ms']:.0f} ms); {said['first_s']:.0f} s for the first, which reads the "
        f"registry ({said['first_cpu_s']:.0f} s of CPU), "
        f"{said['next_process_s']:.1f} s for the first of the next process, "
        f"{said['after_an_outcome_s']:.1f} s for the first after a new outcome; "
        f"{said['memory_mb']:.0f} MB in all, {said['memory_over_start_mb']:.0f} MB above an empty "
        "process."
    )


def sketch_leak() -> str:
    """What is won back of iris from what is published of it."""
    lines = ["| published | in reach | nearer | nearest |", "|---|---:|---:|---:|"]
    for what, said in results("sketch_leak")["figures"].items():
        shares = [f"{100 * said[key]:.0f} %" for key in ("in reach", "nearer")]
        lines.append(f"| {what} | {' | '.join(shares)} | {said['nearest']} |")
    return "\n".join(lines).replace("epsilon", "ε =")


def lineage() -> str:
    """What the weights tell of models whose history is known."""
    said = results("lineage")["figures"]
    apart, search = said["independent trainings"], said["search"]
    made = ", ".join(f"{sum(row.values())} {kind}" for kind, row in said["table"].items())
    missed = Counter((kind, found) for kind, _, found, _ in said["wrong"])
    wrong = "; ".join(f"{n} {kind} called {found}" for (kind, found), n in missed.items())
    strangers = said["claims of a stranger as parent are called"]
    lines = [
        "| what | result |",
        "|---|---|",
        f"| derived models whose relation is right ({made}; the last two are seen as unrelated) | "
        f"{said['right']} of {said['edges']}{f': {wrong}' if wrong else ''} |",
        f"| false claims: each of them held against a stranger | {strangers['unrelated']} of "
        f"{sum(strangers.values())} unrelated |",
        f"| {apart['pairs']} pairs of independent trainings | {apart['claimed']} claimed; the "
        f"largest is {apart['largest surprise']:.1f} standard deviations, against the 8 that are "
        f"asked for; the largest correlation {apart['largest correlation']:.3f}, against 0.3 |",
    ]
    for how, kinds in said["trainings from the same initial weights are called"].items():
        called = ", ".join(f"{n} {kind}" for kind, n in kinds.items())
        lines.append(
            f"| {sum(kinds.values())} trainings from the same initial weights, {how} | {called} |"
        )
    lines.append(
        f"| parent first among {search['models']:,} sketches | {search['parent first']} of "
        f"{search['searches']} fine-tuned perceptrons; {search['milliseconds a search']:.0f} ms a "
        f"search, {search['bytes a model'] / 1000:.1f} kB a model |"
    )
    return "\n".join(lines)


def hub_graph() -> str:
    """What the graph of a large hub costs."""
    said = results("hub_graph")["figures"]
    build, ask = said["build"], said["ask"]
    graph, few = ask["graph"], said["publish_with_2000_models"]
    lines = [
        f"{said['models']:,} models, {said['tasks']:,} tasks and {said['outcomes']:,} outcomes "
        f"({build['triples'] / 1e6:.1f} million triples):",
        "",
        "| what | cost |",
        "|---|---|",
        f"| the graph built anew | {build['wall_s']:.0f} s by the clock, {build['cpu_s']:.0f} s of "
        f"processor time; {build['peak_mb']:.0f} MB, and {build['peak_mb_of_child']:.0f} MB in the "
        "process that writes |",
        f"| one more entry, until a question sees it | {said['publish']['cpu_ms_of_both']:.0f} ms "
        f"of processor time; {few['cpu_ms_of_both']:.0f} ms with 2,000 models |",
        f"| a hub opened; all of it listed | {1e3 * said['open']['open']['wall_s']:.0f} ms; "
        f"{said['open']['list_all']['wall_s']:.0f} s |",
        f"| first question of a process | {1e3 * said['open']['first_query']['wall_s']:.0f} ms |",
        f"| three hops from a task (what helped on it, what was made from that, under which "
        f"licence; {graph['rows']:.0f} rows on average) | median {graph['median_ms']:.0f} ms, 95th "
        f"percentile {graph['p95_ms']:.0f} ms; rdflib takes {1 / ask['ratio_to_rdflib']:.0f} times "
        f"as long on the same tasks, plain SQLite joins in memory "
        f"1/{ask['ratio_to_sqlite']:.0f} of it |",
    ]
    return "\n".join(lines)


def hub_speed() -> str:
    """Publishing, opening and listing, beside what does no more than it must."""
    lines = [
        "| entries | published a second | of the bare loop's rate | open and show one | list all | "
        "the same rows by sqlite3 |",
        "|---:|---:|---:|---:|---:|---:|",
    ]
    for entries, said in results("hub")["figures"]["speed"].items():
        lines.append(
            f"| {int(entries):,} | {said['publish_per_s']:.0f} | {said['publish_ratio']:.2f} | "
            f"{1e3 * said['open_s']:.1f} ms | {said['list_all_s']:.2f} s | "
            f"{said['list_all_bare_s']:.2f} s |"
        )
    return "\n".join(lines)


def hub_faults() -> str:
    """What every fault counted."""
    said = results("hub")["figures"]["faults"]
    kills, race, full, power = (said[name] for name in ("kills", "race", "full disk", "power"))
    bits = said["flipped bits"]
    told = sum(bits[place]["told"] for place in ("object", "registry", "log"))
    wrong = sum(bits[place].get(what, 0) for place in bits for what in ("wrong", "unclean"))
    rebuilt, same = (bits["graph"].get(what, 0) for what in ("rebuilt", "unused"))
    return "\n".join(
        [
            f"- {kills['kills']:,} kills: {kills['acknowledged']:,} entries acknowledged, "
            f"{kills['lost']} lost, {kills['half']} half visible, {kills['temporaries']} "
            f"temporaries left, {kills['missing_in_graph']} missing in the graph.",
            f"- {race['rounds']:,} rounds of four processes at one name: "
            f"{race['rounds_with_one_winner']:,} with exactly one winner.",
            f"- {full['refused']} publications on a full disk: {full['clean']} clean errors, "
            f"{full['recovered']} recovered.",
            f"- {told:,} flipped bits in objects, registry and log told of, {wrong} read wrong; "
            f"{bits['registry'].get('unused', 0)} more met parts of the registry in which nothing "
            f"is kept. Of {rebuilt + same} in the graph {rebuilt} had it built anew, {same} changed"
            " nothing.",
            f"- {power['states']:,} losses of power: {power['lost']} acknowledged entries lost, "
            f"{power['half']} half visible, {power['unusable']} hubs unusable.",
        ]
    )


def written(text: str, name: str, content: str) -> str:
    """`text` with `content` between the two comments of this name."""
    start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    before, _, rest = text.partition(start)
    _, _, after = rest.partition(end)
    return f"{before}{start}\n{content}\n{end}{after}"


def map_confidence() -> str:
    """How many tensors are right at each confidence, on the pairs that chose nothing."""
    figures = results("map_confidence")["figures"]
    lines = ["| names of the source | confidence | tensors | right |", "|---|---:|---:|---:|"]
    orders = {"in order": "in order of registration", "sorted": "sorted"}
    orders |= {f"{order}, narrower": f"{title}, half the width" for order, title in orders.items()}
    for order, title in orders.items():
        for row in figures[f"{order}, reported"]:
            lines.append(
                f"| {title} | {row['confidence']:.2f} | {row['tensors']} | {row['right']:.2f} |"
            )
    return "\n".join(lines)


def map_name_swaps() -> str:
    """How many exchanged names are noticed without an example, network by network."""
    figures = results("map_name_swaps")["figures"]
    lines = [
        "| network | across roles | noticed | across depths | noticed | false alarms, trained | "
        "random |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name, false in figures["false_alarms"].items():
        said = [figures["summary"][f"{name}, {kind}"] for kind in ("role", "depth")]
        title = f"{name} (chose no constant)" if name in figures["held_out"] else name
        swaps = " | ".join(f"{one['swaps']} | {one['noticed'] / one['swaps']:.0%}" for one in said)
        alarms = f"{false['trained']} of {false['tensors']} | {false['random']}"
        lines.append(f"| {title} | {swaps} | {alarms} |")
    return "\n".join(lines)


CASES = {
    "a": "own state dict into the class",
    "b": "the same in another order",
    "c": "own file into the class",
    "d": "base or pretraining network into a task head",
}


def map_transformers() -> str:
    """How many classes of transformers are mapped right, tensor by tensor."""
    figures = results("map_transformers")["figures"]
    lines = [
        f"| transformers {figures['transformers']} | tried | right | wrong | not built | tensors | "
        "CPU s, median | at most |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for case, title in CASES.items():
        said = figures.get(case)
        if said is None:
            continue
        built = said["right"] + said["wrong"]
        lines.append(
            f"| {title} | {built} | {said['right']} | {said['wrong']} | {said['not_built']} | "
            f"{said['tensors']:,} | {said['cpu_s']['median']:.2f} | {said['cpu_s']['max']:.1f} |"
        )
    widths = [row["outcome"] for row in figures["e"]]
    return "\n".join(
        [
            *lines,
            "",
            f"- Networks of twice and of one and a half times the width, {len(widths)} pairs: "
            f"{widths.count('kept')} keep the function to 1e-5, {widths.count('refused')} are "
            f"refused before they are applied, {widths.count('wrong')} are wrong.",
        ]
    )


def heart_automl() -> str:
    """Hearts beside AutoML on the rows of both hospitals."""
    found = results("heart_automl")["figures"]
    if "runs" not in found:
        return f"- Not run: {', '.join(found['left_out'])}."
    means = {name: f"{100 * mean:.1f}" for name, mean in found["means"].items()}
    autogluon = f", AutoGluon on them {means['autogluon']}" if "autogluon" in means else ""
    return (
        f"- {len(found['runs'])} draws, balanced accuracy: bequest {means['bequest']} without the "
        f"source's rows and {means['bequest_with_data']} with them, FLAML on the rows of both "
        f"hospitals {means['flaml']}{autogluon}, the best of ten lines {means['ten_lines']}. "
        f"bequest without "
        f"the rows over FLAML with them: {_points(found['bequest_over_flaml'])} points."
    )


def worthless() -> str:
    """Sources that know nothing."""
    found = results("worthless")["figures"]
    handed, draws = found["handed_over_transfer"], found["draws"]
    gains = ", ".join(
        f"{100 * gain:+.1f} ({metric})" for metric, gain in found["mean_gain_handed_over"].items()
    )
    return (
        f"- {draws} draws: transfer was handed over in {handed}; it is significantly below from "
        f"scratch on the test rows in {found['significant_negatives']} "
        f"({100 * found['significant_negatives'] / draws:.1f} % of the draws) and significantly "
        f"above in {found['significant_positives']}. Mean difference of what is handed over, in "
        f"points: {gains}. Verdicts: {found['helps']} *helps* ({found['helps_truly']} truly), "
        f"{found['hurts']} *hurts* ({found['hurts_truly']} truly)."
    )


def pages() -> dict[Path, str]:
    """Each page as the results want it."""
    transfer = results("transfer")["figures"]
    readme, full = ROOT / "README.md", ROOT / "docs" / "benchmarks.md"
    tables = "\n\n".join(table(transfer["runs"], labels) for labels in (5, 20, 50))
    short = f"{summary(transfer)}\n\n{table(transfer['runs'], 20)}"
    real = pretrained()
    texts = {readme: f"{real}\n\n{short}", full: f"{real}\n\n{summary(transfer)}\n\n{tables}"}
    found = {
        path: written(written(path.read_text(), "transfer", text), "others", others())
        for path, text in texts.items()
    }
    others_too = {
        "heart_automl": heart_automl,
        "worthless": worthless,
        "fine_tuning": fine_tuning,
        "boosting": boosting,
        "regularisers": regularisers,
        "parameters": parameters,
        "mapping": mapping,
        "map_transformers": map_transformers,
        "suggest": suggest,
        "suggest_scale": suggest_scale,
    }
    for name, made in others_too.items():
        found[full] = written(found[full], name, made())
    hub = ROOT / "docs" / "hub.md"
    found[hub] = written(hub.read_text(), "hub_graph", hub_graph())
    theory = {
        "hub-storage": {"hub_speed": hub_speed, "hub_faults": hub_faults},
        "suggest": {
            "suggest": suggest,
            "suggest_coverage": suggest_coverage,
            "suggest_rankings": suggest_rankings,
            "suggest_scale": suggest_scale,
        },
        "sketches": {"sketch_leak": sketch_leak},
        "lineage": {"lineage": lineage},
        "parameter-maps": {"map_confidence": map_confidence, "map_name_swaps": map_name_swaps},
        "gain": {"gain_averages": gain_averages, "gain_on_tasks": gain_on_tasks},
    }
    for page, parts in theory.items():
        path = ROOT / "docs" / "theory" / f"{page}.md"
        found[path] = path.read_text()
        for name, made in parts.items():
            found[path] = written(found[path], name, made())
    return found


def main() -> None:
    for path, text in pages().items():
        path.write_text(text)
        print(f"written: {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
