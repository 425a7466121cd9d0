"""`tidegauge dead-letters`: list, count, show and redrive what nobody could use."""

import asyncio
from collections import Counter
from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import typer
from rich.table import Table

from deploy.settings import Settings
from schemas.bounds import LETTERS_CHOSEN_MAX
from schemas.registry import registry_for
from services.access.decision import Action, DataKind, Resource, owner_of
from streams.validity import INSTANT_MAX
from tidegauge.cli.actor import AS, asked, decided, permitted
from tidegauge.cli.choices import LetterTopic
from tidegauge.cli.guard import DRY_RUN, Intent, goes_on, reason_given
from tidegauge.cli.output import BAD_INPUT, FAILED_CHECK, JSON, CommandError, console, emit
from tidegauge.cli.servers import need_world
from tidegauge.letters import Letter, letters, newest, redrive

app = typer.Typer(help="List, count, show and redrive what nobody could use.")

TOPIC = typer.Option(None, help="Only letters about this topic; file: about lines of files.")
REASON = typer.Option("", help="Only letters with this reason.")
BECAUSE: Final = "--because"  # as --reason chooses letters here
REDRIVEN_MAX: Final = 1_000
PLACE = typer.Argument(help="Where the bad record lies: TOPIC/PARTITION/OFFSET, as `list` has it.")


def opened(given: str, about: str, *, whole: bool = False) -> Settings:
    """The settings, with the partitions that the topics have; who asks, and what about, is on record.

    A letter's bytes are those of a customer whom nobody knows yet: the head office's, so to say.
    """
    settings = Settings()
    about = f"dead letters: {about}"
    who = asked(settings, given, Action.READ, DataKind.TRANSACTIONS, about=about, first=whole)
    if whole and not decided(settings, who, Action.READ, Resource(DataKind.TRANSACTIONS, owner_of(None)), about):
        text = f"{who.role} of {'/'.join(who.unit)} may not see the bytes of dead letters"
        raise CommandError(text, "ask the head office; --as names another", BAD_INPUT)
    return need_world(settings)


def chosen(settings: Settings, places: list[str]) -> list[Letter]:
    """The newest letter of each place; CommandError where there is none."""
    found = {letter.place: letter for letter in letters(settings) if letter.place in places}
    if missing := [place for place in places if place not in found]:
        raise CommandError(
            f"no dead letter about {missing[0]}", "`tidegauge dead-letters list` has the places", BAD_INPUT
        )
    return [found[place] for place in dict.fromkeys(places)]


@app.command("list")
def list_letters(
    topic: LetterTopic | None = TOPIC,
    reason: str = REASON,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most so many, newest first.")] = 20,
    actor: str = AS,
    as_json: bool = JSON,
) -> None:
    """List dead letters, newest first: where, why, how large. None of it is personal."""
    settings = opened(actor, "list")
    found = newest((letter.bare() for letter in letters(settings, topic or "", reason)), limit)
    if as_json:
        emit([letter.plain() for letter in found])
        return
    table = Table("written", "place", "to offset", "reason", "field", "bytes", box=None)
    for letter in found:
        said = letter.plain()
        cells = (said[name] for name in ("last_offset", "reason", "field", "original_bytes"))
        written = min(max(letter.at, 0), INSTANT_MAX)  # where brokers take a producer's word for it, it may be any
        at = f"{datetime.fromtimestamp(written / 1000, UTC):%Y-%m-%d %H:%M:%S}"
        table.add_row(at, letter.place, *(str("-" if cell is None else cell) for cell in cells))
    console.print(table)


@app.command("count")
def count(topic: LetterTopic | None = TOPIC, actor: str = AS, as_json: bool = JSON) -> None:
    """Count dead letters by topic and reason."""
    settings = opened(actor, "count")
    found = Counter((letter.record["topic"], letter.record["reason"]) for letter in letters(settings, topic or ""))
    if as_json:
        emit([{"topic": about, "reason": why, "letters": number} for (about, why), number in found.most_common()])
        return
    table = Table("topic", "reason", "letters", box=None)
    for (about, why), number in found.most_common():
        table.add_row(about, why, str(number))
    console.print(table)


@app.command("show")
def show(
    place: Annotated[str, PLACE],
    whole: Annotated[bool, typer.Option("--whole", help="The original's bytes too, in hexadecimal digits.")] = False,
    actor: str = AS,
    as_json: bool = JSON,
) -> None:
    """Show a dead letter; of its original what is not personal, and the rest with --whole."""
    settings = opened(actor, f"{place}, as a whole" if whole else place, whole=whole)
    [letter] = chosen(settings, [place])
    said: dict[str, Any] = letter.whole() if whole else letter.masked(registry_for(settings))
    if as_json:
        emit(said)
        return
    for name, content in said.items():
        console.print(f"{name:16} {'-' if content is None else content!s}", soft_wrap=True)


@app.command("redrive")
def send_again(
    places: Annotated[
        list[str] | None, typer.Argument(metavar="[PLACES]...", help="TOPIC/PARTITION/OFFSET of each.")
    ] = None,
    topic: LetterTopic | None = TOPIC,
    reason: str = REASON,
    dry_run: bool = DRY_RUN,
    force: Annotated[
        bool, typer.Option("--force", help=f"Do it although it is beyond the ordinary; needs {BECAUSE}.")
    ] = False,
    because: Annotated[str, typer.Option(BECAUSE, help="Why it is forced: kept in the log line.")] = "",
    actor: str = AS,
    as_json: bool = JSON,
) -> None:
    """After a fix: read the records again at their source and write them anew. Their ids keep them from counting twice."""
    if bool(places) == bool(topic or reason):
        raise CommandError("redrive which?", "name places, or --topic, --reason or both", BAD_INPUT)
    why = reason_given(because, force=force, option=BECAUSE)
    settings = Settings()
    permitted(settings, DataKind.LETTERS, f"sent again: {', '.join(places or [topic or '', reason])}", actor)
    settings = need_world(settings)
    found = chosen(settings, places) if places else letters(settings, topic or "", reason)
    wanted = _newest_of_places(found)
    if not goes_on(_intent(wanted), why, dry_run=dry_run, as_json=as_json, option=BECAUSE):
        return
    done = asyncio.run(redrive(settings, sorted(wanted, key=lambda letter: letter.source)))
    if as_json:
        emit([{"place": letter.place, "redriven": not problem, "problem": problem or None} for letter, problem in done])
    else:
        for letter, problem in done:
            console.print(f"{letter.place}: {problem or 'written anew'}", soft_wrap=True)
    if any(problem for _, problem in done):
        raise typer.Exit(FAILED_CHECK)


def _newest_of_places(found: Iterable[Letter]) -> Collection[Letter]:
    """The newest letter of each place; CommandError for more than are taken at once."""
    wanted: dict[str, Letter] = {}
    for letter in found:
        wanted[letter.place] = letter.bare()
        if len(wanted) > LETTERS_CHOSEN_MAX:
            raise CommandError(
                f"those are more than {LETTERS_CHOSEN_MAX:,} letters", "choose fewer: --topic and --reason, or places"
            )
    return wanted.values()


def _intent(wanted: Collection[Letter]) -> Intent:
    """What would be written anew, by topic; many at once are beyond the ordinary."""
    counts, several = Counter[str](), False
    for letter in wanted:
        counts[letter.record["topic"]] += letter.offsets
        several = several or letter.offsets > 1
    most = "up to " if several else ""
    listed = ", ".join(f"{most}{count:,} of {name}" for name, count in sorted(counts.items())) or "nothing"
    unusual = [f"that is {most}{counts.total():,} records; up to {REDRIVEN_MAX:,} at a time are ordinary"]
    return Intent(
        "dead-letters redrive", [f"write records anew: {listed}"], {"records": dict(sorted(counts.items()))},
        unusual if counts.total() > REDRIVEN_MAX else (),
    )  # fmt: skip
