"""Every citation leads somewhere: bank rules by id, pages and headings of docs/ in code, links between pages."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.test_docs import LINK, PAGES, anchors
from tests.test_tidy import ROOT, name_of, tracked

DOCS = ROOT / "docs"
RULES = (DOCS / "rules.md", *sorted((DOCS / "rules").glob("*.md")))
RULE = re.compile(r"(?<![\w-])([RCN])-(\d{2,3})(?![\w-])")
RANGE = re.compile(r"(?<![\w-])([RCN])-(\d{2,3}) to (?:([RCN])-)?(\d{2,3})(?![\w-])")
ROW = re.compile(r"^\| ([RCN]-\d{2,3}) \|", re.MULTILINE)
PAGE = re.compile(r"(?<![\w/.-])docs/([\w/-]+\.(?:md|svg))(?:#([\w-]+))?")
SOURCE = re.compile(
    r"`((?:streams|schemas|policies|agents|services|connectors|deploy|tidegauge|bench|tests)/[\w/.-]*)`"
)
COUNTS = {"R": 305, "C": 44, "N": 14}
KINDS = {".py", ".avsc", ".yaml", ".yml", ".json", ".toml", ".md", ".sql", ".properties"}
SKIPPED = ("schemas/versions/",)  # kept as they were released


def cited() -> list[Path]:
    """Files that may cite: code, contracts, packs, tests, pages."""
    found = [p for p in tracked() if p.suffix in KINDS or p.name in {"Makefile", "Dockerfile"}]
    return [p for p in found if not name_of(p).startswith(SKIPPED) and p != Path(__file__)]


def rules_of(text: str) -> Iterator[str]:
    """Ids of bank rules that a text names, ranges written out."""
    yield from (f"{kind}-{number}" for kind, number in RULE.findall(text))
    for kind, first, other, last in RANGE.findall(text):
        assert other in {"", kind}, f"{kind}-{first} to {other}-{last}"
        assert int(first) < int(last), f"{kind}-{first} to {last}"
        yield from (f"{kind}-{number:0{len(first)}}" for number in range(int(first), int(last) + 1))


def broken(name: str, heading: str, known: dict[str, set[str]]) -> bool:
    """Whether a page of docs/ is missing, or has no such heading."""
    page = DOCS / name
    if not page.is_file():
        return True
    if not heading:
        return False
    return heading not in known.setdefault(name, anchors(page))


def test_rules_are_numbered_without_holes() -> None:
    """Each id has exactly one row in docs/rules/."""
    rows = [row for page in RULES for row in ROW.findall(page.read_text())]
    for kind, count in COUNTS.items():
        width = 3 if kind == "R" else 2
        assert sorted(r for r in rows if r[0] == kind) == [f"{kind}-{n:0{width}}" for n in range(1, count + 1)]


def test_citations_lead_somewhere() -> None:
    """Bank rules exist, and so do the pages and headings of docs/, which are cited by their names."""
    rows = {row for page in RULES for row in ROW.findall(page.read_text())}
    known, astray = dict[str, set[str]](), []
    for path in cited():
        text = path.read_text(encoding="utf-8")
        wrong = [rule for rule in rules_of(text) if rule not in rows]
        wrong += [found.group() for found in PAGE.finditer(text) if broken(*_parts(found), known)]
        wrong += re.findall(r"\bdesign §|§\s*\d", text)
        astray += [f"{name_of(path)}: {what}" for what in wrong]
    assert astray == [], "cite a heading of docs/ (docs/page.md#heading)"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_pages_name_files_that_exist(page: Path) -> None:
    """A path of code, tests or contracts that a page names is there."""
    assert [path for path in SOURCE.findall(page.read_text(encoding="utf-8")) if not (ROOT / path).exists()] == []


def _parts(found: re.Match[str]) -> tuple[str, str]:
    return found[1], found[2] or ""


def test_every_page_is_linked() -> None:
    """A reader who starts at README reaches every page of docs/."""
    start = ROOT / "README.md"
    reached, ahead = {start}, [start]
    while ahead:
        page = ahead.pop()
        targets = [target.partition("#")[0] for target in LINK.findall(page.read_text())]
        found = {(page.parent / target).resolve() for target in targets if target.endswith(".md")}
        ahead += found - reached
        reached |= found
    assert [name_of(page) for page in PAGES if page not in reached] == []


def test_what_leads_nowhere_is_found() -> None:
    """The checks above can fail: an unknown rule, a page and a heading that are not there."""
    assert [*rules_of("R-999, C-01 to C-03, N-02 to 03")] == [
        *("R-999", "C-01", "C-03", "N-02"), *("C-01", "C-02", "C-03"), *("N-02", "N-03"),
    ]  # fmt: skip
    pages = [_parts(found) for found in PAGE.finditer("docs/no.md, docs/aum.md#money and docs/aum.md#no")]
    assert [broken(*parts, {}) for parts in pages] == [True, False, True]
