"""A branch's day, simulated through the discipline itself: tickets and counters in, who is called when, where, and after whom.

At one instant: changes in their order, then arrivals, then each counter that is free and open calls once, in the counters'
order. A counter is open from its opening up to its closing, which does not count; it finishes whom it has called.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import TypeVar

from streams.queue.discipline import Discipline, Hall, TicketCall

_What = TypeVar("_What")


@dataclass(frozen=True, slots=True)
class HallTicket:
    """A ticket of a day; its place in the list is its place in the order of issue.

    changes: (second, class from then on); those after the call change nothing, those before the arrival count from it on.
    """

    arrives_s: int
    queue_class: int
    service_s: int
    changes: tuple[tuple[int, int], ...] = ()

    def class_at(self, at_s: int) -> int:
        """The class at a second, its changes included."""
        past = sorted((change for change in self.changes if change[0] <= at_s), key=lambda change: change[0])
        return past[-1][1] if past else self.queue_class


@dataclass(frozen=True, slots=True)
class HallCounter:
    """A counter: when it opens, when it calls no more, and the classes that it may call."""

    opens_s: int
    closes_s: int
    classes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class CounterCall:
    """A call at a counter. `queue_class`: of the ticket at that moment."""

    at_s: int
    counter: int
    queue_class: int
    call: TicketCall


@dataclass(slots=True)
class HallDay:
    """What came of a day: the calls in their order."""

    calls: list[CounterCall] = field(default_factory=list)

    def overtakers(self, tickets: int) -> list[list[int]]:
        """By ticket: those that came later and were called while it waited, by a counter that might have called it."""
        found: list[list[int]] = [[] for _ in range(tickets)]
        for one in self.calls:
            for ticket in one.call.overtaken:
                found[ticket].append(one.call.ticket)
        return found

    def by_ticket(self) -> dict[int, CounterCall]:
        """The call of each ticket that was called."""
        return {one.call.ticket: one for one in self.calls}


class TooManyOvertakingsError(ValueError):
    """A day has more overtakings than are kept."""


class _Day:
    """The state of a day that is being simulated."""

    def __init__(self, tickets: Sequence[HallTicket], counters: Sequence[HallCounter], rule: Discipline) -> None:
        self.tickets, self.counters = tickets, counters
        self.hall = Hall(rule)
        self.classes = [ticket.queue_class for ticket in tickets]
        self.free_s = [0] * len(counters)
        self.last: list[CounterCall | None] = [None] * len(counters)
        self.waiting: set[int] = set()
        self.changes = _by_second(
            (at, (number, to)) for number, ticket in enumerate(tickets) for at, to in ticket.changes
        )
        self.arrivals = _by_second((ticket.arrives_s, number) for number, ticket in enumerate(tickets))
        self.seconds = sorted({*self.changes, *self.arrivals, *(counter.opens_s for counter in counters)}, reverse=True)
        self.ends: list[int] = []  # a heap: when services end

    def instants(self) -> Iterator[int]:
        """Seconds at which something happens, ascending."""
        last = None
        while self.seconds or self.ends:
            at_s = self.ends[0] if not self.seconds else self.seconds[-1]
            if self.ends and self.ends[0] <= at_s:
                at_s = heappop(self.ends)
            else:
                self.seconds.pop()
            if at_s != last:
                yield at_s
            last = at_s

    def enter(self, at_s: int) -> None:
        """Changes and arrivals of a second."""
        rule = self.hall.discipline
        for ticket, to in self.changes.get(at_s, ()):
            self.classes[ticket] = to
            if ticket in self.waiting:
                self.hall.move(ticket, rule.lane(to))
        for ticket in self.arrivals.get(at_s, ()):
            self.waiting.add(ticket)
            self.hall.join(ticket, at_s, rule.lane(self.classes[ticket]))

    def calls(self, at_s: int) -> Iterator[CounterCall]:
        """What the counters call in a second."""
        for number, counter in enumerate(self.counters):
            if not self.waiting:
                return
            if self.free_s[number] > at_s or not counter.opens_s <= at_s < counter.closes_s:
                continue
            call = self.hall.call(at_s, counter.classes, number)  # one service: a class is its lane
            if call is None:
                continue
            self.waiting.discard(call.ticket)
            self.free_s[number] = at_s + self.tickets[call.ticket].service_s
            heappush(self.ends, self.free_s[number])
            self.last[number] = made = CounterCall(at_s, number, self.classes[call.ticket], call)
            yield made

    def at_work(self, at_s: int) -> list[CounterCall | None]:
        """By counter: the call whose service goes on."""
        return [one if free_s > at_s else None for one, free_s in zip(self.last, self.free_s, strict=True)]


def simulate_day(
    tickets: Sequence[HallTicket],
    counters: Sequence[HallCounter],
    rule: Discipline,
    overtakings_max: int,
    seen: Callable[[int, Hall, list[CounterCall | None]], None] | None = None,
) -> HallDay:
    """The day of these tickets and counters. TooManyOvertakingsError where they are more than `overtakings_max`.

    `seen` is shown each instant when its calls are made: the second, who waits, and by counter the call that it works on.
    """
    assert all(ticket.service_s >= 1 for ticket in tickets)
    day, found, left = _Day(tickets, counters, rule), HallDay(), overtakings_max
    for at_s in day.instants():
        day.enter(at_s)
        for one in day.calls(at_s):
            found.calls.append(one)
            left -= len(one.call.overtaken)
            if left < 0:
                raise TooManyOvertakingsError(f"more than {overtakings_max:,} overtakings")
        if seen is not None:
            seen(at_s, day.hall, day.at_work(at_s))
    return found


def _by_second(entries: Iterable[tuple[int, _What]]) -> dict[int, list[_What]]:
    found: dict[int, list[_What]] = {}
    for at_s, what in entries:
        found.setdefault(at_s, []).append(what)
    return found
