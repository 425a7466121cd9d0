"""A branch's tickets as `queue-tickets` has them: who was called when, who had overtaken whom, and the day for other orders."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from agents.engine.reader import LogReader
from policies.compiled.queue import CompiledQueue
from schemas.codec.blocks import log_entries
from schemas.codec.records import RecordError, decode_one
from schemas.partitioner import partition_of
from schemas.registry import registry_for
from services.queue.behind.relay import TICKETS_TOPIC
from services.queue.behind.replay import LoggedBranch, logged_branch
from streams.calendar import DAY_MAX, DAY_MIN
from streams.queue.discipline import TicketCall
from streams.queue.overtaking import overtaking_cause
from streams.queue.simulation import CounterCall, HallCounter, HallTicket
from tidegauge.branch.day import BranchDay, ClassWaits, Overtaker, class_waits

if TYPE_CHECKING:
    from deploy.settings import Settings
    from schemas.registry import Registry

_SECOND_MS: Final = 1000
_ENDS: Final = ("completed", "no_show", "transferred", "expired")  # of a service


def ticket_steps(
    records: Iterator[tuple[bytes | None, bytes | None]], branch: str, registry: Registry
) -> Iterator[dict[str, Any]]:
    """The steps of a branch among records of `queue-tickets`; what can't be read is passed over."""
    for key, value in records:
        if key != branch.encode() or value is None:
            continue
        try:
            found = decode_one(value, registry, name=TICKETS_TOPIC)
        except RecordError:
            continue
        is_dated = found["day"] is None or DAY_MIN <= found["day"] < DAY_MAX
        if found["branch"] == branch and found["sequence"] > 0 and is_dated:
            yield found


def read_branch(settings: Settings, branch: str) -> LoggedBranch:
    """All that is kept of a branch. KafkaException, RegistryError."""
    topic, registry = settings.topic(TICKETS_TOPIC), registry_for(settings)
    place = (topic, partition_of(branch.encode(), settings.partitions))
    log = LogReader(settings.kafka, [topic])

    def entries() -> Iterator[tuple[bytes | None, bytes | None]]:
        (first, end) = log.ends([place])[place]
        log.begin({place: first})
        for block in log.until({place: end}):
            for _, _, key, value, lost in log_entries(block.batches, block.start, block.end, block.lost):
                if lost is None:
                    yield key, value

    try:
        return logged_branch(ticket_steps(entries(), branch, registry))
    finally:
        log.close()


class LoggedDay:
    """A day of a branch, by its log. Times are seconds from the day's first step."""

    def __init__(self, queue: CompiledQueue, logged: LoggedBranch, day: int) -> None:
        self.queue = queue
        self.steps = [step for step in logged.steps if step["day"] == day]
        self.began = self.steps[0]["at"] if self.steps else 0
        self.issued = {step["ticket_id"]: step for step in self.steps if step["action"] == "issued"}
        self.names = list(self.issued)
        self.calls: dict[str, dict[str, Any]] = {}
        for step in self.steps:
            if step["action"] == "called":
                self.calls.setdefault(step["ticket_id"], step)  # a transfer is called once more

    def second(self, at_ms: int) -> int:
        """Of the day."""
        return max(0, (at_ms - self.began) // _SECOND_MS)

    def code(self, queue_class: str) -> int:
        """The class's code; of one that the pack no longer has, the last."""
        return self.queue.ids.index(queue_class) if queue_class in self.queue.ids else len(self.queue.ids) - 1

    def service_s(self, ticket: str) -> int:
        """How long a counter was busy with it: from its first call to the end of its last."""
        call = self.calls[ticket]
        own = (step for step in self.steps if step["ticket_id"] == ticket and step["at"] >= call["at"])
        ends = [step["at"] for step in own if step["action"] in _ENDS]
        return max(1, int(min(ends, default=call["at"]) - call["at"]) // _SECOND_MS)

    def hall_ticket(self, ticket: str) -> HallTicket:
        """The ticket as the discipline takes it."""
        step = self.issued[ticket]
        changes = tuple(
            (self.second(one["at"]), self.code(one["queue_class"])) for one in self.steps
            if one["ticket_id"] == ticket and one["action"] == "reranked"
        )  # fmt: skip
        served = self.service_s(ticket) if ticket in self.calls else 1
        return HallTicket(self.second(_arrival(step)), self.code(step["queue_class"]), served, changes)

    def _in_ms(self, ticket: str) -> HallTicket:
        """The same in milliseconds."""
        step = self.issued[ticket]
        changes = tuple(
            (one["at"] - self.began, self.code(one["queue_class"]))
            for one in self.steps
            if one["ticket_id"] == ticket and one["action"] == "reranked"
        )
        return HallTicket(_arrival(step) - self.began, self.code(step["queue_class"]), 1, changes)

    def explained(self, ticket: str) -> list[Overtaker]:
        """Who was called before a ticket though he came later, in the order of calling."""
        tickets = [self.hall_ticket(name) for name in self.names]
        exact = [self._in_ms(name) for name in self.names]  # what happens within a second has an order too
        starts = tuple(_SECOND_MS * start for start in self.queue.discipline.head_starts_s)
        rule = replace(self.queue.discipline, head_starts_s=starts)
        own, found = self.names.index(ticket), []
        for step in self.steps:
            if step["action"] != "called" or ticket not in step["overtaken"] or step["ticket_id"] not in self.issued:
                continue
            by, code, at_s = (
                self.names.index(step["ticket_id"]),
                self.code(step["queue_class"]),
                self.second(step["at"]),
            )
            call = TicketCall(by, tickets[by].arrives_s, code, step["passed"], step["capped"], (own,))
            cause = overtaking_cause(rule, exact, own, CounterCall(step["at"] - self.began, 0, code, call))
            found.append(Overtaker(
                step["number"], step["queue_class"], tickets[by].arrives_s - tickets[own].arrives_s, at_s,
                step["counter"] or "", tickets[by].service_s, cause,
            ))  # fmt: skip
        return found

    def waits(self) -> list[ClassWaits]:
        """As they were, by class of the first call; the last row is of all."""
        passed = dict.fromkeys(self.names, 0)
        for step in self.steps:
            for name in step["overtaken"]:
                if name in passed:
                    passed[name] += 1
        found: dict[str, list[tuple[int | None, int]]] = {}
        for name, step in self.issued.items():
            call = self.calls.get(name)
            wait = None if call is None else max(0, call["at"] - _arrival(step)) // _SECOND_MS
            found.setdefault((call or step)["queue_class"], []).append((wait, passed[name]))
        order = sorted(found, key=self.code)
        return [
            *(class_waits(name, found[name]) for name in order),
            class_waits("", [one for name in order for one in found[name]]),
        ]

    def day(self) -> BranchDay:
        """The same arrivals and services, for other orders: counters are open from their first call to their last step.

        For comparison: transfers, no-shows and what counters take are left out.
        """
        called: dict[str, list[int]] = {}
        for step in self.steps:
            if step["counter"] is not None:
                called.setdefault(step["counter"], []).append(self.second(step["at"]))
        everything = tuple(range(len(self.queue.ids)))
        counters = {name: HallCounter(min(times), max(times) + 1, everything) for name, times in called.items()}
        last = max((counter.closes_s for counter in counters.values()), default=1)
        # What was called is called in the comparison too, be it behind the last step.
        counters = {name: replace(counter, closes_s=max(counter.closes_s, last)) for name, counter in counters.items()}
        return BranchDay(
            self.queue, {name: self.hall_ticket(name) for name in self.names if name in self.calls}, counters
        )


def _arrival(step: dict[str, Any]) -> int:
    """In milliseconds; of a step that does not say, its own time."""
    return int(step["at"] if step["arrival"] is None else step["arrival"])


def branch_of(ticket_id: str) -> str:
    """The branch of a ticket's id."""
    return ticket_id.rpartition("-")[0]
