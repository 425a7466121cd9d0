"""A branch's day under an order: who was called when, waits by class, and what another order would have given."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from connectors.formats.events import InputError
from policies.compiled.queue import CompiledQueue
from schemas import bounds
from streams.queue.discipline import FIRST_COME, QUEUE_ORDERS
from streams.queue.overtaking import overtaking_cause
from streams.queue.simulation import HallCounter, HallTicket, TooManyOvertakingsError, simulate_day
from tidegauge.branch.files import LIST, read_counters, read_profile, read_tickets
from tidegauge.branch.profile import drawn_tickets

if TYPE_CHECKING:
    from streams.queue.simulation import CounterCall, HallDay


class ClassWaits(NamedTuple):
    """How the tickets of a class waited, in seconds; a class is that of the call, or the last one of who was never called."""

    queue_class: str
    tickets: int
    never_called: int
    median_s: int | None
    p90_s: int | None
    mean_s: int | None
    longest_s: int | None
    overtakers_most: int


class Overtaker(NamedTuple):
    """Who was called before a ticket and had come later: how much later, and how long the counter was busy with him."""

    ticket: str
    queue_class: str
    came_after_s: int
    called_s: int
    counter: str
    service_s: int
    cause: str


@dataclass(frozen=True)
class BranchDay:
    """Tickets and counters of a day by name, in their order, and the queue that they stand in."""

    queue: CompiledQueue
    tickets: dict[str, HallTicket]
    counters: dict[str, HallCounter]

    @cached_property
    def result(self) -> HallDay:
        """What came of it."""
        try:
            return simulate_day(
                list(self.tickets.values()),
                list(self.counters.values()),
                self.queue.discipline,
                bounds.HALL_OVERTAKINGS_MAX,
            )
        except TooManyOvertakingsError as problem:
            raise InputError("tickets", 0, None, f"{problem}: split the day") from problem

    @cached_property
    def overtakers(self) -> list[list[int]]:
        """By ticket: those that overtook it, in the order of calling."""
        return self.result.overtakers(len(self.tickets))

    def under(self, order: str) -> BranchDay:
        """The same tickets and counters under another order."""
        return replace(self, queue=replace(self.queue, discipline=replace(self.queue.discipline, order=order)))

    def rows(self) -> Iterator[tuple[str, str, str, str]]:
        """Ticket, when it was called, at which counter, and by whom it was overtaken."""
        names, counters, calls = list(self.tickets), list(self.counters), self.result.by_ticket()
        for number, name in enumerate(names):
            one = calls.get(number)
            called, counter = ("", "") if one is None else (str(one.at_s), counters[one.counter])
            yield name, called, counter, LIST.join(names[by] for by in self.overtakers[number])

    def waits(self) -> list[ClassWaits]:
        """By class, in the pack's order; the last row is of all."""
        calls, tickets = self.result.by_ticket(), list(self.tickets.values())
        found: dict[int, list[tuple[int | None, int]]] = {}
        for number, ticket in enumerate(tickets):
            one = calls.get(number)
            code = ticket.class_at(max((at for at, _ in ticket.changes), default=0)) if one is None else one.queue_class
            wait = None if one is None else one.at_s - ticket.arrives_s
            found.setdefault(code, []).append((wait, len(self.overtakers[number])))
        ids = self.queue.ids
        rows = [class_waits(ids[code], found[code]) for code in sorted(found)]
        return [*rows, class_waits("", [one for waits in found.values() for one in waits])]

    def explained(self, ticket: str) -> list[Overtaker]:
        """Who overtook a ticket, in the order of calling. KeyError for a ticket that there isn't."""
        names, counters, calls = list(self.tickets), list(self.counters), self.result.by_ticket()
        if ticket not in self.tickets:
            raise KeyError(ticket)
        number, tickets = names.index(ticket), list(self.tickets.values())
        return [
            Overtaker(
                names[by], self.queue.ids[calls[by].queue_class], tickets[by].arrives_s - tickets[number].arrives_s,
                calls[by].at_s, counters[calls[by].counter], tickets[by].service_s,
                overtaking_cause(self.queue.discipline, tickets, number, calls[by]),
            )
            for by in self.overtakers[number]
        ]  # fmt: skip

    def call_of(self, ticket: str) -> CounterCall | None:
        """The call of a ticket; None: it was never called."""
        return self.result.by_ticket().get(list(self.tickets).index(ticket))


def branch_day(
    queue: CompiledQueue, tickets: Path | None, counters: Path, profile: Path | None = None, seed: int = 0
) -> BranchDay:
    """The day of these files: tickets as they are, or drawn from a profile. InputError where one cannot be taken."""
    ids = queue.ids
    if tickets is not None:
        return BranchDay(queue, read_tickets(tickets, ids), read_counters(counters, ids))
    assert profile is not None
    rows = read_profile(profile, ids)
    try:
        drawn = drawn_tickets(rows, seed, bounds.HALL_TICKETS_MAX)
    except ValueError as problem:
        raise InputError(str(profile), 0, None, str(problem)) from None
    return BranchDay(queue, drawn, read_counters(counters, ids))


def order_waits(day: BranchDay) -> dict[str, list[ClassWaits]]:
    """Waits by class under each order."""
    return {order: day.under(order).waits() for order in QUEUE_ORDERS}


def priority_cost_s(day: BranchDay) -> int | None:
    """What the order costs the tickets of the last class: their mean wait less that under first_come; None: none was called."""
    lowest = day.queue.ids[-1]

    def mean(rows: Sequence[ClassWaits]) -> int | None:
        return next((row.mean_s for row in rows if row.queue_class == lowest), None)

    now, then = mean(day.waits()), mean(day.under(FIRST_COME).waits())
    return None if now is None or then is None else now - then


def class_waits(name: str, waits: Sequence[tuple[int | None, int]]) -> ClassWaits:
    """A row from the waits of a class, None for who was never called, each with how many overtook him."""
    called = sorted(wait for wait, _ in waits if wait is not None)
    most = max((overtakers for _, overtakers in waits), default=0)
    if not called:
        return ClassWaits(name, len(waits), len(waits), None, None, None, None, most)
    return ClassWaits(
        name, len(waits), len(waits) - len(called), _nearest(called, 50), _nearest(called, 90),
        sum(called) // len(called), called[-1], most,
    )  # fmt: skip


def _nearest(ordered: Sequence[int], percent: int) -> int:
    """The nearest-rank percentile."""
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]
