"""The main job as a person starts it: real data in, a folder with model, outcome and page out."""

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_breast_cancer, load_digits

import bequest as bq

pytestmark = pytest.mark.slow


def bequest(*words, cwd):
    command = [sys.executable, "-m", "bequest", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=280)


def ok(*words, cwd):
    done = bequest(*words, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_demo_shows_a_source_that_helps_and_one_that_is_refused(tmp_path):
    said = json.loads(ok("demo", "--out", "demo", "--budget", 40, "--json", cwd=tmp_path))
    told = said["transfers"]
    judged = [transfer for transfer in told if transfer["selected"] and transfer["source"]]
    kinds = {transfer["target"]["name"]: transfer["verdict"]["kind"] for transfer in judged}
    # a machine on which the photos' features alone take 40 s has no verdict on them
    assert kinds.get("photos of rubbish", "helps") == "helps"
    assert [transfer["verdict"]["kind"] for transfer in told[1:]] == ["helps", "hurts"]
    assert [t["selected"] for t in told[1:]] == ["transfer", "from-scratch"]
    assert said["suggested"].index("demo/many-digits@1") < said["suggested"].index(
        "demo/mixed-up-labels@1"
    )
    hub = bq.Hub(tmp_path / "demo" / "hub")
    assert len(hub.list()) == 6
    assert "demo/many-digits@1" in str(hub.lineage("demo/other-writers"))
    for name in ("photos", "other-writers", "shuffled-labels"):
        assert (tmp_path / "demo" / name / "report.html").stat().st_size > 10_000


def test_a_csv_from_the_first_line_to_the_prediction(tmp_path):
    data = load_breast_cancer(as_frame=True)
    frame = data.frame.assign(target=np.where(data.target, "benign", "malignant"))
    frame[:400].to_csv(tmp_path / "many.csv", index=False)
    frame[400:440].to_csv(tmp_path / "few.csv", index=False)
    frame[440:].drop(columns="target").to_csv(tmp_path / "new.csv", index=False)
    ok("train", "many.csv", "--target", "target", "--out", "source", cwd=tmp_path)
    ok("transfer", "few.csv", "--target", "target", "--source", "source", "--method", "reuse",
       "--budget", 60, "--out", "result", cwd=tmp_path)  # fmt: skip
    ok("predict", "result", "new.csv", "--out", "said.csv", cwd=tmp_path)
    said = (tmp_path / "said.csv").read_text().splitlines()
    right = np.mean([row in truth for row, truth in zip(said[1:], frame.target[440:], strict=True)])
    assert right > 0.85
    ok("publish", "result", "cells/second", "--licence", "CC-BY-4.0", "--hub", "hub", cwd=tmp_path)
    assert "cells/second" in ok("list", "--hub", "hub", cwd=tmp_path)
    ok("pull", "cells/second", "--hub", "hub", "--out", "pulled", cwd=tmp_path)
    outcome = bq.Outcome.from_json((tmp_path / "result" / "outcome.json").read_text())
    assert outcome.verdict.metric == "accuracy"
    assert outcome.source


def test_a_folder_of_images_and_two_arrays(tmp_path):
    images, digits = load_digits(return_X_y=True)
    for place, (pixels, digit) in enumerate(zip(images, digits, strict=True)):
        if digit < 3 and place < 400:
            folder = tmp_path / "photos" / "abc"[digit]
            folder.mkdir(parents=True, exist_ok=True)
            grey = (pixels.reshape(8, 8) * 15.9).astype(np.uint8)
            Image.fromarray(grey).resize((16, 16)).save(folder / f"{place}.png")
    ok("train", "photos", "--size", 16, "--channels", 1, "--out", "eyes", cwd=tmp_path)
    chosen = (digits >= 3) & (digits < 6)
    X = np.kron(images[chosen][:60].reshape(-1, 1, 8, 8) / 16, np.ones((1, 1, 2, 2)))
    np.savez(tmp_path / "few.npz", X=X.astype(np.float32), y=digits[chosen][:60])
    ranked = json.loads(ok("rank", "few.npz", "--source", "eyes", "--json", cwd=tmp_path))
    assert "photos" in json.dumps(ranked)
    ok("transfer", "few.npz", "--source", "eyes", "--method", "probe", "--budget", 60,
       "--out", "result", cwd=tmp_path)  # fmt: skip
    assert bq.load(tmp_path / "result" / "model").predict(X[:5]).shape == (5,)
