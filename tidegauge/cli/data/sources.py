"""`tidegauge complete` and `tidegauge holidays`: what the freshness of sources is measured by."""

from collections.abc import Iterable
from datetime import date
from pathlib import Path

import typer

from connectors.formats.events import Fact
from deploy.settings import Settings
from streams.calendar import day_of
from tidegauge.cli.choices import Lang, closable_date
from tidegauge.cli.language import LANG, language, speaker
from tidegauge.cli.output import BAD_INPUT, JSON, CommandError, console, emit
from tidegauge.cli.servers import need_world

app = typer.Typer()
_WORDS = {
    "en": {"complete": "{source} is complete up to {day}", "holidays": "{count} days told"},
    "zh-CN": {"complete": "来源 {source} 的数据已全部送达，截至 {day}", "holidays": "已告知 {count} 天"},
}


@app.command("complete")
def complete(
    source: str = typer.Argument(..., help="The source, as its events name it."),
    day: date = typer.Argument(
        ..., parser=closable_date, help="The day up to which it has sent everything, such as 2026-01-31."
    ),
    lang: Lang | None = LANG,
    as_json: bool = JSON,
) -> None:
    """Say for a source that it has sent everything up to a day: its end-of-day mark, in every partition."""
    from connectors.loading import broadcast

    if not source.strip():
        raise CommandError("the source has no name", "give the name that its events carry as `source`", BAD_INPUT)
    say = speaker(_WORDS, language(lang))
    _send([broadcast.complete(source, day_of(day))])
    if as_json:
        emit({"source": source, "day": day.isoformat()})
    else:
        console.print(say("complete", source=source, day=day), soft_wrap=True, markup=False)


@app.command("holidays")
def holidays(
    path: Path = typer.Argument(..., help="A CSV file: date,bank with open or closed."),
    lang: Lang | None = LANG,
    as_json: bool = JSON,
) -> None:
    """Tell the workers which days the bank is closed, and which weekend days it is open: the last word on a day counts."""
    from connectors.loading import broadcast

    records = list(broadcast.read_calendar(path))
    say = speaker(_WORDS, language(lang))
    _send(records)
    if as_json:
        emit({"days": len(records)})
    else:
        console.print(say("holidays", count=len(records)))


def _send(records: Iterable[Fact]) -> None:
    from connectors.loading.broadcast import FACTS, broadcast
    from schemas.codec.records import encode
    from schemas.registry import registry_for

    settings = Settings()
    need_world(settings)
    registry = registry_for(settings)
    broadcast(settings, lambda topic, record: encode(topic, record, registry), FACTS, [{**r} for r in records])
