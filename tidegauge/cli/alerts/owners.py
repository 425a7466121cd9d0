"""`tidegauge alerts owners`: who is accountable for the customers, and where responsibility ends nowhere."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

import typer

from deploy.settings import Settings
from services.access.decision import Action, DataKind
from services.staff.gaps import Owners, owners_of
from services.staff.responsibility import Charge
from streams.calendar import day_of
from tidegauge.cli.actor import AS, asked, sees
from tidegauge.cli.alerts.words import ALERT_WORDS
from tidegauge.cli.choices import Lang, iso_date
from tidegauge.cli.data.standings import live_jobs
from tidegauge.cli.language import LANG, language, speaker
from tidegauge.cli.output import FAILED_CHECK, JSON, console, emit
from tidegauge.cli.servers import need_world
from tidegauge.world.found import USES_ALL

if TYPE_CHECKING:
    from agents.offline.standings import KeptCustomer
    from agents.standing.job import StandingJob
    from services.access.decision import Actor
    from services.staff.roster import Roster


def alert_owners(
    day: dt.date | None = typer.Option(
        None, "--day", parser=iso_date, help="Of the absences and tiers; today, in the bank's zone."
    ),
    limit: int = typer.Option(20, "--limit", min=1, max=1000, help="Customers and units that are listed at most."),
    actor: str = AS, lang: Lang | None = LANG, as_json: bool = JSON,
) -> None:  # fmt: skip
    """Say as whom customers are looked after, and list those, and the units, for whom nobody is. Exit code 1 if any."""
    settings = Settings()
    who = asked(settings, actor, Action.READ, DataKind.ALERTS, about="owners")
    settings = need_world(settings, USES_ALL)
    on = day or dt.datetime.now(settings.tz).date()
    roster = _roster(settings, on)
    units = [unit for unit in roster.units if sees(who, Action.READ, DataKind.ALERTS, "/".join(unit))]
    found = owners_of(_charges(settings, who, on), units, roster)
    if as_json:
        emit(_plain(found, on, limit))
    else:
        _show(found, limit, language(lang, settings))
    if not found.complete:
        raise typer.Exit(FAILED_CHECK)


def _roster(settings: Settings, day: dt.date) -> Roster:
    from deploy.connections.database import connected
    from services.database.migrations import check_migrated
    from services.staff.roster import read_roster

    with connected(settings.database, autocommit=True) as connection:
        check_migrated(connection)
        return read_roster(connection, day)


def _charges(settings: Settings, who: Actor, day: dt.date) -> Iterator[tuple[str, Charge]]:
    """The customers whom the actor may see."""
    for job in live_jobs(settings):
        for customer_id, branch, manager, role in kept_of(job, day_of(day)):
            if sees(who, Action.READ, DataKind.ALERTS, branch):
                yield customer_id, Charge(branch, manager, role)


def kept_of(job: StandingJob, day: int) -> Iterator[KeptCustomer]:
    """As `agents.offline.standings.kept_customers`, which is imported when it is called: `--help` needs no kernels."""
    from agents.offline.standings import kept_customers

    return kept_customers(job, day)


def _plain(found: Owners, day: dt.date, limit: int) -> dict[str, Any]:
    customers = [
        {"customer_id": one.customer_id, "unit": "/".join(one.unit), "why": one.why}
        for one in islice(found.customers, limit)
    ]
    return {
        "day": day.isoformat(), "looked_after": dict(sorted(found.by.items())), "substituted": found.substituted,
        "customer_gaps": len(found.customers), "unit_gaps": len(found.units), "customers": customers,
        "units": ["/".join(unit) for unit in found.units[:limit]], "roles_unknown": sorted(found.roles_unknown),
    }  # fmt: skip


def _show(found: Owners, limit: int, locale: str) -> None:
    say = speaker(ALERT_WORDS, locale)
    for reason, count in sorted(found.by.items()):
        console.print(say("own_by", count=count, reason=say(f"own.{reason}")), markup=False, soft_wrap=True)
    console.print(say("own_substituted", count=found.substituted), markup=False, soft_wrap=True)
    lines = [say("own_customer", customer=one.customer_id, unit="/".join(one.unit), why=say(f"own.{one.why}"))
             for one in found.customers[:limit]]  # fmt: skip
    lines += [say("own_unit", unit="/".join(unit)) for unit in found.units[:limit]]
    lines += [say("own_role", role=role) for role in sorted(found.roles_unknown)]
    for line in lines:
        console.print(line, markup=False, soft_wrap=True)
    left = max(0, len(found.customers) - limit) + max(0, len(found.units) - limit)
    if left:
        console.print(say("own_more", count=left), markup=False)
    if found.complete:
        console.print(say("own_complete"), markup=False)
