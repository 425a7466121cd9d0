"""The steps of tickets on a real server: the order is that of streams, nothing is done twice, nothing is half done."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from policies import load_pack
from policies.compiled.queue import CompiledQueue, compile_queue
from services.queue.tickets.store import StepRefusedError
from streams.queue.discipline import (
    QUEUE_ORDERS,
    STEP_RETURNED,
    STEP_TRANSFERRED,
    STEP_TRANSFERRED_ANEW,
    Discipline,
    TicketCall,
    arrival_after,
)
from tests.queue.slow import SlowTicket
from tests.queue.stored import PACK, Stored, stored
from tests.queue.test_discipline import CLASSES, COUNTERS, SERVICES, Branch, drive

pytestmark = pytest.mark.integration
BRANCH = "B1"


class StoredHall:
    """A hall of streams.queue whose tickets are in the store: those of `tests.queue.test_discipline` are its places from 1 on."""

    url = ""

    def __init__(self, discipline: Discipline) -> None:
        classes = compile_queue(load_pack(PACK)).classes
        self.discipline, self.stored = discipline, Stored(self.url, CompiledQueue(classes, discipline))
        self.ids = [one.id for one in classes]

    def lane(self, lane: int) -> tuple[str, str]:
        return f"s{lane // CLASSES}", self.ids[lane % CLASSES]

    def join(self, ticket: int, arrival: int, lane: int, passed: int = 0) -> None:
        """A new ticket; the others wait again by steps of their own."""
        service, queue_class = self.lane(lane)
        given = {"service": service, "booked": 1000 * arrival, "ref": f"r{ticket}"}
        found = self.stored.issue(queue_class, BRANCH, **given)
        assert (found["place"], found["arrival"]) == (ticket + 1, 1000 * arrival)

    def leave(self, ticket: int) -> None:
        self.stored.run("leave", BRANCH, place=ticket + 1)

    def move(self, ticket: int, lane: int) -> None:
        self.stored.run("rerank", BRANCH, ref=f"r{ticket}", **{"class": self.lane(lane)[1]}, vip=False)

    def call(self, now: int, lanes: list[int], counter: int = 0) -> TicketCall | None:
        named = [self.lane(lane) for lane in lanes]
        given = {"classes": sorted({name for _, name in named}), "services": sorted({name for name, _ in named})}
        self.stored.run("equip", BRANCH, counter=f"c{counter}", **given)
        found = self.stored.run("call", BRANCH, counter=f"c{counter}")
        if not found:
            return None
        one = found["ticket"]
        overtaken = tuple(int(name.rpartition("-")[2]) - 1 for name in found["overtaken"])
        lane = CLASSES * int(one["service"][1:]) + self.ids.index(one["class"])
        return TicketCall(one["place"] - 1, one["arrival"] // 1000, lane, one["passed"], found["capped"], overtaken)

    def __len__(self) -> int:
        return len(self.stored.run("state", BRANCH)["tickets"])


class StoredBranch(Branch):
    """The same branch, at which a counter has one ticket at a time."""

    new_hall: Any = StoredHall

    def issue(self, lane: tuple[int, int], booked: int | None) -> None:
        self.hall.stored.now_s = self.now
        super().issue(lane, booked)

    def teardown(self) -> None:
        if hasattr(self, "hall"):
            assert len(self.hall) == len(self.slow.tickets)
            self.hall.stored.close()

    @rule(
        services=st.sets(st.integers(0, SERVICES - 1), min_size=1),
        classes=st.sets(st.integers(0, CLASSES - 1), min_size=1),
        counter=st.integers(0, COUNTERS - 1),
    )
    def call(self, services: set[int], classes: set[int], counter: int) -> None:
        self.hall.stored.now_s = self.now
        held = self.__dict__.setdefault("held", {})
        if counter in held:  # whoever it has is absent, and may come back
            self.hall.stored.run("no_show", BRANCH, counter=f"c{counter}", place=held.pop(counter) + 1)
        before = len(self.called)
        self.is_called_as_by_the_twin({(s, c) for s in services for c in classes}, counter, False)
        if len(self.called) > before:
            held[counter] = self.called[-1][0]

    @precondition(lambda self: self.called)
    @rule(data=st.data(), anew=st.booleans(), service=st.integers(0, SERVICES - 1))
    def waits_again(self, data: Any, anew: bool, service: int) -> None:
        one = data.draw(st.sampled_from(self.called))
        self.called.remove(one)
        ticket, arrival, queue_class, passed = one
        self.hall.stored.now_s = self.now
        held = self.__dict__.setdefault("held", {})
        counter = next((name for name, its in held.items() if its == ticket), None)
        if counter is None:
            step = STEP_RETURNED
            found = self.hall.stored.run("back", BRANCH, place=ticket + 1)["ticket"]
        else:
            del held[counter]
            step = STEP_TRANSFERRED_ANEW if anew else STEP_TRANSFERRED
            given = {"counter": f"c{counter}", "place": ticket + 1, "service": f"s{service}", "keep": not anew}
            found = self.hall.stored.run("transfer", BRANCH, **given)["ticket"]
        after = arrival_after(step, self.now, arrival)
        assert found["arrival"] == 1000 * after
        waits = int(found["service"][1:])
        self.slow.tickets.append(
            SlowTicket(ticket, after, queue_class, waits, [-1] * (0 if step != STEP_TRANSFERRED else passed))
        )

    @rule(gap=st.sampled_from([0, 1, 599, 600, 1800]))
    def time_goes_on(self, gap: int) -> None:
        self.now += gap
        self.hall.stored.now_s = self.now


@pytest.mark.slow
@pytest.mark.parametrize("order", QUEUE_ORDERS)
def test_the_store_calls_as_the_discipline_does(redis_server: str, order: str) -> None:
    """Every call, whom it overtakes, and how many had overtaken it, are the slow twin's, as those of streams are."""

    class Hall(StoredHall):
        url = redis_server

    class Ordered(StoredBranch):
        orders, new_hall = (order,), Hall

    drive(Ordered, 15, 25)


def test_the_same_request_is_done_once(redis_server: str) -> None:
    """However often it comes: the same answer, one ticket, one step in the outbox; its id stands for nothing else."""
    with stored(redis_server) as one:
        first = one.issue(request="k1-1")
        assert [one.issue(request="k1-1") for _ in range(3)] == [first] * 3
        assert one.issue("gold", request="k1-1") == first, "the view answered meanwhile"
        with pytest.raises(StepRefusedError, match="request-id-reused"):
            one.issue(service="loans", request="k1-1")
        called = one.run("call", request="c1-1", counter="1")
        assert one.run("call", request="c1-1", counter="1") == called
        assert [step["action"] for step in one.outbox()] == ["issued", "called"]
        assert [step["sequence"] for step in one.outbox()] == [1, 2]


def test_a_call_that_found_nobody_calls_nobody_later(redis_server: str) -> None:
    """A duplicate that comes late, when somebody waits: the counter's next request calls him."""
    with stored(redis_server) as one:
        one.store._limits |= {"requests_max": 3}
        for number in range(5):
            assert one.run("call", request=f"c1-{number}", counter="1") == {}
        one.issue(request="k1-1")
        assert one.run("call", request="c1-4", counter="1") == {}
        assert one.run("call", request="c1-5", counter="1")["ticket"]["state"] == "called"
        assert one.run("call", request="c1-4", counter="1") == {}, "the same answer, also when the counter has somebody"


def test_a_counter_has_one_ticket(redis_server: str) -> None:
    """A second click calls nobody, and says whom the counter has; nobody else's ticket is touched."""
    with stored(redis_server) as one:
        first, second = one.issue(), one.issue()
        assert one.run("call", counter="1")["ticket"]["id"] == first["id"]
        with pytest.raises(StepRefusedError, match="counter-busy") as refused:
            one.run("call", counter="1")
        assert refused.value.ticket is not None and refused.value.ticket["id"] == first["id"]
        for step in ("recall", "no_show", "complete", "transfer"):
            with pytest.raises(StepRefusedError, match="not-at-this-counter"):
                one.run(step, counter="2", place=first["place"], service="general", keep=True)
        assert one.run("call", counter="2")["ticket"]["id"] == second["id"]
        done = one.run("complete", counter="1", place=first["place"], served=["cash"])["ticket"]
        assert done["state"] == "completed"
        assert one.run("call", counter="1") == {}, "nobody waits"
        one.run("pause", counter="1")
        one.issue()
        with pytest.raises(StepRefusedError, match="counter-paused"):
            one.run("call", counter="1")
        one.run("resume", counter="1")
        assert one.run("call", counter="1")["ticket"]["state"] == "called"
        assert one.outbox()[4]["served"] == ["cash"]


def test_both_references_find_the_ticket(redis_server: str) -> None:
    """While keys rotate; a second ticket of whoever waits is the first one; who has gone is found no more."""
    with stored(redis_server) as one:
        first = one.issue(ref="old", ref2="new")
        assert one.issue(ref="new")["id"] == first["id"]
        assert one.issue(ref="new", service="loans")["id"] != first["id"], "something else to do"
        assert one.issue(ref="new", branch="B2")["number"] == "A001"
        assert one.runner.run(one.store.holders("new")) == ["B1", "B2"]
        moved = one.run("rerank", ref="old", **{"class": "gold"}, vip=True)["moved"]
        assert [(t["id"], t["class"], t["vip"]) for t in moved] == [(first["id"], "gold", True)]
        one.run("leave", place=first["place"])
        assert one.runner.run(one.store.holders("old")) == []


def test_a_day_begins_anew(redis_server: str) -> None:
    """Numbers and request ids are the day's; what waits ends with it, or stays; places go on."""
    with stored(redis_server) as one:
        first, second = one.issue(request="r1"), one.issue()
        one.run("call", counter="1")
        one.day = date(2026, 3, 3)
        third = one.issue(request="r1")
        assert (third["number"], third["place"]) == ("A001", 3)
        ended = [(step["id"], step["reason"]) for step in one.outbox() if step["action"] == "expired"]
        assert sorted(ended) == [(first["id"], "day_ended"), (second["id"], "day_ended")]
        assert one.run("call", counter="1")["ticket"]["id"] == third["id"], "the counter is free again"
        one.day = date(2026, 3, 1)
        assert one.issue()["number"] == "A002", "a clock that goes back begins no day"
    with stored(redis_server, stays=True) as one:
        first, second = one.issue(), one.issue()
        one.run("call", counter="1")
        one.day = date(2026, 3, 3)
        assert one.issue()["number"] == "A001"
        assert one.run("call", counter="1")["ticket"]["id"] == second["id"], "called tickets end, waiting ones stay"


def test_a_branch_closes(redis_server: str) -> None:
    """Nobody gets a ticket; what waits expires with its reason, or stays; whom a counter has is finished."""
    with stored(redis_server) as one:
        first, second = one.issue(), one.issue()
        one.run("call", counter="1")
        assert one.run("close", reason="no power")["expired"] == 1
        with pytest.raises(StepRefusedError, match="branch-closed"):
            one.issue()
        assert one.run("ticket", place=second["place"])["ticket"]["state"] == "expired"
        assert one.run("complete", counter="1", place=first["place"])["ticket"]["state"] == "completed"
        one.run("open")
        assert one.issue()["number"] == "A003", "numbers don't begin again within a day"
    with stored(redis_server, stays=True) as one:
        waiting = one.issue()
        assert one.run("close", reason="no power")["expired"] == 0
        with pytest.raises(StepRefusedError, match="branch-closed"):
            one.issue()
        assert one.run("call", counter="1")["ticket"]["id"] == waiting["id"], "who waits is served"


def test_bounds_hold(redis_server: str) -> None:
    """Tickets, requests and the outbox have an end; beyond it nothing is half done."""
    with stored(redis_server) as one:
        one.store._limits |= {"waiting_max": 2, "outbox_max": 3}
        one.issue(), one.issue()
        with pytest.raises(StepRefusedError, match="branch-full"):
            one.issue()
        one.run("call", counter="1")
        with pytest.raises(StepRefusedError, match="queue-unavailable"):
            one.issue()
        one.run("recall", counter="1", place=1)
        one.run("recall", counter="1", place=1)
        one.run("recall", counter="1", place=1)
        with pytest.raises(StepRefusedError, match="queue-unavailable"):
            one.run("recall", counter="1", place=1)
        assert len(one.outbox()) == 6


def test_a_ticket_printed_without_the_service(redis_server: str) -> None:
    """Counts from its printed time, and has the kiosk's number."""
    with stored(redis_server, now_s=1000) as one:
        one.issue()
        late = one.issue(printed_at=400_000, number="K1-007", request="offline:K1-007", cause="offline")
        assert (late["arrival"], late["number"]) == (400_000, "K1-007")
        assert one.issue(printed_at=400_000, number="K1-007", request="offline:K1-007", cause="offline") == late
        assert one.run("call", counter="1")["ticket"]["id"] == late["id"]
        assert one.issue(printed_at=9_000_000, number="K1-008", cause="offline")["arrival"] == 1_000_000, (
            "not yet to come"
        )
