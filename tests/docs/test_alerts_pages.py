"""docs/alerts.md and its Chinese twin say the same: the same sections, tables, rows, names and amounts, one by one."""

import re
from collections import Counter
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"
ENGLISH, CHINESE = (DOCS / name for name in ("alerts.md", "alerts.zh-CN.md"))
HEADING = re.compile(r"^#+ ", re.MULTILINE)
CODE = re.compile(r"`([^`]+)`")
AMOUNT = re.compile(r"(?<![\d.,])\d[\d,]*\.\d\d\b|\d[\d,.]* %")
STEP = re.compile(r"\b(?:raised|deepened|retracted|corrected|expired|resolved|closed)\b")
TOLD = "what is told"  # the head of the cells that list steps
ONLY_CHINESE = {"--lang zh-CN", "tidegauge alerts acknowledge"}  # how to get it in Chinese; where the commands are


def sections(page: Path) -> list[str]:
    """The text of each heading with what follows up to the next one."""
    text = page.read_text()
    starts = [found.start() for found in HEADING.finditer(text)]
    return [text[start:end] for start, end in zip(starts, [*starts[1:], len(text)], strict=True)]


def rows(text: str) -> list[str]:
    """Lines of tables."""
    return [line for line in text.splitlines() if line.startswith("|")]


def named(text: str) -> Counter[str]:
    """Names, amounts and shares of a text: what no language changes."""
    names = (name for found in CODE.findall(text) for name in re.split(r"[,，、] *", found))
    return Counter([*names, *AMOUNT.findall(CODE.sub("", text))])


def cells(line: str) -> list[str]:
    """Of a row."""
    return line.split("|")[1:-1]


PAIRS = list(zip(sections(ENGLISH), sections(CHINESE), strict=False))


def test_sections_are_the_same() -> None:
    """As many, at the same depths, with as many rows, list items and pictures, and the same commands."""
    one, other = sections(ENGLISH), sections(CHINESE)
    assert [s.split()[0] for s in one] == [s.split()[0] for s in other]
    for line in (r"^\|", r"^\d\. ", r"^- ", r"^!\["):
        counts = [[len(re.findall(line, s, re.MULTILINE)) for s in page] for page in (one, other)]
        assert counts[0] == counts[1], line
    assert len([line for line in ENGLISH.read_text().splitlines() if line.startswith("|") and TOLD in line]) == 3
    assert [re.findall(r"^    \S.*", s, re.MULTILINE) for s in one] == [
        re.findall(r"^    \S.*", s, re.MULTILINE) for s in other
    ]


@pytest.mark.parametrize("number", range(len(PAIRS)))
def test_every_row_says_the_same(number: int) -> None:
    """Cell by cell the same names and amounts, and the same steps in the same order where steps are told."""
    told = False
    for english, chinese in zip(*(rows(text) for text in PAIRS[number]), strict=True):
        one, other = cells(english), cells(chinese)
        told = one[-1].strip() == TOLD or (told and len(one) == 2)
        assert len(one) == len(other), chinese
        for first, second in zip(one, other, strict=True):
            assert named(first) == named(second), f"{first} / {second}"
        if told:
            assert STEP.findall(one[-1]) == STEP.findall(other[-1]), f"{one[-1]} / {other[-1]}"


@pytest.mark.parametrize("number", range(len(PAIRS)))
def test_every_section_names_the_same(number: int) -> None:
    """Settings, topics, commands, files and amounts; each as often as it likes."""
    one, other = (set(named(text)) for text in PAIRS[number])
    assert one == other - ONLY_CHINESE


def test_a_change_of_one_page_is_noticed() -> None:
    """Another amount, and another name."""
    row = "| 300,000.00 leave, `settle_days` 3 | raised |"
    assert named(row) != named(row.replace("300,000.00", "200,000.00"))
    assert named(row) != named(row.replace("settle_days", "return_days"))


def test_links_of_the_chinese_page_lead_somewhere() -> None:
    """Those within the page name one of its headings."""
    headings = {line.lstrip("# ") for line in CHINESE.read_text().splitlines() if line.startswith("#")}
    links = re.findall(r"\]\(#([^)]+)\)", CHINESE.read_text())
    assert links
    assert set(links) <= headings
