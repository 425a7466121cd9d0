"""docs/cli.md has every command with every option, and no page calls a command or an option that does not exist."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from tidegauge.cli import COMMANDS
from tidegauge.cli.main import app, load_command

ROOT = Path(__file__).resolve().parents[2]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
CALL = re.compile(r"(?:^|[`$] ?)tidegauge ((?:[^\n`#]|\\\n)+)", re.MULTILINE)


def commands() -> Iterator[tuple[str, Any]]:
    """Every command that can be called, by the words that call it."""
    import importlib.util

    for name, entry in COMMANDS.items():
        if importlib.util.find_spec(f"tidegauge.cli.{entry.module}") is None:
            continue  # tests/test_docs.py complains of it
        command = load_command(name, entry)
        if entry.group:
            if command.invoke_without_command:
                yield name, command
            yield from ((f"{name} {sub}", part) for sub, part in command.commands.items())
        else:
            yield name, command


ALL = dict(commands())


def options(command: Any) -> set[str]:
    """The options of a command."""
    return {
        name
        for param in command.params
        if param.param_type_name == "option" and param.name != "help"
        for name in (*param.opts, *param.secondary_opts)
    }


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


# These run until they are told to stop, print a document as it is written, or tell a story.
NO_RESULT = {"worker", "views", "notices", "queue serve", "policy show", "demo"}


def test_results_come_as_json_too() -> None:
    """Every command that prints results has --json, and the others haven't."""
    assert {name for name, command in ALL.items() if "--json" not in options(command)} == NO_RESULT


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
