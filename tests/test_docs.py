"""What is documented is what exists: settings, topics, commands, links."""

import re
from pathlib import Path

import pytest

from deploy.settings import Settings
from deploy.topics import TOPIC_NAMES
from tidegauge.cli import COMMANDS

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])


@pytest.mark.parametrize("name", Settings.model_fields)
def test_setting_is_documented(name: str) -> None:
    """Every setting has a row in docs/settings.md, and a description in the class."""
    assert f"| `TIDEGAUGE_{name.upper()}` |" in (DOCS / "settings.md").read_text()
    assert Settings.model_fields[name].description


def test_no_setting_is_documented_that_does_not_exist() -> None:
    """docs/settings.md names no variable that nothing reads, and none twice."""
    documented = re.findall(r"^\| `TIDEGAUGE_([A-Z_]+)` \|", (DOCS / "settings.md").read_text(), re.MULTILINE)
    assert sorted(documented) == sorted(name.upper() for name in Settings.model_fields)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link of a Markdown page leads to a file of the repository, and to a heading that exists."""
    for target in LINK.findall(re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, heading = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), f"{page.name}: {target}"
        if heading and found.suffix == ".md":
            assert heading in anchors(found), f"{page.name}: {target}"


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", TOPIC_NAMES)
def test_topic_has_a_contract(name: str) -> None:
    """Every topic of the catalogue has an Avro contract."""
    assert (ROOT / "schemas" / f"{name}.avsc").exists()


@pytest.mark.parametrize("name", COMMANDS)
def test_command_can_be_called(name: str) -> None:
    """Every command of the table exists, and its module has a command of that name with a help text."""
    from tidegauge.cli.main import load_command

    assert load_command(name, COMMANDS[name]).help
