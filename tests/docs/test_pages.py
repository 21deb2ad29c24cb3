"""The Markdown pages: their links lead somewhere, a terminal shows their lines, a git host their formulas."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = [
    *sorted(path for path in DOCS.rglob("*.md") if "generated" not in path.parts),
    *(ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CHANGELOG.md", "findings/README.md")),
]
WIDTH = 160
CODE = re.compile(r"^( *)```.*?^\1```|`[^`]*`", flags=re.MULTILINE | re.DOTALL)


def anchors(text: str) -> set[str]:
    """The anchors of the headings, as git hosts and the site make them."""
    found: dict[str, int] = {}
    text = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    for heading in re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE):
        slug = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        found[slug if slug not in found else f"{slug}-{found[slug]}"] = found[slug] = found.get(slug, 0) + 1
    return set(found)


def dead_links(page: Path, text: str) -> list[str]:
    """The links of a page to files or headings that are not there; links to other hosts are not followed."""
    dead = []
    for target in re.findall(r"\]\(([^)\s]*)\)", CODE.sub("", text)):
        path, _, anchor = target.partition("#")
        file = (page.parent / path) if path else page
        if re.match(r"[a-z]+:", target):
            continue
        if not file.exists() or (anchor and anchor not in anchors(file.read_text(encoding="utf-8"))):
            dead.append(target)
    return dead


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_can_be_read_and_followed(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert dead_links(page, text) == []
    assert [line for line in text.splitlines() if len(line) >= WIDTH] == []
    # Markdown takes a backslash before punctuation and a pair of asterisks for its own, also within $...$.
    formulas = re.findall(r"\$[^$]*\$", CODE.sub("", text))
    assert [formula for formula in formulas if re.search(r"\\[^\w\s]|\*", formula)] == []


@pytest.mark.parametrize(
    ("text", "dead"),
    [
        ("[a](physics.md#sectors) [b](reports/study.md) [c](https://no.where/x.md) `[d](e)`", []),
        ("[a](physic.md)", ["physic.md"]),
        ("[a](physics.md#sector)", ["physics.md#sector"]),
    ],
)
def test_dead_links_are_found(text: str, dead: list[str]) -> None:
    assert dead_links(DOCS / "index.md", text) == dead


def test_anchors_are_those_of_git_hosts() -> None:
    assert anchors("# One `two`, (three)\n## a_b\n```\n# no\n```\n## a_b\n") == {"one-two-three", "a_b", "a_b-1"}


def test_the_index_leads_to_every_page() -> None:
    index = (DOCS / "index.md").read_text(encoding="utf-8")
    linked = {(DOCS / name).resolve() for name in re.findall(r"\]\(([^)#:]+\.md)\)", index)}
    assert {page for page in PAGES if page.is_relative_to(DOCS)} - linked == {DOCS / "index.md"}


def test_the_picture_has_what_the_architecture_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(DOCS)
    picture = importlib.import_module("picture")
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    drawn = re.findall(r"<text[^>]*>([^<]*)", picture.picture(text))
    packages = [name for layer in picture.layers(text) for name in layer]
    assert {"errors", "cli"} <= set(packages)
    assert set(drawn) >= {*packages, *picture.stations(text)}
    assert len(drawn) == len(packages) + len(picture.stations(text)) + 3  # two headings, and "next iteration"
