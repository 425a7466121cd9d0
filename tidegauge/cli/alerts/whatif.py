"""`tidegauge alerts whatif`: what another pack would have told, and when, on a real history."""

from __future__ import annotations

import csv
import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import typer
from rich.console import Group
from rich.table import Table
from rich.text import Text

from deploy.printable import spreadsheet_row
from deploy.settings import Settings
from services.access.decision import Action, DataKind
from streams.calendar import date_of, day_of
from tidegauge.cli.actor import AS, asked, sees
from tidegauge.cli.alerts.evaluate import draw
from tidegauge.cli.alerts.words import ALERT_WORDS
from tidegauge.cli.choices import SILENCE, Lang, SourceFormat, iso_date
from tidegauge.cli.data.refused import Refused
from tidegauge.cli.data.trials import trial_of_files, trials_of_topics
from tidegauge.cli.language import LANG, language, speaker
from tidegauge.cli.output import JSON, check_folder, console, emit, notes
from tidegauge.cli.policy.activate import pack_from

if TYPE_CHECKING:
    from agents.offline.replay import Trial
    from agents.standing.model import StandingConf
    from policies.model.pack import Pack
    from tidegauge.evaluation.compare import CaseChange
    from tidegauge.evaluation.steps import ScoredStep
    from tidegauge.evaluation.trial import WatchedTrial

ROWS_SHOWN: Final = 15
_COLUMNS: Final = (
    "customer_id", "kind", "branch", "owner", "before", "after", "minutes", "rule_before", "rule_after",
)  # fmt: skip


def alerts_whatif(
    pack: str = typer.Option(..., "--pack", help="A pack that ships, or a YAML file."),
    since: dt.date = typer.Option(
        ..., "--from", parser=iso_date, help="The day from which it would have been in force."
    ),
    path: Path | None = typer.Option(None, "--files", help="Files instead of the live system's topics."),
    form: SourceFormat = typer.Option(SourceFormat.NDJSON, "--format", help="Of the files (docs/formats.md)."),
    out: Path | None = typer.Option(None, "--out", help="A CSV file for every case of either pack."),
    picture: Path | None = typer.Option(None, "--picture", help="An SVG file for the tables."),
    silence_days: int = SILENCE,
    as_json: bool = JSON,
    actor: str = AS,
    lang: Lang | None = LANG,
) -> None:
    """Replay the real history under another pack, and show what would have been told: more, less, earlier, later.

    Reads topics or files and computes here; the live system is not touched. An export: an actor of a unit gets the customers of
    that unit and of those below it.
    """
    from tidegauge.evaluation.compare import changes

    settings = Settings()
    say = speaker(ALERT_WORDS, language(lang, settings))
    who = asked(settings, actor, Action.EXPORT, DataKind.ALERTS, about="all customers")
    new = pack_from(pack, since)
    for file in (out, picture):
        check_folder(file)
    refused = Refused(settings)
    trials = _watched(settings, new, path, form, silence_days, refused)
    branches = {name: branch for found in trials for name, branch in found.branches.items()}

    def mine(steps: list[ScoredStep]) -> list[ScoredStep]:
        first = day_of(since)
        return [
            s
            for s in steps
            if s.day >= first and sees(who, Action.EXPORT, DataKind.ALERTS, branches.get(s.customer_id))
        ]

    published = {case: again for one in trials for case, again in one.published(day_of(since)).items()}
    before, after = (mine([step for found in trials for step in found.steps[side]]) for side in (0, 1))
    found = changes(before, after)
    if out is not None:
        _write(out, found, branches)
    tables = _volumes(before, after, branches)
    if as_json:
        again = {"published": len(published), "made_again": sum(published.values())}
        emit(_machine(new, since, found, tables, branches) | (again if path is None else {}))
    else:
        shown = _shown(new, since, found, tables, branches, say)
        console.print(shown)
        if picture is not None:
            draw(shown, picture, f"tidegauge alerts whatif --pack {new.id} --from {since}")
            notes.print(say("picture", file=picture))
        if path is None:
            notes.print(say("wi_again", published=len(published), again=sum(published.values())))
    refused.end("what is printed is computed from the good ones")


def _watched(
    settings: Settings, new: Pack, path: Path | None, form: str, silence_days: int, refused: Refused
) -> list[WatchedTrial]:
    from tidegauge.evaluation.trial import WatchedTrial

    found: list[WatchedTrial] = []

    def begin(trial: Trial, conf: StandingConf) -> None:
        found.append(WatchedTrial(trial, conf))

    if path is None:
        trials_of_topics(settings, new, begin)
    else:
        trial_of_files(settings, new, path, form, silence_days, refused, begin)
    return found


_Rows = dict[str, list[tuple[str, int, int]]]


def _volumes(before: list[ScoredStep], after: list[ScoredStep], branches: dict[str, str]) -> _Rows:
    from tidegauge.evaluation.compare import volume

    by: dict[str, Callable[[ScoredStep], str]] = {
        "rule": lambda step: step.rule, "branch": lambda step: branches.get(step.customer_id, "-"),
        "owner": lambda step: step.owner or "-",
    }  # fmt: skip
    return {name: volume(before, after, one) for name, one in by.items()}


def _cells(change: CaseChange, branches: dict[str, str]) -> dict[str, Any]:
    told, before, after = change.told, change.before, change.after
    return {
        "customer_id": told.customer_id, "kind": told.kind, "branch": branches.get(told.customer_id), "owner": told.owner,
        "before": before and date_of(before.day).isoformat(), "after": after and date_of(after.day).isoformat(),
        "minutes": change.minutes, "rule_before": before and before.rule, "rule_after": after and after.rule,
    }  # fmt: skip


def _write(path: Path, found: list[CaseChange], branches: dict[str, str]) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(_COLUMNS)
        table.writerows(spreadsheet_row(list(_cells(one, branches).values())) for one in found)


def _counts(found: list[CaseChange]) -> dict[str, int]:
    return {
        "cases_before": sum(one.before is not None for one in found),
        "cases_after": sum(one.after is not None for one in found),
        "no_more": sum(one.after is None for one in found),
        "anew": sum(one.before is None for one in found),
        "earlier": sum((one.minutes or 0) < 0 for one in found),
        "later": sum((one.minutes or 0) > 0 for one in found),
    }


def _machine(
    new: Pack, since: dt.date, found: list[CaseChange], tables: _Rows, branches: dict[str, str]
) -> dict[str, Any]:
    volumes = {
        name: [{name: one, "before": old, "after": now} for one, old, now in rows] for name, rows in tables.items()
    }
    cases = [_cells(one, branches) for one in found]
    return {
        "pack": new.id,
        "version": new.version,
        "from": str(since),
        **_counts(found),
        "lines": volumes,
        "cases": cases,
    }


def _shown(
    new: Pack, since: dt.date, found: list[CaseChange], tables: _Rows, branches: dict[str, str], say: Callable[..., str]
) -> Group:
    parts: list[Any] = [Text(say("wi_head", pack=new.id, version=new.version, first=since, **_counts(found)))]
    for name, rows in tables.items():
        table = Table(say(f"c.{name}"), say("c.now"), say("c.then"), title=say(f"wi_{name}"), title_justify="left")
        for who, old, now in rows[:ROWS_SHOWN]:
            table.add_row(who, str(old), str(now))
        parts.append(table)
    differ = [one for one in found if one.minutes != 0]
    if differ:
        columns = ("customer", "kind_of_case", "branch", "now", "then", "minutes")
        table = Table(*(say(f"c.{name}") for name in columns), title=say("wi_who"), title_justify="left")
        for one in differ[:ROWS_SHOWN]:
            cells = _cells(one, branches)
            shown = (cells[name] for name in ("customer_id", "kind", "branch", "before", "after", "minutes"))
            table.add_row(*("-" if cell is None else str(cell) for cell in shown))
        parts.append(table)
    return Group(*parts)
