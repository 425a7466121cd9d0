"""The outbox on its way to Kafka, and a branch that is rebuilt from what came of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from confluent_kafka import KafkaException
from hypothesis import given, settings
from hypothesis import strategies as st
from redis import Redis

from policies import load_pack
from policies.compiled.queue import compile_queue
from schemas.codec.records import decode_one, encode
from services.access.audit import AUDIT_LOG
from services.queue.behind.relay import TICKETS_TOPIC, TicketRelay
from services.queue.behind.replay import logged_branch, queue_differences, restored
from services.queue.tickets.store import StepRefusedError, full_round
from tests.queue.stored import PACK, Stored, stored

pytestmark = pytest.mark.integration


class Log:
    """Takes records as Kafka does; `down`: it takes the first of them, and says that it could not."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []
        self.entries: list[dict[str, Any]] = []
        self.down = False

    def send(self, records: Iterable[tuple[str, str, bytes]]) -> None:
        for topic, key, value in records:
            record = decode_one(value, name=topic)
            if topic == AUDIT_LOG:
                assert record["chain"] == key
                self.entries.append(record)
                continue
            assert topic == TICKETS_TOPIC
            assert record["branch"] == key
            self.records.append(record)
            if self.down:
                raise KafkaException("down")


def relay_of(one: Stored, url: str, log: Log) -> TicketRelay:
    return TicketRelay(Redis.from_url(url), one.store.keys, log, encode)


def test_every_step_is_carried_and_none_is_lost(redis_server: str) -> None:
    """In the branch's order, without holes; what Kafka did not take comes again with the same id; one service relays."""
    with stored(redis_server) as one:
        log, other = Log(), Log()
        first = relay_of(one, redis_server, log)
        one.issue(ref="r1", actor="key 7"), one.issue("gold")
        one.run("call", counter="1")
        log.down = True
        with pytest.raises(KafkaException):
            first.relay()
        assert len(one.outbox()) == 3
        log.down = False
        assert first.relay() == 3 and not one.outbox()
        assert first.relay(1) == 0
        one.run("complete", counter="1", place=2, served=["cash"])
        assert relay_of(one, redis_server, other).relay(1) == 0, "another service's turn"
        assert first.relay() == 1
        found = logged_branch(log.records)
        assert [step["sequence"] for step in found.steps] == [1, 2, 3, 4]
        assert not found.holes and not found.disputed
        assert [step["action"] for step in found.steps] == ["issued", "issued", "called", "completed"]
        assert found.steps[2]["overtaken"] == ["B1-1"] and found.tickets()[1]["passed"] == 1
        told = [
            (entry["actor"], entry["action"], entry["resource"], entry["details"]["sequence"]) for entry in log.entries
        ]
        assert told[0] == ("key 7", "issued", "tickets of B1-1", "1")
        assert [sequence for *_, sequence in told] == ["1", "2", "3", "4"], "each step is on record, by who made it"
        assert "r1" not in str(log.entries), "without the reference"
        assert found.steps[0]["customer_ref"] == "r1" and found.steps[3]["served"] == ["cash"]


STEPS = st.lists(st.integers(0, 13), max_size=25)


def walk(one: Stored, steps: list[int]) -> None:
    """Anything that happens at a branch."""
    classes = ("diamond", "gold", "ordinary")
    for number, step in enumerate(steps):
        one.now_s = 60 * (number + 1)
        counter, place = str(step % 2), 1 + step % 5
        try:
            match step:
                case 0 | 1 | 2:
                    one.issue(classes[step], ref=f"r{number}", floor=(None, "gold", "diamond")[number % 3])
                case 3 | 4 | 5:
                    one.run("call", counter=counter)
                case 6:
                    one.run("no_show", counter=counter, place=place)
                case 7:
                    one.run("back", place=place)
                case 8:
                    one.run("transfer", counter=counter, place=place, service="loans", keep=bool(number % 2))
                case 9:
                    one.run("complete", counter=counter, place=place, served=[])
                case 10:
                    own = {"class": ("gold", "ordinary")[number % 2]}
                    one.run("rerank", ref=f"r{place}", **own, vip=True, reason="queue-priority")
                case 11:
                    one.run("equip", counter=counter, classes=["gold", "ordinary"])
                case 12:
                    day, given = one.day.isoformat(), {"class": classes[number % 3], "amount": "100", "currency": "CNY"}
                    one.run("cash_ask", ref=f"r{place}", wanted=day, last_day=day, **given)
                case 13:
                    one.run("cash_meet", number=place, reason="a funeral" if number % 2 else None)
        except StepRefusedError:
            continue


@settings(max_examples=40)
@given(steps=STEPS, after=STEPS, order=st.sampled_from(["head_start", "ratio"]))
def test_a_branch_is_rebuilt_from_its_log(redis_server: str, steps: list[int], after: list[int], order: str) -> None:
    """The log says what the store says; a store that has lost all is as before, and goes on as it would have.

    Also with open classes, which stay where a class is called later, and in the middle of rounds.
    """
    queue = compile_queue(load_pack(PACK), order)
    with stored(redis_server, queue=queue) as one, stored(redis_server, queue=queue) as other:
        walk(one, steps)
        log = Log()
        relay = relay_of(one, redis_server, log)
        while relay.relay(1):
            pass
        found = logged_branch([*log.records, *log.records[:3]])
        state = one.run("live")
        stored_tickets = {ticket["place"]: ticket for ticket in state["tickets"]}
        assert queue_differences(found, state, stored_tickets) == []
        if not found.steps:
            return
        assert other.run("restore", **restored(found, full_round(queue)))["restored"] == len(state["tickets"])
        again = other.run("live")
        assert queue_differences(found, again, {ticket["place"]: ticket for ticket in again["tickets"]}) == []
        with pytest.raises(StepRefusedError, match="branch-known"):
            other.run("restore", **restored(found, full_round(queue)))
        before = len(log.records)
        for side in (one, other):
            walk(side, after)
        for carrier in (relay, relay_of(other, redis_server, log)):
            while carrier.relay(1):
                pass
        rest = log.records[before:]
        half = len(rest) // 2
        told = ("action", "place", "number", "sequence", "overtaken", "state", "counter")
        same = [[[step[name] for name in told] for step in part] for part in (rest[:half], rest[half:])]
        assert same[0] == same[1]


def test_what_differs_is_said(redis_server: str) -> None:
    """A store that has gone back behind its log, a log with a hole: each is named."""
    with stored(redis_server) as one:
        one.issue(), one.issue()
        one.run("call", counter="1")
        log = Log()
        relay_of(one, redis_server, log).relay()
        state = one.run("live")
        tickets = {ticket["place"]: ticket for ticket in state["tickets"]}
        lost = {**tickets, 1: {**tickets[1], "state": "waiting"}}
        assert queue_differences(logged_branch(log.records), {"sequence": 2}, lost) == [
            "the last step is 3 in the log and 2 in the store",
            "ticket 1: state is called in the log and waiting in the store",
        ]
        assert queue_differences(logged_branch([log.records[0], log.records[2]]), state, tickets) == [
            "step 2 is not in the log",
            "ticket 2 is waiting in the store, and the log has none that lives",
        ]
        twice = [*log.records, {**log.records[0], "event_id": "another"}]
        assert queue_differences(logged_branch(twice), state, tickets) == [
            "step 1 is in the log twice, with two contents"
        ]
