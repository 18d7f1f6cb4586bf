"""The documentation is whole: pages, citations, settings, links, navigation."""

from __future__ import annotations

import re
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest

import bequest
from bequest.methods import METHODS
from bequest.selection import SCORES

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
CODE = re.compile(r"^```.*?^```$|`[^`\n]*`", re.M | re.S)


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def letters(text: str) -> str:
    """Words without braces, case, spacing and punctuation."""
    return re.sub(r"[^a-z0-9]+", " ", text.replace("{", "").replace("}", "").lower()).strip()


def cites(page: str, citation: str) -> bool:
    title = re.search(r"title\s*=\s*\{(.*?)\}\s*,\s*\w+\s*=", citation, re.S)
    year = re.search(r"year\s*=\s*\{(\d{4})\}", citation)
    assert title, citation
    assert year, citation
    short, _, _ = title[1].partition(":")  # a subtitle may be left out
    known = short if len(short.split()) > 3 else title[1]
    return letters(known) in letters(page) and year[1] in page


def anchors(text: str) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S), re.M)
    plain = (re.sub(r"[^\w\s-]", "", heading.lower()).strip() for heading in headings)
    return {re.sub(r"[-\s]+", "-", heading) for heading in plain}


def navigation(entry) -> list[str]:
    if isinstance(entry, str):
        return [entry]
    values = entry.values() if isinstance(entry, dict) else entry
    return [name for value in values for name in navigation(value)]


@pytest.mark.parametrize("name", list(METHODS))
def test_every_method_has_a_page_that_cites_its_source_and_names_its_settings(name):
    page = text_of(DOCS / "methods" / f"{name}.md")
    method = METHODS[name]
    assert cites(page, method.citation)
    for field in fields(method):
        shown = repr(field.default).replace("'", '"')
        assert f"| `{field.name}` | `{shown}` |" in page
    for heading in ("When it applies", "Settings", "Cost", "When it hurts", "Citation"):
        assert f"\n## {heading}\n" in page


@pytest.mark.parametrize("name", list(SCORES))
def test_every_score_has_a_page_that_cites_its_source(name):
    function = name.replace("-", "_")  # a page is named as the plain function is
    pages = [DOCS / "scores" / f"{stem}.md" for stem in (function, f"{function}_score")]
    page = next(page for page in pages if page.is_file())
    assert cites(text_of(page), SCORES[name].citation)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(DOCS).as_posix())
def test_every_link_within_the_pages_leads_somewhere(page):
    text = CODE.sub("", text_of(page))
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in link or link.startswith("mailto:"):
            continue
        name, _, anchor = link.partition("#")
        goal = (page.parent / name).resolve() if name else page
        assert goal.is_file(), f"{page.name} links to {link}"
        assert not anchor or anchor in anchors(text_of(goal)), f"{page.name} links to {link}"


def test_the_navigation_has_every_page_once():
    config = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))
    listed = navigation(config["project"]["nav"])
    assert sorted(listed) == [page.relative_to(DOCS).as_posix() for page in PAGES]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(DOCS).as_posix())
def test_every_name_of_the_face_that_a_page_uses_exists(page):
    used = set(re.findall(r"\bbq\.([A-Za-z]\w*)", text_of(page)))
    assert used <= set(dir(bequest)), f"{page.name} uses {used - set(dir(bequest))}"


def test_the_reference_has_every_public_name():
    listed = re.findall(r"^::: ([\w.]+)$", text_of(DOCS / "reference.md"), re.M)
    assert {name.rpartition(".")[2] for name in listed} >= set(bequest.__all__)
