"""`tidegauge alerts`: what the view holds of them; how good a pack's are, on worlds whose customers are known."""

from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from deploy.errors import KeyLostError
from deploy.settings import Settings
from schemas.registry import registry_for
from services.access.decision import Action, DataKind, Resource, owner_of
from services.assembly import redis_client
from services.views.keys import Keys
from services.views.queries import AlertRow, alerts_of, is_built, reference_key_of
from streams.reference import key_fingerprint
from streams.vocabulary.terms import DOWNGRADE_RISK, UPGRADE_NEAR
from tidegauge.cli.actor import AS, asked, decided, sees
from tidegauge.cli.alerts.calibrate import calibrate
from tidegauge.cli.alerts.evaluate import evaluate
from tidegauge.cli.alerts.whatif import alerts_whatif
from tidegauge.cli.output import BAD_INPUT, FAILED_CHECK, JSON, CommandError, console, emit
from tidegauge.cli.servers import need_redis

if TYPE_CHECKING:
    from redis import Redis

app = typer.Typer(help="List alerts; score a pack's on a labelled world.", add_completion=False)
app.command("evaluate")(evaluate)
app.command("whatif")(alerts_whatif)
app.command("calibrate")(calibrate)


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
    client, keys = _view(settings)
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


def _view(settings: Settings) -> "tuple[Redis, Keys]":
    """The view of this log. CommandError where there is none, or it is another log's."""
    need_redis(settings)
    client, keys = redis_client(settings), Keys.of(settings.topic_prefix)
    if not is_built(client, keys):
        hint = "`tidegauge rebuild` makes it, `tidegauge views` keeps it in step"
        raise CommandError(f"{settings.redis_shown} holds no view", hint, FAILED_CHECK)
    theirs, own = reference_key_of(client, keys), None
    with suppress(KeyLostError):  # whoever reads alerts needs no key
        own = key_fingerprint(settings.secret())
    if own is not None and theirs not in (None, own):
        hint = "correct TIDEGAUGE_REDIS_URL, or TIDEGAUGE_REFERENCE_KEY (in files: reference.key)"
        raise CommandError(
            f"the view at {settings.redis_shown} is another log's: its reference key is {theirs}, found {own}", hint
        )
    return client, keys


def _what(row: AlertRow) -> str:
    """The share that left, the tier that is near, or the day that takes the present one."""
    if row.kind == UPGRADE_NEAR:
        return f"{row.next_tier} near" if row.next_tier else "-"
    if row.kind == DOWNGRADE_RISK:
        return f"{row.tier} lost {row.lost_close}" if row.lost_close else "-"
    return "-" if row.share_bp is None else f"{row.share_bp / 100:.2f} %"


def _table(rows: list[AlertRow]) -> Table:
    table = Table("raised", "alert", "customer", "rule", "severity", "status", "what", "branch", "RM", box=None)
    for row in rows:
        table.add_row(
            row.raised_day, row.alert_id[:12], row.customer_id, row.rule, row.severity, row.status,
            _what(row), row.branch, row.rm_id or "-",
        )  # fmt: skip
    return table
