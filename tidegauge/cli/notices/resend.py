"""`tidegauge notices resend`: a notice goes to its channel once more, on purpose and on record."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Annotated, Any, Final

import typer

from deploy.settings import Settings
from schemas.codec.records import encode
from schemas.registry import registry_for
from services.access.decision import DataKind
from services.access.writer import DurableWriter
from services.assembly import told_by
from services.notices.channels import ConsoleChannel, waiting_notices
from services.notices.notifier import ID_CHARS, TEXT_CHARS_MAX, Channel
from services.notices.repeat import Repeat, deliver_again, repeat_of
from tidegauge.cli.actor import permitted
from tidegauge.cli.guard import DRY_RUN, Intent, goes_on
from tidegauge.cli.notices.servers import notice_servers
from tidegauge.cli.output import BAD_INPUT, FAILED_CHECK, JSON, CommandError, console, emit, notes
from tidegauge.notices import alerts_by_event, written_states

RESENT_MAX: Final = 100


def resend(
    ids: Annotated[list[str], typer.Argument(metavar="IDS...", help="As `notices list` has them.")],
    reason: Annotated[str, typer.Option(help="Why; it is kept in the record.")] = "",
    anew: Annotated[
        bool, typer.Option("--anew", help="Under another id, so that who has had it takes it again.")
    ] = False,
    dry_run: bool = DRY_RUN,
    as_json: bool = JSON,
) -> None:
    """Hand notices to their channels once more: such as failed, were given up, or were sent."""
    if not reason or len(reason) > TEXT_CHARS_MAX:
        raise CommandError("resend why?", f"--reason in at most {TEXT_CHARS_MAX} characters", BAD_INPUT)
    if len(wanted := list(dict.fromkeys(ids))) > RESENT_MAX:
        raise CommandError(f"{len(wanted)} notices at once", f"name at most {RESENT_MAX}", BAD_INPUT)
    permitted(Settings(), DataKind.NOTICES, f"resend {' '.join(wanted)}{' anew' if anew else ''}")
    settings, client, keys = notice_servers()
    repeats = repeats_of(settings, wanted, waiting_notices(client, keys), anew=anew)
    shown = [(one.record["notice_id"], one.record["channel"], one.notice.notice_id) for one in repeats]
    lines = [f"resend {notice} by {channel}, as {bears}" for notice, channel, bears in shown]
    names = ("notice_id", "channel", "bears")
    intent = Intent("notices resend", lines, {"resend": [dict(zip(names, one, strict=True)) for one in shown]})
    if not goes_on(intent, reason, dry_run=dry_run, as_json=as_json):
        return
    records = asyncio.run(resent(settings, repeats, reason))
    if as_json:
        emit([{name: one[name] for name in ("notice_id", "channel", "status", "attempts", "error")} for one in records])
    else:
        for one in records:
            console.print(f"{one['notice_id']}  {one['channel']}  {one['status']}  {one['error']}", soft_wrap=True)
    if failed := [one["notice_id"] for one in records if one["status"] != "sent"]:
        raise CommandError(f"not taken: {', '.join(failed)}", "`tidegauge notices show` says why", FAILED_CHECK)


def repeats_of(settings: Settings, wanted: Sequence[str], waiting: Mapping[str, str], *, anew: bool) -> list[Repeat]:
    """What is to be sent once more. CommandError for a notice that nobody knows, that waits, or whose alert is gone."""
    if held := [notice_id for notice_id in wanted if notice_id in waiting]:
        raise CommandError(f"{held[0]} waits for its channel, which is tried again by itself", "", BAD_INPUT)
    found: dict[str, list[dict[str, Any]]] = {notice_id: [] for notice_id in wanted}
    for one in written_states(settings):
        if one.notice_id in found and one.record is not None:
            found[one.notice_id].append(one.record)
    if unknown := [notice_id for notice_id, records in found.items() if not records]:
        hint = "`tidegauge notices list` has those that are kept"
        raise CommandError(f"no notice {unknown[0][:ID_CHARS]} is known", hint, BAD_INPUT)
    last = {notice_id: max(records, key=lambda one: one["at"]) for notice_id, records in found.items()}
    alerts = alerts_by_event(settings, {record["caused_by"] for record in last.values()})
    repeats = []
    for notice_id, record in last.items():
        if (alert := alerts.get(record["caused_by"])) is None:
            hint = "an arrival is news for ten minutes, and what is told of an alert goes with it"
            raise CommandError(f"the alert of {notice_id} is not on rm-alerts", hint, BAD_INPUT)
        try:
            repeats.append(repeat_of(record, len(found[notice_id]), alert, settings.notice_locale, anew=anew))
        except ValueError as problem:
            raise CommandError(f"{notice_id} can't be sent again: {problem}", "", BAD_INPUT) from problem
    return repeats


async def resent(settings: Settings, repeats: Sequence[Repeat], reason: str) -> list[dict[str, Any]]:
    """Hand them to the channels of the settings, one after the other; each is on `notices` before the next one goes."""
    registry, records = registry_for(settings), []
    async with told_by(settings) as (channels, ledger):
        console_channel = ConsoleChannel(lambda text: notes.print(text, soft_wrap=True))  # stdout is for the result
        ways: dict[str, Channel] = {one.name: one for one in (*channels, console_channel)}
        if missing := [one.record["channel"] for one in repeats if one.record["channel"] not in ways]:
            raise CommandError(f"there is no channel {missing[0]} here", "see docs/settings.md", BAD_INPUT)
        with closing(DurableWriter(settings)) as writer:
            for one in repeats:
                record = await deliver_again(
                    one, ways[one.record["channel"]], ledger, reason, lambda: time.time_ns() // 1_000_000
                )
                value = encode("notices", record, registry)
                await asyncio.to_thread(writer.write, "notices", record["customer_id"], value)
                records.append(record)
    return records
