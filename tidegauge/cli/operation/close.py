"""`tidegauge close`: ends a business day, and the days between it and the last close."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any, Final

import typer

from deploy.settings import Settings
from services.access.decision import DataKind
from streams.calendar import date_of, day_of, shown_day
from tidegauge.cli.actor import permitted
from tidegauge.cli.choices import closable_date
from tidegauge.cli.guard import DRY_RUN, FORCE, FORCE_REASON, Intent, goes_on, reason_given
from tidegauge.cli.output import BAD_INPUT, FAILED_CHECK, JSON, CommandError, console, emit, notes
from tidegauge.cli.servers import need_world
from tidegauge.world.found import USES_GROUP

if TYPE_CHECKING:
    from connectors.loading.closer import CloseBook, Closer
    from connectors.loading.closing_run import RunPlan

app = typer.Typer()
BOOKED_UNKNOWN: Final = "no worker knows of a booked day yet: the day is measured by the last close alone"


@app.command("close")
def close(
    day: date = typer.Argument(..., parser=closable_date, help="The business day, such as 2026-01-31."),
    retract: bool = typer.Option(
        False, "--retract", help="Close nothing: take back the runs up to this day that the workers have set aside."
    ),
    dry_run: bool = DRY_RUN,
    force: bool = FORCE,
    reason: str = FORCE_REASON,
    as_json: bool = JSON,
) -> None:
    """Close a business day and those since the last close, in one transaction; again is harmless."""
    from connectors.loading.closer import CloseBook, Closer
    from schemas.codec.records import encode
    from schemas.registry import registry_for
    from tidegauge.knowledge import known_by_workers

    why = reason_given(reason, force=force)
    settings = Settings()
    permitted(settings, DataKind.CLOSES, f"{'retract ' * retract}{day}")
    settings = need_world(settings, USES_GROUP)
    registry = registry_for(settings)
    known = known_by_workers(settings)
    if dry_run:  # a closer would end another one, or an import
        _shown(CloseBook(settings, known), day_of(day), why, retract=retract, as_json=as_json)
        return
    closer = Closer(settings, lambda contract, record: encode(contract, record, registry), known=known)
    if retract:
        if goes_on(_taking_back(closer, day_of(day)), why, dry_run=False, as_json=as_json):
            _take_back(closer, day_of(day), why, as_json=as_json)
        return
    plan = closer.plan(day_of(day))
    if not plan.days:
        _nothing_to_close(closer, plan, as_json=as_json)
        return
    if known.booked is None:
        notes.print(BOOKED_UNKNOWN)
    if not goes_on(_intent(closer, plan), why, dry_run=False, as_json=as_json):
        return
    run = closer.close(plan.asked, reason=why)
    cut = [] if run is None else run.cut
    if as_json:
        emit({**_fields(closer, plan), "closed": run is not None, "cut": cut})
    else:
        between = f" and the {len(plan.days) - 1} days before it" if len(plan.days) > 1 else ""
        console.print(f"closed {day}{between}")


def _shown(book: CloseBook, day: int, reason: str, *, retract: bool, as_json: bool) -> None:
    """A dry run."""
    if retract:
        goes_on(_taking_back(book, day), reason, dry_run=True, as_json=as_json)
        return
    plan = book.plan(day)
    if not plan.days:
        _nothing_to_close(book, plan, as_json=as_json)
        return
    if book.known.booked is None:
        notes.print(BOOKED_UNKNOWN)
    goes_on(_intent(book, plan), reason, dry_run=True, as_json=as_json)


def _fields(closer: CloseBook, plan: RunPlan) -> dict[str, Any]:
    """Of a run, for machines."""
    return {
        "day": shown_day(plan.asked),
        "days": [shown_day(day) for day in plan.days],
        "last_closed": None if closer.last is None else shown_day(closer.last),
        "newest_booked": None if closer.known.booked is None else shown_day(closer.known.booked),
    }


def _intent(closer: CloseBook, plan: RunPlan) -> Intent:
    first, last, booked = plan.days[0], plan.last, closer.known.booked
    days = f"close {date_of(plan.asked)}"
    if len(plan.days) > 1:
        days = f"close {len(plan.days)} days, {date_of(first)} to {date_of(plan.asked)}"
    since = "none is closed yet" if last is None else f"the last closed day is {date_of(last)}"
    known = "not known" if booked is None else date_of(booked)
    return Intent("close", [f"{days}; {since}, the newest booked day is {known}"], _fields(closer, plan), plan.unusual)


def _nothing_to_close(closer: CloseBook, plan: RunPlan, *, as_json: bool) -> None:
    """Say of a day up to the last close what became of it; exit code 1 for one that was left out."""
    closed = [one.day for one in closer.history.applied]
    last = shown_day(closer.last)
    left_out = plan.asked not in closed and plan.asked > closed[0]
    if as_json:
        emit({"day": shown_day(plan.asked), "closed": False, "last_closed": last, "left_out": left_out})
    elif plan.asked in closed:
        console.print(f"{date_of(plan.asked)} is closed already (the last closed day is {last})")
    elif not left_out:
        console.print(f"{date_of(plan.asked)} lies before the first close that is known, {date_of(closed[0])}")
    if left_out:
        later = next(day for day in closed if day > plan.asked)
        text = f"{date_of(plan.asked)} was left out, and can't be closed any more: the last closed day is {last}"
        raise CommandError(text, f"what belongs to it counted with the close of {date_of(later)}", FAILED_CHECK)


def _taking_back(closer: CloseBook, asked: int) -> Intent:
    if asked not in closer.history.aside:
        waiting = ", ".join(map(shown_day, closer.history.aside)) or "none"
        raise CommandError(f"no run up to {date_of(asked)} is set aside", f"set aside are: {waiting}", BAD_INPUT)
    line = f"take back the run up to {date_of(asked)}, which was set aside: workers go on without it as they do"
    unusual = ["what is taken back can't be confirmed any more"]
    return Intent("close --retract", [line], {"day": shown_day(asked), "retracted": False}, unusual)


def _take_back(closer: Closer, asked: int, reason: str, *, as_json: bool) -> None:
    closer.retract(asked, reason)
    if as_json:
        emit({"day": shown_day(asked), "retracted": True})
    else:
        console.print(f"taken back: the run up to {date_of(asked)}")
