"""What could not be taken of a bank's files: bad lines as they are read, and records that the job refuses afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import typer

from connectors.formats.events import DayEnd, InputError
from tidegauge.cli.output import BAD_INPUT, CommandError, error

if TYPE_CHECKING:
    from agents.offline.replay import Arrival
    from deploy.settings import Settings

SHOWN_MAX: Final = 20
KEPT_MAX: Final = 10_000
KEPT_BYTES_MAX: Final = 64 << 20  # of beginnings of lines; what is kept beyond has its length and hash alone


class Refused:
    """Says the first refusals at once, keeps some lines for dead letters, counts all."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.kept: list[InputError] = []
        self.count = self.bytes = 0

    def __call__(self, problem: InputError) -> None:
        """Take a bad line: a Report of the readers."""
        self._say(str(problem))
        if len(self.kept) < KEPT_MAX:
            self.bytes += len(problem.original.head)
            if self.bytes > KEPT_BYTES_MAX:
                problem.original = problem.original._replace(head=b"")
            self.kept.append(problem)

    def letter(self, topic: str, _key: bytes | None, value: bytes | None) -> None:
        """Take what a job publishes: its dead letters, such as one for a posting that conflicts with another."""
        from schemas.codec.records import RecordError, decode_one
        from schemas.registry import registry_for

        if topic != "dead-letters" or value is None:
            return
        registry = registry_for(self.settings)
        letter = decode_one(value, registry, name=topic)
        try:
            record = decode_one(letter["original"], registry, name=letter["topic"])
        except RecordError:
            record = {}
        who = ", ".join(
            f"{name} {record[name]}" for name in ("event_id", "account_id", "customer_id") if record.get(name)
        )
        self._say(f"{letter['topic']}: {letter['detail']}" + (f" ({who})" if who else ""))

    def _say(self, line: str) -> None:
        self.count += 1
        if self.count <= SHOWN_MAX:
            error(line)

    def end(self, hint: str) -> None:
        """Exit with 2 if anything was refused."""
        if self.count:
            error(f"{self.count} {'line was' if self.count == 1 else 'lines were'} refused", hint)
            raise typer.Exit(BAD_INPUT)


def nothing_in(path: Path) -> CommandError:
    """There is no row that could be taken."""
    return CommandError(f"{path} holds no good row", "is it the right file, and was it written to its end?", BAD_INPUT)


def arrivals(
    settings: Settings, path: Path, form: str, refused: Refused, until: int | None, silence_days: int
) -> list[Arrival]:
    """The events of files in order, with a close behind each day up to `until`; CommandError where there is none."""
    from agents.offline.replay import Arrival
    from connectors.formats.sources import read_source
    from connectors.loading.arrival import days

    events = read_source(form, path, settings.zone, refused)
    if not any(event.day for event in events):
        raise nothing_in(path)
    stream = days(events, str(path), until=until, silence_days=silence_days)
    return [Arrival(item.day, "", None) if isinstance(item, DayEnd) else Arrival(*item) for item in stream]
