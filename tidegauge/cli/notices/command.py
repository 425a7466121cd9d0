"""`tidegauge notices`: the worker that turns alerts into notices, and what may be done about those that wait."""

import asyncio
import logging
import threading
import time
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from agents.engine.reader import LogReader
from agents.notifier.app import build_notifier, run_notifier
from deploy.errors import KeyLostError
from deploy.printable import printable
from deploy.settings import Settings
from schemas.codec.records import RecordError
from schemas.registry import registry_for
from services.access.decision import Action, DataKind
from services.assembly import FAILURES, follow_arrivals, notifier, webhook_trust
from services.notices.channels import give_up, waiting_notices
from services.notices.notifier import ID_CHARS, TEXT_CHARS_MAX, Notifier
from services.notices.pace.holds import Passing
from streams.validity import INSTANT_MAX
from tidegauge.cli.actor import AS, permitted
from tidegauge.cli.notices.preview import preview, usable_texts
from tidegauge.cli.notices.resend import resend
from tidegauge.cli.notices.servers import notice_servers
from tidegauge.cli.output import BAD_INPUT, JSON, CommandError, console, emit, notes
from tidegauge.cli.servers import need_redis
from tidegauge.cli.shutdown import ends_early, one_last_line
from tidegauge.notices import newest_states, state_of, written_states
from tidegauge.world.check import World, check_world
from tidegauge.world.found import USES_NOTICES
from tidegauge.world.watch import Watch, end_process

if TYPE_CHECKING:
    from redis import Redis

    from services.views.keys import Keys

log = logging.getLogger(__name__)
ARRIVALS_AGAIN_S = 5.0
LISTED_MAX = 100_000


class NoticeWord(StrEnum):
    """The states of a notice."""

    WAITING = "waiting"
    SENT = "sent"
    FAILED = "failed"
    GIVEN_UP = "given_up"
    SUPPRESSED = "suppressed"


app = typer.Typer(
    help="Turn alerts into notices; see them, give up those that wait, have one sent once more.", add_completion=False
)
app.command("preview")(preview)
app.command("resend")(resend)


class Lazily:
    """The notifier, made in the event loop of the worker that uses it when the first alert comes."""

    def __init__(self, world: World) -> None:
        self.world, self.stack = world, AsyncExitStack()
        self.ready: Notifier | None = None
        self.lock = asyncio.Lock()

    def read(self, alert: dict[str, Any]) -> None:
        """An alert has been read, whose turn may come later. Before the first one's turn nothing is held."""
        if self.ready is not None:
            self.ready.holds.read(alert)

    async def __call__(self, alert: dict[str, Any], waits: Passing, at_ms: int | None) -> list[dict[str, Any]]:
        """Deliver an alert's notices."""
        async with self.lock:
            if self.ready is None:
                self.ready = await self.stack.enter_async_context(
                    notifier(self.world.settings, LogReader, self.world.left_out)
                )
        return await self.ready.notify(alert, waits, at_ms)


@app.callback(invoke_without_command=True)
def run(context: typer.Context) -> None:
    """Tell relationship managers of alerts, until told to stop; more workers share the partitions."""
    if context.invoked_subcommand is not None:
        return
    ends_early("stopped before any alert was taken; it is safe to go on")
    settings = Settings()
    try:
        webhook_trust(settings)
    except OSError as problem:
        raise CommandError(f"TIDEGAUGE_WEBHOOK_CA: {problem}", "see docs/settings.md") from problem
    settings.mail_trust()  # AccessError names the setting
    if settings.mail_url:
        settings.mail_server()
    usable_texts(settings.notice_texts)
    uses = _used(settings)
    world = check_world(settings, uses)
    settings = world.settings
    need_redis(settings)
    Watch(world, uses).start(end_process)
    threading.Thread(target=_arrivals, args=(settings,), name="arrivals", daemon=True).start()
    with one_last_line():
        lazily = Lazily(world)
        run_notifier(build_notifier(settings, lazily, registry_for(settings), lazily.read))
    notes.print("stopped: what was delivered is acknowledged; it is safe to go on")


def _used(settings: Settings) -> frozenset[str]:
    """What of the log's identity counts: without a reference key nobody is told of arrivals, and all else goes on."""
    try:
        settings.secret()
    except KeyLostError:
        return USES_NOTICES - {"reference_key"}
    return USES_NOTICES


def _arrivals(settings: Settings) -> None:
    """Tell managers of VIPs that arrive, as long as the process lives; what fails is begun anew."""
    over = threading.Event()
    while True:
        try:
            asyncio.run(follow_arrivals(settings, LogReader, over))
        except KeyLostError as problem:
            log.warning("nobody is told of VIPs that arrive: %s", problem)
            return
        except (*FAILURES, RecordError) as problem:
            log.warning("VIPs that arrive can't be followed now: %s", problem)
        except Exception:
            log.exception("VIPs that arrive can't be followed now")
        time.sleep(ARRIVALS_AGAIN_S)


@app.command("waiting")
def waiting(as_json: bool = JSON) -> None:
    """List the notices that wait for their channel."""
    client, keys = _ledger()
    found = waiting_notices(client, keys)
    if as_json:
        emit([{"notice_id": notice_id, "why": why} for notice_id, why in sorted(found.items())])
        return
    for notice_id, why in sorted(found.items()):
        console.print(f"{notice_id}  {why}", soft_wrap=True)
    if not found:
        console.print("none waits")


@app.command("list")
def list_notices(
    state: Annotated[NoticeWord | None, typer.Option(help="Only notices of this state.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=LISTED_MAX, help="At most so many, the newest.")] = 20,
    actor: str = AS,
    as_json: bool = JSON,
) -> None:
    """List notices, each with its state: those that wait first, then the newest. None of it is personal."""
    permitted(Settings(), DataKind.NOTICES, "list", actor, Action.READ)
    settings, client, keys = notice_servers()
    found = newest_states(written_states(settings), waiting_notices(client, keys), limit, state or "")
    if as_json:
        emit([one.plain() for one in found])
        return
    table = Table("notice", "state", "channel", "at (UTC)", "attempts", "error", box=None)
    for one in found:
        cells = (one.notice_id, one.state, one.channel, _instant(one.at), one.attempts, one.error)
        table.add_row(*("-" if cell is None else printable(str(cell)) for cell in cells))
    console.print(table)


@app.command("show")
def show_notice(
    notice_id: Annotated[str, typer.Argument(help="As `notices list` has it.")],
    actor: str = AS,
    as_json: bool = JSON,
) -> None:
    """Show a notice: its state, to whom it went and what it said; the customer's number is masked."""
    permitted(Settings(), DataKind.NOTICES, f"show {notice_id[:ID_CHARS]}", actor, Action.READ)
    settings, client, keys = notice_servers()
    found = state_of(notice_id, written_states(settings), waiting_notices(client, keys))
    if found is None:
        raise CommandError(
            f"no notice {notice_id[:ID_CHARS]} is known", "`tidegauge notices list` has those that are kept", BAD_INPUT
        )
    shown = found.shown()
    if as_json:
        emit(shown)
        return
    for name, value in (shown | {"at": _instant(found.at)}).items():
        if value is not None:
            console.print(f"{name}: {printable(str(value))}", soft_wrap=True, markup=False)


def _instant(at: int | None) -> str | None:
    """As people read it: a day and a time, UTC."""
    if at is None:
        return None
    return f"{datetime.fromtimestamp(min(max(at, 0), INSTANT_MAX) / 1000, UTC):%Y-%m-%d %H:%M:%S}"


@app.command("give-up")
def stop_waiting(
    ids: Annotated[list[str] | None, typer.Argument(metavar="[IDS]...", help="As `notices waiting` has them.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Whatever waits now.")] = False,
    reason: Annotated[str, typer.Option(help="Why; it is kept in the record.")] = "",
    as_json: bool = JSON,
) -> None:
    """Have notices waited for no more; their records say so, and why."""
    if bool(ids) == every:
        raise CommandError("give up which?", "name notices, or --all", BAD_INPUT)
    if not reason or len(reason) > TEXT_CHARS_MAX:
        raise CommandError("give up why?", f"--reason in at most {TEXT_CHARS_MAX} characters", BAD_INPUT)
    permitted(Settings(), DataKind.NOTICES, f"give up {' '.join(ids or ('all',))}")
    client, keys = _ledger()
    known = waiting_notices(client, keys)
    if unknown := [notice_id for notice_id in ids or () if notice_id not in known]:
        raise CommandError(
            f"{unknown[0]} waits for nothing", "`tidegauge notices waiting` has those that do", BAD_INPUT
        )
    given = sorted(ids or known)
    for notice_id in given:
        give_up(client, keys, notice_id, reason)
    if as_json:
        emit({"given_up": given})
    else:
        console.print(f"given up: {', '.join(given)}" if given else "none waits", soft_wrap=True)


def _ledger() -> "tuple[Redis, Keys]":
    return notice_servers()[1:]
