"""docs/policies.md is tested as written: the pack from scratch, its cases, and what every command there prints."""

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from policies import load_pack
from policies.model import metrics
from tidegauge.cli.policy.command import app

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "policies.md").read_text(encoding="utf-8")
TUTORIAL = PAGE.split("## A pack from scratch")[1].split("\n## ")[0]


def blocks(kind: str) -> list[str]:
    """The fenced blocks of a kind in the tutorial."""
    return re.findall(rf"^```{kind}\n(.*?)^```", TUTORIAL, re.MULTILINE | re.DOTALL)


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """A folder with the files that the tutorial has written down or describes."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    (pack,) = blocks("yaml")
    second = pack.replace("version: 1", "version: 2").replace("2026-01-01", "2027-01-01").replace('"400000', '"500000')
    files = {
        "harbour.yaml": pack,
        "harbour-2.yaml": second,
        "harbour-wrong.yaml": pack.replace("quarter_avg", "quater_avg", 1),
    }
    files["harbour-cases.csv"] = blocks("csv")[0]
    for name, text in files.items():
        Path(name).write_text(text, encoding="utf-8")


@pytest.mark.parametrize("block", blocks("console"), ids=lambda block: " ".join(block.split()[3:5]))
def test_commands_print_what_the_page_says(desk, block):
    """R-001, R-226: a scheme is added, tried on cases and changed by writing data alone."""
    command, _, expected = block.partition("\n")
    words = shlex.split(command.removeprefix("$ tidegauge policy "))
    done = CliRunner().invoke(app, words)
    assert done.output.replace("\n  ", "\n") == expected
    assert done.exit_code == (1 if "wrong" in command else 0)


def test_the_pack_says_what_the_text_says(desk):
    """The rules in words above the pack are those in it."""
    policy = load_pack("harbour.yaml").classes["personal"]
    assert [tier.id for tier in policy.tiers] == ["ordinary", "silver", "gold"]
    assert (policy.evaluation.upgrades, policy.evaluation.downgrades) == ("month", "year")
    assert (policy.cards.valid_months, policy.cards.issue.by) == (36, "branch-head")


def test_every_fact_is_named():
    """The page names every fact, every rolling metric family and every other name."""
    for name in (*metrics.facts(), *metrics.ALIASES, metrics.MONTH_AVGS, "quarter_avg", "year_avg", "months_mean"):
        assert f"`{name}" in PAGE or f" {name}" in PAGE, name
