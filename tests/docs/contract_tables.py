"""The tables of docs/contracts.md, out of contracts and code: `python -m tests.docs.contract_tables` writes them anew."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from agents.standing.decide.acts import APPLIED, REFUSED
from agents.standing.decide.cases.desk import CORRECTED
from agents.standing.decide.cases.outflow import CASE_ENDS
from agents.standing.decide.packs import PACK_REFUSED
from agents.standing.publish.bad_rows import _REASONS as LETTER_REASONS
from agents.standing.publish.held import BARRED
from policies.lifecycle.acts import HANDLERS
from policies.lifecycle.state import FLAGS
from policies.texts import DECISION_REASONS, REFUSALS
from schemas.compatibility import BREAKS, level_of
from schemas.confluent import subject_of
from schemas.registry import contract, names, released
from streams.alerts.acts import ACKNOWLEDGED, CASE_OUTCOMES, ENDED, SNOOZED, STEPS_OF_ACTS, WAITING
from streams.alerts.lifecycle import DEEPENED, RAISED
from streams.vocabulary.terms import ALERT_KINDS, ASSET_CLASSES, CUSTOMER_CLASSES, NATURES, SEVERITIES
from tidegauge.world.identity import ADOPTED, CREATED, EXTENDED, REBUILT

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "contracts.md"
# Texts with fixed values, by contract and field. `*`: of every contract that has it.
VALUES: Final[dict[str, tuple[str, ...]]] = {
    "*.customer_class": CUSTOMER_CLASSES,
    "*.asset_class": ASSET_CLASSES,
    "transactions.nature": NATURES,
    "crm-actions.action": (*HANDLERS, *STEPS_OF_ACTS, "note"),
    "standings.flags": FLAGS,
    "standings.held.reason": ("no_rate:…",),
    "outlooks.direction": ("up", "same", "down"),
    "outlooks.held.reason": ("no_rate:…", BARRED),
    "tier-changes.direction": ("up", "down"),
    "tier-changes.reason": (
        "close", "continuous", "restated", "override", "card", "record", "review", "expiry", "policy", "pending", "veto",
        "application",
    ),
    "tier-changes.thresholds.operator": ("minimum", "above", "below", "at_most"),
    "decisions.kind": (
        "layer", "offer", "review", "status", "card", "record", "renewal-due", "review-due", "deferred", "restated",
        "refused", "pending", "notice", "withdrawn", "service",
    ),
    "decisions.reason": (*DECISION_REASONS, *REFUSALS),
    "restatements.kind": ("late_posting", "break_opened", "break_changed", "break_resolved"),
    "rm-alerts.kind": ALERT_KINDS,
    "rm-alerts.severity": SEVERITIES,
    "rm-alerts.status": tuple(
        dict.fromkeys((RAISED, DEEPENED, "closed", *CASE_ENDS.values(), CORRECTED, *STEPS_OF_ACTS.values()))
    ),
    "rm-alerts.attention": (WAITING, ACKNOWLEDGED, SNOOZED, ENDED),
    "rm-alerts.outcome": CASE_OUTCOMES,
    "notices.status": ("sent", "failed", "suppressed"),
    "command-results.outcome": (APPLIED, REFUSED),
    "command-results.reason": tuple(REFUSALS),
    "world.kind": (CREATED, EXTENDED, REBUILT, ADOPTED),
    "dead-letters.reason": tuple(sorted({*LETTER_REASONS.values(), PACK_REFUSED})),
}  # fmt: skip


def fields(name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every field of a contract by its path, nested ones too."""

    def within(schema: Any, at: str) -> Iterator[tuple[str, dict[str, Any]]]:
        for part in schema if isinstance(schema, list) else [schema]:
            if isinstance(part, dict):
                for field in part.get("fields", ()):
                    yield at + field["name"], field
                    yield from within(field["type"], f"{at}{field['name']}.")
                yield from within(part.get("items"), at)

    yield from within(contract(name), "")


def _versions() -> Iterator[str]:
    for name in names():
        entry = released()[name][-1]
        yield f"| `{name}` | `{subject_of(name)}` | {level_of(name)} | {entry['version']} | {entry.get('contracts', 'any')} |"


def _breaks() -> Iterator[str]:
    for name, versions in BREAKS.items():
        yield from (f"- `{name}`, version {version}: {reason}." for version, reason in versions.items())


def _values() -> Iterator[str]:
    for field, values in VALUES.items():
        shown = field.removeprefix("*.") if field.startswith("*") else field
        yield f"| `{shown}` | {', '.join(f'`{value}`' for value in values)} |"


def _confidential() -> Iterator[str]:
    for name in names():
        found = [f"`{path}`" for path, field in fields(name) if field["classification"] == "C2"]
        yield f"| `{name}` | {', '.join(found) or 'none'} |"


# Each table behind the line that comes before it.
TABLES: Final[dict[str, Callable[[], Iterator[str]]]] = {
    "| --- | --- | --- | --- | --- |\n": _versions,
    "The breaks:\n\n": _breaks,
    "| field | values |\n| --- | --- |\n": _values,
    "| contract | C2 |\n| --- | --- |\n": _confidential,
}


def with_tables(page: str) -> str:
    """The page with every table written anew."""
    for head, rows in TABLES.items():
        assert page.count(head) == 1, head
        before, _, behind = page.partition(head)
        rest = re.sub(r"\A([|-] ?.*\n)*", "", behind)
        table = "".join(f"{row}\n" for row in rows())
        gap = "\n" if rest and not rest.startswith("\n") else ""
        page = before + head + table + gap + rest
    return page


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text()))
