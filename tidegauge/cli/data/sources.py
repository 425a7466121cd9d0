"""`tidegauge complete` and `tidegauge holidays`: what the freshness of sources is measured by."""

from collections.abc import Iterable
from pathlib import Path

import typer

from connectors.formats.events import Fact, InputError
from deploy.settings import Settings
from tidegauge.cli.language import LANG, language, speaker
from tidegauge.cli.output import BAD_INPUT, CommandError, console, day_argument

app = typer.Typer()
_WORDS = {
    "en": {"complete": "{source} is complete up to {day}", "holidays": "{count} days told"},
    "zh-CN": {"complete": "来源 {source} 的数据已全部送达，截至 {day}", "holidays": "已告知 {count} 天"},
}


@app.command("complete")
def complete(
    source: str = typer.Argument(..., help="The source, as its events name it."),
    day: str = typer.Argument(..., help="The day up to which it has sent everything, such as 2026-01-31."),
    lang: str = LANG,
) -> None:
    """Say for a source that it has sent everything up to a day: its end-of-day mark, in every partition."""
    from connectors.loading import broadcast

    number = day_argument(day)
    if not source:
        raise CommandError("the source has no name", code=BAD_INPUT)
    say = speaker(_WORDS, language(lang))
    _send([broadcast.complete(source, number)])
    console.print(say("complete", source=source, day=day), soft_wrap=True)


@app.command("holidays")
def holidays(
    path: Path = typer.Argument(..., help="A CSV file: date,bank with open or closed."), lang: str = LANG
) -> None:
    """Tell the workers which days the bank is closed, and which weekend days it is open: the last word on a day counts."""
    from connectors.loading import broadcast

    try:
        records = list(broadcast.read_calendar(path))
    except (InputError, OSError) as problem:
        raise CommandError(str(problem), code=BAD_INPUT) from problem
    say = speaker(_WORDS, language(lang))
    _send(records)
    console.print(say("holidays", count=len(records)))


def _send(records: Iterable[Fact]) -> None:
    from connectors.loading.broadcast import FACTS, broadcast
    from connectors.loading.publisher import PublishError
    from schemas.codec.records import encode
    from schemas.registry import registry_for

    settings = Settings()
    registry = registry_for(settings)
    try:
        broadcast(settings, lambda topic, record: encode(topic, record, registry), FACTS, [{**r} for r in records])
    except PublishError as problem:
        raise CommandError(str(problem), problem.hint, code=1) from problem
