"""The import: a stream of events and day ends into Kafka. It can be interrupted and run again; twice changes nothing.

Each close carries the import's fingerprint, so a second run skips the days that the first one finished; of the day it
was interrupted in, events are sent again, and the engine drops them by (source, account, journal_seq).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import chain

from connectors.formats.events import DayEnd, Event, InputError
from connectors.loading.broadcast import FACTS, complete
from connectors.loading.closer import CloseBook, Closer
from connectors.loading.publisher import EventPublisher
from streams.closing import MARK_FORCED, MARK_ORDINARY


@dataclass
class Loaded:
    """What an import did: events by topic, days closed, and what an earlier run had done already."""

    sent: dict[str, int] = field(default_factory=dict)
    skipped: int = 0
    closed: int = 0
    last_day: int | None = None


def done_through(closer: CloseBook, fingerprint: str) -> int | None:
    """The last day that an earlier run of the same import finished."""
    return max((closed.day for closed in closer.history.applied if closed.source == fingerprint), default=None)


def load_events(
    stream: Iterable[Event | DayEnd],
    publisher: EventPublisher,
    closer: Closer | None,
    fingerprint: str,
    *,
    bad: Iterable[InputError] = (),
    step: Callable[[Event | DayEnd], None] | None = None,
    marks: bool = False,
    reason: str = "",
) -> Loaded:
    """Send every event and close every day behind it (closer None: no closes); `step` is told of each item done.

    The step from the last close to the first day is measured before anything is sent: UnusualError, unless there is a
    `reason` for it.

    `bad` are lines that could not be read; they go to dead letters, unless an earlier run has put them there. `marks`:
    before each close, every source met so far says that it has sent everything up to that day.
    """
    loaded, sources = Loaded(), set[str]()
    through = done_through(closer, fingerprint) if closer else None
    items = iter(stream)
    first = next(items, None)
    if closer is not None and first is not None and first.day > 0:
        closer.require(closer.plan(first.day, own=True), reason)
    if through is None:
        for problem in bad:
            publisher.send_dead(problem)
    for item in chain(() if first is None else (first,), items):
        if isinstance(item, Event) and "source" in item.record:
            sources.add(item.record["source"])
        if through is not None and item.day <= through:
            loaded.skipped += isinstance(item, Event)
        elif isinstance(item, Event):
            publisher.send(item)
            loaded.sent[item.topic] = loaded.sent.get(item.topic, 0) + 1
        elif closer is not None:
            forced = reason and closer.plan(item.day, own=True).unusual
            kind = MARK_FORCED if forced else MARK_ORDINARY  # as the close that follows
            for source in sorted(sources) if marks else ():
                publisher.send_everywhere(FACTS, {**complete(source, item.day, kind)})
            publisher.flush()  # the marks have to stand behind the day's events
            run = closer.close(item.day, fingerprint, own=True, reason=reason)
            loaded.closed += 0 if run is None else len(run.days)
            loaded.last_day = item.day
        if step is not None:
            step(item)
    publisher.flush()
    return loaded
