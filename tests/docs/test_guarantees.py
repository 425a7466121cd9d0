"""docs/guarantees.md names every chaos scenario, and only commands that exist."""

import re
from pathlib import Path

from tests.chaos import table
from tests.chaos.scenarios import SCENARIOS

ROOT = Path(__file__).resolve().parents[2]
TEXT = table.PAGE.read_text()
YARDSTICK = "plain"  # has no fault, so it shows nothing


def test_every_scenario_shows_something() -> None:
    """Each scenario is the witness of a guarantee, and every witness exists."""
    named = set(re.findall(r'make chaos ARGS="([a-z-]+)(?: \d+)?"', TEXT)) - {"--write"}
    assert named == set(SCENARIOS) - {YARDSTICK}


def test_targets_exist() -> None:
    """Whatever is called by `make` is a target."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z-]+)", TEXT)) <= targets


def test_there_is_a_place_for_the_tables() -> None:
    """The marks between which a run writes its table."""
    for mark in (table.BEGIN, table.END):
        assert TEXT.count(mark) == 1
