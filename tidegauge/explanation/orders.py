"""Orders in which a customer's log may have been met: between two closes the order of topics is not in the log."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from agents.engine.job import Block
from schemas.codec.records import RecordError, decode_one
from schemas.topics import INPUTS, MARK_KEY
from tidegauge.explanation.log import Log, one_by_one, records_of

if TYPE_CHECKING:
    from schemas.registry import Registry

_TOLD_ON: Final = "rm-alerts"
_CAUSES: Final = ("transactions", "crm-actions")

Blocks = Iterable[Sequence[Block]]


def by_topic(log: Log, order: Sequence[str]) -> Blocks:
    """Everything at once: between two closes one topic after the other."""
    yield [block for topic in order for block in log.inputs.get(topic, [])]


def by_time(log: Log, _order: Sequence[str]) -> Blocks:
    """Record by record, as the brokers have stamped them."""
    timed = [(now, place, at, block) for place, topic in enumerate(INPUTS)
             for at, (now, block) in enumerate(one_by_one(log.inputs.get(topic, [])))]  # fmt: skip
    for *_, block in sorted(timed, key=lambda entry: entry[:3]):
        yield [block]


def as_told(log: Log, _order: Sequence[str]) -> Blocks:
    """As the brokers have stamped them, with a transaction's end behind each posting or act that a published alert names.

    What a worker looks at between two of these tells nothing, so that it leaves no trace. Causes come in the order in which
    they were published.
    """
    queues = {topic: list(one_by_one(log.inputs.get(topic, []))) for topic in INPUTS}
    named = {told.record["caused_by"] for told in log.told if told.topic == _TOLD_ON}
    places: dict[str, tuple[str, int]] = {}
    for topic in _CAUSES:
        for at, (_, block) in enumerate(queues[topic]):
            for event in _ids(block, log.registry):
                if event in named:
                    places.setdefault(event, (topic, at))  # the same again changes nothing
    causes = list(dict.fromkeys(
        places[told.record["caused_by"]] for told in log.told
        if told.topic == _TOLD_ON and told.record["caused_by"] in places
    ))  # fmt: skip
    rank = {place: number for number, place in enumerate(causes)}
    fed, waiting = dict.fromkeys(INPUTS, 0), list[Block]()

    def feed(topic: str, at: int) -> Blocks:
        while fed[topic] <= at:
            if topic in _CAUSES and not any(block.tp.topic in _CAUSES for block in waiting):
                yield list(waiting)  # rates and profiles that came before are known
                waiting.clear()
            waiting.append(queues[topic][fed[topic]][1])
            if (topic, fed[topic]) in rank:
                yield list(waiting)
                waiting.clear()
            fed[topic] += 1

    timed = [(now, INPUTS.index(topic), at) for topic, queue in queues.items() for at, (now, _) in enumerate(queue)]
    for _, place, at in sorted(timed):
        for earlier in causes[: rank.get((INPUTS[place], at), 0)]:
            yield from feed(*earlier)
        yield from feed(INPUTS[place], at)
    yield waiting


def _ids(block: Block, registry: Registry | None) -> Iterator[str]:
    """Event ids of the records in a block that can be read."""
    for _, key, value in records_of([block]):
        if value and key[:1] != MARK_KEY[:1]:
            with suppress(RecordError):
                yield decode_one(value, registry, name=block.tp.topic)["event_id"]


# Between two closes the order of topics is not in the log; tried are these, until a record comes out as it was published.
ACTS_FIRST: Final = ("crm-actions", *(topic for topic in INPUTS if topic != "crm-actions"))
ORDERS: Final[tuple[tuple[Callable[[Log, Sequence[str]], Blocks], Sequence[str]], ...]] = (
    (by_topic, INPUTS), (as_told, INPUTS), (by_time, INPUTS), (by_topic, ACTS_FIRST)
)  # fmt: skip
