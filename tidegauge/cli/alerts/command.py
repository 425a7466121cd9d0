"""`tidegauge alerts`: what the view holds of them, acts on cases, and how good a pack's are, on worlds that are known."""

from typing import Annotated

import typer
from rich.table import Table

from deploy.settings import Settings
from schemas.registry import registry_for
from services.access.decision import Action, DataKind, Resource, owner_of
from services.views.queries import AlertRow, alerts_of
from streams.vocabulary.terms import DOWNGRADE_RISK, UPGRADE_NEAR
from tidegauge.cli.actor import AS, asked, decided, sees
from tidegauge.cli.alerts import acts
from tidegauge.cli.alerts.calibrate import calibrate
from tidegauge.cli.alerts.evaluate import evaluate
from tidegauge.cli.alerts.owners import alert_owners
from tidegauge.cli.alerts.report import alert_report
from tidegauge.cli.alerts.view import alerts_view
from tidegauge.cli.alerts.whatif import alerts_whatif
from tidegauge.cli.output import BAD_INPUT, JSON, CommandError, console, emit

app = typer.Typer(
    help="List alerts; act on cases; report on a month; score a pack's on a labelled world.", add_completion=False
)
app.command("evaluate")(evaluate)
app.command("whatif")(alerts_whatif)
app.command("calibrate")(calibrate)
app.command("owners")(alert_owners)
app.command("report")(alert_report)
for command in (acts.acknowledge, acts.snooze, acts.hand_over, acts.resolve, acts.comment, acts.escalate, acts.wake):
    app.command(command.__name__.replace("_", "-"))(command)


@app.callback(invoke_without_command=True)
def alerts(
    context: typer.Context,
    rm: Annotated[str, typer.Option(help="Alerts of a relationship manager.")] = "",
    branch: Annotated[str, typer.Option(help="Alerts of a branch.")] = "",
    customer: Annotated[str, typer.Option(help="Alerts of a customer.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many, newest first.")] = 20,
    actor: str = AS,
    as_json: bool = JSON,
) -> None:
    """List alerts of a manager, a branch or a customer, newest first: those that the actor may see."""
    if context.invoked_subcommand is not None:
        return
    wanted = [(by, name) for by, name in (("rm", rm), ("branch", branch), ("customer", customer)) if name]
    if len(wanted) != 1:
        raise CommandError("alerts of whom?", "give exactly one of --rm, --branch, --customer", BAD_INPUT)
    settings = Settings()
    about = " ".join(wanted[0])
    who = asked(settings, actor, Action.READ, DataKind.ALERTS, about=about, first=bool(branch))
    if branch and not decided(settings, who, Action.READ, Resource(DataKind.ALERTS, owner_of(branch)), about):
        unit = "/".join(who.unit)
        raise CommandError(f"{who.role} of {unit} may not read alerts of branch {branch}", "--as names another")
    client, keys = alerts_view(settings)
    rows = [
        row
        for row in alerts_of(client, keys, registry_for(settings), *wanted[0], limit)
        if sees(who, Action.READ, DataKind.ALERTS, row.branch)
    ]
    if as_json:
        emit([row.plain() for row in rows])
    elif rows:
        console.print(_table(rows))
    else:
        console.print("no alerts")


def _what(row: AlertRow) -> str:
    """The share that left, the tier that is near, or the day that takes the present one."""
    if row.kind == UPGRADE_NEAR:
        return f"{row.next_tier} near" if row.next_tier else "-"
    if row.kind == DOWNGRADE_RISK:
        return f"{row.tier} lost {row.lost_close}" if row.lost_close else "-"
    if row.due_day is not None:
        return f"on {row.due_day}"
    return "-" if row.share_bp is None else f"{row.share_bp / 100:.2f} %"


def _table(rows: list[AlertRow]) -> Table:
    table = Table(
        "raised", "alert", "customer", "rule", "severity", "status", "attention", "what", "branch", "RM", box=None
    )
    for row in rows:
        table.add_row(
            row.raised_day, row.alert_id[:12], row.customer_id, row.rule, row.severity, row.status,
            row.attention or "-", _what(row), row.branch, row.rm_id or "-",
        )  # fmt: skip
    return table
