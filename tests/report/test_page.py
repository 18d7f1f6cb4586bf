from __future__ import annotations

import os
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bequest.core import TaskSummary
from bequest.errors import DataError
from bequest.report import page, render, write_report

VOID = {"meta", "line", "circle", "rect", "path"}
PAYLOADS = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</title><script>alert(1)</script>",
    "' onload='alert(1)",
    "</style><svg/onload=alert(1)>",
    "{{ 7 * 7 }}{% raw %}",
)


class Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, tuple[str, ...]]] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, tuple(name for name, _ in attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append((tag, tuple(name for name, _ in attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def renamed(outcome, text: str):
    """Every name and free text of an outcome, replaced."""
    return replace(
        outcome,
        target=TaskSummary(name=text, classes=(text, text), unknown_keys={f"key {text}": text}),
        source=text,
        method=text,
        settings={text: text},
        ranking=tuple(
            replace(entry, source=text, reason=entry.reason and text, scores={text: 1.0})
            for entry in outcome.ranking
        ),
        arms=tuple(
            replace(arm, source=text, method=text, settings={text: [text]}, reason=text)
            for arm in outcome.arms
        ),
        splits=(text,),
        cost={text: 1.0},
        versions={text: text},
        transferred=tuple({"part": text, "numbers": 3, "rule": text} for _ in outcome.transferred),
        notes=(text,),
    )


def test_every_page_is_whole_and_closes_every_tag(sample):
    tags = Tags(render(sample))
    assert tags.open == []
    assert "To run it again" in tags.text
    assert not re.search(r"\b(None(?! of)|nan|inf|Undefined)\b|\{\{|\{%", tags.text)


def test_no_mark_is_placed_at_a_number_that_does_not_exist(sample):
    places = re.findall(r'\b(?:x|y|cx|cy|x1|x2|y1|y2|width)="([^"]*)"', render(sample))
    assert places
    assert all(re.fullmatch(r"-?\d+(\.\d+)?%?", place) for place in places)


def test_every_page_stands_alone_and_stays_small(sample):
    text = render(sample)
    assert len(text.encode()) < 200_000
    assert not re.search(r"https?:|//|<script|<link|<img|@import|url\(|\bsrc=|\bhref=", text)


def test_every_table_has_a_caption_and_every_picture_a_name(sample):
    text = render(sample)
    assert text.count("<table") == text.count("<caption>")
    pictures = re.findall(r"<svg[^>]*>", text)
    assert all("aria-label=" in tag or 'aria-hidden="true"' in tag for tag in pictures)


@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_stranger_s_name_stays_text(samples, payload):
    outcome = samples["helps"]()
    text = render(renamed(outcome, payload))
    assert Tags(text).seen == Tags(render(renamed(outcome, "a name"))).seen
    assert payload in Tags(text).text


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(text=st.text(st.characters(codec="utf-8"), min_size=1, max_size=40))
def test_no_text_at_all_adds_a_tag(samples, text):
    outcome = samples["hurts"]()
    assert Tags(render(renamed(outcome, text))).seen == Tags(render(renamed(outcome, "name"))).seen


def test_the_report_is_written_and_replaced(tmp_path, samples):
    path = tmp_path / "report.html"
    assert write_report(samples["hurts"](), path) == path
    write_report(samples["helps"](), str(path))
    assert "Transfer helps" in path.read_text(encoding="utf-8")
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.html"]


def test_a_failed_write_leaves_the_old_report_and_no_litter(tmp_path, samples, monkeypatch):
    path = tmp_path / "report.html"
    path.write_text("the old one", encoding="utf-8")

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_report(samples["helps"](), path)
    assert path.read_text(encoding="utf-8") == "the old one"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_name_that_no_file_can_hold_is_written_all_the_same(tmp_path, samples):
    path = write_report(replace(samples["helps"](), source="half \ud800 of a pair"), tmp_path / "r")
    assert b"half ? of a pair" in path.read_bytes()


def test_a_folder_that_is_missing_or_named_as_the_file_is_refused(tmp_path, samples):
    with pytest.raises(DataError, match="no folder"):
        write_report(samples["helps"](), tmp_path / "absent" / "report.html")
    with pytest.raises(DataError, match="is a folder; name a file in it"):
        write_report(samples["helps"](), tmp_path)


def test_a_fact_that_is_not_known_is_left_out(samples):
    bare = replace(
        samples["no-source"](), folds={}, cost={}, target=TaskSummary(), arms=(), splits=()
    )
    text = Tags(render(bare)).text
    assert "Time taken" not in text
    assert "Nothing was compared." in text


def test_coverage_is_the_share_that_is_not_new(samples):
    text = Tags(render(samples["helps"]())).text
    assert "24,704 of the 25,344 parameters of the model with transfer come from digits 0-4" in text
    assert "(97\N{NO-BREAK SPACE}%)" in text


def test_rows_of_shared_classes_count_as_moved_in_part(samples):
    outcome = samples["helps"]()
    head = {"part": "head", "numbers": 640, "rule": "rows of 2 shared classes"}
    text = Tags(render(replace(outcome, transferred=(*outcome.transferred[:3], head)))).text
    assert "At least 24,704 of the 25,344 parameters" in text


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (
            {"part": "features", "numbers": 64, "rule": "frozen"},
            "digits 0-4 stays as it is inside the model with transfer, which learns from the 64 "
            "features that it gives.",
        ),
        (
            {"part": "the whole model", "numbers": 0, "rule": "as it is"},
            "The model with transfer is digits 0-4 as it is, its labels matched.",
        ),
    ],
)
def test_a_source_that_is_used_whole_is_told_in_words(samples, entry, expected):
    text = Tags(render(replace(samples["helps"](), transferred=(entry,)))).text
    assert expected in text
    assert "Parts of the model" not in text


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_every_colour_of_text_stands_out_from_its_paper():
    css = (Path(page.__file__).parent / "templates" / "style.css").read_text(encoding="utf-8")
    blocks = re.findall(r":root \{(.*?)\}", css, re.S)[:2]
    for block in blocks:
        colours = dict(re.findall(r"--(\w+): (#\w{6})", block))
        paper = luminance(colours["paper"])
        for name in ("ink", "soft", "transfer", "scratch", "good", "bad", "open"):
            high, low = sorted((paper, luminance(colours[name])), reverse=True)
            assert (high + 0.05) / (low + 0.05) >= 4.5, name


def test_many_notes_fold_away(samples):
    text = render(replace(samples["hurts"](), notes=tuple(f"note {i}" for i in range(9))))
    assert "4 more notes" in text
    assert "note 8" in text
