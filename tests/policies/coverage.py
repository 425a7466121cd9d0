"""docs/rules-coverage.md: every rule of the bank rules beside the tests that show it, or the reason why none does.

`python -m tests.policies.coverage` writes the page from docs/rules/requirements.md. A test shows a rule when its docstring
names the rule's id, such as R-231 or R-231 to R-235.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
PAGE: Final = ROOT / "docs" / "rules-coverage.md"
RULES: Final = ROOT / "docs" / "rules" / "requirements.md"
PARTS: Final = frozenset({"aum", "tiers", "policy pack"})
SCHEME = re.compile(r"## (.*)")
ROW = re.compile(r"\| (R-\d{3}) \| ([^|]*) \| ([^|]*) \| ([^|]*) \|")
IDS = re.compile(r"R-(\d{3})(?:\s+to\s+R-(\d{3}))?")

# Rules of these parts that no test shows, and why.
REASONS: Final[dict[str, str]] = {
    "R-014": "The figures are published with every standing; writing them into a monthly file is the desk's, later work.",
    "R-294": "Postings are followed customer by customer; other behaviour has no source yet.",
}
# What the tests of a rule leave out.
NOTES: Final[dict[str, str]] = {
    "R-004": "Queue classes and tiers; files are the desk's.",
    "R-011": "The card as a fact of the standing; recognising it at the counter is the queue's.",
    "R-029": "The entitlement; carrying it to loan requests is the desk's.",
    "R-046": "The pack says it; showing it on the record is the desk's.",
    "R-158": "Spend comes as a fact from the card system; nothing accumulates it here.",
    "R-172": "The supplement; the record of delivered services is the desk's.",
    "R-250": "The catalogue; claims are the desk's.",
}


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of the traceability table."""

    id: str
    scheme: str
    demand: str
    parts: tuple[str, ...]

    @property
    def here(self) -> bool:
        """Whether one of the parts is covered here; the others are later work."""
        return bool(PARTS & set(self.parts))


def rules(text: str) -> list[Rule]:
    """The rows of the tables, one table a scheme, in the order of their ids."""
    found, scheme = list[Rule](), ""
    for line in text.splitlines():
        if heading := SCHEME.match(line):
            scheme = heading[1]
        if row := ROW.match(line):
            found.append(Rule(row[1], scheme, row[3].strip(), tuple(part.strip() for part in row[4].split(","))))
    return sorted(found, key=lambda rule: rule.id)


def named(text: str) -> set[str]:
    """The ids that a text names, ranges written out."""
    ids: set[str] = set()
    for first, last in IDS.findall(text):
        ids.update(f"R-{number:03}" for number in range(int(first), int(last or first) + 1))
    return ids


@cache
def shown() -> dict[str, list[str]]:
    """Rule id to tests, each as `path::name`, in the order of paths and lines."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                for rule in sorted(named(ast.get_docstring(node) or "")):
                    found[rule].append(f"{path.relative_to(ROOT).as_posix()}::{node.name}")
    return dict(found)


def page(table: list[Rule]) -> str:
    """The page in Markdown."""
    tests, here, later = shown(), [r for r in table if r.here], [r for r in table if not r.here]
    covered = sum(bool(tests.get(rule.id)) for rule in here)
    lines = [
        "# Rules and the tests that show them",
        "",
        "Written by `python -m tests.policies.coverage` from the [requirements](rules/requirements.md) and the docstrings of the",
        "tests. A test fails when a rule of the parts aum, tiers or policy pack has neither a test nor a reason.",
        "",
        "Tests in tests/policies decide from facts, by the packs and the lifecycle as pure functions; those in tests/standing go",
        "through the worker.",
        "",
        f"{covered} of {len(here)} rules are shown by tests, {len(here) - covered} have a reason. {len(later)} rules belong to",
        "other parts.",
        "",
        "| rule | scheme | the system must | shown by |",
        "| --- | --- | --- | --- |",
    ]
    for rule in here:
        places = tests.get(rule.id, [])
        said = "<br>".join(f"`{place}`" for place in places) if places else REASONS.get(rule.id, "**nothing**")
        note = f"<br>{NOTES[rule.id]}" if rule.id in NOTES else ""
        lines.append(f"| {rule.id} | {rule.scheme} | {rule.demand} | {said}{note} |")
    lines += [
        "",
        "## Other parts: later work",
        "",
        "| rule | scheme | part | shown so far by |",
        "| --- | --- | --- | --- |",
    ]
    for rule in later:
        said = "<br>".join(f"`{place}`" for place in tests.get(rule.id, []))
        lines.append(f"| {rule.id} | {rule.scheme} | {', '.join(rule.parts)} | {said} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(rules(RULES.read_text(encoding="utf-8"))), encoding="utf-8")
