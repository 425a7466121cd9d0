"""docs/cli.md has every command with every option, and no page calls a command or an option that does not exist."""

import re
from pathlib import Path

import pytest
import typer

from tests.cli.invocation import commands, options
from tidegauge.cli import COMMANDS
from tidegauge.cli.main import app

ROOT = Path(__file__).resolve().parents[2]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
CALL = re.compile(r"(?:^|[`$] ?)tidegauge ((?:[^\n`#]|\\\n)+)", re.MULTILINE)
ALL = dict(commands())


@pytest.mark.parametrize("name", ALL)
def test_command_is_documented(name: str) -> None:
    """Every command has a section with exactly its options, and its arguments."""
    page = (ROOT / "docs" / "cli.md").read_text()
    text = page.split(f"\n## {name}\n")[1].split("\n## ")[0]
    documented = {
        found for row in re.findall(r"^\| (`-.*?) \|", text, re.MULTILINE) for found in re.findall(r"--[a-z-]+", row)
    }
    assert documented == options(ALL[name])
    for param in ALL[name].params:
        if param.param_type_name == "argument":
            assert f"| `{param.name.upper()}` |" in text


RUNS_ON = "it runs until it is told to stop, and prints no result"
NO_RESULT = {
    "worker": RUNS_ON,
    "views": RUNS_ON,
    "readmodel follow": RUNS_ON,
    "notices": RUNS_ON,
    "queue serve": RUNS_ON,
    "queue pages": RUNS_ON,
    "commands serve": RUNS_ON,
    "commands clock": RUNS_ON,
    "desk serve": RUNS_ON,
    "desk try": "it runs what runs on, each by itself",
    "policy new": "it writes a file",
    "demo": "it tells a story as it happens; its result is the exit code",
}


def test_results_come_as_json_too() -> None:
    """Every command that prints results has --json; the others haven't, each for a reason."""
    assert {name for name, command in ALL.items() if "--json" not in options(command)} == NO_RESULT.keys()


def test_no_command_is_documented_that_does_not_exist() -> None:
    """docs/cli.md has no section of anything else."""
    assert set(re.findall(r"^## (.+)$", (ROOT / "docs" / "cli.md").read_text(), re.MULTILINE)) == set(ALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_calls_can_be_made(page: Path) -> None:
    """Whatever a page calls is a command, with options that it has."""
    for call in CALL.findall(page.read_text()):
        words = call.replace("\\\n", " ").split()
        if words[0].startswith("-"):
            assert words[0] in options(typer.main.get_command(app)) | {"--help"}
            continue
        if not re.fullmatch(r"[a-z]+", words[0]):
            continue
        name = next((name for name in (" ".join(words[:2]), words[0]) if name in ALL), None)
        assert name or words[0] in COMMANDS, f"{page.name}: tidegauge {call}"
        used = {word.split("=")[0] for word in words if re.fullmatch(r"--[a-z-]+(=.*)?", word)}
        assert used <= (options(ALL[name]) if name else set()) | {"--help"}, f"{page.name}: tidegauge {call}"
