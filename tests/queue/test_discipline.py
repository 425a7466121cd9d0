"""The discipline against its slow twin, and what nobody is overtaken by; over arrivals, classes, services, no-shows and all."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from policies import available_packs, load_pack
from policies.compiled.queue import compile_queue
from policies.language.reader import PackError
from streams.queue.discipline import (
    FIRST_COME,
    HEAD_START,
    QUEUE_ORDERS,
    STEP_ISSUED,
    STEP_RECALLED,
    STEP_RETURNED,
    STEP_TRANSFERRED,
    STEP_TRANSFERRED_ANEW,
    STRICT,
    TICKET_STEPS,
    Discipline,
    Hall,
    arrival_after,
)
from streams.queue.overtaking import overtaking_limit_s
from tests.queue.slow import SlowHall, SlowTicket

CLASSES, SERVICES, COUNTERS = 4, 2, 3
HALF_HOUR_S = 1800
LANES = [(service, queue_class) for service in range(SERVICES) for queue_class in range(CLASSES)]
GAPS = st.sampled_from([0, 1, 59, 60, 599, 600, 601, 1200, 1799, 1800, 1801])


class Branch(RuleBasedStateMachine):
    """A branch at which anything happens to tickets; the hall and its twin say the same, and nobody waits in vain."""

    orders: tuple[str, ...] = QUEUE_ORDERS
    caps: Any = st.none() | st.integers(0, 3)
    new_hall: Any = Hall
    head_starts: Any = st.lists(st.sampled_from([0, 60, 600, 1200, 1800]), min_size=CLASSES, max_size=CLASSES)

    @initialize(data=st.data())
    def begin(self, data: Any) -> None:
        starts = sorted(data.draw(self.head_starts), reverse=True)
        rounds = data.draw(st.lists(st.integers(1, 3), min_size=CLASSES, max_size=CLASSES))
        self.rule = Discipline(
            data.draw(st.sampled_from(self.orders)), tuple(starts), tuple(rounds), data.draw(self.caps)
        )
        self.hall, self.slow = self.new_hall(self.rule), SlowHall(self.rule)
        self.now = self.issued = 0
        self.called: list[tuple[int, int, int, int]] = []  # ticket, arrival, class, how many had overtaken it

    def lane(self, service: int, queue_class: int) -> int:
        return self.rule.lane(queue_class, service)

    def join(self, ticket: int, arrival: int, service: int, queue_class: int, passed: int = 0) -> None:
        self.hall.join(ticket, arrival, self.lane(service, queue_class), passed)
        self.slow.tickets.append(SlowTicket(ticket, arrival, queue_class, service, [-1] * passed))

    @rule(gap=GAPS)
    def time_goes_on(self, gap: int) -> None:
        self.now += gap

    @rule(lanes=st.lists(st.sampled_from(LANES), min_size=1, max_size=4), gap=GAPS)
    def several_come(self, lanes: list[tuple[int, int]], gap: int) -> None:
        for lane in lanes:
            self.issue(lane, None)
        self.now += gap

    @rule(lane=st.sampled_from(LANES), booked=st.none() | st.integers(-2000, 2000))
    def comes(self, lane: tuple[int, int], booked: int | None) -> None:
        self.issue(lane, booked)

    def issue(self, lane: tuple[int, int], booked: int | None) -> None:
        arrival = arrival_after(STEP_ISSUED, self.now, booked_s=None if booked is None else self.now + booked)
        assert arrival >= self.now
        self.join(self.issued, arrival, *lane)
        self.issued += 1

    @precondition(lambda self: self.slow.tickets)
    @rule(data=st.data(), queue_class=st.integers(0, CLASSES - 1))
    def class_changes(self, data: Any, queue_class: int) -> None:
        ticket = data.draw(st.sampled_from(self.slow.tickets))
        ticket.queue_class = queue_class
        self.hall.move(ticket.number, self.lane(ticket.service, queue_class))

    @precondition(lambda self: self.slow.tickets)
    @rule(data=st.data())
    def leaves(self, data: Any) -> None:
        ticket = data.draw(st.sampled_from(self.slow.tickets))
        self.slow.tickets.remove(ticket)
        self.hall.leave(ticket.number)

    @precondition(lambda self: self.called)
    @rule(data=st.data(), step=st.sampled_from(TICKET_STEPS[1:]), service=st.integers(0, SERVICES - 1))
    def waits_again(self, data: Any, step: str, service: int) -> None:
        """Of a recall, a no-show that comes back, a transfer. With a new arrival a ticket has been overtaken by nobody."""
        one = data.draw(st.sampled_from(self.called))
        self.called.remove(one)
        ticket, arrival, queue_class, passed = one
        after = arrival_after(step, self.now, arrival)
        assert after == (arrival if step in (STEP_RECALLED, STEP_TRANSFERRED) else self.now)
        self.join(ticket, after, service, queue_class, passed if after == arrival else 0)

    @rule(lanes=st.sets(st.sampled_from(LANES), min_size=1), counter=st.integers(0, COUNTERS - 1), ahead=st.booleans())
    def call(self, lanes: set[tuple[int, int]], counter: int, ahead: bool) -> None:
        self.is_called_as_by_the_twin(lanes, counter, ahead)

    def is_called_as_by_the_twin(self, lanes: set[tuple[int, int]], counter: int, ahead: bool) -> None:
        hall = self.hall.copied() if ahead else self.hall
        waiting = {
            ticket.number: (ticket.arrival, ticket.queue_class, len(ticket.passed)) for ticket in self.slow.tickets
        }
        found = hall.call(self.now, [self.lane(*lane) for lane in lanes], counter)
        assert ahead is False or len(self.hall) == len(self.slow.tickets), "what looks ahead changes nothing"
        if ahead and found is not None:
            found = self.hall.call(self.now, [self.lane(*lane) for lane in sorted(lanes)], counter)
        slow = self.slow.call(self.now, lanes, counter)
        if slow is None:
            assert found is None
            return
        ticket, overtaken, capped = slow
        assert found is not None
        assert (found.ticket, found.arrival_s, sorted(found.overtaken)) == (ticket.number, ticket.arrival, overtaken)
        assert (found.passed, found.capped) == (waiting[ticket.number][2], capped)
        assert found.arrival_s <= self.now
        for number in overtaken:
            self.is_within_bounds(ticket, *waiting[number], capped)
        self.called.append((ticket.number, ticket.arrival, ticket.queue_class, found.passed))

    def is_within_bounds(self, by: SlowTicket, arrival: int, queue_class: int, passed: int, capped: bool) -> None:
        """What `queue bound` prints."""
        if self.rule.overtakers_max is not None:
            assert passed < self.rule.overtakers_max
        limit = overtaking_limit_s(self.rule, queue_class, by.queue_class)
        if not capped and limit is not None:
            event("overtaken within a limit")
            assert by.arrival - arrival < limit


def drive(machine: type[Branch], examples: int, steps: int = 30) -> None:
    run_state_machine_as_test(
        machine, settings=settings(max_examples=examples, stateful_step_count=steps, deadline=None)
    )


@pytest.mark.slow
def test_discipline_is_that_of_the_slow_twin() -> None:
    """Every call under every order, with and without a cap, is the slow twin's, whom it overtakes too (R-016, R-243)."""
    drive(Branch, 150)


@pytest.mark.slow
def test_nobody_is_overtaken_by_who_came_half_an_hour_after_him() -> None:
    """With head starts of 30, 20, 10 and 0 minutes nobody who came more than 30 minutes later is called first."""

    class HeadStarts(Branch):
        orders, caps, head_starts = (HEAD_START,), st.none(), st.just([1800, 1200, 600, 0])

        def is_within_bounds(self, by: SlowTicket, arrival: int, queue_class: int, passed: int, capped: bool) -> None:
            assert by.arrival - arrival < HALF_HOUR_S
            assert queue_class > by.queue_class, "and of no class does anyone overtake who is not of a higher one"

    drive(HeadStarts, 150)


@pytest.mark.slow
def test_cap_where_counters_are_alike_leaves_the_minutes() -> None:
    """Where every counter serves all, whoever is called because of the cap overtakes nobody."""

    class Alike(Branch):
        orders, caps = (HEAD_START, STRICT), st.integers(0, 3)

        @rule(counter=st.integers(0, COUNTERS - 1))
        def call(self, counter: int) -> None:
            found = self.hall.call(self.now, [self.lane(*lane) for lane in LANES], counter)
            slow = self.slow.call(self.now, set(LANES), counter)
            assert (found is None) == (slow is None)
            if found is not None and found.capped:
                assert found.overtaken == ()

    drive(Alike, 60)


def hall(order: str = HEAD_START, cap: int | None = None) -> Hall:
    """Classes: vip with half an hour, ordinary."""
    return Hall(Discipline(order, (1800, 0), (2, 1), cap))


def calls(room: Hall, now: int, lanes: tuple[int, ...] = (0, 1)) -> list[int]:
    """Tickets as they are called, all at one moment."""
    found = []
    while (one := room.call(now, lanes)) is not None:
        found.append(one.ticket)
    return found


def test_equal_keys() -> None:
    """Of equal keys the earlier arrival comes first, then the earlier issued."""
    room = hall()
    room.join(0, 1800, 0)  # an ordinary one of second 0 has the same key
    room.join(1, 0, 1)
    room.join(3, 1799, 0)
    room.join(2, 1799, 0)
    assert calls(room, 1800) == [2, 3, 1, 0]


def test_orders() -> None:
    """Strict goes class by class (R-248), ratio in rounds, first_come by arrival alone."""
    wanted = {
        HEAD_START: [1, 0, 2, 3, 4, 5],
        STRICT: [1, 3, 4, 5, 0, 2],
        FIRST_COME: [0, 1, 2, 3, 4, 5],
        "ratio": [1, 3, 0, 4, 5, 2],
    }
    for order, tickets in wanted.items():
        room = hall(order)
        for ticket, arrival, lane in ((0, 0, 1), (1, 5, 0), (2, 10, 1), (3, 2000, 0), (4, 2001, 0), (5, 2002, 0)):
            room.join(ticket, arrival, lane)
        assert calls(room, 3000) == tickets, order


def test_appointment_is_not_called_before() -> None:
    """An appointment arrives at its booked time, or when he comes if that is later; no counter waits for it."""
    assert arrival_after(STEP_ISSUED, 100, booked_s=500) == 500
    assert arrival_after(STEP_ISSUED, 600, booked_s=500) == 600
    room = hall()
    room.join(0, 500, 0)
    room.join(1, 100, 1)
    assert calls(room, 499) == [1]
    assert calls(room, 500) == [0]


def test_who_comes_back_begins_anew() -> None:
    """No-show returned, or transfer without its place: arrival is now; recall, and transfer with its place, keep it."""
    assert [arrival_after(step, 900, 100) for step in (STEP_RECALLED, STEP_TRANSFERRED)] == [100, 100]
    assert [arrival_after(step, 900, 100) for step in (STEP_RETURNED, STEP_TRANSFERRED_ANEW)] == [900, 900]


def test_cap() -> None:
    """A ticket that so many have overtaken is next at any counter that may serve it, and is overtaken no more."""
    room = hall(STRICT, 1)
    for ticket, arrival, lane in ((0, 0, 1), (1, 1, 1), (2, 2, 0), (3, 3, 0), (4, 4, 0)):
        room.join(ticket, arrival, lane)
    first = room.call(10, (0, 1))
    assert first is not None
    assert (first.ticket, sorted(first.overtaken), first.capped) == (2, [0, 1], False)
    assert calls(room, 10, (0,)) == [3, 4], "a counter that may not serve it goes on"
    assert calls(room, 10) == [0, 1]


@pytest.mark.parametrize("name", available_packs())
def test_shipped_packs_have_a_queue(name: str) -> None:
    """Each tier scheme that ships has a discipline, and another order is taken by word; a layer scheme has none."""
    pack = load_pack(name)
    if pack.kind == "layers":
        with pytest.raises(PackError, match="no queue classes"):
            compile_queue(pack)
        return
    queue = compile_queue(pack)
    assert list(queue.discipline.head_starts_s) == [60 * one.head_start_minutes for one in queue.classes]
    assert compile_queue(pack, STRICT).discipline.order == STRICT


def test_one_queue_for_all_customers() -> None:
    """Classes of personal and corporate customers stand in one queue; what both have must be the same in both."""
    body = load_pack("service-centre").body
    from policies import parse_pack

    assert compile_queue(parse_pack(body)).ids == ("vip", "ordinary")
    other = "head_start_minutes: 20".join(body.rsplit("head_start_minutes: 30", 1))
    with pytest.raises(PackError, match="class vip must be the same"):
        compile_queue(parse_pack(other))
