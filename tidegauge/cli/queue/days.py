"""`tidegauge queue simulate`, `explain`, `day`, `estimates`: a branch's day of tickets and counters."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import typer
from rich.console import Group
from rich.table import Table
from rich.text import Text

from deploy.settings import Settings
from tidegauge.cli.choices import Lang, QueueOrder
from tidegauge.cli.language import LANG, language, speaker
from tidegauge.cli.output import BAD_INPUT, FAILED_CHECK, JSON, CommandError, check_folder, console, emit, error, notes
from tidegauge.cli.picture import save_picture
from tidegauge.cli.queue.words import QUEUE_WORDS

if TYPE_CHECKING:
    from policies.compiled.queue import CompiledQueue
    from tidegauge.branch.day import BranchDay, ClassWaits, Overtaker

Say = Callable[..., str]
_TICKETS = typer.Option(None, "--tickets", help="CSV file of tickets (docs/queue.md).")
_COUNTERS = typer.Option(None, "--counters", help="CSV file of counters; a profile that ships has its own.")
_PROFILE = typer.Option("", "--profile", help="A profile that ships (branch-day), or a CSV file, instead of tickets.")
_SEED = typer.Option(1, "--seed", min=0, max=10**9, help="With --profile: the same seed draws the same tickets.")
_PACK = typer.Option("", "--pack", help="A pack that ships, or a YAML file; TIDEGAUGE_PACK if not given.")
_ORDER = typer.Option(None, "--order", help="The order of calling instead of the pack's.")
_OVERTAKING = ("ticket", "class", "came_after", "called", "counter", "service", "why")
_WAITS = ("class", "tickets", "never_called", "median", "p90", "mean", "longest", "overtakers")
_ESTIMATES = ("class", "at_once", "waited", "held", "percent", "percent_of_all", "width")
HOLDS_PERCENT = range(75, 86)  # of eight in ten, by chance


class _Source(NamedTuple):
    """Where a day comes from."""

    tickets: Path | None
    counters: Path
    profile: Path | None


def simulate_(
    tickets: Path | None = _TICKETS,
    counters: Path | None = _COUNTERS,
    profile: str = _PROFILE,
    seed: int = _SEED,
    pack: str = _PACK,
    order: QueueOrder | None = _ORDER,
    out: Path | None = typer.Option(None, "--out", help="CSV file of who was called when, where, and after whom."),
    lang: Lang | None = LANG,
    as_json: bool = JSON,
) -> None:
    """Call a day's tickets in an order, through the very code that orders live ones. Prints the waits by class."""
    from tidegauge.branch.files import calls_text

    source, say = _source(tickets, counters, profile), speaker(QUEUE_WORDS, language(lang))
    check_folder(out)
    found = _day(source, pack, order, seed)
    if out is not None:
        out.write_text(calls_text(list(found.rows())), encoding="utf-8", newline="")
        notes.print(say("written", file=out), soft_wrap=True)
    rows, name = found.waits(), found.queue.discipline.order
    if as_json:
        emit({"order": name, "classes": [row._asdict() for row in rows[:-1]], "all": rows[-1]._asdict()})
        return
    table = _titled(say, say("simulated", order=say(f"order.{name}")), _WAITS)
    for row in rows:
        table.add_row(*_wait_cells(row, say))
    console.print(table)


def explain_(
    ticket: str = typer.Argument(..., help="Name of the ticket in the files; else its id at the branch."),
    tickets: Path | None = _TICKETS,
    counters: Path | None = _COUNTERS,
    profile: str = _PROFILE,
    seed: int = _SEED,
    pack: str = _PACK,
    order: QueueOrder | None = _ORDER,
    lang: Lang | None = LANG,
    as_json: bool = JSON,
) -> None:
    """Show who was called before a ticket though he came later: how much later, for how long, and why.

    Of files, or of a profile; without them of the branch that issued it, from queue-tickets.
    """
    say = speaker(QUEUE_WORDS, language(lang))
    if tickets is None and not profile:
        _explain_logged(ticket, pack, say, as_json=as_json)
        return
    source = _source(tickets, counters, profile)
    found = _day(source, pack, order, seed)
    if ticket not in found.tickets:
        raise CommandError(f"no ticket {ticket} is among the {len(found.tickets)} of the day", "is its name right?")
    own, one = found.tickets[ticket], found.call_of(ticket)
    overtakers = found.explained(ticket)
    code = own.class_at(own.arrives_s) if one is None else one.queue_class
    known = {
        "ticket": ticket, "queue_class": found.queue.ids[code], "arrives_s": own.arrives_s,
        "called_s": None if one is None else one.at_s, "counter": None if one is None else list(found.counters)[one.counter],
    }  # fmt: skip
    if as_json:
        emit({**known, "overtaken_by": [by._asdict() for by in overtakers]})
        return
    _show_explained(known, overtakers, say)


def _explain_logged(ticket: str, pack: str, say: Say, *, as_json: bool) -> None:
    """A ticket of a branch, from its log."""
    from tidegauge.branch.log import LoggedDay, branch_of, read_branch

    queue = _queue(pack, None)
    logged = read_branch(_settings_of_log(pack), branch_of(ticket))
    day = next((step["day"] for step in logged.steps if step["ticket_id"] == ticket), None)
    if day is None:
        raise CommandError(f"no ticket {ticket} is on queue-tickets", "give --tickets for one of a file", BAD_INPUT)
    found = LoggedDay(queue, logged, day)
    own, call = found.issued.get(ticket), found.calls.get(ticket)
    if own is None:
        raise CommandError(f"queue-tickets no longer has the issue of {ticket}", "it is kept for three months")
    known = {
        "ticket": ticket, "queue_class": (call or own)["queue_class"], "arrives_s": found.hall_ticket(ticket).arrives_s,
        "called_s": None if call is None else found.second(call["at"]), "counter": None if call is None else call["counter"],
    }  # fmt: skip
    overtakers = found.explained(ticket)
    if as_json:
        emit({**known, "overtaken_by": [by._asdict() for by in overtakers]})
    else:
        _show_explained(known, overtakers, say)


def _show_explained(known: dict[str, Any], overtakers: Sequence[Overtaker], say: Say) -> None:
    ticket, called, came = known["ticket"], known["called_s"], known["arrives_s"]
    told = {"ticket": ticket, "class_": known["queue_class"], "came": _clock(came)}
    if called is not None:
        told |= {"called": _clock(called), "counter": known["counter"], "waited": _span(max(0, called - came))}
    console.print(say("explain_never" if called is None else "explain", **told), soft_wrap=True)
    if not overtakers:
        console.print(say("nobody"), soft_wrap=True)
        return
    table = _titled(say, say("overtaken"), _OVERTAKING)
    for by in overtakers:
        cells = (_span(by.came_after_s), _clock(by.called_s), by.counter, _span(by.service_s))
        table.add_row(by.ticket, by.queue_class, *cells, say(f"cause.{by.cause}", ticket=ticket))
    console.print(table)


def day(
    branch: str = typer.Argument("", help="A branch, from queue-tickets; without it the day is of files or a profile."),
    date: str = typer.Argument("", help="Its day, such as 2026-03-02."),
    tickets: Path | None = _TICKETS,
    counters: Path | None = _COUNTERS,
    profile: str = _PROFILE,
    seed: int = _SEED,
    pack: str = _PACK,
    order: QueueOrder | None = _ORDER,
    table_file: Path | None = typer.Option(None, "--csv", help="CSV file for the table."),
    picture: Path | None = typer.Option(None, "--picture", help="SVG file for the table."),
    lang: Lang | None = LANG,
    as_json: bool = JSON,
) -> None:
    """Show waits by class, under each order, and what the order costs the last class."""
    from tidegauge.branch.day import order_waits, priority_cost_s

    say = speaker(QUEUE_WORDS, language(lang))
    check_folder(table_file)
    check_folder(picture)
    if branch:
        found, own = _logged_day(branch, date, pack, order)
    else:
        found, own = _day(_source(tickets, counters, profile), pack, order, seed), {}
    under, cost = {**own, **order_waits(found)}, priority_cost_s(found)
    shown = _shown_day(found, under, cost, say)
    if table_file is not None:
        with table_file.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(("order", *under["strict"][0]._fields))
            writer.writerows((name, *row) for name, rows in under.items() for row in rows)
        notes.print(say("written", file=table_file), soft_wrap=True)
    if picture is not None:
        save_picture(shown, "tidegauge queue day", picture)
        notes.print(say("written", file=picture), soft_wrap=True)
    if as_json:
        orders = {name: [row._asdict() for row in rows] for name, rows in under.items()}
        emit({"order": found.queue.discipline.order, "orders": orders, "cost_s": cost})
    else:
        console.print(shown)


def _logged_day(
    branch: str, date: str, pack: str, order: QueueOrder | None
) -> tuple[BranchDay, dict[str, list[ClassWaits]]]:
    """A branch's day for other orders, and how it was."""
    from datetime import date as calendar_day

    from streams.calendar import day_of
    from tidegauge.branch.log import LoggedDay, read_branch

    try:
        wanted = day_of(calendar_day.fromisoformat(date))
    except ValueError as problem:
        raise CommandError(f"{date!r} is no day", "write it as 2026-03-02", BAD_INPUT) from problem
    queue = _queue(pack, order)
    found = LoggedDay(queue, read_branch(_settings_of_log(pack), branch), wanted)
    if not found.issued:
        raise CommandError(f"queue-tickets has no ticket of {branch} on {date}", "are branch and day right?", BAD_INPUT)
    return found.day(), {"as_it_was": found.waits()}


def estimates(
    counters: Path | None = _COUNTERS,
    profile: str = typer.Option("branch-day", "--profile", help="A profile that ships, or a CSV file."),
    seed: int = _SEED,
    seeds: int = typer.Option(20, "--seeds", min=1, max=1000, help="So many days, learnt from as many others."),
    pack: str = _PACK,
    order: QueueOrder | None = _ORDER,
    lang: Lang | None = LANG,
    as_json: bool = JSON,
) -> None:
    """Say how often the 80 % interval of an estimated wait holds the true one. Exit code 1 outside 75 to 85 percent."""
    from tidegauge.branch.waits import held_waits

    source, say = _source(None, counters, profile), speaker(QUEUE_WORDS, language(lang))
    days = [_day(source, pack, order, number) for number in range(seed, seed + 2 * seeds)]
    try:
        rows = held_waits(days[seeds:], days[:seeds])
    except ValueError as problem:
        raise CommandError(str(problem), "raise --seeds, or the profile's arrivals", BAD_INPUT) from problem
    if as_json:
        known = [{**row._asdict(), "percent": row.percent, "percent_of_all": row.percent_of_all} for row in rows]
        emit({"classes": known[:-1], "all": known[-1]})
    else:
        table = _titled(say, say("estimates", seeds=seeds, seed=seed), _ESTIMATES)
        for row in rows:
            percents = ("-" if percent is None else percent for percent in (row.percent, row.percent_of_all))
            counts = (row.at_once, row.waited, row.held, *percents, _span(row.width_median_s))
            table.add_row(row.queue_class or say("all"), *map(str, counts))
        console.print(table)
    if rows[-1].percent not in HOLDS_PERCENT:
        error(f"the intervals hold {rows[-1].percent} percent of the waits")
        raise typer.Exit(FAILED_CHECK)


def _source(tickets: Path | None, counters: Path | None, profile: str) -> _Source:
    """What the options name; CommandError where they don't say what they have to."""
    from tidegauge.branch.profile import profile_files

    if (tickets is None) == (not profile):
        raise CommandError("which tickets?", "give --tickets or --profile, not both", BAD_INPUT)
    drawn, own = profile_files(profile) if profile else (None, None)
    chosen = counters or own
    if chosen is None:
        raise CommandError("which counters?", "give --counters", BAD_INPUT)
    return _Source(tickets, chosen, drawn)


def _day(source: _Source, pack: str, order: QueueOrder | None, seed: int) -> BranchDay:
    from tidegauge.branch.day import branch_day

    queue = _queue(pack, order)
    return branch_day(queue, source.tickets, source.counters, source.profile, seed)


def _queue(pack: str, order: QueueOrder | None) -> CompiledQueue:
    from policies import load_pack
    from policies.compiled.queue import compile_queue

    return compile_queue(load_pack(pack or Settings().pack.partition(",")[0]), order)


def _settings_of_log(pack: str) -> Settings:
    """The settings of a log that is the one they are meant for. Where no pack is named, theirs must be the workers'."""
    from tidegauge.cli.servers import need_world

    return need_world(Settings(), frozenset() if pack else frozenset({"packs"}))


def _shown_day(found: BranchDay, under: dict[str, list[ClassWaits]], cost: int | None, say: Say) -> Group:
    """The table of all orders, and what the day's own costs."""
    table = _titled(say, say("orders"), ("order", *_WAITS))
    for name, rows in under.items():
        for place, row in enumerate(rows):
            table.add_row("" if place else say(f"order.{name}"), *_wait_cells(row, say))
    parts: list[Any] = [table]
    if cost is not None:
        name = say(f"order.{found.queue.discipline.order}")
        word = "cost" if cost >= 0 else "gain"
        parts.append(Text(say(word, class_=found.queue.ids[-1], order=name, cost=_span(abs(cost)))))
    return Group(*parts)


def _wait_cells(row: ClassWaits, say: Say) -> Iterator[str]:
    yield row.queue_class or say("all")
    yield str(row.tickets)
    yield str(row.never_called)
    yield from ("-" if span is None else _span(span) for span in (row.median_s, row.p90_s, row.mean_s, row.longest_s))
    yield str(row.overtakers_most)


def _titled(say: Say, title: str, columns: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left")
    for column in columns:
        words = column in ("order", "class", "ticket", "counter", "why")
        table.add_column(say(f"c.{column}"), justify="left" if words else "right", no_wrap=True)
    return table


def _span(seconds: int) -> str:
    """Minutes and seconds."""
    return f"{seconds // 60}:{seconds % 60:02d}"


def _clock(seconds: int) -> str:
    """Hours, minutes and seconds from the opening."""
    return f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
