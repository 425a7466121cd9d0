"""The discipline of a branch's queue: which waiting ticket a counter calls next, and whom that ticket overtakes.

A ticket is its number in the order of issue. Tickets wait in lanes, each a queue class and a service; a counter calls from the
lanes it may serve. Inside a lane the earlier arrival comes first, then the earlier issued. Between lanes the order decides:

- head_start: arrival less the head start of the class (Jackson's urgency numbers, 1960). Nobody is overtaken by anyone who
  came the difference of their head starts after him, or later.
- strict: class by class, as the pack lists them.
- ratio: a counter calls so many tickets of each class a round, first class first; what has none waiting is passed over.
- first_come: arrival alone.

What the life of a ticket does to its arrival is in `arrival_after`. All times are seconds of one clock.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

HEAD_START, STRICT, RATIO, FIRST_COME = "head_start", "strict", "ratio", "first_come"
QUEUE_ORDERS: Final = (HEAD_START, STRICT, RATIO, FIRST_COME)

STEP_ISSUED, STEP_RECALLED, STEP_RETURNED = "issued", "recalled", "returned"
STEP_TRANSFERRED, STEP_TRANSFERRED_ANEW = "transferred", "transferred_anew"
TICKET_STEPS: Final = (STEP_ISSUED, STEP_RECALLED, STEP_RETURNED, STEP_TRANSFERRED, STEP_TRANSFERRED_ANEW)

_Place = tuple[int, int]  # (arrival, ticket): who came earlier, then who was issued earlier


def arrival_after(step: str, now_s: int, arrival_s: int = 0, booked_s: int | None = None) -> int:
    """The arrival that counts after a step of a ticket.

    A new ticket's is now; with an appointment the booked time, if that is later. Who is called again, or transferred with
    his place, keeps his arrival. Who comes back after a no-show, or is transferred without his place, arrives now.
    """
    if step == STEP_ISSUED:
        return now_s if booked_s is None else max(now_s, booked_s)
    return arrival_s if step in (STEP_RECALLED, STEP_TRANSFERRED) else now_s


@dataclass(frozen=True, slots=True)
class Discipline:
    """How tickets are ordered. Queue classes are codes, 0 is the pack's first.

    head_starts_s: seconds by class. round_calls: calls a round by class, for `ratio`. overtakers_max: a ticket that so many
    have overtaken is next at any counter that may serve it; None: no such cap.
    """

    order: str
    head_starts_s: tuple[int, ...]
    round_calls: tuple[int, ...]
    overtakers_max: int | None = None

    def __post_init__(self) -> None:
        assert self.order in QUEUE_ORDERS
        assert len(self.round_calls) == len(self.head_starts_s)
        assert all(calls >= 1 for calls in self.round_calls)

    def lane(self, queue_class: int, service: int = 0) -> int:
        """The lane of a class and a service."""
        return service * len(self.head_starts_s) + queue_class

    def class_of(self, lane: int) -> int:
        """The class of a lane."""
        return lane % len(self.head_starts_s)

    def rank(self, queue_class: int, place: _Place) -> tuple[int, int, int]:
        """What tickets are compared by, smallest first; under `ratio` among the classes that have calls left."""
        if self.order == HEAD_START:
            return (place[0] - self.head_starts_s[queue_class], *place)
        return (0 if self.order == FIRST_COME else queue_class, *place)


@dataclass(frozen=True, slots=True)
class TicketCall:
    """A ticket that was called. `overtaken`: the waiting ones that came before it and that the counter might have called.

    passed: how many had overtaken it; capped: it was called because these were as many as may.
    """

    ticket: int
    arrival_s: int
    lane: int
    passed: int
    capped: bool
    overtaken: tuple[int, ...]


@dataclass(slots=True)
class _Waiting:
    arrival_s: int
    lane: int
    passed: int


@dataclass(slots=True)
class Hall:
    """The waiting tickets of a branch. A change costs what a search in a sorted list costs; a call, a look at each lane."""

    discipline: Discipline
    _tickets: dict[int, _Waiting] = field(default_factory=dict)
    _lanes: dict[int, list[_Place]] = field(default_factory=dict)
    _capped: dict[int, list[_Place]] = field(default_factory=dict)  # as many have overtaken them as may
    _left: dict[int, list[int]] = field(default_factory=dict)  # calls left in the round, by counter and class

    def __len__(self) -> int:
        return len(self._tickets)

    def __contains__(self, ticket: int) -> bool:
        return ticket in self._tickets

    def copied(self) -> Hall:
        """Another hall with the same tickets, to look ahead."""
        return Hall(
            self.discipline,
            {ticket: _Waiting(one.arrival_s, one.lane, one.passed) for ticket, one in self._tickets.items()},
            {lane: list(places) for lane, places in self._lanes.items()},
            {lane: list(places) for lane, places in self._capped.items()},
            {counter: list(left) for counter, left in self._left.items()},
        )

    def join(self, ticket: int, arrival_s: int, lane: int, passed: int = 0) -> None:
        """A ticket waits from its arrival on, which may be yet to come: until then nobody calls it."""
        assert ticket not in self._tickets
        self._tickets[ticket] = _Waiting(arrival_s, lane, passed)
        insort(self._line(self._tickets[ticket]), (arrival_s, ticket))

    def leave(self, ticket: int) -> None:
        """A ticket waits no longer. KeyError where it does not wait."""
        waiting = self._tickets.pop(ticket)
        line = self._line(waiting)
        place = (waiting.arrival_s, ticket)
        at = bisect_left(line, place)
        assert line[at] == place
        del line[at]

    def move(self, ticket: int, lane: int) -> None:
        """A ticket's class, or the service it waits for, is another one; its arrival stays. KeyError where it does not wait."""
        waiting = self._tickets[ticket]
        self.leave(ticket)
        self.join(ticket, waiting.arrival_s, lane, waiting.passed)

    def call(self, now_s: int, lanes: Sequence[int], counter: int = 0) -> TicketCall | None:
        """The next ticket of these lanes, which waits no longer; None where nobody waits in them.

        counter: whose round it is under `ratio`.
        """
        capped = self._first(self._capped, lanes, now_s)
        found = capped or self._chosen(self._first_of_each(now_s, lanes), counter)
        if found is None:
            return None
        lane, (arrival_s, ticket) = found
        passed = self._tickets[ticket].passed
        self._use_round(counter, self.discipline.class_of(lane))
        self.leave(ticket)
        overtaken = self._overtaken(lanes, (arrival_s, ticket))
        return TicketCall(ticket, arrival_s, lane, passed, capped is not None, overtaken)

    def _line(self, waiting: _Waiting) -> list[_Place]:
        most = self.discipline.overtakers_max
        lines = self._capped if most is not None and waiting.passed >= most else self._lanes
        return lines.setdefault(waiting.lane, [])

    def _first_of_each(self, now_s: int, lanes: Sequence[int]) -> list[tuple[int, _Place]]:
        lines = ((lane, self._lanes.get(lane)) for lane in lanes)
        return [(lane, line[0]) for lane, line in lines if line and line[0][0] <= now_s]

    def _first(self, lines: dict[int, list[_Place]], lanes: Sequence[int], now_s: int) -> tuple[int, _Place] | None:
        """The earliest of several lines."""
        found = [(lines[lane][0], lane) for lane in lanes if lines.get(lane) and lines[lane][0][0] <= now_s]
        if not found:
            return None
        place, lane = min(found)
        return lane, place

    def _chosen(self, firsts: list[tuple[int, _Place]], counter: int) -> tuple[int, _Place] | None:
        """Of the first tickets of the lanes, the one that the order puts first."""
        if not firsts:
            return None
        rule = self.discipline
        if rule.order == RATIO:
            left = self._left.setdefault(counter, list(rule.round_calls))
            having = [one for one in firsts if left[rule.class_of(one[0])]]
            if not having:
                left[:] = rule.round_calls
            firsts = having or firsts
        return min(firsts, key=lambda one: rule.rank(rule.class_of(one[0]), one[1]))

    def _use_round(self, counter: int, queue_class: int) -> None:
        left = self._left.get(counter)
        if left is not None and left[queue_class]:
            left[queue_class] -= 1

    def _overtaken(self, lanes: Sequence[int], place: _Place) -> tuple[int, ...]:
        """Who came before the called ticket and waits on in these lanes; each has been overtaken once more."""
        found = [ticket for lane in lanes for _, ticket in self._earlier(lane, place)]
        for ticket in found:
            waiting = self._tickets[ticket]
            if waiting.passed + 1 == self.discipline.overtakers_max:
                self.leave(ticket)
                self.join(ticket, waiting.arrival_s, waiting.lane, waiting.passed + 1)
            else:
                waiting.passed += 1
        return tuple(found)

    def _earlier(self, lane: int, place: _Place) -> list[_Place]:
        line = self._lanes.get(lane, [])
        return line[: bisect_left(line, place)]
