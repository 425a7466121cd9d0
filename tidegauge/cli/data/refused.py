"""What could not be taken of a bank's files: bad lines as they are read, records and acts that the job refuses afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import typer

from connectors.formats.events import DayEnd, InputError
from streams.calendar import shown_day
from tidegauge.cli.output import BAD_INPUT, CommandError, error, notes

if TYPE_CHECKING:
    from agents.offline.replay import Arrival
    from deploy.settings import Settings

PUBLISHED: Final = ("dead-letters", "decisions")
SHOWN_MAX: Final = 20
KEPT_MAX: Final = 10_000
KEPT_BYTES_MAX: Final = 64 << 20  # of beginnings of lines; what is kept beyond has its length and hash alone


class Refused:
    """Says the first refusals at once, keeps some lines for dead letters, counts all."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.kept: list[InputError] = []
        self.count = self.bytes = self.acts = 0

    def __call__(self, problem: InputError) -> None:
        """Take a bad line: a Report of the readers."""
        self._say(str(problem))
        if len(self.kept) < KEPT_MAX:
            self.bytes += len(problem.original.head)
            if self.bytes > KEPT_BYTES_MAX:
                problem.original = problem.original._replace(head=b"")
            self.kept.append(problem)

    def letter(self, topic: str, _key: bytes | None, value: bytes | None) -> None:
        """Take what a job publishes: refusals of acts, and dead letters, as for a posting that conflicts with another."""
        from schemas.codec.records import RecordError, decode_one
        from schemas.registry import registry_for

        if topic not in PUBLISHED or value is None:
            return
        registry = registry_for(self.settings)
        if topic == "decisions":
            self._act(decode_one(value, registry, name=topic))
            return
        letter = decode_one(value, registry, name=topic)
        try:
            record = decode_one(letter["original"], registry, name=letter["topic"])
        except RecordError:
            record = {}
        who = ", ".join(
            f"{name} {record[name]}" for name in ("event_id", "account_id", "customer_id") if record.get(name)
        )
        self._say(f"{letter['topic']}: {letter['detail']}" + (f" ({who})" if who else ""))

    def _act(self, decision: dict[str, Any]) -> None:
        """An act that the pack does not allow is no bad line: it is said, and the exit code stays as it is."""
        from policies.texts import REFUSALS

        if decision["kind"] != "refused":
            return
        self.acts += 1
        if self.acts <= SHOWN_MAX:
            why, about = decision["reason"], decision["evidence"]
            text = f" ({REFUSALS[why].en})" if why in REFUSALS else ""
            named = "".join(f" {about[name]}" for name in ("action", "tier") if about.get(name))
            line = f"refused:{named} of customer {decision['customer_id']} on {shown_day(decision['day'])}: {why}{text}"
            notes.print(line, markup=False, soft_wrap=True)

    def _say(self, line: str) -> None:
        self.count += 1
        if self.count <= SHOWN_MAX:
            error(line)

    def end(self, hint: str) -> None:
        """Exit with 2 if a line was refused."""
        if self.acts > SHOWN_MAX:
            notes.print(f"{self.acts} acts were refused; the first {SHOWN_MAX} are shown", soft_wrap=True)
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
