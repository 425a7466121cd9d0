"""`tidegauge alerts report`: a month's cases by rule, owner and outcome, out of the log."""

from __future__ import annotations

import csv
import datetime as dt
from calendar import monthrange
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import typer
from rich.table import Table

from deploy.printable import spreadsheet_row
from deploy.settings import Settings
from schemas.registry import registry_for
from services.access.decision import Action, DataKind, Resource, owner_of
from streams.calendar import day_of
from streams.money import exponent, format_minor
from tidegauge.cli.actor import AS, asked, decided, sees
from tidegauge.cli.alerts.words import ALERT_WORDS
from tidegauge.cli.choices import Lang, iso_month
from tidegauge.cli.language import LANG, language, speaker
from tidegauge.cli.output import BAD_INPUT, FAILED_CHECK, JSON, CommandError, check_folder, console, emit, notes
from tidegauge.cli.servers import need_world

if TYPE_CHECKING:
    from services.access.decision import Actor
    from tidegauge.case_report import CaseGroup, CaseMonth, CaseReport

USES_CURRENCY: Final = frozenset({"base_currency"})  # amounts are shown in it
_MONTH_CHARS: Final = 7  # of an ISO date
_HOUR_MS: Final = 3_600_000
_TIMES: Final = ("acknowledged", "resolved")
_COLUMNS: Final = (
    "cases", "told", "escalations", "acknowledged", "acknowledged_median_hours", "acknowledged_slowest_hours", "resolved",
    "resolved_median_hours", "resolved_slowest_hours", "still_open", "taken_back", "net_out",
)  # fmt: skip
_HEADS: Final = (
    "cases", "told", "escalations", "acknowledged", "median", "slowest", "resolved", "median", "slowest", "open", "taken_back",
    "net",
)  # fmt: skip
Say = Callable[..., str]


def alert_report(
    month: dt.date = typer.Option(
        ..., "--month", parser=iso_month, help="Of the days on which cases were raised, such as 2026-01."
    ),
    unit: str = typer.Option("", "--unit", help="Cases of a unit and those below it; all that the actor may see."),
    out: Path | None = typer.Option(None, "--out", help="A CSV file for all rows; its name ends with .csv."),
    limit: int = typer.Option(20, "--limit", min=1, max=1000, help="Rules and owners that are listed at most."),
    actor: str = AS, lang: Lang | None = LANG, as_json: bool = JSON,
) -> None:  # fmt: skip
    """Count a month's cases by rule, owner and outcome: how soon they were answered, and what has become of the money."""
    settings = Settings()
    say = speaker(ALERT_WORDS, language(lang, settings))
    if out is not None and out.suffix.lower() != ".csv":
        raise CommandError(f"{out}: what kind of file is that?", "its name ends with .csv", BAD_INPUT)
    check_folder(out)
    name = month.isoformat()[:_MONTH_CHARS]
    who = _permitted(settings, actor, unit, f"report {name}")
    settings = need_world(settings, USES_CURRENCY)
    found, unreadable = read_month(settings, month)
    report = found.report(_kept(who, unit))
    if unreadable:
        notes.print(say("rep_unreadable", n=unreadable), soft_wrap=True)
    if out is not None:
        notes.print(say("rep_written", n=_write(out, report, settings.base_currency, say), file=out), soft_wrap=True)
    if as_json:
        emit({"month": name, "unit": unit or None, "currency": settings.base_currency, "unreadable": unreadable,
              **_plain(report)})  # fmt: skip
    elif report.total.cases:
        _show(report, name, settings.base_currency, limit, say)
    else:
        console.print(say("rep_none", month=name))


def read_month(settings: Settings, month: dt.date) -> tuple[CaseMonth, int]:
    """The cases of a month, by its first day, out of the log; and how many of its records nobody can read. KafkaException."""
    from tidegauge.case_report import CASES_TOPIC, MONTH_CASES_MAX, CaseMonth, TooManyCasesError
    from tidegauge.topic_entries import topic_entries

    first = day_of(month)
    found = CaseMonth(first, first + monthrange(month.year, month.month)[1] - 1)
    try:
        return found, found.read(topic_entries(settings, CASES_TOPIC), registry_for(settings))
    except TooManyCasesError:
        hint = "docs/guarantees.md, bounds"
        raise CommandError(
            f"{month.isoformat()[:_MONTH_CHARS]} has more than {MONTH_CASES_MAX:,} cases", hint, FAILED_CHECK
        ) from None


def _permitted(settings: Settings, actor: str, unit: str, about: str) -> Actor:
    who = asked(settings, actor, Action.READ, DataKind.ALERTS, about=about, first=bool(unit))
    if unit and not decided(
        settings, who, Action.READ, Resource(DataKind.ALERTS, owner_of(unit)), f"{about} unit {unit}"
    ):
        own = "/".join(who.unit)
        raise CommandError(f"{who.role} of {own} may not read alerts of unit {unit}", "--as names another", BAD_INPUT)
    return who


def _kept(who: Actor, unit: str) -> Callable[[str], bool]:
    """Whether a branch is one that the actor may see, and lies in the unit that is asked for."""
    wanted = owner_of(unit) if unit else ()

    @cache
    def keeps(branch: str) -> bool:
        return owner_of(branch)[: len(wanted)] == wanted and sees(who, Action.READ, DataKind.ALERTS, branch)

    return keeps


def _plain(report: CaseReport) -> dict[str, Any]:
    return {
        "total": _machine(report.total),
        **{name: [_machine(one) for one in getattr(report, name)] for name in ("rules", "owners", "outcomes")},
    }


def _machine(group: CaseGroup) -> dict[str, Any]:
    return group._asdict() | {name: getattr(group, name)._asdict() for name in _TIMES}


def _cells(group: CaseGroup, decimals: int) -> tuple[int | str | None, ...]:
    """In the order of _COLUMNS; None where there is nothing."""
    times = [
        cell
        for one in (group.acknowledged, group.resolved)
        for cell in (one.cases, _hours(one.median_ms), _hours(one.slowest_ms))
    ]
    net = None if group.net_minor is None else format_minor(group.net_minor, decimals)
    return (group.cases, group.told, group.escalations, *times, group.still_open, group.taken_back, net)


def _hours(ms: int | None) -> str | None:
    """Hundredths of hours, half-even."""
    return None if ms is None else format_minor(round(Fraction(100 * ms, _HOUR_MS)), 2)


def _parts(report: CaseReport) -> Iterator[tuple[str, list[CaseGroup]]]:
    yield from (("rule", report.rules), ("owner", report.owners), ("outcome", report.outcomes))


def _name(by: str, group: CaseGroup, say: Say) -> str:
    from tidegauge.case_report import OUTCOMES

    if group.name is None:
        return say("rep.nobody")
    return say(f"rep.{group.name}") if by == "outcome" and group.name in OUTCOMES else group.name


def _write(path: Path, report: CaseReport, currency: str, say: Say) -> int:
    decimals = exponent(currency)
    rows = [("all", "", *_cells(report.total, decimals))]
    for by, groups in _parts(report):
        names = ((one.name if by == "outcome" else _name(by, one, say), one) for one in groups)
        rows += [(by, name or "", *_cells(one, decimals)) for name, one in names]
    with path.open("w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(("by", "name", *_COLUMNS, "currency"))
        table.writerows(spreadsheet_row([*row, currency]) for row in rows)
    return len(rows)


def _show(report: CaseReport, month: str, currency: str, limit: int, say: Say) -> None:
    decimals = exponent(currency)
    for by, groups in _parts(report):
        table = Table(title=say("rep_title", month=month, by=say(f"rep.{by}"), currency=currency), title_justify="left")
        table.add_column(say(f"rep.{by}"))
        for head in _HEADS:
            table.add_column(say(f"c.rep_{head}"), justify="right")
        listed = groups if by == "outcome" else groups[:limit]
        for one in listed:
            table.add_row(_name(by, one, say), *_shown(one, decimals))
        table.add_section()
        table.add_row(say("rep.all"), *_shown(report.total, decimals))
        console.print(table)
        if len(groups) > len(listed):
            console.print(say("rep_more", count=len(groups) - len(listed)))


def _shown(group: CaseGroup, decimals: int) -> list[str]:
    return ["-" if cell is None else str(cell) for cell in _cells(group, decimals)]
