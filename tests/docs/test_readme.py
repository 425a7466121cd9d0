"""README and its Chinese twin: what they show is what the commands print, and both say the same."""

import re
from pathlib import Path

import pytest

from connectors.formats.events import events_only
from connectors.simulate import simulate
from schemas.registry import contract
from tests.docs import samples

ROOT = Path(__file__).resolve().parents[2]
README, TWIN = (ROOT / name for name in ("README.md", "README.zh-CN.md"))
ROW = re.compile(r"^\| `([a-z-]+)` \| `(\{.*\})` \|$", re.MULTILINE)


def blocks(page: Path) -> list[str]:
    """Code blocks of a page."""
    return re.findall(r"^```.*?^```$", page.read_text(), re.MULTILINE | re.DOTALL)


def test_twins_have_the_same_blocks_tables_and_targets() -> None:
    """Commands, outputs, records and links are the same in both languages."""
    assert blocks(README) == blocks(TWIN)
    assert ROW.findall(README.read_text()) == ROW.findall(TWIN.read_text())
    links = [re.findall(r"\]\(((?!README)[^)]+)\)", page.read_text()) for page in (README, TWIN)]
    assert sorted(links[0]) == sorted(links[1])
    assert README.read_text().count("\n## ") == TWIN.read_text().count("\n## ")


@pytest.mark.parametrize(("topic", "record"), ROW.findall(README.read_text()))
def test_short_records_are_parts_of_the_samples(topic: str, record: str) -> None:
    """Each field shown is a field of the contract, with the value that it has in docs/topics.md."""
    sample = samples.PAGE.read_text().split(f"\n## {topic}\n")[1].split("\n## ")[0]
    flat = "".join(sample.split())
    for name, value in re.findall(r'"([a-z_]+)": ("[^"…]*"|-?\d+|true|false|null)', record):
        assert name in str(contract(topic))
        assert f'"{name}":{"".join(value.split())}' in flat


def test_simulated_bank_has_the_events_shown() -> None:
    """`simulate` writes as many events as the page says."""
    shown = {
        topic: int(count.replace(",", ""))
        for count, topic in re.findall(r"([\d,]+) ([a-z-]+)[,\n ]", blocks(README)[2])
    }
    counts: dict[str, int] = {}
    for event in events_only(simulate(1, 500)):
        counts[event.topic] = counts.get(event.topic, 0) + 1
    assert {topic: shown[topic] for topic in counts} == counts


def test_no_word_of_the_machine() -> None:
    """No page names a path or a host of the machine it was written on."""
    for page in (README, TWIN, *(ROOT / "docs").glob("*")):
        if page.is_file():
            assert not re.search(r"/(?:work|tmp|root|home)/|pypi\.org|repo1\.maven", page.read_text()), page.name


def test_guarantees_name_tests_that_exist() -> None:
    """Every test that the pages name as a witness is there."""
    for page in (ROOT / "docs").glob("*.md"):
        for path in re.findall(r"`(tests/[\w/.]+)`", page.read_text()):
            assert (ROOT / path).exists(), f"{page.name}: {path}"
