"""`tidegauge explain`: every decision about a customer, made once more from the log."""

from __future__ import annotations

import asyncio
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import typer

from deploy.settings import Settings
from services.access.decision import Action, DataKind, Resource, owner_of
from streams.calendar import shown_day
from tidegauge.cli.actor import AS, asked, decided, unknown
from tidegauge.cli.choices import Lang
from tidegauge.cli.language import LANG, language
from tidegauge.cli.output import FAILED_CHECK, JSON, console, emit
from tidegauge.cli.servers import found_world
from tidegauge.world.found import USES_ALL

if TYPE_CHECKING:
    from tidegauge.explanation import Explained, Verdict
    from tidegauge.explanation.judgment import Node

app = typer.Typer()
DAYS = frozenset({
    "as_of", "effective_date", "period_from", "period_to", "business_day", "raised_day", "restated_day", "day", "first",
    "next_close", "lost_close", "lost_from", "start_day", "flow_since",
})  # fmt: skip


@app.command("explain")
def explain(
    customer: str = typer.Argument(..., help="Customer number, or the id (event_id) of one decision."),
    actor: str = AS,
    lang: Lang | None = LANG,
    as_json: bool = JSON,
) -> None:
    """Make every published decision about a customer again from the log, and say whether it holds.

    Tier changes of every reason with values, thresholds and criteria, decisions beside the tier, restatements, outlooks and
    alerts. Exit code 1 if one does not hold, 2 if nobody knows the customer or the id.
    """
    from tidegauge import explanation
    from tidegauge.cli.explain import text

    settings = Settings()
    who = asked(settings, actor, Action.READ, DataKind.DECISIONS, DataKind.BALANCES, about=customer, first=True)
    said = language(lang, settings)
    world = found_world(settings, USES_ALL)
    settings = world.settings
    found = asyncio.run(explanation.explain(settings, customer, world.left_out))
    wanted = Resource(DataKind.DECISIONS, owner_of(found.branch) if found.known else None)
    if not decided(settings, who, Action.READ, wanted, customer):
        raise unknown(customer, who)
    if as_json:
        emit(plain_data(found))
    else:
        for line in text.lines(found, said):
            console.print(line, soft_wrap=True, markup=False)
    if not found.holds:
        raise typer.Exit(FAILED_CHECK)


def plain_data(found: Explained) -> dict[str, Any]:
    """Everything for machines: days as ISO dates, exact values as fractions in text."""
    topics = {
        "decisions": "tier-changes", "others": "decisions", "restatements": "restatements", "outlooks": "outlooks",
        "alerts": "rm-alerts",
    }  # fmt: skip
    fields: dict[str, Any] = {
        "customer_id": found.customer_id, "currency": found.currency, "standing": found.standing,
        "standing_problem": found.standing_problem, "gaps": found.gaps, "unpublished": found.unpublished,
        "unreadable": found.unreadable,
        **{name: [_verdict(verdict, name == "decisions") for verdict in found.of(topic)]
           for name, topic in topics.items()},
        "holds": found.holds,
    }  # fmt: skip
    readable: dict[str, Any] = _readable(fields)
    return readable


def _verdict(verdict: Verdict, is_change: bool) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "change" if is_change else "record": verdict.told.record,
        "state": verdict.state,
        "holds": verdict.state != "does_not_hold",
        "problems": [{"code": problem.code, **problem.details} for problem in verdict.problems],
    }
    if verdict.judged is not None and verdict.judged.tree:
        fields["standard_tier"] = verdict.judged.measured
        fields["criteria"] = [{"tier": tier.tier, **_node(tier.node)} for tier in verdict.judged.tree]
        fields["veto"] = None if verdict.judged.veto is None else _node(verdict.judged.veto)
    return fields


def _node(node: Node) -> dict[str, Any]:
    if node.limit is None:
        return {"kind": node.kind, "met": node.met, "parts": [_node(part) for part in node.parts]}
    limit = node.limit
    return {
        "kind": node.kind, "met": node.met, "metric": limit.metric, "scope": limit.scope, "operator": limit.operator,
        "limit": str(limit.value), "value": str(node.value),
    }  # fmt: skip


def _readable(value: Any) -> Any:
    """Day numbers as ISO dates, wherever they stand; fractions as text."""
    if isinstance(value, list):
        return [_readable(item) for item in value]
    if isinstance(value, Fraction):
        return str(value)
    if not isinstance(value, dict):
        return value
    return {
        name: shown_day(item) if name in DAYS and isinstance(item, int) else _readable(item)
        for name, item in value.items()
    }
