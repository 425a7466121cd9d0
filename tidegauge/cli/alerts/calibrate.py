"""`tidegauge alerts calibrate`: thresholds for a wished number of told lines, out of a bank's own history."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import typer
from rich.table import Table
from rich.text import Text

from deploy.settings import Settings
from tidegauge.cli.alerts.words import ALERT_WORDS
from tidegauge.cli.choices import BERKA_CURRENCY, SILENCE, Lang, SourceFormat
from tidegauge.cli.data.refused import Refused
from tidegauge.cli.language import LANG, language, speaker
from tidegauge.cli.output import BAD_INPUT, JSON, CommandError, console, emit, notes

if TYPE_CHECKING:
    from policies.model.pack import Pack
    from tidegauge.evaluation.score import Score

SCALES: Final = tuple(Fraction(part, 100) for part in (40, 60, 80, 100, 125, 160, 200, 300))


def calibrate(
    path: Path = typer.Option(..., "--files", help="The bank's history, a year or more: a file, or a folder of files."),
    lines: int = typer.Option(
        ..., "--lines", min=0, max=1000, help="Told lines a manager of 400 customers and day, at most."
    ),
    form: SourceFormat = typer.Option(SourceFormat.NDJSON, "--format", help="Of the files (docs/formats.md)."),
    pack: str | None = typer.Option(
        None, "--pack", help="A pack that ships, or a YAML file; the setting's without it."
    ),
    seed: int = typer.Option(
        1, "--seed", help="Of the customers who are made to leave; the same seed chooses the same."
    ),
    silence_days: int = SILENCE,
    as_json: bool = JSON,
    lang: Lang | None = LANG,
) -> None:
    """Scale a pack's outflow thresholds until 95 % of the days have no more lines than wished, and say what that costs.

    Some customers of the history are made to leave, in one to eight steps: how many of them are found is the cost. The lines are
    those of all others. Bad lines of files are named on stderr and left out; the exit code is 2.
    """
    from connectors.formats.sources import read_source
    from tidegauge.bootstrap import standing_conf
    from tidegauge.evaluation.run import conf_with, steps_under
    from tidegauge.evaluation.score import score
    from tidegauge.evaluation.synthetic_leavers import planted

    settings = Settings()
    say, refused = speaker(ALERT_WORDS, language(lang, settings)), Refused(settings)
    base = BERKA_CURRENCY if form == "berka" else settings.base_currency
    conf = standing_conf(settings, pack, base, keyless=True)
    with notes.status(f"reading {path}"):
        events = read_source(form, path, settings.zone, refused)
    if not any(event.day for event in events):
        raise CommandError(
            f"{path} holds no good row", "is it the right file, and was it written to its end?", BAD_INPUT
        )
    files = planted(events, seed, base, settings.zone)
    if not files.world.episodes:
        raise CommandError(
            f"{path}: nobody in it can be made to leave",
            "it takes at least 130 days, and customers with an account in the base currency that postings move",
            BAD_INPUT,
        )
    with notes.status("replaying"):
        found = steps_under([conf_with(conf, by) for by in SCALES], files, silence_days, refused.letter)
    stay = {label.customer_id for label in files.world.labels} - {one.label.customer_id for one in files.world.episodes}
    quiet = files.world._replace(labels=[one for one in files.world.labels if one.customer_id in stay], episodes=[])
    scores = [score(files.world, steps) for steps in found]
    noise = [score(quiet, steps) for steps in found]
    chosen = next((place for place, one in enumerate(noise) if one.lines.p95 <= lines), None)
    if as_json:
        emit(_machine(scores, noise, chosen, conf_with(conf, SCALES[chosen]).pack if chosen is not None else None))
    else:
        console.print(_shown(scores, noise, chosen, say))
        said = "cal_none" if chosen is None else "cal_chosen"
        console.print(Text(say(said, lines=lines, scale=f"{float(SCALES[chosen or 0]):.2f}")))
        if chosen is not None:
            console.print(_thresholds(conf_with(conf, SCALES[chosen]).pack, say))
    refused.end("what is printed is computed from the good ones")


def _recall(one: Score) -> Fraction:
    return one.leavers.share(sum(found.before_most for found in one.leavers.findings)) or Fraction(0)


def _machine(scores: list[Score], noise: list[Score], chosen: int | None, pack: Pack | None) -> dict[str, Any]:
    rows = [
        {"scale": float(by), "lines_p95": quiet.lines.p95, "lines_median": quiet.lines.median,
         "lines_after_close": quiet.lines.after_close, "planted": len(one.leavers.findings),
         "found_before_80": round(float(_recall(one)), 6)}
        for by, one, quiet in zip(SCALES, scores, noise, strict=True)
    ]  # fmt: skip
    rules = [] if pack is None else [dict(zip(_COLUMNS, row, strict=True)) for row in _rows(pack)]
    return {"scales": rows, "chosen": None if chosen is None else float(SCALES[chosen]), "rules": rules}


def _shown(scores: list[Score], noise: list[Score], chosen: int | None, say: Any) -> Table:
    table = Table(title=say("cal_title", planted=len(scores[0].leavers.findings)), title_justify="left")
    for column in ("scale", "cal_median", "cal_p95", "cal_after", "most", "cal_chosen"):
        table.add_column(say(f"c.{column}"), justify="right")
    for place, (by, one, quiet) in enumerate(zip(SCALES, scores, noise, strict=True)):
        counts = map(str, (quiet.lines.median, quiet.lines.p95, quiet.lines.after_close))
        recall = f"{float(_recall(one) * 100):.1f} %"
        table.add_row(f"{float(by):.2f}", *counts, recall, "◀" if place == chosen else "")
    return table


_COLUMNS: Final = ("customer_class", "rule", "tier", "absolute", "share_bp", "floor")


def _rows(pack: Pack) -> list[tuple[str, str, str, str, str, str]]:
    """What each rule of a pack asks for, by tier; empty where it doesn't."""
    out = []
    for name, policy in pack.classes.items():
        for rule in policy.outflow_rules:
            shares = rule.share.basis_points if rule.share else {}
            floors = rule.share.floor if rule.share else {}
            for tier in dict.fromkeys((*rule.absolute, *shares)):
                absolute, share, floor = (str(kind.get(tier, "")) for kind in (rule.absolute, shares, floors))
                out.append((name, rule.id, tier, absolute, share, floor))
    return out


def _thresholds(pack: Pack, say: Any) -> Table:
    table = Table(title=say("cal_rules", pack=pack.id), title_justify="left")
    for column in _COLUMNS:
        table.add_column(say(f"c.{column}"))
    for row in _rows(pack):
        table.add_row(*row)
    return table
