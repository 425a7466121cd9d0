"""`tidegauge alerts evaluate`: a pack's alerts scored on a world whose customers are known."""

from __future__ import annotations

import io
import re
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import typer
from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Group
from rich.text import Text

from deploy.settings import Settings
from streams.calendar import date_of
from tidegauge.cli.alerts.scores import curve, plain_score, score_tables
from tidegauge.cli.alerts.words import ALERT_WORDS
from tidegauge.cli.choices import SILENCE, Lang
from tidegauge.cli.data.refused import Refused
from tidegauge.cli.language import LANG, language, speaker
from tidegauge.cli.output import BAD_INPUT, JSON, CommandError, PlainConsole, check_folder, console, emit, notes

if TYPE_CHECKING:
    from agents.standing.model import StandingConf
    from tidegauge.evaluation.run import WorldFiles

SCALES: Final = tuple(Fraction(part, 100) for part in (40, 60, 80, 100, 125, 160, 200))
PICTURE_CHARS: Final = 110


def evaluate(
    world: Path = typer.Option(..., "--world", help="A folder with canonical files and labels.csv (docs/alerts.md)."),
    pack: str | None = typer.Option(
        None, "--pack", help="A pack that ships, or a YAML file; the setting's without it."
    ),
    cases: Path | None = typer.Option(None, "--cases", help="A CSV file for every step of every case."),
    picture: Path | None = typer.Option(None, "--picture", help="An SVG file for recall against noise."),
    silence_days: int = SILENCE,
    as_json: bool = JSON,
    lang: Lang | None = LANG,
) -> None:
    """Replay a labelled world, and score who was told in time and who for nothing.

    With --picture also with all outflow thresholds scaled, from two fifths to twice, which takes longer.
    Bad lines are named on stderr and left out; the exit code is 2.
    """
    from tidegauge.bootstrap import standing_conf
    from tidegauge.evaluation.run import conf_with, read_world, steps_under
    from tidegauge.evaluation.score import score
    from tidegauge.evaluation.steps import write_steps

    settings = Settings()
    say, refused = speaker(ALERT_WORDS, language(lang, settings)), Refused(settings)
    for file in (cases, picture):
        check_folder(file)
    if not world.is_dir():
        raise CommandError(
            f"{world} is no folder", "it takes one with canonical files and labels.csv (docs/alerts.md)", BAD_INPUT
        )
    conf = standing_conf(settings, pack, keyless=True)
    with notes.status(f"reading {world}"):
        files = read_world(world, settings.zone, settings.base_currency, refused)
    _tell_strangers(files.world.labels, files.events, say)
    files = _known_facts(files, conf, say)
    scales = SCALES if picture is not None else (Fraction(1),)
    with notes.status("replaying"):
        found = steps_under(
            [conf_with(conf, by) if by != 1 else conf for by in scales], files, silence_days, refused.letter
        )
    scores, here = [score(files.world, steps) for steps in found], scales.index(Fraction(1))
    if cases is not None:
        notes.print(say("steps", n=write_steps(cases, found[here], settings.zone), file=cases))
    span = files.world.days
    title = f"{conf.pack.id} version {conf.pack.version}"
    head = say("head", pack=title, world=world, customers=len({label.customer_id for label in files.world.labels}),
               first=date_of(span[0]), last=date_of(span[-1]))  # fmt: skip
    if as_json:
        emit(_machine(conf.pack.id, conf.pack.version, scales, scores))
    else:
        console.print(Text(head), score_tables(scores[here], say))
    if picture is not None:
        drawn = Group(Text(head), curve(scales, scores, say))
        if not as_json:
            console.print(drawn)
        draw(drawn, picture, f"tidegauge alerts evaluate --pack {conf.pack.id}")
        notes.print(say("picture", file=picture))
    refused.end("what is printed is computed from the good ones")


def _tell_strangers(labels: Any, events: Any, say: Any) -> None:
    known = {event.record.get("customer_id") for event in events}
    if strangers := sorted({label.customer_id for label in labels} - known):
        notes.print(say("strangers", n=len(strangers), one=strangers[0]), soft_wrap=True)


def _known_facts(files: WorldFiles, conf: StandingConf, say: Any) -> WorldFiles:
    """Without facts of names that no pack here knows: a world is for many packs."""
    from agents.standing.intake.facts import BANK_OPEN, fact_kinds
    from agents.standing.intake.marks import COMPLETE

    known = {*fact_kinds(conf.packs()), BANK_OPEN, COMPLETE}
    strange = [one.record["name"] for one in files.events if one.topic == "facts" and one.record["name"] not in known]
    if not strange:
        return files
    notes.print(say("unknown_facts", n=len(strange), names=", ".join(sorted(set(strange)))), soft_wrap=True)
    kept = [one for one in files.events if one.topic != "facts" or one.record["name"] in known]
    return files._replace(events=kept)


def _machine(pack_id: str, version: int, scales: Any, scores: Any) -> dict[str, Any]:
    scored = [{"scale": float(by), **plain_score(one)} for by, one in zip(scales, scores, strict=True)]
    present = next(one for one in scored if one["scale"] == 1)
    return {"pack": pack_id, "version": version, **present} | ({"curve": scored} if len(scored) > 1 else {})


def draw(shown: Group, file: Path, title: str) -> None:
    """What a terminal would show as an SVG file that fetches nothing."""
    with io.StringIO() as nowhere:
        canvas = PlainConsole(record=True, width=PICTURE_CHARS, file=nowhere)
        canvas.print(shown)
    plain = re.sub(r"@font-face \{\{.*?\}\}\n", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    canvas.save_svg(str(file), title=title, code_format=plain)
