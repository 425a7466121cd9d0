"""What a waiting person is told: his position rises only with a cause that stands beside it, and who has the first is called."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies import load_pack
from policies.compiled.queue import CompiledQueue, compile_queue
from services.queue.lookup import Lookup
from services.queue.tickets.forms import TicketAnswer
from services.queue.tickets.store import StepRefusedError
from services.queue.tickets.ticketing import Ticketing
from streams.queue.discipline import QUEUE_ORDERS, RATIO
from tests.queue.stored import PACK, Stored, stored

pytestmark = pytest.mark.integration
CLASSES = ("diamond", "gold", "ordinary")
KINDS = (
    "walk_in", "walk_in", "appointment", "courtesy", "printed", "call", "call", "no_show", "back", "transfer", "anew", "complete",
    "rerank", "rerank",
)  # fmt: skip


class Waiting:
    """Those who wait at a branch, and what each was told last, with the step by which he waits where he waits."""

    def __init__(self, one: Stored) -> None:
        nobody: Any = None
        self.one, self.ticketing = one, Ticketing(one.store, Lookup(nobody, "ordinary", lambda: one.day), "ordinary")
        self.told: dict[int, tuple[TicketAnswer, int]] = {}

    def look(self) -> dict[int, TicketAnswer]:
        """What each is told now. Whose position has risen sees as many new causes, or a move of his own."""
        state = self.one.run("state")
        for own in state["tickets"]:
            answer = self.ticketing._told(state, own)
            was, joined = self.told.get(own["place"], (None, 0))
            if was is not None and answer.position > was.position:
                more = sum(c.tickets for c in answer.ahead_since) - sum(c.tickets for c in was.ahead_since)
                moved = answer.moved is not None and own["joined"] > joined
                assert moved or answer.position - was.position <= more, (was, answer)
            self.told[own["place"]] = answer, own["joined"]
        return {own["place"]: self.told[own["place"]][0] for own in state["tickets"]}

    def happens(self, kind: str, number: int, which: int) -> None:
        """A step of a kind; `which`: class, counter or ticket."""
        one, counter, place = self.one, str(which % 2), 1 + which
        queue_class, now_ms = CLASSES[which % 3], 1000 * self.one.now_s
        match kind:
            case "walk_in":
                one.issue(queue_class, ref=f"r{number}")
            case "appointment":
                one.issue(queue_class, booked=now_ms + 300_000 * which)
            case "courtesy":
                one.issue("gold", cause="courtesy")
            case "printed":
                one.issue(queue_class, printed_at=now_ms - 300_000 * which, number=f"K-{number}", cause="offline")
            case "call":
                before = self.look()
                found = one.run("call", counter=counter)
                if found and one.store.queue.discipline.order != RATIO:
                    assert before[found["ticket"]["place"]].position == 1
            case "transfer" | "anew":
                service = ("general", "loans")[number % 2]
                one.run("transfer", counter=counter, place=place, service=service, keep=kind == "transfer")
            case "rerank":
                own = {"class": CLASSES[number % 3]}
                one.run("rerank", ref=f"r{which}", **own, vip=False, reason="queue-priority")
            case "back":
                one.run("back", place=place)
            case _:
                one.run(kind, counter=counter, place=place, served=[])


def capped(order: str, most: int | None) -> CompiledQueue:
    queue = compile_queue(load_pack(PACK), order)
    return CompiledQueue(queue.classes, replace(queue.discipline, overtakers_max=most))


@settings(max_examples=60)
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(KINDS), st.integers(0, 5), st.sampled_from([0, 0, 60, 600])), min_size=4, max_size=20
    ),
    order=st.sampled_from(QUEUE_ORDERS),
    most=st.sampled_from([None, 1, 2]),
)
def test_a_position_rises_for_a_cause_that_is_shown(
    redis_server: str, steps: list[tuple[str, int, int]], order: str, most: int | None
) -> None:
    """Whatever happens at the branch, also at one instant: calls, moves, appointments, printed tickets, courtesies, the cap."""
    with stored(redis_server, queue=capped(order, most)) as one:
        one.now_s = 3600
        waiting = Waiting(one)
        for number, (kind, which, gap) in enumerate(steps):
            one.now_s += gap
            waiting.look()
            try:
                waiting.happens(kind, number, which)
            except StepRefusedError:
                continue
            waiting.look()


def test_whose_own_class_falls_is_told_so(redis_server: str) -> None:
    """Who came before him stands before him again: that is no cause of theirs, but a move of his own."""
    with stored(redis_server) as one:
        waiting = Waiting(one)
        one.issue()
        own = one.issue("diamond", ref="r")["place"]
        assert (waiting.look()[own].position, waiting.look()[own].moved) == (1, None)
        one.now_s = 60
        one.run("rerank", ref="r", **{"class": "ordinary"}, vip=False, reason="queue-priority")
        told = waiting.look()[own]
        assert (told.position, told.ahead_since) == (2, [])
        assert told.moved is not None
        assert (told.moved.cause, told.moved.at.timestamp()) == ("reranked", 60)


def test_steps_of_one_instant_have_an_order(redis_server: str) -> None:
    """A ticket of before that is raised in the very instant of another one's issue is a cause for it."""
    with stored(redis_server) as one:
        waiting = Waiting(one)
        one.issue(ref="r")
        own = one.issue("gold")["place"]
        assert waiting.look()[own].position == 1
        one.run("rerank", ref="r", **{"class": "diamond"}, vip=True, reason="queue-priority")
        told = waiting.look()[own]
        assert (told.position, [(one.cause, one.tickets) for one in told.ahead_since]) == (2, [("reranked", 1)])


def test_at_the_cap_the_place_decides_between_equal_arrivals(redis_server: str) -> None:
    """As the store calls them: two that came at once, and both were overtaken."""
    with stored(redis_server, queue=capped("head_start", 1)) as one:
        waiting = Waiting(one)
        one.issue(), one.issue()
        one.now_s = 1
        one.issue("diamond")
        one.run("call", counter="1")
        assert [told.position for told in waiting.look().values()] == [1, 2]
