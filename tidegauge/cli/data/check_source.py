"""`tidegauge check-source`: what is wrong with the records of a source, before it is let in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from deploy.settings import Settings
from services.access.decision import Action, DataKind
from tidegauge.cli.actor import AS, asked
from tidegauge.cli.choices import Lang, SourceTopic
from tidegauge.cli.data.source_words import DELETIONS, SUMS, WORDS
from tidegauge.cli.language import LANG, language, speaker
from tidegauge.cli.output import BAD_INPUT, FAILED_CHECK, JSON, CommandError, console, emit
from tidegauge.cli.servers import need_world
from tidegauge.world.found import USES_ZONE

if TYPE_CHECKING:
    from tidegauge.sources.check import SourceFinding

app = typer.Typer()
LIMIT_MAX: Final = 500_000


@app.command("check-source")
def check_source(
    topic: Annotated[SourceTopic, typer.Option(help="The topic that the source writes to.")],
    source: Annotated[str, typer.Option(help="Only records that name this source; all without it.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=LIMIT_MAX, help="At most so many records, the newest.")] = 100_000,
    actor: str = AS,
    lang: Lang | None = LANG,
    as_json: bool = JSON,
) -> None:
    """Look at what a source has written, and say what is wrong with it. Exit code 1 if anything is.

    Places name records as TOPIC/PARTITION/OFFSET; nothing that is printed is personal.
    """
    from tidegauge.sources.log import check_log

    if source and topic is SourceTopic.CUSTOMERS:
        raise CommandError("profiles name no source", "leave --source out", BAD_INPUT)
    settings = Settings()
    asked(settings, actor, Action.READ, DataKind.TRANSACTIONS, about=f"the source of {topic.value}")
    spoken = language(lang, settings)
    settings = need_world(settings, USES_ZONE | {"base_currency"})
    check, whole = check_log(settings, topic, source, limit)
    order = list(WORDS[spoken])
    found = sorted(check.findings(whole=whole), key=lambda one: order.index(one.code))
    said = [_said(topic, one, spoken) for one in found]
    if as_json:
        emit({"topic": topic, "source": source or None, "records": check.records, "whole": whole, "findings": said})
    else:
        for one in said:
            _show(one)
        say = speaker(SUMS, spoken)
        console.print(
            say("whole" if whole else "cut", topic=topic, records=check.records, findings=len(found)), soft_wrap=True
        )
    if found:
        raise typer.Exit(FAILED_CHECK)


def _said(topic: SourceTopic, one: SourceFinding, spoken: str) -> dict[str, Any]:
    """A finding for machines, with the words for people."""
    found, hint = WORDS[spoken][one.code]
    text = found.format(count=one.count, **one.details)
    if about := one.details.get("said") or (one.code in ("unreadable", "refused") and one.details["field"]):
        text += f" ({about})"
    if one.code in ("tombstone", "deleted_row"):
        hint = DELETIONS[spoken].get(topic, DELETIONS[spoken][""])
    places = [f"{topic}/{partition}/{offset}" for partition, offset in one.spots]
    return {
        "code": one.code, "field": one.details.get("field") or None, "count": one.count, "found": text, "hint": hint,
        "places": places,
    }  # fmt: skip


def _show(one: dict[str, Any]) -> None:
    console.print(f"{one['found']}", soft_wrap=True)
    console.print(f"  {one['hint']}", soft_wrap=True)
    if one["places"]:
        console.print(f"  {', '.join(one['places'])}" + " …" * (one["count"] > len(one["places"])), soft_wrap=True)
