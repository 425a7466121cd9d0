"""`tidegauge explain`: a customer's tier decisions with their evidence, decided once more from it."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import typer

from deploy.settings import Settings
from streams.calendar import date_of
from tidegauge.cli.out import BAD_INPUT, FAILED_CHECK, CommandError, console

if TYPE_CHECKING:
    from tidegauge.explaining import Explained

app = typer.Typer()
DAYS = frozenset({"as_of", "effective_date", "period_from", "period_to", "business_day", "raised_day", "restated_day"})


@app.command("explain")
def explain(
    customer: str = typer.Argument(..., help="Customer number."),
    as_json: bool = typer.Option(False, "--json", help="For machines."),
) -> None:
    """Show a customer's tier decisions with their evidence, and whether each holds when it is made again from it.

    Reads tier-changes, rm-alerts and restatements from Kafka, and the standing from the live state. Exit code 1 if a
    decision does not hold.
    """
    from confluent_kafka import KafkaException

    from agents.job import RecoveryError
    from tidegauge import explaining
    from tidegauge.cli import explain_text

    settings = Settings()
    try:
        found = asyncio.run(explaining.explain(settings, customer))
    except (KafkaException, OSError) as problem:
        raise CommandError(
            f"no Kafka answers at {settings.kafka}: {problem}", "start it with `tidegauge up`", FAILED_CHECK
        ) from problem
    except RecoveryError as problem:
        raise CommandError(str(problem), "is a worker running? `tidegauge doctor` looks", FAILED_CHECK) from problem
    if not found.known:
        raise CommandError(f"no customer {customer} is known here", "are number and servers right?", BAD_INPUT)
    if as_json:
        typer.echo(json.dumps(_plain(found), ensure_ascii=False, indent=1))
    else:
        for line in explain_text.lines(found):
            console.print(line, soft_wrap=True, markup=False)
    if not found.holds:
        raise typer.Exit(FAILED_CHECK)


def _plain(found: Explained) -> dict[str, Any]:
    plain: dict[str, Any] = _iso_days(_fields(found))
    return plain


def _iso_days(value: Any) -> Any:
    """Day numbers as ISO dates, wherever they stand."""
    if isinstance(value, list):
        return [_iso_days(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        name: date_of(item).isoformat() if name in DAYS and isinstance(item, int) else _iso_days(item)
        for name, item in value.items()
    }


def _fields(found: Explained) -> dict[str, Any]:
    return {
        "customer_id": found.customer_id,
        "currency": found.currency,
        "standing": found.standing,
        "standing_problem": found.standing_problem,
        "decisions": [{"change": d.change, "holds": not d.problems, "problems": d.problems} for d in found.decisions],
        "alerts": found.alerts,
        "restatements": found.restatements,
        "holds": found.holds,
    }
